import Model
import Proxy
import Runtime

/// What all workers together have counted since the start.
public struct Traffic {
    /// A host's counters.
    public struct Host {
        /// Requests in flight.
        public internal(set) var active = 0
        /// Open connections.
        public internal(set) var connections = 0
        /// Requests sent to it.
        public internal(set) var requests: UInt64 = 0
        /// Failed connects and broken connections.
        public internal(set) var failures: UInt64 = 0
        /// Longest time in milliseconds for which a worker still leaves it alone; 0 when it is well.
        public internal(set) var pauseMilliseconds: Int64 = 0
        /// It told that it takes no new requests.
        public internal(set) var isDraining = false
    }

    /// What tells hosts apart: one address may serve several protocols.
    public struct HostKey: Hashable {
        /// What is spoken to it.
        public let kind: ServiceKey.Kind
        /// Where it listens.
        public let address: SocketAddress
    }

    /// Requests by requested version and outcome.
    public struct Route: Hashable {
        /// The version asked for; nil: none was. `other`: one that no host ever had, or has long gone.
        public let requested: String?
        /// The version that served; nil: none did. `other`: one that has long gone.
        public let served: String?
    }

    /// Requests that one version has served.
    public struct Version {
        /// By HTTP, Dubbo or Bolt status.
        public internal(set) var codes: [Int: UInt64] = [:]
        /// By duration, not summed up; bounds are `ServiceReport.bucketBounds`, then infinity.
        public internal(set) var buckets: [UInt64] = []
        /// Sum of all durations.
        public internal(set) var nanoseconds: UInt64 = 0
        /// What limits and access have refused, further tries among it.
        public internal(set) var refusals: [RefusalReason: UInt64] = [:]
        /// What was done to requests on purpose.
        public internal(set) var faults: [FaultKind: UInt64] = [:]
        /// What has become of copies of other versions' requests.
        public internal(set) var copies: [MirrorResult: UInt64] = [:]
    }

    /// A service's counters.
    public struct Service {
        /// Requests by requested version and outcome.
        public internal(set) var routes: [Route: UInt64] = [:]
        /// By the version that served; nil: none did.
        public internal(set) var versions: [String?: Version] = [:]
        /// Further tries.
        public internal(set) var retries: [RetryCause: UInt64] = [:]
        /// Requests that went to hosts that are to be left alone, for there was no other.
        public internal(set) var regardless: UInt64 = 0
        /// All requests that have ended.
        public var requests: UInt64 { routes.values.reduce(0, &+) }
    }

    /// A listener's connections.
    public struct Listener {
        /// Accepted since the start.
        public internal(set) var accepted: UInt64 = 0
        /// Open now.
        public internal(set) var open = 0
    }

    /// Services that had requests.
    public private(set) var services: [ServiceKey: Service] = [:]
    /// Hosts that clusters list or connections lead to.
    public private(set) var hosts: [HostKey: Host] = [:]
    /// What changes of services have taken of the workers' time; the longest is one worker's.
    public private(set) var updates = WorkTime()
    /// Listeners by name.
    public private(set) var listeners: [String: Listener] = [:]

    /// A host's counters; zeros when no worker knows it.
    public func host(_ kind: ServiceKey.Kind, _ address: SocketAddress) -> Host {
        hosts[HostKey(kind: kind, address: address)] ?? Host()
    }

    init(_ reports: [WorkerReport]) {
        services.reserveCapacity(reports.lazy.map(\.services.count).max() ?? 0)
        hosts.reserveCapacity(reports.lazy.map(\.endpoints.count).max() ?? 0)
        for report in reports {
            updates.add(report.updates)
            for service in report.services { services[service.key, default: Service()].add(service) }
            for endpoint in report.endpoints {
                hosts[HostKey(kind: endpoint.kind, address: endpoint.address), default: Host()].add(endpoint)
            }
            for listener in report.listeners {
                listeners[listener.name, default: Listener()].accepted &+= listener.accepted
                listeners[listener.name, default: Listener()].open += listener.open
            }
        }
    }
}

extension Traffic.Service {
    fileprivate mutating func add(_ report: ServiceReport) {
        for route in report.routes {
            routes[Traffic.Route(requested: route.requested, served: route.served), default: 0] &+= route.count
        }
        for version in report.versions { versions[version.version, default: Traffic.Version()].add(version) }
        regardless &+= report.regardless
        for (cause, count) in report.retries { retries[cause, default: 0] &+= count }
    }
}

extension Traffic.Version {
    fileprivate mutating func add(_ report: ServiceReport.Version) {
        for (code, count) in report.codes { codes[code, default: 0] &+= count }
        if buckets.isEmpty { buckets = Array(repeating: 0, count: report.buckets.count) }
        for (index, count) in report.buckets.enumerated() where index < buckets.count { buckets[index] &+= count }
        nanoseconds &+= report.nanoseconds
        for (reason, count) in report.refusals { refusals[reason, default: 0] &+= count }
        for (kind, count) in report.faults { faults[kind, default: 0] &+= count }
        for (result, count) in report.copies { copies[result, default: 0] &+= count }
    }
}

extension Traffic.Host {
    fileprivate mutating func add(_ report: EndpointReport) {
        active += report.active
        connections += report.connections
        requests &+= report.requests
        failures &+= report.failures
        pauseMilliseconds = max(pauseMilliseconds, report.pauseMilliseconds)
        isDraining = isDraining || report.isDraining
    }
}
