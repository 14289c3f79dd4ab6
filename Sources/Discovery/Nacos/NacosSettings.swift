import Configuration
import Runtime

/// What the address of a Nacos registry says.
struct NacosSettings: Equatable {
    /// `http://host:port/nacos` of each server.
    var servers: [String]
    /// Where servers push, in the same order; empty: nothing is pushed.
    var pushServers: [HostPort] = []
    /// Why nothing is pushed though nobody has switched it off.
    var whyNoPush: String?
    /// Name and password; nil logs in nowhere.
    var credentials: Credentials?
    /// Empty for the public namespace.
    var namespace = ""
    /// Nacos group.
    var group = "DEFAULT_GROUP"
    /// Which of Nacos' own clusters hosts are taken from, comma-separated; empty: all.
    var clusters = ""
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

    /// Times of the push connection.
    var pushTiming = NacosConnection.Timing()
    /// Waits between attempts to get a push connection where there never was one.
    var pushBackoff = Backoff(cap: .seconds(60))
    /// The same after one was lost.
    var pushReturnBackoff = Backoff(first: .milliseconds(200), cap: .seconds(5))
    /// How long a push connection is waited for before applications are registered over HTTP.
    var registrarPatience: Duration = .seconds(3)
    /// Time between two beats of an application that is registered over HTTP, where the server does not say.
    var beat: Duration = .seconds(5)
    /// Time after which a service that is pushed is read anew all the same.
    var reread: Duration = .seconds(60)

    struct Credentials: Equatable {
        var user: String
        var password: String
    }

    /// Polls of all services together are at most this many a second: with very many services the period grows.
    static let mostPollsPerSecond = 500
    /// The same of services that are read anew though they are pushed.
    static let mostRereadsPerSecond = 50
    /// The gRPC port is the HTTP port and this: Nacos has no setting for it.
    static let pushPortOffset = 1000

    /// The namespace as naming calls want it over gRPC. There, unlike over HTTP, the empty one is another than the public one.
    var namingNamespace: String { namespace.isEmpty ? "public" : namespace }

    init(servers: [String]) { self.servers = servers }

    init(_ url: RegistryURL, poll: Duration) {
        let path = url.path.isEmpty ? "/nacos" : url.path
        self.init(servers: url.origins.map { $0 + path })
        if url.parameters["push"] != "off" {
            if url.tls == nil {
                pushServers = url.servers.compactMap { server in
                    UInt16(exactly: Int(server.port) + Self.pushPortOffset)
                        .map { HostPort(host: server.host, port: $0) }
                }
            } else {
                whyNoPush = "push needs a plain connection"
            }
        }
        if !url.user.isEmpty { credentials = Credentials(user: url.user, password: url.password) }
        // The public namespace is the empty one for some calls of some versions; all take the absent one for it.
        namespace = url.parameters["namespace"].flatMap { $0 == "public" ? nil : $0 } ?? ""
        group = url.parameters["group"] ?? group
        clusters = url.parameters["clusters"] ?? ""
        separator = url.parameters["separator"] ?? separator
        self.poll = poll
    }
}
