import Balancing
import Model
import Runtime

/// What the control plane tells a worker.
public enum WorkerMessage: Sendable {
    /// Host names and paths that mean services; replaces what was told before.
    case routes(RouteTable)
    /// The registries have not answered about a service so far: what holds for its requests until then.
    case announce(ServiceAnnouncement)
    /// A service's clusters or policy are new.
    case update(ServiceSnapshot)
    /// A service is not watched any more.
    case remove(ServiceKey)
    /// Answer with a `WorkerEvent.report`.
    case report(id: UInt64)
    /// Answer with a `WorkerEvent.tallies`.
    case tally
    /// Answer with a `WorkerEvent.explanation`.
    case explain(id: UInt64, ExplainRequest)
    /// Accept connections: the worker was started without, see `WorkerSettings.accepts`.
    case accept
    /// Accept nothing new, let requests in flight finish, then answer `WorkerEvent.drained`.
    case drain
    /// The same, but connections of the listeners with these names are told in `WorkerEvent.handedOver`, each as soon as that is
    /// possible, and listening sockets stay open, unwatched, until the worker ends. No names end that: what is left drains.
    case handOver(listeners: Set<String>)
    /// Serve a connection that another process has handed over.
    case adopt(HandedConnection)
    /// Write a whole answer to an adopted connection that the other process still owed it.
    case owed(number: UInt64, [UInt8])
    /// Nothing is owed to an adopted connection any more.
    case settled(number: UInt64)
    /// End now.
    case stop
}

/// What is known of a service before its hosts are.
public struct ServiceAnnouncement: Sendable {
    let key: ServiceKey
    let policy: ServicePolicy
    let limits: ServiceLimits

    /// - Parameter limits: what is counted for it.
    public init(key: ServiceKey, policy: ServicePolicy, limits: ServiceLimits) {
        self.key = key
        self.policy = policy
        self.limits = limits
    }
}

/// What a worker tells the control plane.
public enum WorkerEvent: Sendable {
    /// A request asks for a service that this worker does not know.
    case wanted(ServiceKey)
    /// Services that had requests since this was last told; told every 20 seconds, more often when unused services are
    /// let go early.
    case used([ServiceKey])
    /// Counters, in answer to `WorkerMessage.report`.
    case report(worker: Int, id: UInt64, WorkerReport)
    /// A host has failed as often in a row as its version's outlier detection has; not told again for a second.
    case failing(ServiceKey, VersionCluster.Identity, SocketAddress)
    /// What hosts with outlier detection have answered since this was last told, in answer to `WorkerMessage.tally`.
    case tallies([ClusterTally])
    /// The decision in steps, in answer to `WorkerMessage.explain`.
    case explanation(id: UInt64, Explanation)
    /// Something to log.
    case note(WorkerNote)
    /// The last request is answered, in answer to `WorkerMessage.drain`.
    case drained(worker: Int)
    /// A connection that is the receiver's from now on, in answer to `WorkerMessage.handOver`.
    case handedOver(HandedConnection)
    /// A whole answer to a call on a connection that was handed over before.
    case owed(number: UInt64, [UInt8])
    /// The last call on a connection that was handed over before has ended.
    case settled(number: UInt64)
}

/// What hosts of a version have answered in a worker.
public struct ClusterTally: Sendable {
    /// Which service.
    public let key: ServiceKey
    /// Which version.
    public let identity: VersionCluster.Identity
    /// Hosts that had requests.
    public let hosts: [(address: SocketAddress, counts: VersionOutliers.Counts)]

    /// Counts of a version.
    public init(
        key: ServiceKey, identity: VersionCluster.Identity,
        hosts: [(address: SocketAddress, counts: VersionOutliers.Counts)]
    ) {
        self.key = key
        self.identity = identity
        self.hosts = hosts
    }
}

/// What a worker wants logged; the control plane writes it, so that no worker waits for a file.
public enum WorkerNote: Sendable {
    /// A host refused, reset or did not answer and is left alone for a while.
    case hostFailed(address: SocketAddress, reason: String, pauseMilliseconds: Int64)
    /// A host answers again.
    case hostRecovered(address: SocketAddress)
    /// This process or machine could not connect to a host: nothing is wrong with the host.
    case exhausted(address: SocketAddress, reason: String)
    /// A peer sent something that is not the listener's protocol.
    case badInput(listener: String, peer: String, reason: String)
}

/// Host names and path prefixes that mean services.
public struct RouteTable: Sendable {
    /// Services that stay known until the next table, each once; all that hosts and paths mean are among them.
    public var services: [ServiceKey]
    /// Lower-case host names, without port and without a dot at the end. A service's own name, as it is written, means it anyway.
    public var hosts: [(name: String, service: ServiceKey)]
    /// Path prefixes without a slash at the end.
    public var paths: [(prefix: String, service: ServiceKey)]

    /// A table.
    public init(
        services: [ServiceKey] = [], hosts: [(name: String, service: ServiceKey)] = [],
        paths: [(prefix: String, service: ServiceKey)] = []
    ) {
        self.services = services
        self.hosts = hosts
        self.paths = paths
    }
}
