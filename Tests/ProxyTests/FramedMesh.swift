import Balancing
import Configuration
import Model
import Proxy
import Runtime
import TestSupport

typealias DubboMesh = FramedMesh<DubboFrame>

/// One worker with a listener of a multiplexed protocol on a port that the system chose.
final class FramedMesh<Frame: PeerFrame> {
    let plane: DataPlane
    private var events: [WorkerEvent] = []
    private var reports: UInt64 = 0
    private var snapshots: [ServiceKey: ServiceSnapshot] = [:]

    init(_ configure: (inout WorkerSettings) -> Void = { _ in }) throws {
        var configuration = Configuration()
        configuration.listeners = [
            ListenerConfiguration(name: "test", protocol: Frame.listener, address: SocketAddress("127.0.0.1:0")!)
        ]
        var settings = WorkerSettings(configuration, accessLog: nil)
        configure(&settings)
        plane = try DataPlane(settings: settings, workers: 1)
    }

    var port: UInt16 { plane.addresses[0].port }

    func connect() throws -> FrameSocket<Frame> { try FrameSocket(port: port) }

    func stop() { plane.stop() }

    /// Tells the worker the hosts of a service, and waits until it has taken them over.
    func update(
        _ instances: [Instance], of name: String = "demo.Echo", policy: ServicePolicy = ServicePolicy()
    ) throws {
        let key = ServiceKey(kind: ServiceKey.Kind(Frame.listener), name: name)
        let versionKeys = VersionConfiguration().instance
        let snapshot = ServiceSnapshot(
            key: key, policy: policy, instances: instances, versionKeys: versionKeys, after: snapshots[key]?.limits)
        snapshots[key] = snapshot
        plane.post(.update(snapshot))
        _ = try report()
    }

    /// Tells the worker which services the configuration names.
    func configure(_ names: [String]) throws {
        let keys = names.map { ServiceKey(kind: ServiceKey.Kind(Frame.listener), name: $0) }
        plane.post(.routes(RouteTable(services: keys)))
        _ = try report()
    }

    /// What counts for the limits of service `demo.Echo`.
    var limits: ServiceLimits? {
        snapshots[ServiceKey(kind: ServiceKey.Kind(Frame.listener), name: "demo.Echo")]?.limits
    }

    /// The worker's counters, after everything that was posted before.
    func report() throws -> WorkerReport {
        reports += 1
        plane.post(.report(id: reports))
        var found: WorkerReport?
        let wanted = reports
        let isThere = waitUntil(within: .seconds(10)) {
            takeEvents()
            for case .report(_, wanted, let report) in events { found = report }
            return found != nil
        }
        guard isThere, let found else { throw TestFailure("no report") }
        return found
    }

    /// Waits for an event.
    func waits(for condition: (WorkerEvent) -> Bool) -> Bool {
        waitUntil(within: .seconds(10)) {
            takeEvents()
            return events.contains(where: condition)
        }
    }

    /// Waits until the counters are as told.
    func waitsForReport(_ condition: (WorkerReport) -> Bool) throws -> Bool {
        try waitUntil(within: .seconds(10)) { condition(try report()) }
    }

    /// What the worker has told so far.
    var allEvents: [WorkerEvent] {
        takeEvents()
        return events
    }

    private func takeEvents() { events += plane.events.take() }
}

extension Instance {
    /// A host of a service.
    init<Frame>(_ host: FrameHost<Frame>, version: String = "", tag: String = "", group: String = "") {
        self.init(
            address: host.address, metadata: tag.isEmpty ? [:] : ["dubbo.tag": tag], interfaceVersion: version,
            group: group)
    }
}
