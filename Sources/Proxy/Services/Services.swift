import Balancing
import Discovery
import Glibc
import Runtime

/// The services and endpoints that a worker knows.
struct ServiceTables: ~Copyable {
    var http = NameTable()
    var dubbo = NameTable()
    /// Further host names, in lower case.
    var hosts = NameTable()
    /// Path prefixes.
    var paths = NameTable()
    /// Keys of `hosts` and `paths`.
    var ownedKeys: [ByteString] = []
    /// Longest path prefix; 0 when there are no path rules.
    var longestPath = 0
    var endpoints: [EndpointKey: UnsafeMutablePointer<Endpoint>] = [:]
    /// Services that the configuration names.
    var pinned = 0
    /// When services in use were last told to the control plane.
    var toldAt: Int64 = 0
}

struct EndpointKey: Hashable {
    let kind: ServiceKey.Kind
    let address: SocketAddress
}

extension Worker {
    /// The service of that name, nil when this worker does not know it.
    @inline(__always)
    func findService(_ kind: ServiceKey.Kind, _ name: ByteString) -> UnsafeMutablePointer<Service>? {
        kind == .http ? tables.http.find(name) : tables.dubbo.find(name)
    }

    /// Makes a service that requests or rules name and asks the control plane for it.
    ///
    /// - Returns: nil when there are too many already.
    mutating func demandService(_ kind: ServiceKey.Kind, _ name: ByteString) -> UnsafeMutablePointer<Service>? {
        if tables.http.count + tables.dubbo.count - tables.pinned >= settings.limits.services { return nil }
        let service = addService(ServiceKey(kind: kind, name: name.text))
        outbox.post(.wanted(service.pointee.key))
        return service
    }

    private mutating func addService(_ key: ServiceKey) -> UnsafeMutablePointer<Service> {
        let service = UnsafeMutablePointer<Service>.allocate(capacity: 1)
        service.initialize(to: Service(key: key))
        service.pointee.usedAt = now
        if key.kind == .http {
            tables.http.insert(service.pointee.name, service)
        } else {
            tables.dubbo.insert(service.pointee.name, service)
        }
        return service
    }

    private mutating func service(_ key: ServiceKey) -> UnsafeMutablePointer<Service> {
        let name = ByteString(copying: key.name)
        defer { name.free() }
        return findService(key.kind, name) ?? addService(key)
    }

    /// Takes over new host names and path rules.
    mutating func adopt(_ routes: RouteTable) {
        for key in tables.ownedKeys { key.free() }
        tables.ownedKeys = []
        tables.hosts = NameTable()
        tables.paths = NameTable()
        tables.longestPath = 0
        let unpin: (ByteString, UnsafeMutablePointer<Service>) -> Void = { $1.pointee.isPinned = false }
        tables.http.forEach(unpin)
        tables.dubbo.forEach(unpin)
        tables.http.forEach { $1.pointee.isPinned = false }
        tables.dubbo.forEach { $1.pointee.isPinned = false }
        tables.pinned = Set(routes.services).count
        pinApplications()
        for key in routes.services { service(key).pointee.isPinned = true }
        for (name, key) in routes.hosts { tables.hosts.insert(ownKey(name), service(key)) }
        for (prefix, key) in routes.paths {
            tables.paths.insert(ownKey(prefix), service(key))
            tables.longestPath = max(tables.longestPath, prefix.utf8.count)
        }
    }

    /// Applications behind inbound listeners are known before the first request comes.
    mutating func pinApplications() {
        for number in listeners.indices where listeners[number].configuration.forward != nil {
            let application = service(listeners[number].configuration.serviceKey)
            application.pointee.isPinned = true
            application.pointee.takesAll = true
            listeners[number].application = application
            tables.pinned += 1
        }
    }

    private mutating func ownKey(_ text: String) -> ByteString {
        let key = ByteString(copying: text)
        tables.ownedKeys.append(key)
        return key
    }

    /// Takes over what is known of a service: at once where requests use it, else when the first one does.
    mutating func adopt(_ snapshot: ServiceSnapshot) {
        let service = service(snapshot.key)
        service.pointee.snapshot = snapshot
        if service.pointee.state == .ready || service.pointee.active > 0 {
            build(service, snapshot)
            resumeWaiting(service)
        } else {
            service.pointee.state = .unused
        }
    }

    /// Whether a service can be used; makes it so when it is the first time.
    mutating func becomesReady(_ service: UnsafeMutablePointer<Service>) -> Bool {
        guard service.pointee.state == .unused, let snapshot = service.pointee.snapshot else {
            return service.pointee.state == .ready
        }
        build(service, snapshot)
        return true
    }

    /// Hosts that stay keep their endpoint and its connections; those that went finish what is in flight.
    private mutating func build(_ service: UnsafeMutablePointer<Service>, _ snapshot: ServiceSnapshot) {
        service.pointee.adopt(snapshot.policy)
        let turn = UInt32(truncatingIfNeeded: random.below(8192))
        let fresh = ClusterSet(snapshot, labels: &service.pointee.labels, turn: turn) { address in
            endpoint(snapshot.key.kind, address)
        }
        release(&service.pointee.clusters)
        service.pointee.clusters = fresh
        service.pointee.state = .ready
    }

    /// Forgets a service that is not watched any more.
    mutating func removeService(_ key: ServiceKey) {
        let name = ByteString(copying: key.name)
        defer { name.free() }
        guard let service = findService(key.kind, name), !service.pointee.isPinned else { return }
        if key.kind == .http {
            tables.http.remove(name)
        } else {
            tables.dubbo.remove(name)
        }
        service.pointee.state = .removed
        service.pointee.active += 1
        resumeWaiting(service)
        finishRequest(of: service)
    }

    /// A request of the service has ended in whatever way.
    @inline(__always)
    mutating func finishRequest(of service: UnsafeMutablePointer<Service>) {
        service.pointee.active -= 1
        if service.pointee.active == 0 && service.pointee.state == .removed { freeService(service) }
    }

    private mutating func freeService(_ service: UnsafeMutablePointer<Service>) {
        release(&service.pointee.clusters)
        service.deinitialize(count: 1)
        service.deallocate()
    }

    private mutating func resumeWaiting(_ service: UnsafeMutablePointer<Service>) {
        while let downstream = service.pointee.waitingDownstreams { resumeWaiting(downstream) }
        while let call = service.pointee.waitingCalls { resumeWaiting(call) }
    }

    private mutating func endpoint(_ kind: ServiceKey.Kind, _ address: SocketAddress) -> UnsafeMutablePointer<Endpoint>
    {
        let key = EndpointKey(kind: kind, address: address)
        if let known = tables.endpoints[key] { return known }
        let endpoint = UnsafeMutablePointer<Endpoint>.allocate(capacity: 1)
        endpoint.initialize(to: Endpoint(address: address, kind: kind))
        tables.endpoints[key] = endpoint
        return endpoint
    }

    private mutating func release(_ clusters: inout ClusterSet) {
        var unused: [UnsafeMutablePointer<Endpoint>] = []
        clusters.releaseEndpoints { unused.append($0) }
        for endpoint in unused { retire(endpoint) }
    }

    /// No cluster lists the endpoint any more: idle connections go now, busy ones when their requests have ended.
    private mutating func retire(_ endpoint: UnsafeMutablePointer<Endpoint>) {
        switch endpoint.pointee.kind {
        case .http: closeIdleUpstreams(of: endpoint)
        case .dubbo: retireProviders(of: endpoint)
        case .sofa: break  // Nothing is forwarded to it.
        }
        freeEndpointIfUnused(endpoint)
    }

    /// Called when a connection of the endpoint or a request on it has gone.
    mutating func freeEndpointIfUnused(_ endpoint: UnsafeMutablePointer<Endpoint>) {
        let state = endpoint.pointee
        guard state.references == 0, state.connections == 0, state.active == 0 else { return }
        tables.endpoints[EndpointKey(kind: state.kind, address: state.address)] = nil
        endpoint.deinitialize(count: 1)
        endpoint.deallocate()
    }

    /// Notes a failed exchange; the host is left alone for a while.
    mutating func noteFailure(_ endpoint: UnsafeMutablePointer<Endpoint>, _ reason: String) {
        endpoint.pointee.noteFailure(now: now)
        let pause = (endpoint.pointee.retryAt - now) / 1_000_000
        note(.hostFailed(address: endpoint.pointee.address, reason: reason, pauseMilliseconds: pause))
    }

    /// Notes an answer of a host.
    @inline(__always)
    mutating func noteSuccess(_ endpoint: UnsafeMutablePointer<Endpoint>) {
        if endpoint.pointee.failures != 0 {
            endpoint.pointee.noteSuccess()
            note(.hostRecovered(address: endpoint.pointee.address))
        }
    }

    /// Now and then tells which services had requests, so that the others can be let go.
    mutating func tellUsedServices() {
        guard now - tables.toldAt >= settings.limits.usePeriod else { return }
        let since = tables.toldAt
        tables.toldAt = now
        var used: [ServiceKey] = []
        let collect: (ByteString, UnsafeMutablePointer<Service>) -> Void = { _, service in
            if service.pointee.usedAt >= since || service.pointee.active > 0 { used.append(service.pointee.key) }
        }
        tables.http.forEach(collect)
        tables.dubbo.forEach(collect)
        if !used.isEmpty { outbox.post(.used(used)) }
    }
}
