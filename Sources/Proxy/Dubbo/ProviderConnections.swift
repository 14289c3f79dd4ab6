import Balancing
import Codecs
import Glibc
import Runtime

// Connections to Dubbo hosts: opening, keeping alive, giving up and closing.
extension Worker {
    /// How long a host is left alone that told that it takes no new requests, unless it takes that back.
    static var readonlyPause: Int64 { 3_000_000_000 }
    /// How long is read on after writing has failed.
    static var lastWords: Int64 { 1_000_000_000 }
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
        return waiting > DubboBounds.smallBacklog && isOverfull(waiting) ? nil : provider
    }

    /// Whether a host that has this much to take gets no more: too much of its own, or more than its share of too much of all.
    private func isOverfull(_ waiting: Int) -> Bool {
        if waiting > DubboBounds.deafProvider && waiting > 2 * settings.limits.dubboBody { return true }
        let half = max(DubboBounds.providerMemory, 4 * settings.limits.dubboBody) / 2
        return dubbo.providerMemory > half && waiting * dubbo.providers.count > half
    }

    private mutating func connectProvider(
        _ endpoint: UnsafeMutablePointer<Endpoint>
    ) -> UnsafeMutablePointer<Provider>? {
        let descriptor = system.connect(to: endpoint.pointee.address)
        if descriptor < 0 {
            notConnected(endpoint, SystemError("connect to \(endpoint.pointee.address)", code: -descriptor))
            return nil
        }
        let provider = dubbo.providers.take(Provider(descriptor: descriptor, endpoint: endpoint))
        let error = system.watch(descriptor, .writable, token: Token(.provider, provider).rawValue)
        if error != 0 {
            system.close(descriptor)
            dubbo.providers.put(provider)
            notConnected(endpoint, SystemError("watch the connection to \(endpoint.pointee.address)", code: error))
            return nil
        }
        endpoint.pointee.connections += 1
        endpoint.pointee.pool = UnsafeMutableRawPointer(provider)
        provider.pointee.phaseEnd = now + settings.limits.connectTimeout
        watch(provider)
        return provider
    }

    /// The connection could not even be begun.
    private mutating func notConnected(_ endpoint: UnsafeMutablePointer<Endpoint>, _ error: SystemError) {
        let outcome = Outcome(error: error.code)
        if outcome == .ours { dubbo.exhaustion = error.code }
        blame(outcome, endpoint, error.description)
    }

    mutating func finishConnect(_ provider: UnsafeMutablePointer<Provider>) {
        let error = system.connectError(provider.pointee.descriptor)
        guard error == 0 else {
            let reason = "connect: " + SystemError.text(of: error)
            return lose(provider, reason, Outcome(error: error))
        }
        provider.pointee.phase = .ready
        provider.pointee.progress.hear(now: now)
        wheel.cancel(timer(provider))
        if provider.pointee.isIdle { closeIfDone(provider) }
        if provider.pointee.isClosed { return }
        // One-way calls bring no answer that could make it good.
        if provider.pointee.endpoint.pointee.hasFailed { sendHeartbeat(provider, patience: 2 * settings.heartbeat) }
        markDirty(provider)
        watch(provider)
    }

    // MARK: Heartbeats

    mutating func sendHeartbeat(_ provider: UnsafeMutablePointer<Provider>, patience: Int64) {
        buffers.reserve(Dubbo.heartbeatRequestSize, in: &provider.pointee.outbound)
        // No call has this id: their records' numbers are smaller.
        let count = Dubbo.writeHeartbeatRequest(id: -1, into: provider.pointee.outbound.tail)
        provider.pointee.outbound.filled(count)
        provider.pointee.queued &+= UInt64(count)
        provider.pointee.answerBy = now + patience
        markDirty(provider)
        watch(provider)
    }

    // MARK: Readonly

    /// The host is going, or wants to be left alone: it gets no new calls, those in flight finish.
    mutating func beginReadonly(_ provider: UnsafeMutablePointer<Provider>) {
        guard provider.pointee.phase == .ready else { return }
        provider.pointee.phase = .readonly
        provider.pointee.readonlyUntil = now + Self.readonlyPause
        provider.pointee.endpoint.pointee.readonlyConnections += 1
        leavePool(provider)
        closeIfDone(provider)
        if !provider.pointee.isClosed { watch(provider) }
    }

    /// The host takes requests again.
    mutating func endReadonly(_ provider: UnsafeMutablePointer<Provider>) {
        guard provider.pointee.phase == .readonly else { return }
        leaveReadonly(provider)
        let endpoint = provider.pointee.endpoint
        guard endpoint.pointee.pool == nil else { return }
        provider.pointee.phase = .ready
        endpoint.pointee.pool = UnsafeMutableRawPointer(provider)
    }

    /// The connection does not keep its host from new requests any longer: time is over, the host takes it back, or the connection
    /// ends in whatever way.
    mutating func leaveReadonly(_ provider: UnsafeMutablePointer<Provider>) {
        if provider.pointee.readonlyUntil == 0 { return }
        provider.pointee.readonlyUntil = 0
        provider.pointee.endpoint.pointee.readonlyConnections -= 1
    }

    // MARK: Giving up

    /// The connection is of no use any more: calls that did not leave this process go to other hosts, the others are answered.
    mutating func lose(
        _ provider: UnsafeMutablePointer<Provider>, _ reason: String, _ outcome: Outcome = .host
    ) {
        if provider.pointee.isClosed { return }
        let endpoint = provider.pointee.endpoint
        // The endpoint must outlive this.
        endpoint.pointee.active += 1
        if provider.pointee.phase == .connecting || !provider.pointee.isIdle { blame(outcome, endpoint, reason) }
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
        provider.pointee.phaseEnd = now + Self.lastWords
        leavePool(provider)
        watch(provider)
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
        dubbo.providerMemory -= provider.pointee.countedMemory
        let endpoint = provider.pointee.endpoint
        if provider.pointee.readonlyUntil != 0 {
            leaveReadonly(provider)
            endpoint.pointee.leaveAlone(until: now + Self.readonlyPause)
        }
        endpoint.pointee.connections -= 1
        dubbo.providers.bury(provider)
        freeEndpointIfUnused(endpoint)
    }
}
