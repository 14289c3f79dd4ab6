import Model

/// How a registration is, for operators.
public struct RegistrationStatus: Equatable, Sendable {
    /// Who wants the application listed.
    public enum Source: String, Sendable {
        /// The configuration file, a flag or a variable.
        case configuration
        /// The application itself, through the admin API.
        case api
    }

    /// Whether the application serves.
    public enum Health: String, Sendable {
        /// It is not asked.
        case unchecked
        /// The first check has not ended.
        case unknown
        /// It serves.
        case up
        /// It does not, or has not for long enough.
        case down
    }

    /// How it stands in one registry.
    public struct Entry: Equatable, Sendable {
        /// Where it stands.
        public enum State: String, Sendable {
            /// Nothing is listed: the application does not serve, or the address is not known.
            case waiting
            /// The registry was told and has not answered.
            case registering
            /// The registry has confirmed it.
            case registered
            /// The registry refuses it or is away.
            case failed
        }

        /// The registry's address without credentials.
        public let registry: String
        /// Where it stands.
        public var state: State
        /// Where others are told to connect; nil while that is not known.
        public var host: String?
        /// Why it is not registered; nil where it is.
        public var reason: String?
        /// Monotonic nanoseconds since when it is in this state; nil where it waits.
        public var since: Int64?
    }

    /// The application or interface.
    public let service: ServiceKey
    /// Dubbo and Bolt: the interface version; empty where there is none.
    public let interfaceVersion: String
    /// Dubbo: the group, Bolt: the unique id; empty where there is none.
    public let group: String
    /// The port that others are told.
    public let port: UInt16
    /// The inbound listener whose port that is; nil: the application's own.
    public let listener: String?
    /// Share of the requests; 1 is normal.
    public let weight: Double
    /// Labels.
    public let metadata: [String: String]
    /// Who wants it listed.
    public let source: Source
    /// Whether the application serves.
    public let health: Health
    /// What is asked to find out; nil where nothing is.
    public let checked: String?
    /// Why the application does not serve, or nothing can be listed at all.
    public let problem: String?
    /// How it stands in each chosen registry.
    public let registries: [Entry]
}
