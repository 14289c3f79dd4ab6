import Runtime

/// A registry adapter: turns one registry's notation into instances, and nothing else. Lives on the control loop.
///
/// It fits polling and pushing registries alike: after `subscribe` it reports the service's whole list once it knows it, and
/// again whenever the content has changed. Order does not count, and what cannot be read is not reported: a failing
/// registry changes nothing for hosts already known.
public protocol Registry: AnyObject {
    /// The registry's address as an operator knows it, without credentials.
    var url: String { get }
    /// How it is, for the admin API and metrics.
    var status: RegistryStatus { get }
    /// Starts to report a service. Subscribing twice changes nothing.
    func subscribe(_ service: ServiceKey)
    /// Ends reports of a service and forgets it.
    func unsubscribe(_ service: ServiceKey)
    /// Ends all work; no report comes after it.
    func stop()
}

/// What adapters are given: where reports go.
public struct RegistryReports {
    /// The complete list of a service: first answer (also when it is empty) or changed content.
    public let instances: (ServiceKey, [Instance]) -> Void
    /// A service could not be read, and why. Said at least once while it has had no answer yet, so that nobody waits for
    /// one in vain; later failures need not be said. Known hosts stay as they are.
    public let failed: (ServiceKey, String) -> Void

    /// Where reports go.
    public init(
        instances: @escaping (ServiceKey, [Instance]) -> Void,
        failed: @escaping (ServiceKey, String) -> Void = { _, _ in }
    ) {
        self.instances = instances
        self.failed = failed
    }
}

/// How a registry is.
public struct RegistryStatus: Equatable, Sendable {
    /// Where the adapter stands.
    public enum State: String, Sendable {
        /// No answer yet.
        case connecting
        /// The last exchange was good.
        case connected
        /// The last exchange failed; known hosts stay.
        case failed
    }

    /// Where it stands.
    public var state = State.connecting
    /// Monotonic nanoseconds of the last good exchange; nil before the first.
    public var lastSuccess: Int64?
    /// The last error in words; kept after recovery.
    public var lastError: String?
    /// Monotonic nanoseconds of the last error.
    public var lastErrorAt: Int64?
    /// Services subscribed.
    public var subscriptions = 0
    /// Exchanges that failed since the start.
    public var failures: UInt64 = 0
    /// Reports with changed content since the start.
    public var changes: UInt64 = 0

    /// A registry that was not asked yet.
    public init() {}
}
