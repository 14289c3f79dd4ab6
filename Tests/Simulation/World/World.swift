import Balancing
import Configuration
import Discovery
import Model
import Proxy
import Runtime

/// Everything around one worker: clients, hosts, the control plane, and the checks of what becomes of requests.
final class World: Surroundings {
    static let alias = "alias.example"
    static let path = "/api"
    static let discoveryTimeout: Int64 = 3_000_000_000

    let plan: Plan
    let kernel: Kernel
    let inbox: Mailbox<WorkerMessage>
    let outbox: Mailbox<WorkerEvent>
    var hosts: [Host] = []
    var clients: [Int: any Client] = [:]
    /// All that act, in a fixed order.
    private var peers: [Peer] = []
    private var pending: [(socket: VirtualSocket, host: Host?)] = []
    var listings: [ListingHistory]
    var routes: [(routes: Routes, postedAt: Int64, takenAt: Int64?)] = []
    var requests: [Int: Request] = [:]
    /// Requests that were begun and have no end yet, in order.
    var open: [Request] = []
    var finished: [Request] = []
    private(set) var failure: Failure?
    /// Kinds of failures that are known and not looked for.
    var ignored: Set<String> = []
    var listeners: [ServicePlan.Kind: VirtualListener] = [:]
    /// Times at which something of our own was short, or the service went.
    var shortages: [Int64] = []
    var drainedAt: Int64?
    var reports: [WorkerReport] = []

    var script: Script
    var ending = Ending()

    struct Failure {
        let kind: String
        let text: String
    }

    init(_ plan: Plan, seed: UInt64, steps: [Int]) throws {
        self.plan = plan
        kernel = Kernel(seed: seed)
        inbox = try Mailbox()
        outbox = try Mailbox()
        listings = Array(repeating: ListingHistory(), count: plan.services.count)
        script = Script(steps: steps.map { ($0, plan.steps[$0]) })
        kernel.surroundings = self
        kernel.shortness = plan.shortness
        kernel.emptiness = plan.emptiness
        kernel.bufferSize = plan.bufferSize
        for (number, service) in plan.services.enumerated() {
            hosts += service.hosts.map { Host(number: $0, service: number) }
        }
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
        takeEvents()
        if let step = script.due() { performAll(from: step) }
        act(eagerness: plan.eagerness)
    }

    func whileIdle(until limit: Int64) -> Bool {
        if failure != nil { return false }
        if act(eagerness: 256) { return true }
        takeEvents()
        for index in listings.indices { listings[index].take(now: now) }
        for index in routes.indices where routes[index].takenAt == nil { routes[index].takenAt = now }
        checkQuiet()
        if failure != nil { return false }
        let next = peers.compactMap(\.nextTime).min() ?? .max
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

    private func pass(until time: Int64) -> Bool {
        if time <= now { return false }
        kernel.now = time
        checkDeadlines()
        return true
    }

    func connect(_ socket: VirtualSocket, to address: SocketAddress) {
        pending.append((socket, hosts.first { $0.address == address }))
    }

    /// Everybody does what can be done, or some do; returns whether that was anything.
    @discardableResult
    private func act(eagerness: UInt64) -> Bool {
        var isAnything = false
        func isEager() -> Bool { eagerness >= 256 || kernel.random.below(256) < eagerness }
        var waiting: [(socket: VirtualSocket, host: Host?)] = []
        let connecting = pending
        pending = []
        for (socket, host) in connecting where socket.phase == .connecting {
            if host?.mode == .hanging || !isEager() {
                waiting.append((socket, host))
            } else {
                settle(socket, host)
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
            case .dubbo: DubboHostConnection(other, host, self)
            }
        host.connections.removeAll { $0.isClosed }
        host.connections.append(connection)
        peers.append(connection)
    }

    func isConnecting(to service: Int) -> Bool {
        pending.contains { $0.socket.phase == .connecting && ($0.host == nil || $0.host?.service == service) }
    }

    // MARK: Control plane

    func post(_ message: WorkerMessage) {
        inbox.post(message)
        kernel.wake(inbox.descriptor)
    }

    func key(_ service: Int) -> ServiceKey {
        ServiceKey(kind: plan.services[service].kind == .http ? .http : .dubbo, name: plan.services[service].name)
    }

    private func takeEvents() {
        for event in outbox.take() {
            switch event {
            case .wanted(let key):
                if let service = plan.services.indices.first(where: { self.key($0) == key }) { relist(service) }
            case .report(_, _, let report): reports.append(report)
            case .drained: ending.isDrained = true
            case .used, .explanation, .note: break
            }
        }
    }

    /// The worker has asked for a service that it had before: it is watched again.
    private func relist(_ service: Int) {
        let epochs = listings[service].epochs
        guard let last = epochs.last, last.listing == nil, let known = epochs.last(where: { $0.listing != nil }) else {
            return
        }
        list(service, known.listing)
    }

    func list(_ service: Int, _ listing: Listing?) {
        listings[service].post(listing, now: now)
        guard let listing else { return post(.remove(key(service))) }
        post(.update(snapshot(service, listing)))
    }

    private func snapshot(_ service: Int, _ listing: Listing) -> ServiceSnapshot {
        var policy = ServicePolicy()
        policy.mode = listing.isStrict ? .strict : .fallback
        policy.stable = listing.stable == 0 ? nil : Listing.versions[listing.stable]
        policy.timeout = .milliseconds(listing.timeoutMilliseconds)
        policy.balancer = [.leastRequest, .roundRobin, .random][listing.balancer]
        var instances = listing.entries.map { entry in
            Instance(
                address: hosts[entry.host].address, weight: Double(entry.weight),
                metadata: entry.version == 0 ? [:] : ["version": Listing.versions[entry.version]])
        }
        for number in 0..<listing.padding {
            instances.append(Instance(address: SocketAddress(ipv4: 0x0b00_0000 + UInt32(number), port: 80), weight: 0))
        }
        return ServiceSnapshot(key: key(service), policy: policy, instances: instances, versionKeys: ["version"])
    }

    func post(_ new: Routes) {
        routes.append((new, now, nil))
        let named = new.isPinned ? plan.services.indices.map { key($0) } : []
        guard let first = plan.services.firstIndex(where: { $0.kind == .http }) else {
            return post(.routes(RouteTable(services: named)))
        }
        var services = named
        if (new.hasAlias || new.hasPath) && !services.contains(key(first)) { services.append(key(first)) }
        post(
            .routes(
                RouteTable(
                    services: services, hosts: new.hasAlias ? [(Self.alias, key(first))] : [],
                    paths: new.hasPath ? [(Self.path, key(first))] : [])))
    }

    // MARK: Peers

    func addClient(_ number: Int, _ kind: ServicePlan.Kind) {
        let (inner, outer) = (
            VirtualSocket(capacity: kernel.bufferSize), VirtualSocket(capacity: kernel.bufferSize)
        )
        guard let listener = listeners[kind], ending.isDrained == false, drainedAt == nil else { return }
        VirtualSocket.connect(inner, outer)
        listener.waiting.append((inner, SocketAddress(ipv4: 0x7f00_0001, port: UInt16(1000 + number % 50_000))))
        let client: any Client = kind == .http ? HTTPClient(outer, self) : DubboClient(outer, self)
        clients[number] = client
        peers.append(client)
    }

    var allClients: [any Client] { peers.compactMap { $0 as? any Client } }
}
