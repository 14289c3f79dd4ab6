import Balancing
import Discovery
import Glibc
import Runtime

typealias NameTable = PointerTable<ByteString, Service>

/// The services and endpoints that a worker knows.
struct ServiceTables: ~Copyable {
    var http = NameTable()
    var dubbo = NameTable()
    /// All services. They leave only by a message, so none of them goes while a chore is done.
    private(set) var services: [UnsafeMutablePointer<Service>] = []
    /// Further host names, in lower case.
    var hosts = NameTable()
    /// Path prefixes.
    var paths = NameTable()
    /// Keys of `hosts` and `paths`.
    var ownedKeys: [ByteString] = []
    /// Longest path prefix; 0 when there are no path rules.
    var longestPath = 0
    var endpoints = EndpointTable()
    /// Number of the configuration in force; counts from 1.
    var configuration: UInt64 = 1
    /// Services that it names.
    var pinned = 0
    /// When services in use were last told to the control plane.
    var toldAt: Int64 = 0

    mutating func add(_ service: UnsafeMutablePointer<Service>) {
        service.pointee.place = services.count
        services.append(service)
        if service.pointee.key.kind == .http {
            http.insert(service.pointee.name, service)
        } else {
            dubbo.insert(service.pointee.name, service)
        }
    }

    mutating func remove(_ service: UnsafeMutablePointer<Service>) {
        let last = services.removeLast()
        if last != service {
            services[service.pointee.place] = last
            last.pointee.place = service.pointee.place
        }
        if service.pointee.key.kind == .http {
            http.remove(service.pointee.name)
        } else {
            dubbo.remove(service.pointee.name)
        }
    }
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
        if tables.services.count - tables.pinned >= settings.limits.services { return nil }
        let service = addService(ServiceKey(kind: kind, name: name.text))
        outbox.post(.wanted(service.pointee.key))
        return service
    }

    private mutating func addService(_ key: ServiceKey) -> UnsafeMutablePointer<Service> {
        let service = UnsafeMutablePointer<Service>.allocate(capacity: 1)
        service.initialize(to: Service(key: key))
        service.pointee.usedAt = now
        tables.add(service)
        return service
    }

    /// The service of that name, made when this worker does not know it.
    mutating func service(_ key: ServiceKey) -> UnsafeMutablePointer<Service> {
        let name = ByteString(copying: key.name)
        defer { name.free() }
        return findService(key.kind, name) ?? addService(key)
    }

    /// Forgets a service that is not watched any more.
    mutating func removeService(_ key: ServiceKey) {
        let name = ByteString(copying: key.name)
        defer { name.free() }
        guard let service = findService(key.kind, name), !isPinned(service) else { return }
        tables.remove(service)
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
        retire(&service.pointee.clusters, for: ClusterSet())
        service.deinitialize(count: 1)
        service.deallocate()
    }

    mutating func resumeWaiting(_ service: UnsafeMutablePointer<Service>) {
        while let downstream = service.pointee.waitingDownstreams { resumeWaiting(downstream) }
        while let call = service.pointee.waitingCalls { resumeWaiting(call) }
    }

    /// The endpoint of an address, made when this worker does not know it.
    mutating func endpoint(_ kind: ServiceKey.Kind, _ address: SocketAddress) -> UnsafeMutablePointer<Endpoint> {
        let key = EndpointKey(kind: kind, address: address)
        if let known = tables.endpoints.find(key) { return known }
        let endpoint = UnsafeMutablePointer<Endpoint>.allocate(capacity: 1)
        endpoint.initialize(to: Endpoint(address: address, kind: kind))
        tables.endpoints.insert(key, endpoint)
        return endpoint
    }

    /// No cluster lists the endpoint any more: idle connections go now, busy ones when their requests have ended.
    mutating func retire(_ endpoint: UnsafeMutablePointer<Endpoint>) {
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
        tables.endpoints.remove(EndpointKey(kind: state.kind, address: state.address))
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
        if endpoint.pointee.hasFailed {
            let wasEjected = endpoint.pointee.failures != 0
            endpoint.pointee.noteSuccess()
            if wasEjected { note(.hostRecovered(address: endpoint.pointee.address)) }
        }
    }
}
