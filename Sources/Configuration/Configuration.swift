import Model
import Runtime

/// Everything a process is told: the configuration file, or the defaults with what flags and environment variables say.
public struct Configuration: Equatable, Sendable {
    /// Where the admin API listens.
    public var admin = SocketAddress("127.0.0.1:15000")!
    /// Worker threads; nil is one per core.
    public var workers: Int?
    /// The registries to watch, in order.
    public var registries: [RegistryConfiguration] = []
    /// A folder in which the last known hosts are kept for the next start; nil keeps none.
    public var state: String?
    /// Where applications connect.
    public var listeners: [ListenerConfiguration] = ListenerConfiguration.defaults
    /// Proxies whose `X-Forwarded-For` is believed.
    public var trustedProxies: [AddressRange] = []
    /// Where versions stand in requests and instances.
    public var version = VersionConfiguration()
    /// What holds for services that are not named in `services`.
    public var defaultPolicy = ServicePolicy()
    /// Services with settings of their own, by name; each is subscribed from the start.
    public var services: [String: ServiceConfiguration] = [:]
    /// The access log; nil writes none.
    public var accessLog: AccessLogConfiguration?
    /// The least severe events that are logged.
    public var logLevel = LogLevel.info
    /// Limits on what peers may send.
    public var limits = LimitConfiguration()
    /// Applications to be listed in registries.
    public var registrations: [RegistrationConfiguration] = []
    /// How long a stop goes on serving after what was registered was taken out: others work with lists they have.
    public var withdrawWait: Duration = .seconds(5)
    /// Longest time that a stop waits for requests in flight.
    public var drainTimeout: Duration = .seconds(30)

    /// The defaults.
    public init() {}
}

/// One registry to watch.
public struct RegistryConfiguration: Equatable, Sendable {
    /// What `RegistryURL` reads. A relative path of a file is relative to the configuration file.
    public var url: String
    /// Time between two polls of one service where the registry cannot push; jitter of 10 % is added.
    public var poll: Duration = .seconds(2)
    /// For how long a list that has become empty, or nearly so, must stay so before it is believed; 0 believes it at once.
    public var confirm: Duration = .seconds(10)
    /// How long after the registry was away its lists take no host away: owners need time to come back. 0 is no time.
    public var settle: Duration = .seconds(30)
    /// What the URL says of TLS; relative paths of a configuration file have its folder in front. Nil: none.
    public var tls: TLSSettings?

    /// A registry with default settings.
    public init(url: String, poll: Duration = .seconds(2)) {
        self.url = url
        self.poll = poll
        tls = (try? RegistryURL(url))?.tls
    }
}

/// What is spoken on a listener.
public enum ListenerProtocol: String, Equatable, Sendable, CaseIterable {
    /// HTTP/1.1 and HTTP/1.0.
    case http
    /// Dubbo 2 (`dubbo://`).
    case dubbo
    /// SOFABolt, the protocol of SOFA RPC (`bolt://`).
    case bolt
}

extension ServiceKey.Kind {
    /// The kind of services that are reached through a listener.
    public init(_ kind: ListenerProtocol) {
        switch kind {
        case .http: self = .http
        case .dubbo: self = .dubbo
        case .bolt: self = .bolt
        }
    }
}

/// An address that applications connect to.
public struct ListenerConfiguration: Equatable, Sendable {
    /// Shown in metrics and logs.
    public var name: String
    /// What is spoken there.
    public var `protocol`: ListenerProtocol
    /// Where it listens.
    public var address: SocketAddress
    /// An inbound listener: all requests go to the application at this address, whatever service they name. Nil: they go
    /// where the registries say.
    public var forward: SocketAddress?
    /// Bolt: whether clients are told to leave before a stop closes their connections. SOFA RPC's own clients do not know the
    /// frame and end the connection at once, so that it is for other proxies only.
    public var boltGoaway = false

    /// A listener.
    public init(name: String, protocol: ListenerProtocol, address: SocketAddress, forward: SocketAddress? = nil) {
        self.name = name
        self.protocol = `protocol`
        self.address = address
        self.forward = forward
    }

    /// HTTP on 127.0.0.1:8080 and Dubbo on 127.0.0.1:20880.
    public static let defaults = [
        ListenerConfiguration(name: "http", protocol: .http, address: SocketAddress("127.0.0.1:8080")!),
        ListenerConfiguration(name: "dubbo", protocol: .dubbo, address: SocketAddress("127.0.0.1:20880")!),
    ]
}

/// Where versions stand.
public struct VersionConfiguration: Equatable, Sendable {
    /// Names of headers (HTTP, Bolt) or attachments (Dubbo) that say which version a request wants; the first that is not empty decides.
    public var request = ["x-version", "dubbo.tag", "version"]
    /// Metadata keys that say which version an instance is; the first that is not empty decides.
    public var instance = ["dubbo.tag", "version"]
    /// Whether HTTP answers carry `x-greymesh-version`, the version that served.
    public var tell = true

    /// The defaults.
    public init() {}
}

/// A service's own section: its policy and the requests that mean it.
public struct ServiceConfiguration: Equatable, Sendable {
    /// The policy: what the section says, else what `"*"` says, else the defaults.
    public var policy = ServicePolicy()
    /// Further `Host` names, in lower case, without port.
    public var hosts: [String] = []
    /// Path prefixes on segment borders: `/api/orders` takes `/api/orders` and `/api/orders/1`, not `/api/orders2`.
    public var paths: [String] = []

    /// The defaults.
    public init() {}
}

/// Where and what the access log writes.
public struct AccessLogConfiguration: Equatable, Sendable {
    /// A file's path, or `-` for standard output.
    public var path: String

    /// A log of every request.
    public init(path: String) { self.path = path }
}

/// What peers may send before they are refused.
public struct LimitConfiguration: Equatable, Sendable {
    /// Largest HTTP head in bytes, 1 KiB to 64 KiB.
    public var httpHead = 65_536
    /// Largest Dubbo frame body in bytes, 1 KiB to 256 MiB.
    public var dubboBody = 8_388_608
    /// Largest content of a Bolt frame in bytes, 1 KiB to 256 MiB.
    public var boltBody = 8_388_608
    /// Longest time a client may take to send a whole HTTP head.
    public var headTimeout: Duration = .seconds(30)
    /// An HTTP connection without a request is closed after this time.
    public var idleTimeout: Duration = .seconds(300)
    /// Longest time to connect to a host.
    public var connectTimeout: Duration = .seconds(1)
    /// Longest time that a request waits for a service's first answer from the registries.
    public var discoveryTimeout: Duration = .seconds(3)
    /// Most services that requests alone can subscribe (those in the configuration do not count).
    public var services = 20_000
    /// How many of them no registry may list: a quarter, and some where that is very little.
    public var unlistedServices: Int { min(services, max(64, services / 4)) }
    /// A service that requests subscribed is let go after this time without a request.
    public var serviceIdle: Duration = .seconds(600)

    /// The defaults.
    public init() {}
}
