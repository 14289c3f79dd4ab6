/// How hosts are asked whether they serve.
public struct HealthCheckPolicy: Hashable, Sendable {
    /// What is asked.
    public enum Kind: String, CaseIterable, Sendable {
        /// A path is asked for, and must be answered with 200 to 399.
        case http
        /// The port must take connections.
        case tcp
        /// A heartbeat of Dubbo's must be answered.
        case dubbo
        /// A heartbeat of Bolt's must be answered.
        case bolt
    }

    /// What is asked; nil: nothing.
    public var kind: Kind?
    /// `http`: what is asked for.
    public var path = ""
    /// Time from one check of a host to the next, 100 ms to 1 h; up to a tenth is added at random.
    public var interval: Duration = .seconds(5)
    /// Longest time for one check, 10 ms to 1 m.
    public var timeout: Duration = .seconds(1)
    /// Failed checks in a row after which a host gets no requests, 1 to 100.
    public var unhealthy = 3
    /// Good checks in a row after which it gets requests again, 1 to 100.
    public var healthy = 2

    /// The defaults: nothing is asked.
    public init() {}

    /// Whether hosts of a kind of service can be asked like that. What stands under `"*"` need not suit all services.
    public func suits(_ service: ServiceKey.Kind) -> Bool {
        switch kind {
        case .http: service == .http
        case .tcp: true
        case .dubbo: service == .dubbo
        case .bolt: service == .bolt
        case nil: false
        }
    }
}
