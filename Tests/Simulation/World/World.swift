import Balancing
import Configuration
import Model
import Proxy
import Runtime

/// Everything around a worker, or two during an upgrade: clients, hosts, the control plane, and the checks of what becomes of requests.
final class World: Surroundings {
    let plan: Plan
    let kernel: Kernel
    /// The processes that live, the oldest one first.
    var lines: [Line]
    /// The hand-over from one process to the next.
    var upgrade = Upgrade()
    var hosts: [Host] = []
    var clients: [Int: any Client] = [:]
    /// All that act, in a fixed order.
    private var peers: [Peer] = []
    private(set) var pending: [Connecting] = []
    var listings: [ListingHistory]
    /// What was told last, by service.
    var snapshots: [Int: ServiceSnapshot] = [:]
    var routes: [(routes: Routes, postedAt: Int64, takenAt: Int64?)] = []
    var requests: [Int: Request] = [:]
    /// Requests that were begun and have no end yet, in order.
    var open: [Request] = []
    var finished: [Request] = []
    private(set) var failure: Failure?
    /// Kinds of failures that are known and not looked for.
    var ignored: Set<String> = []
    var listeners: [Door: VirtualListener] = [:]
    /// Times at which something of our own was short.
    var shortages: [Int64] = []
    var drainedAt: Int64?
    /// Until when the worker stands still; nil when it does not.
    var stoppedUntil: Int64?
    /// Nanoseconds that it has stood still, and when it last went on.
    var stoppedTime: Int64 = 0
    var resumedAt: Int64 = 0
    /// When draining last had something to wait for.
    var lastDrainReason: Int64 = 0
    var reports: [(id: UInt64, report: WorkerReport)] = []
    /// A question how a request would be decided, and the request that follows it.
    var inquiry: Inquiry?
    var nextProbe = 1_000_000
    var outliers = Outliers()

    /// A connection that the worker has begun and that no host has taken.
    struct Connecting {
        let socket: VirtualSocket
        let host: Host?
        let since: Int64
    }

    var script: Script
    var ending = Ending()

    struct Failure {
        let kind: String
        let text: String
    }

    init(_ plan: Plan, seed: UInt64, steps: [Int]) throws {
        self.plan = plan
        kernel = Kernel(seed: seed)
        lines = [try Line(process: 0)]
        listings = Array(repeating: ListingHistory(), count: plan.services.count)
        script = Script(steps: steps.map { ($0, plan.steps[$0]) })
        kernel.surroundings = self
        kernel.shortness = plan.shortness
        kernel.emptiness = plan.emptiness
        kernel.bufferSize = plan.bufferSize
        kernel.slowness = plan.slowness
        for (number, service) in plan.services.enumerated() {
            hosts += service.hosts.map { Host(number: $0, service: number) }
        }
        for (number, service) in plan.services.enumerated() where service.isInbound { listApplication(number) }
    }

    var now: Int64 { kernel.now }

    func fail(_ kind: String, _ text: String, _ request: Request?) {
        if failure != nil || ignored.contains(kind) { return }
        kernel.trace?("FAILURE \(kind)")
        let about = request.map { " (request \($0.number): \($0.plan.method), seen by \($0.seen.map(\.host)))" } ?? ""
        failure = Failure(kind: kind, text: text + about)
    }

    func request(_ number: Int) -> Request? { requests[number] }

    // MARK: What the kernel asks

    func beforeEvents() {
        // The control plane has other things to do as well.
        if kernel.random.below(4) == 0 { takeEvents() }
        if upgrade.phase != .none { hastenUpgrade() }
        if inquiry == nil, let step = script.due() { performAll(from: step) }
        act(eagerness: plan.eagerness)
    }

    func whileIdle(until limit: Int64) -> Bool {
        // The worker looks after its timers before anything else happens.
        if failure != nil || now >= limit || startsUpgrade { return false }
        if act(eagerness: 256) { return true }
        if upgrade.phase != .none && advanceUpgrade() { return true }
        for index in listings.indices { listings[index].take(now: now) }
        settleOutliers()
        // What comes of these is told to the worker only now.
        takeEvents()
        advanceOutliers()
        for index in routes.indices where routes[index].takenAt == nil { routes[index].takenAt = now }
        checkQuiet()
        if failure != nil { return false }
        if inquiry != nil { return advanceInquiry() || whileIdle(until: limit) }
        let next = min(peers.compactMap(\.nextTime).min() ?? .max, upgrade.nextTime)
        if superviseDrain() { return true }
        if let end = script.timeEnd, now < end { return pass(until: min(limit, next, end)) }
        script.timeEnd = nil
        if next == .max || kernel.random.below(2) == 0, let step = script.next() {
            performAll(from: step)
            return true
        }
        if script.isDone && advanceEnding() { return true }
        if ending.pausesWorker { return false }
        return pass(until: min(limit, next))
    }

    /// The worker has ended; what it wrote is read.
    func finish() {
        heal()
        while act(eagerness: 256) {}
    }

    /// Everybody but the worker goes on.
    func goOnWithoutWorker(until end: Int64) {
        while true {
            while act(eagerness: 256) {}
            let next = peers.compactMap(\.nextTime).min() ?? .max
            if next <= now || next > end { break }
            kernel.now = next
        }
        kernel.now = max(now, end)
    }

    private func pass(until time: Int64) -> Bool {
        if time <= now { return false }
        kernel.now = time
        checkDeadlines()
        return true
    }

    func connect(_ socket: VirtualSocket, to address: SocketAddress) {
        let host = hosts.first { $0.address == address }
        inquiry?.touch(address)
        pending.append(Connecting(socket: socket, host: host, since: now))
    }

    /// Everybody does what can be done, or some do; returns whether that was anything.
    @discardableResult
    private func act(eagerness: UInt64) -> Bool {
        var isAnything = false
        func isEager() -> Bool { eagerness >= 256 || kernel.random.below(256) < eagerness }
        var waiting: [Connecting] = []
        let connecting = pending
        pending = []
        for entry in connecting where entry.socket.phase == .connecting {
            if entry.host?.mode == .hanging || !isEager() {
                waiting.append(entry)
            } else {
                settle(entry.socket, entry.host)
                isAnything = true
            }
        }
        pending = waiting + pending
        for peer in peers where isEager() && peer.act() { isAnything = true }
        peers.removeAll { $0.isClosed }
        return isAnything
    }

    private func settle(_ socket: VirtualSocket, _ host: Host?) {
        guard let host, host.mode == .up else { return socket.fail(111) }
        let other = VirtualSocket(capacity: kernel.bufferSize)
        VirtualSocket.connect(socket, other)
        let connection: HostConnection =
            switch plan.services[host.service].kind {
            case .http: HTTPHostConnection(other, host, self)
            case .dubbo: FramedHostConnection(other, host, self, DubboWire())
            case .bolt: FramedHostConnection(other, host, self, BoltWire(lane: 0))
            }
        host.connections.removeAll { $0.isClosed }
        host.connections.append(connection)
        peers.append(connection)
    }

    func isConnecting(to service: Int) -> Bool {
        pending.contains { $0.socket.phase == .connecting && ($0.host == nil || $0.host?.service == service) }
    }

    // MARK: Clients

    func addClient(_ number: Int, _ door: Door) {
        let (inner, outer) = (
            VirtualSocket(capacity: kernel.bufferSize), VirtualSocket(capacity: kernel.bufferSize)
        )
        guard let listener = listeners[door], ending.isDrained == false, drainedAt == nil else { return }
        VirtualSocket.connect(inner, outer)
        listener.waiting.append((inner, SocketAddress(ipv4: 0x7f00_0001, port: UInt16(1000 + number % 50_000))))
        let client: any Client =
            switch plan.kind(of: door) {
            case .http: HTTPClient(outer, self)
            case .dubbo: FramedClient(outer, self, DubboWire(), isInbound: door != .outbound(.dubbo))
            case .bolt:
                FramedClient(outer, self, BoltWire(lane: number % 3), isInbound: door != .outbound(.bolt))
            }
        clients[number] = client
        peers.append(client)
    }

    var hostConnections: [HostConnection] { peers.compactMap { $0 as? HostConnection } }

    var allClients: [any Client] { peers.compactMap { $0 as? any Client } }
}
