import Configuration
import Runtime

/// What the address of a Nacos registry says.
struct NacosSettings: Equatable {
    /// `http://host:port/nacos` of each server.
    var servers: [String]
    /// Name and password; nil logs in nowhere.
    var credentials: Credentials?
    /// Empty for the public namespace.
    var namespace = ""
    /// Nacos group.
    var group = "DEFAULT_GROUP"
    /// Between the parts of a Dubbo service's name.
    var separator = ":"
    /// Time between two polls of a service.
    var poll: Duration = .seconds(2)
    /// Longest time for one exchange.
    var timeout: Duration = .seconds(5)
    /// Largest answer that is taken, in bytes.
    var largestAnswer = 64 << 20
    /// How long a server that was away is left alone: seconds, because new hosts are not seen until it is asked again.
    var serverBackoff = Backoff(cap: .seconds(5))

    struct Credentials: Equatable {
        var user: String
        var password: String
    }

    /// Polls of all services together are at most this many a second: with very many services the period grows.
    static let mostPollsPerSecond = 500

    init(servers: [String]) { self.servers = servers }

    init(_ url: RegistryURL, poll: Duration) {
        let path = url.path.isEmpty ? "/nacos" : url.path
        self.init(servers: url.servers.map { "http://\($0)\(path)" })
        if !url.user.isEmpty { credentials = Credentials(user: url.user, password: url.password) }
        // The public namespace is the empty one for some calls of some versions; all take the absent one for it.
        namespace = url.parameters["namespace"].flatMap { $0 == "public" ? nil : $0 } ?? ""
        group = url.parameters["group"] ?? group
        separator = url.parameters["separator"] ?? separator
        self.poll = poll
    }
}
