import Balancing
import Codecs
import Glibc
import Runtime

// Connections to Dubbo hosts: opening, keeping alive, giving up and closing.
extension Worker {
    /// How long a host is left alone that told that it takes no new requests, unless it takes that back.
    static var readonlyPause: Int64 { 3_000_000_000 }
    /// How long a host may take to answer the heartbeat that is sent when a call has run out of time.
    static var probePatience: Int64 { 5_000_000_000 }

    @inline(__always)
    private func current(_ endpoint: UnsafeMutablePointer<Endpoint>) -> UnsafeMutablePointer<Provider>? {
        endpoint.pointee.pool?.assumingMemoryBound(to: Provider.self)
    }

    /// The host's connection, a new one when there is none. Nil: connecting failed at once, or the host takes nothing.
    @inline(__always)
    mutating func provider(of endpoint: UnsafeMutablePointer<Endpoint>) -> UnsafeMutablePointer<Provider>? {
        guard let provider = current(endpoint) else { return connectProvider(endpoint) }
        let waiting = provider.pointee.outbound.count
        if waiting > DubboBounds.deafProvider && waiting > 2 * settings.limits.dubboBody { return nil }
        return provider
    }

    private mutating func connectProvider(
        _ endpoint: UnsafeMutablePointer<Endpoint>
    ) -> UnsafeMutablePointer<Provider>? {
        let descriptor = system.connect(to: endpoint.pointee.address)
        if descriptor < 0 {
            noteFailure(endpoint, SystemError("connect to \(endpoint.pointee.address)", code: -descriptor).description)
            return nil
        }
        let provider = dubbo.providers.take(Provider(descriptor: descriptor, endpoint: endpoint))
        endpoint.pointee.connections += 1
        endpoint.pointee.pool = UnsafeMutableRawPointer(provider)
        system.watch(descriptor, .writable, token: Token(.provider, provider).rawValue)
        wheel.set(timer(provider), deadline: now + settings.limits.connectTimeout)
        return provider
    }

    mutating func finishConnect(_ provider: UnsafeMutablePointer<Provider>) {
        let error = system.connectError(provider.pointee.descriptor)
        guard error == 0 else { return lose(provider, "connect: " + SystemError.text(of: error)) }
        provider.pointee.phase = .ready
        provider.pointee.heardAt = now
        wheel.cancel(timer(provider))
        wheel.set(timer(provider), deadline: now + settings.heartbeat)
        if provider.pointee.isIdle { closeIfDone(provider) }
        if provider.pointee.isClosed { return }
        markDirty(provider)
        updateInterest(provider)
    }

    // MARK: Time

    mutating func providerTimeout(_ provider: UnsafeMutablePointer<Provider>) {
        switch provider.pointee.phase {
        case .connecting:
            let milliseconds = settings.limits.connectTimeout / 1_000_000
            lose(provider, "connect: not within \(milliseconds) ms")
        case .ready: keepAlive(provider)
        case .readonly: provider.pointee.endpoint.pointee.draining = false
        case .broken: lose(provider, "writing failed")
        }
    }

    /// Sends a heartbeat when nothing was read for a while, and gives the connection up when that does not help.
    private mutating func keepAlive(_ provider: UnsafeMutablePointer<Provider>) {
        if provider.pointee.answerBy != 0 && provider.pointee.answerBy <= now {
            let seconds = (now - provider.pointee.heardAt) / 1_000_000_000
            return lose(provider, "nothing heard for \(seconds) s, heartbeats included")
        }
        if provider.pointee.answerBy == 0 && now - provider.pointee.heardAt >= settings.heartbeat {
            sendHeartbeat(provider, patience: 2 * settings.heartbeat)
        }
        let due =
            provider.pointee.answerBy == 0 ? provider.pointee.heardAt + settings.heartbeat : provider.pointee.answerBy
        wheel.set(timer(provider), deadline: due)
    }

    /// A call has run out of time and nothing at all was read since it began: is the host still there?
    mutating func probe(_ provider: UnsafeMutablePointer<Provider>) {
        if provider.pointee.phase != .ready { return }
        let patience = min(Self.probePatience, 2 * settings.heartbeat)
        if provider.pointee.answerBy != 0 && provider.pointee.answerBy <= now + patience { return }
        sendHeartbeat(provider, patience: patience)
        wheel.set(timer(provider), deadline: provider.pointee.answerBy)
    }

    private mutating func sendHeartbeat(_ provider: UnsafeMutablePointer<Provider>, patience: Int64) {
        buffers.reserve(Dubbo.heartbeatRequestSize, in: &provider.pointee.outbound)
        // No call has this id: their records' numbers are smaller.
        let count = Dubbo.writeHeartbeatRequest(id: -1, into: provider.pointee.outbound.tail)
        provider.pointee.outbound.filled(count)
        provider.pointee.queued &+= UInt64(count)
        provider.pointee.answerBy = now + patience
        markDirty(provider)
    }

    // MARK: Readonly

    /// The host is going, or wants to be left alone: it gets no new calls, those in flight finish.
    mutating func beginReadonly(_ provider: UnsafeMutablePointer<Provider>) {
        guard provider.pointee.phase == .ready else { return }
        provider.pointee.phase = .readonly
        provider.pointee.endpoint.pointee.draining = true
        leavePool(provider)
        wheel.cancel(timer(provider))
        wheel.set(timer(provider), deadline: now + Self.readonlyPause)
        closeIfDone(provider)
    }

    /// The host takes requests again.
    mutating func endReadonly(_ provider: UnsafeMutablePointer<Provider>) {
        guard provider.pointee.phase == .readonly else { return }
        let endpoint = provider.pointee.endpoint
        endpoint.pointee.draining = false
        guard endpoint.pointee.pool == nil else { return }
        provider.pointee.phase = .ready
        endpoint.pointee.pool = UnsafeMutableRawPointer(provider)
        wheel.cancel(timer(provider))
        wheel.set(timer(provider), deadline: now + settings.heartbeat)
    }

    // MARK: Giving up

    /// The connection is of no use any more: calls that did not leave this process go to other hosts, the others are answered.
    mutating func lose(_ provider: UnsafeMutablePointer<Provider>, _ reason: String) {
        if provider.pointee.isClosed { return }
        let endpoint = provider.pointee.endpoint
        // The endpoint must outlive this.
        endpoint.pointee.active += 1
        if provider.pointee.phase == .connecting || !provider.pointee.isIdle { noteFailure(endpoint, reason) }
        provider.pointee.phase = .broken
        leavePool(provider)
        while let call = provider.pointee.oneWayCalls.first ?? provider.pointee.calls.first {
            takeBack(call, provider, reason)
        }
        close(provider)
        endpoint.pointee.active -= 1
        freeEndpointIfUnused(endpoint)
    }

    /// Writing has failed. What the host sent before is read first; the poller tells its end.
    mutating func stopWriting(_ provider: UnsafeMutablePointer<Provider>) {
        provider.pointee.phase = .broken
        leavePool(provider)
        wheel.cancel(timer(provider))
        wheel.set(timer(provider), deadline: now + 1_000_000_000)
        updateInterest(provider)
    }

    private func leavePool(_ provider: UnsafeMutablePointer<Provider>) {
        let endpoint = provider.pointee.endpoint
        if current(endpoint) == provider { endpoint.pointee.pool = nil }
    }

    // MARK: Closing

    /// The last call has left: the connection goes when the host is not listed any more or wants no more requests.
    @inline(__always)
    mutating func closeIfDone(_ provider: UnsafeMutablePointer<Provider>) {
        let isWanted = provider.pointee.phase != .readonly && provider.pointee.endpoint.pointee.references > 0
        if isWanted || provider.pointee.phase == .broken || !provider.pointee.isIdle { return }
        close(provider)
    }

    /// No cluster lists the host any more: its connection goes now, or with its last call.
    mutating func retireProviders(of endpoint: UnsafeMutablePointer<Endpoint>) {
        guard let provider = current(endpoint) else { return }
        // The caller frees the endpoint.
        endpoint.pointee.active += 1
        closeIfDone(provider)
        endpoint.pointee.active -= 1
    }

    private mutating func close(_ provider: UnsafeMutablePointer<Provider>) {
        if provider.pointee.isClosed { return }
        provider.pointee.isClosed = true
        leavePool(provider)
        wheel.cancel(timer(provider))
        system.close(provider.pointee.descriptor)
        buffers.release(&provider.pointee.inbound)
        buffers.release(&provider.pointee.outbound)
        let endpoint = provider.pointee.endpoint
        if provider.pointee.phase == .readonly && endpoint.pointee.draining {
            endpoint.pointee.draining = false
            endpoint.pointee.leaveAlone(until: now + Self.readonlyPause)
        }
        endpoint.pointee.connections -= 1
        dubbo.providers.bury(provider)
        freeEndpointIfUnused(endpoint)
    }

    @inline(__always)
    private func timer(_ provider: UnsafeMutablePointer<Provider>) -> UnsafeMutablePointer<WheelTimer> {
        UnsafeMutableRawPointer(provider).assumingMemoryBound(to: WheelTimer.self)
    }

    @inline(__always)
    func updateInterest(_ provider: UnsafeMutablePointer<Provider>) {
        let writes =
            !provider.pointee.outbound.isEmpty && !provider.pointee.isDirty && provider.pointee.phase != .broken
        let interest: Readiness = writes ? [.readable, .writable] : .readable
        if interest == provider.pointee.interest { return }
        provider.pointee.interest = interest
        system.rewatch(provider.pointee.descriptor, interest, token: Token(.provider, provider).rawValue)
    }
}
