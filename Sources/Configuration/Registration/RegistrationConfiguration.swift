/// An application that is to be listed in registries, so that others find it.
public struct RegistrationConfiguration: Equatable, Sendable {
    /// The name of an application, or of a Dubbo or SOFA RPC interface without version and group.
    public var service: String
    /// What is spoken there; nil: what its listener speaks, else what the name looks like.
    public var `protocol`: ListenerProtocol?
    /// HTTP: the value of the metadata `version`. Dubbo and Bolt: the interface version. Empty for none.
    public var version = ""
    /// Dubbo: the group, Bolt: the unique id; empty for none.
    public var group = ""
    /// Whose port is listed.
    public var port: PublishedPort
    /// Where others reach it.
    public var address = PublishedAddress.detected
    /// Its share of the requests; 100 is normal.
    public var weight = 100
    /// Further labels.
    public var metadata: [String: String] = [:]
    /// Which registries, by the scheme of their URL or the whole URL; empty: all that can.
    public var registries: [String] = []
    /// How it is found out whether the application serves; nil: it is taken for granted.
    public var health: HealthCheckConfiguration? = HealthCheckConfiguration()

    /// A registration with the defaults.
    public init(service: String, port: PublishedPort) {
        self.service = service
        self.port = port
    }
}

/// Whose port others connect to.
public enum PublishedPort: Hashable, Sendable {
    /// That of the inbound listener with this name.
    case listener(String)
    /// The application's own: requests do not come through this process.
    case application(UInt16)
}

/// The host by which others reach this machine.
public enum PublishedAddress: Hashable, Sendable {
    /// The one from which this machine reaches the registry.
    case detected
    /// A numeric address, the name of a network interface, or a host name.
    case named(String)
}

/// How it is found out whether an application serves.
public struct HealthCheckConfiguration: Hashable, Sendable {
    /// Asked for with GET and to be answered with 200 to 399; nil: it is enough that the port takes connections.
    public var path: String?
    /// The port that is asked; nil: the application's.
    public var port: UInt16?
    /// Between two checks.
    public var interval: Duration = .seconds(5)
    /// Longest time that a check may take.
    public var timeout: Duration = .seconds(1)
    /// So many failed checks in a row take it out of the registries.
    public var failures = 3

    /// The defaults.
    public init() {}
}
