import Balancing
import Configuration
import Model
import Proxy
import Runtime

// The control plane: what is told to the worker, and what it tells.
extension ServicePlan.Kind {
    var modelKind: ServiceKey.Kind {
        switch self {
        case .http: .http
        case .dubbo: .dubbo
        case .bolt: .bolt
        }
    }

    var listenerProtocol: ListenerProtocol {
        switch self {
        case .http: .http
        case .dubbo: .dubbo
        case .bolt: .bolt
        }
    }
}

extension World {
    static let alias = "alias.example"
    static let path = "/api"
    static let discoveryTimeout: Int64 = 3_000_000_000

    /// Tells every process.
    func post(_ message: WorkerMessage) {
        for line in lines { post(message, to: line) }
    }

    func key(_ service: Int) -> ServiceKey {
        let plan = plan.services[service]
        let name = plan.isInbound ? "listener:\(plan.name)" : plan.name
        return ServiceKey(kind: plan.kind.modelKind, name: name)
    }

    func takeEvents() {
        for line in lines {
            for event in line.outbox.take() { take(event, from: line) }
        }
    }

    private func take(_ event: WorkerEvent, from line: Line) {
        switch event {
        case .wanted(let key):
            if let service = plan.services.indices.first(where: { self.key($0) == key }) { relist(service) }
        case .report(_, let id, let report): takeReport(id, report)
        case .failing, .tallies: takeOutliers(event)
        case .explanation(_, let explanation): inquiry?.explanation = explanation
        case .drained: noteDrained(line)
        case .handedOver, .owed, .settled: passOn(event, from: line)
        case .used, .note: break
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

    // MARK: Hosts

    func list(_ service: Int, _ listing: Listing?) {
        listings[service].post(listing, now: now)
        guard let listing else {
            snapshots[service] = nil
            outliers.versions[service] = nil
            for host in plan.services[service].hosts { outliers.known[host] = nil }
            return post(.remove(key(service)))
        }
        let snapshot = snapshot(service, listing)
        snapshots[service] = snapshot
        post(.update(marked(service, snapshot)))
    }

    /// The application behind an inbound listener is told before the worker starts.
    func listApplication(_ service: Int) {
        var listing = Listing()
        listing.timeoutMilliseconds = 60_000
        listing.entries = plan.services[service].hosts.map { Listing.Entry(host: $0, version: 0, weight: 1) }
        list(service, listing)
    }

    func snapshot(_ service: Int, _ listing: Listing) -> ServiceSnapshot {
        var policy = ServicePolicy()
        policy.mode = listing.isStrict ? .strict : .fallback
        policy.stable = listing.stable == 0 ? nil : Listing.versions[listing.stable]
        policy.split = listing.split.map { VersionWeight(version: Listing.versions[$0.version], weight: $0.weight) }
        policy.sticky = listing.isSticky ? .header(RequestPlan.stickyName) : nil
        policy.traffic.timeout = .milliseconds(listing.timeoutMilliseconds)
        policy.traffic.retries = listing.retries
        policy.traffic.circuitBreaker = listing.breaker
        policy.traffic.rateLimit = listing.rateLimit
        policy.traffic.fault = listing.fault
        policy.traffic.mirror = listing.mirror
        policy.traffic.access.deny = listing.isClosed ? ["0.0.0.0/0", "::/0"].compactMap { AddressRange($0) } : []
        policy.traffic.outlierDetection = listing.outliers
        policy.balancer = [.leastRequest, .roundRobin, .random][listing.balancer]
        var instances = listing.entries.map { entry in
            Instance(
                address: hosts[entry.host].address, weight: Double(entry.weight),
                metadata: entry.version == 0 ? [:] : ["version": Listing.versions[entry.version]])
        }
        for number in 0..<listing.padding {
            instances.append(Instance(address: SocketAddress(ipv4: 0x0b00_0000 + UInt32(number), port: 80), weight: 0))
        }
        return ServiceSnapshot(
            key: key(service), policy: policy, instances: instances, versionKeys: ["version"],
            after: snapshots[service]?.limits)
    }

    /// From now on nothing is refused: what is counted must be given back all the same.
    func liftLimits() {
        for service in plan.services.indices {
            guard var listing = listings[service].last, listing.isLimited else { continue }
            (listing.breaker, listing.rateLimit) = (CircuitBreakerPolicy(), RateLimitPolicy())
            (listing.fault, listing.isClosed) = (FaultPolicy(), false)
            list(service, listing)
        }
    }

    // MARK: Names

    func post(_ new: Routes) {
        routes.append((new, now, nil))
        post(routeMessage(new))
    }

    func routeMessage(_ new: Routes) -> WorkerMessage {
        let first = plan.firstHTTP
        var services = new.pinned.map { key($0) }
        if let first, new.hasAlias || new.hasPath, !services.contains(key(first)) { services.append(key(first)) }
        return .routes(
            RouteTable(
                services: services, hosts: new.hasAlias ? first.map { [(Self.alias, key($0))] } ?? [] : [],
                paths: new.hasPath ? first.map { [(Self.path, key($0))] } ?? [] : []))
    }

    /// Whether the configuration names it: then it stays although nobody watches it.
    func isPinned(_ service: Int) -> Bool {
        guard let last = routes.last?.routes else { return false }
        return last.pinned.contains(service) || (last.hasAlias || last.hasPath) && plan.firstHTTP == service
    }
}
