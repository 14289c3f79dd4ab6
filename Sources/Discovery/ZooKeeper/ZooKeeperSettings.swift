import Configuration
import Runtime

/// How a ZooKeeper is to be used.
struct ZooKeeperSettings {
    /// In the order given; which one is used first is left to chance.
    var servers: [HostPort]
    /// `USER:PASSWORD` of a digest login, empty for none.
    var credentials = ""
    /// What stands before all paths: empty or `/app`.
    var chroot = ""
    /// Above Dubbo's interfaces: empty or `/dubbo`.
    var root = "/dubbo"
    /// Above applications: empty or `/services`.
    var services = "/services"
    /// What is asked for; a server grants 2 to 20 times its tick.
    var sessionTimeout = Duration.seconds(30)
    /// How long a server may take to accept a connection and the session.
    var connectTimeout = Duration.seconds(3)
    /// Between rounds in which no server could be used.
    var backoff = Backoff(first: .milliseconds(200), cap: .seconds(5))

    static let sessionRange = Duration.seconds(1)...Duration.seconds(600)

    init(servers: [HostPort]) { self.servers = servers }

    init(_ url: RegistryURL) throws(InvalidValue) {
        self.init(servers: url.servers + (try Self.backup(url)))
        if !url.user.isEmpty { credentials = "\(url.user):\(url.password)" }
        chroot = url.path
        root = try Self.path(url, "group") ?? root
        services = try Self.path(url, "services") ?? services
        guard ZooKeeperPath.isValid(chroot) else { throw InvalidValue("\(chroot) is not a ZooKeeper path") }
        if let text = url.parameters["session"] {
            sessionTimeout = try SettingValue.duration(text, in: Self.sessionRange)
        }
    }

    /// Dubbo's way to name further servers.
    private static func backup(_ url: RegistryURL) throws(InvalidValue) -> [HostPort] {
        guard let text = url.parameters["backup"] else { return [] }
        guard let servers = (try? RegistryURL("zookeeper://\(text)"))?.servers, !text.contains("@"),
            !text.contains("/")
        else { throw InvalidValue("the parameter \"backup\" must be HOST:PORT[,HOST2:PORT...]") }
        return servers.filter { !url.servers.contains($0) }
    }

    /// A path as Dubbo takes it: the slash at its beginning may be missing, `/` alone is the top.
    private static func path(_ url: RegistryURL, _ name: String) throws(InvalidValue) -> String? {
        guard let text = url.parameters[name] else { return nil }
        var path = text.hasPrefix("/") ? text : "/" + text
        if path.hasSuffix("/") { path.removeLast() }
        guard ZooKeeperPath.isValid(path) else {
            throw InvalidValue("the parameter \"\(name)\" must be a ZooKeeper path, for example /dubbo")
        }
        return path
    }
}

/// Paths of nodes.
enum ZooKeeperPath {
    /// Whether a server takes a path; the empty one is the top.
    static func isValid(_ path: String) -> Bool {
        if path.isEmpty { return true }
        guard path.hasPrefix("/"), path.utf8.count <= 4096 else { return false }
        return path.dropFirst().split(separator: "/", omittingEmptySubsequences: false).allSatisfy { isValid(name: $0) }
    }

    /// Whether a node can have this name.
    static func isValid(name: some StringProtocol) -> Bool {
        guard !name.isEmpty, name != ".", name != "..", !name.contains("/") else { return false }
        return name.unicodeScalars.allSatisfy { scalar in
            switch scalar.value {
            case 0...0x1f, 0x7f...0x9f, 0xd800...0xf8ff, 0xfff0...0xffff: false
            default: true
            }
        }
    }
}
