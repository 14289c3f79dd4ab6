import Balancing
import Glibc
import Model
import Routing
import Runtime

extension Worker {
    /// The service with that key, nil when this worker does not know it. Not for what requests name.
    func findService(_ key: ServiceKey) -> UnsafeMutablePointer<Service>? {
        for number in listeners.indices {
            if let application = listeners[number].application, application.pointee.key == key { return application }
        }
        let name = ByteString(copying: key.name)
        defer { name.free() }
        return tables.known.find(key.kind, name) ?? tables.unlisted.find(key.kind, name)
    }

    /// A name that no registry has listed so far, which the control plane is asked about when it is new.
    ///
    /// - Returns: nil when there are too many already, or when it is not UTF-8.
    mutating func demandService(_ kind: ServiceKey.Kind, _ name: ByteString) -> UnsafeMutablePointer<Service>? {
        if let service = tables.unlisted.find(kind, name) { return service }
        guard tables.unlisted.count < settings.limits.services, let text = name.validText else { return nil }
        let service = addService(ServiceKey(kind: kind, name: text))
        outbox.post(.wanted(service.pointee.key))
        return service
    }

    private mutating func addService(_ key: ServiceKey, takesAll: Bool = false) -> UnsafeMutablePointer<Service> {
        let service = UnsafeMutablePointer<Service>.allocate(capacity: 1)
        service.initialize(to: Service(key: key))
        service.pointee.usedAt = now
        service.pointee.takesAll = takesAll
        tables.add(service)
        return service
    }

    /// Applications behind inbound listeners are known before the first request comes, and as long as the worker runs.
    mutating func addApplications() {
        for number in listeners.indices where listeners[number].configuration.forward != nil {
            listeners[number].application = addService(listeners[number].configuration.serviceKey, takesAll: true)
        }
    }

    /// The service with that key, made when this worker does not know it.
    mutating func service(_ key: ServiceKey) -> UnsafeMutablePointer<Service> { findService(key) ?? addService(key) }

    /// Forgets a service that is not watched any more. One that was asked for again at this very moment is asked for anew:
    /// requests wait for it.
    mutating func removeService(_ key: ServiceKey) {
        guard let service = findService(key), !isPinned(service) else { return }
        if !service.pointee.waiting.isEmpty {
            outbox.post(.wanted(key))
            return
        }
        forget(service)
    }

    /// Requests in flight end with what they have; nobody finds the service any more.
    mutating func forget(_ service: UnsafeMutablePointer<Service>) {
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
        case .dubbo: retireUpstreams(dubbo, of: endpoint)
        case .bolt: retireUpstreams(bolt, of: endpoint)
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
        if !endpoint.pointee.noteFailure(now: now) { return }
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
