import Balancing
import Model
import Runtime

/// What one worker has counted since it started.
public struct WorkerReport: Sendable {
    /// Services that had requests.
    public var services: [ServiceReport] = []
    /// Hosts that clusters list or connections lead to.
    public var endpoints: [EndpointReport] = []
    /// Listeners, in the order of the configuration.
    public var listeners: [ListenerReport] = []
    /// Times that buffer memory was taken from the system.
    public var bufferAllocations: UInt64 = 0
    /// Processor time that taking over changes of services, and answering the control plane, has taken.
    public var updates = WorkTime()
}

/// A service's counters in one worker.
public struct ServiceReport: Sendable {
    /// Requests by what they asked for and what they got.
    public struct Route: Sendable {
        /// The version asked for; nil: none was. `other`: one that no host ever had, or has long gone.
        public let requested: String?
        /// The version that served; nil: none did. `other`: one that has long gone.
        public let served: String?
        /// Requests.
        public let count: UInt64
    }

    /// Requests of one version.
    public struct Version: Sendable {
        /// The version that served; nil: none did.
        public let version: String?
        /// Requests by code: an HTTP status (499 the client went, 599 the answer broke off) or a Dubbo status (1000 an
        /// exception of the called method).
        public let codes: [(code: Int, count: UInt64)]
        /// Requests by duration, not summed up; bounds are `ServiceReport.bucketBounds`, then infinity.
        public let buckets: [UInt64]
        /// Sum of all durations.
        public let nanoseconds: UInt64
        /// What limits and access have refused, further tries among it; reasons without any are left out.
        public let refusals: [(reason: RefusalReason, count: UInt64)]
        /// What was done to requests on purpose; kinds without any are left out.
        public let faults: [(kind: FaultKind, count: UInt64)]
        /// What has become of copies of other versions' requests; results without any are left out.
        public let copies: [(result: MirrorResult, count: UInt64)]
    }

    /// The name under which requests are counted for all names that neither the configuration nor a registry knows.
    public static let unlisted = "unknown"

    /// Which service.
    public let key: ServiceKey
    /// Requests by requested version and outcome.
    public let routes: [Route]
    /// Requests by version.
    public let versions: [Version]
    /// Further tries by cause; causes without any are left out.
    public let retries: [(cause: RetryCause, count: UInt64)]
    /// Requests that went to hosts that are to be left alone, for there was no other.
    public let regardless: UInt64

    /// Upper bounds of the duration buckets but the last, in seconds.
    public static let bucketBounds: [Double] = (0..<15).map { 0.0005 * Double(1 << $0) }
}

/// A host as one worker sees it.
public struct EndpointReport: Sendable {
    /// Which kind of services it serves.
    public let kind: ServiceKey.Kind
    /// Where it listens.
    public let address: SocketAddress
    /// Requests in flight.
    public let active: Int
    /// Open connections.
    public let connections: Int
    /// Requests sent to it.
    public let requests: UInt64
    /// Failed connects and broken connections.
    public let failures: UInt64
    /// Milliseconds for which it is still left alone; 0 when it is well.
    public let pauseMilliseconds: Int64
    /// It told that it takes no new requests.
    public let isDraining: Bool
}

/// A listener in one worker.
public struct ListenerReport: Sendable {
    /// Its name.
    public let name: String
    /// Connections accepted.
    public let accepted: UInt64
    /// Connections open now.
    public let open: Int
}
