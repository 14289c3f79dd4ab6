import Model
import Runtime

/// A registry adapter: turns one registry's notation into instances, and nothing else. Lives on the control loop.
///
/// It fits polling and pushing registries alike: after `subscribe` it reports the service's whole list once it knows it, and
/// again whenever the content has changed. Order does not count, and what cannot be read is not reported: a failing
/// registry changes nothing for hosts already known.
///
/// An adapter believes its registry. Whether an empty list is true, what is remembered from the last run and how several
/// registries are merged is not its business: `ServiceDirectory` looks after that, for all of them.
public protocol Registry: AnyObject {
    /// The registry's address as an operator knows it, without credentials.
    var url: String { get }
    /// How it is, for the admin API and metrics.
    var status: RegistryStatus { get }
    /// Starts to report a service. Subscribing twice changes nothing.
    func subscribe(_ service: ServiceKey)
    /// Ends reports of a service and forgets it.
    func unsubscribe(_ service: ServiceKey)
    /// Reads a subscribed service anew and reports its list also when it is as before: the last one is doubted. Nothing is
    /// reported when it cannot be read.
    func refresh(_ service: ServiceKey)
    /// Ends all work; no report comes after it. What is registered is not taken out: see `Registrar`.
    func stop()
}

/// A registry in which applications can be registered. Lives on the control loop.
public protocol Registrar: Registry {
    /// Registers an application and keeps it registered: again when the registry has forgotten it or comes back after it was
    /// away, until `deregister`. One with the same `identity` replaces weight and metadata of the former.
    ///
    /// Every success and every failure that is news goes to `RegistryReports.registration`.
    func register(_ registration: Registration)
    /// Takes an application out. `completion` is called once, with nil when the registry has confirmed it, otherwise with
    /// the reason why it may still be listed.
    func deregister(_ identity: Registration.Identity, completion: @escaping (String?) -> Void)
    /// Does nothing more for what is registered, and does not take it out: another process does that from now on. Nothing is
    /// registered after it.
    func leaveRegistrations()
}

/// What adapters are given: where reports go.
public struct RegistryReports {
    /// The complete list of a service: first answer (also when it is empty) or changed content.
    public let instances: (ServiceKey, [Instance]) -> Void
    /// A service could not be read, and why. Said at least once while it has had no answer yet, so that nobody waits for
    /// one in vain; later failures need not be said. Known hosts stay as they are.
    public let failed: (ServiceKey, String) -> Void
    /// What has become of a registration: nil is success, otherwise the reason.
    public let registration: (Registration.Identity, String?) -> Void

    /// Where reports go.
    public init(
        instances: @escaping (ServiceKey, [Instance]) -> Void,
        failed: @escaping (ServiceKey, String) -> Void = { _, _ in },
        registration: @escaping (Registration.Identity, String?) -> Void = { _, _ in }
    ) {
        self.instances = instances
        self.failed = failed
        self.registration = registration
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

    /// How changes are learnt.
    public enum Mode: String, Sendable {
        /// Every service is asked for once a period.
        case polling
        /// The registry tells.
        case push
    }

    /// Where it stands.
    public var state = State.connecting
    /// How changes are learnt now.
    public var mode = Mode.polling
    /// Why the registry is polled though it could tell, where settings leave no choice; nil: there is no such reason.
    public var whyNoPush: String?
    /// Monotonic nanoseconds of the last good exchange; nil before the first.
    public var lastSuccess: Int64?
    /// The last error in words; kept after recovery.
    public var lastError: String?
    /// Monotonic nanoseconds of the last error.
    public var lastErrorAt: Int64?
    /// When what it lists became doubtful last, in monotonic nanoseconds: it was found away, it came back, or another of its
    /// servers was taken. Not set where the registry keeps its state over that, as ZooKeeper within a session. Nil: never.
    public var unsteadyAt: Int64?
    /// Services subscribed.
    public var subscriptions = 0
    /// Exchanges since the start, good and bad: requests and their answers, and lists that were pushed.
    public var exchanges: UInt64 = 0
    /// Exchanges that failed since the start.
    public var failures: UInt64 = 0
    /// Reports with changed content since the start.
    public var changes: UInt64 = 0
    /// Monotonic nanoseconds of the last report with changed content; nil before the first.
    public var lastChange: Int64?
    /// Hosts of all subscribed services that were reported last.
    public var instances = 0
    /// Entries of all subscribed services that the registry lists and that were not reported, by reason.
    public var dropped: [DropReason: Int] = [:]
    /// Revisions of Dubbo applications whose instances were asked in vain what they offer: their hosts are listed without
    /// version, group and tag until they answer.
    public var unansweredRevisions = 0
    /// The same of those whose instances tell in no way that is known, so that none is asked.
    public var unaskedRevisions = 0
    /// Applications to be registered.
    public var registrations = 0
    /// Those of them that the registry has confirmed and, as far as is known, still has.
    public var registered = 0

    /// A registry that was not asked yet.
    public init() {}
}

/// Why an entry of a registry's list is not used.
public enum DropReason: String, Error, Hashable, Sendable, CaseIterable {
    /// It cannot be read: no address, broken notation.
    case unreadable
    /// The registry says that it is not healthy.
    case unhealthy
    /// An operator has switched it off.
    case disabled
    /// It speaks what Greymesh does not forward.
    case unsupportedProtocol = "unsupported_protocol"
    /// Its name has no address.
    case unresolved
    /// Another entry stands for the same host.
    case duplicate
    /// It is this process itself: its requests would come round for ever.
    case ownAddress = "own_address"
}
