import Runtime

/// A registry's address, checked: `SCHEME://[user:password@]host[:port][,host2[:port]…][/path][?name=value&…]` or
/// `file:PATH`. Credentials and parameter values may be percent-encoded.
public struct RegistryURL: Hashable, Sendable {
    /// The kinds of registries.
    public enum Scheme: String, Hashable, Sendable, CaseIterable {
        /// Alibaba Nacos.
        case nacos
        /// Apache ZooKeeper, with the layouts of Dubbo and SOFA RPC.
        case zookeeper
        /// HashiCorp Consul.
        case consul
        /// Netflix Eureka.
        case eureka
        /// etcd 3 over its JSON gateway.
        case etcd
        /// A local file of services.
        case file
    }

    /// Which kind of registry it is.
    public let scheme: Scheme
    /// Empty where there is none.
    public private(set) var user = ""
    /// Empty where there is none. For Consul the ACL token. Never part of `description` or of an error.
    public private(set) var password = ""
    /// In the order given; empty for a file.
    public private(set) var servers: [HostPort] = []
    /// The file, or the path after the servers (context path, chroot): empty, or `/nacos` without a slash at its end.
    public internal(set) var path = ""
    /// Decoded parameters.
    public private(set) var parameters: [String: String] = [:]

    /// Reads a URL. The words of an error never hold the password.
    public init(_ text: String) throws(InvalidValue) {
        guard let colon = text.firstIndex(of: ":") else {
            throw InvalidValue("\(Self.hidden(text).shown) is not a registry URL; write nacos://HOST:8848 or file:PATH")
        }
        let name = String(text[..<colon])
        guard let scheme = Scheme(rawValue: name) else { throw Self.unknownScheme(name) }
        self.scheme = scheme
        let rest = text[text.index(after: colon)...]
        guard text.utf8.allSatisfy({ $0 > 0x20 && $0 != 0x7f }) || scheme == .file else {
            throw InvalidValue("a registry URL cannot have blanks; write them as %20")
        }
        switch scheme {
        case .file: path = try Self.filePath(rest)
        case .nacos, .zookeeper, .consul, .eureka, .etcd: try readServers(rest)
        }
    }

    private static func unknownScheme(_ name: String) -> InvalidValue {
        let names = Scheme.allCases.map(\.rawValue)
        if ["http", "https"].contains(name) {
            return InvalidValue("\(name.shown) is not a kind of registry; for Nacos write nacos://HOST:8848")
        }
        let near = NearestName.hint(for: name, among: names)
        return InvalidValue(
            "\(name.shown) is not a kind of registry; known are \(names.joined(separator: ", "))\(near)")
    }

    private static func filePath(_ rest: Substring) throws(InvalidValue) -> String {
        var path = rest
        if path.hasPrefix("//") {
            path = path.dropFirst(2)
            guard path.hasPrefix("/") else { throw InvalidValue("a file URL has no host; write file:PATH") }
        }
        guard !path.isEmpty else { throw InvalidValue("the path of the file is missing; write file:PATH") }
        guard path.utf8.allSatisfy({ $0 >= 0x20 }) else {
            throw InvalidValue("a file's path cannot have control characters")
        }
        return String(path)
    }
}

extension RegistryURL {
    /// Parameters that a scheme takes, and its usual port.
    private static func rules(_ scheme: Scheme) -> (parameters: [String], port: UInt16) {
        switch scheme {
        case .nacos: (["namespace", "group", "clusters", "separator", "push"] + tlsParameters, 8848)
        case .zookeeper: (["backup", "group", "services", "session"], 2181)
        case .consul: (["dc", "passing", "tag", "token", "version-tags"] + tlsParameters, 8500)
        case .eureka: (["address", "heartbeat"] + tlsParameters, 8761)
        case .etcd: (["layout"] + tlsParameters, 2379)
        case .file: ([], 0)
        }
    }

    private mutating func readServers(_ rest: Substring) throws(InvalidValue) {
        guard rest.hasPrefix("//") else { throw InvalidValue("write \(scheme.rawValue)://HOST:PORT, with two slashes") }
        guard !rest.contains("#") else { throw InvalidValue("a registry URL has no \"#\" part; write %23 for a \"#\"") }
        var authority = rest.dropFirst(2)
        var query: Substring?
        if let mark = authority.firstIndex(of: "?") {
            query = authority[authority.index(after: mark)...]
            authority = authority[..<mark]
        }
        let tail = (authority.firstIndex(of: "/").map { authority[$0...] } ?? "") + (query ?? "")
        // What stands before it would be shown as a server or path, and it may be a password.
        if tail.contains("@") {
            throw InvalidValue("a \"/\", \"?\" or \"@\" of credentials and parameters is written %2F, %3F, %40")
        }
        if let slash = authority.firstIndex(of: "/") {
            path = try Self.contextPath(authority[slash...])
            authority = authority[..<slash]
        }
        if let sign = authority.lastIndex(of: "@") {
            try readCredentials(authority[..<sign])
            authority = authority[authority.index(after: sign)...]
        }
        let port = Self.rules(scheme).port
        for part in authority.split(separator: ",", omittingEmptySubsequences: false) {
            let server = try Self.server(part, port: port)
            if servers.contains(server) { throw InvalidValue("the server \(server) is given twice") }
            servers.append(server)
        }
        if let query { try readParameters(query) }
    }

    private mutating func readCredentials(_ text: Substring) throws(InvalidValue) {
        let parts = text.split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false)
        // Consul knows tokens, not users.
        let takesUser = scheme != .consul
        guard parts.count == 2, parts[0].isEmpty != takesUser, !parts[1].isEmpty,
            let user = Self.decoded(parts[0]), let password = Self.decoded(parts[1])
        else {
            let form = takesUser ? "USER:PASSWORD@" : "an ACL token, :TOKEN@,"
            throw InvalidValue("credentials must be \(form) with %XX for special characters")
        }
        (self.user, self.password) = (user, password)
    }

    private mutating func readParameters(_ query: Substring) throws(InvalidValue) {
        let names = Self.rules(scheme).parameters
        for part in query.split(separator: "&", omittingEmptySubsequences: false) {
            let pair = part.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            let name = String(pair[0])
            guard names.contains(name) else {
                let near = NearestName.hint(for: name, among: names)
                let hint = near.isEmpty ? "; valid are \(names.joined(separator: ", "))" : near
                throw InvalidValue("unknown parameter \(name.shown) of a \(scheme.rawValue) URL\(hint)")
            }
            guard parameters[name] == nil else { throw InvalidValue("the parameter \(name.shown) is given twice") }
            guard pair.count == 2, !pair[1].isEmpty, let value = Self.decoded(pair[1]) else {
                throw InvalidValue("the parameter \(name.shown) needs a value, with %XX for special characters")
            }
            parameters[name] = value
        }
        if scheme == .consul, let token = parameters.removeValue(forKey: "token") {
            guard password.isEmpty else { throw InvalidValue("the ACL token is given twice") }
            password = token
        }
        try checkTLS()
    }

    private static func contextPath(_ text: Substring) throws(InvalidValue) -> String {
        let path = text.hasSuffix("/") ? text.dropLast() : text
        guard !path.contains("//"), path.utf8.allSatisfy({ $0 < 0x80 && $0 != UInt8(ascii: "@") }) else {
            throw InvalidValue("the context path after the servers is wrong; write it like /nacos")
        }
        return String(path)
    }

    private static func server(_ text: Substring, port usual: UInt16) throws(InvalidValue) -> HostPort {
        var host = text
        var port = usual
        let afterBrackets = text.lastIndex(of: "]") ?? text.startIndex
        if let colon = text[afterBrackets...].lastIndex(of: ":") {
            let digits = text[text.index(after: colon)...]
            guard let number = UInt16(digits), number > 0, digits.utf8.allSatisfy({ 0x30...0x39 ~= $0 }) else {
                throw InvalidValue("\(String(text).shown) has no valid port; 1 to 65535")
            }
            port = number
            host = text[..<colon]
        }
        if host.hasPrefix("["), host.hasSuffix("]") {
            let ip = String(host.dropFirst().dropLast())
            guard SocketAddress(ip: ip, port: 0)?.isIPv6 == true else {
                throw InvalidValue("\(String(text).shown) is not an IPv6 address")
            }
            return HostPort(host: ip, port: port)
        }
        if host.contains(":") { throw InvalidValue("an IPv6 address stands in brackets: nacos://[::1]:8848") }
        guard HostName.isValid(host) else {
            throw InvalidValue(host.isEmpty ? "a server is missing" : "\(String(host).shown) is not a host name")
        }
        return HostPort(host: String(host), port: port)
    }

    /// Undoes percent-encoding; nil where it is broken or not UTF-8, or hides control characters.
    static func decoded(_ text: Substring) -> String? {
        var bytes: [UInt8] = []
        var rest = text.utf8[...]
        while let byte = rest.popFirst() {
            guard byte == UInt8(ascii: "%") else {
                bytes.append(byte)
                continue
            }
            guard let high = rest.popFirst()?.hexDigitValue, let low = rest.popFirst()?.hexDigitValue else {
                return nil
            }
            bytes.append(high << 4 | low)
        }
        guard bytes.allSatisfy({ $0 >= 0x20 && $0 != 0x7f }) else { return nil }
        return String(validating: bytes, as: UTF8.self)
    }

    /// A text that may be a URL with everything before its last `@` left out.
    private static func hidden(_ text: String) -> String {
        text.lastIndex(of: "@").map { "…" + text[$0...] } ?? text
    }
}

extension RegistryURL: CustomStringConvertible {
    /// As an operator knows it: without credentials, parameters in alphabetical order.
    public var description: String {
        if scheme == .file { return "file:\(path)" }
        let query = parameters.sorted { $0.key < $1.key }.map { "\($0.key)=\($0.value)" }.joined(separator: "&")
        return "\(scheme.rawValue)://" + servers.map(\.description).joined(separator: ",") + path
            + (query.isEmpty ? "" : "?\(query)")
    }
}

extension RegistryConfiguration {
    /// The URL without credentials, for logs and the admin API.
    public var displayURL: String {
        (try? RegistryURL(url))?.description ?? String(url.prefix { $0 != ":" }) + ":…"
    }
}

/// Names of hosts as they stand in URLs and `Host` headers.
enum HostName {
    /// Letters, digits, `-`, `_` and dots between labels, at most 253 bytes.
    static func isValid(_ text: some StringProtocol) -> Bool {
        guard (1...253).contains(text.utf8.count) else { return false }
        return text.utf8.split(separator: UInt8(ascii: "."), omittingEmptySubsequences: false).allSatisfy { label in
            (1...63).contains(label.count)
                && label.allSatisfy {
                    switch $0 {
                    case 0x30...0x39, 0x41...0x5a, 0x61...0x7a, UInt8(ascii: "-"), UInt8(ascii: "_"): true
                    default: false
                    }
                }
        }
    }
}

extension UInt8 {
    fileprivate var hexDigitValue: UInt8? {
        switch self {
        case 0x30...0x39: self - 0x30
        case 0x41...0x46: self - 0x41 + 10
        case 0x61...0x66: self - 0x61 + 10
        default: nil
        }
    }
}
