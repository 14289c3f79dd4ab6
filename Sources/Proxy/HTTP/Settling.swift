import Glibc
import Runtime

// What the poller watches for and when a timer fires follow from a connection's state, here and nowhere else: every event, every
// timer and every request that is read later ends with `settle`.
//
// | phase | ends when | after | with |
// |---|---|---|---|
// | head, nothing read | the client is idle | `idle_timeout`; draining: 1 s | close |
// | head, a part read | the rest does not come | `head_timeout` from its first byte | 408 |
// | head, the answer before not taken | the client takes nothing | `idle_timeout` | close |
// | discovering | the registries do not answer | `discovery_timeout` from the whole head | 503 |
// | exchanging, connecting | the host does not accept | `connect_timeout` | another host, or 503 |
// | exchanging, before the answer | its head does not come | `timeout` from the whole head, for all attempts | 504 |
// | exchanging, before the answer | the client owes its body | the same, or `idle_timeout` without a byte | 408 |
// | exchanging, answering | the host stops | `idle_timeout` without a byte | a cut answer |
// | exchanging, answering | the client takes nothing, or owes its body | `idle_timeout` | close |
// | tunnel | nothing moves either way | `idle_timeout` | close |
// | flushing | the client takes nothing | `idle_timeout` | close |
// | lingering | the client does not end | 2 s of silence, 30 s in all | close |
//
// A host's connection in the pool is closed after a minute. The control plane ends whatever is left after `drain_timeout`.
extension Worker {
    /// Idle connections stay open for so long when draining begins: a request may be on its way.
    static var drainPause: Int64 { 1_000_000_000 }
    private static var lingerPause: Int64 { 2_000_000_000 }
    static var longestLinger: Int64 { 30_000_000_000 }

    /// Brings a client's connection, and those to hosts that the last step has to do with, into line with their state.
    ///
    /// - Parameter upstream: where the request was before the step.
    @inline(__always)
    mutating func settle(
        _ downstream: UnsafeMutablePointer<Downstream>, _ upstream: UnsafeMutablePointer<Upstream>?
    ) {
        if !downstream.pointee.isClosed {
            if downstream.pointee.phase == .tunnel { settleTunnel(downstream) }
            if downstream.pointee.readClosed { settleEnd(downstream) }
        }
        if !downstream.pointee.isClosed {
            if let current = downstream.pointee.exchange.upstream { settle(current) }
            watch(downstream)
            wheel.set(timer(downstream), deadline: deadline(of: downstream))
        }
        // It may be in the pool by now.
        if let upstream, !upstream.pointee.isClosed, upstream.pointee.downstream == nil { settle(upstream) }
    }

    /// What the end of a client's input means, once all that came before it is used.
    private mutating func settleEnd(_ downstream: UnsafeMutablePointer<Downstream>) {
        if downstream.pointee.isClosed || downstream.pointee.queue.isLinked { return }
        switch downstream.pointee.phase {
        case .head:
            if downstream.pointee.inbound.isEmpty || downstream.pointee.outbound.isEmpty {
                finishConnection(downstream)
            }
        case .exchanging:
            let exchange = downstream.pointee.exchange
            if !exchange.bodyComplete && !exchange.hasAnswered && downstream.pointee.inbound.isEmpty {
                abandon(downstream)
            }
        case .lingering: close(downstream)
        case .discovering, .tunnel, .flushing: break
        }
    }

    // MARK: Interest

    /// Watches for what the connection's state can use: not for input that nobody takes, nor for room that nobody fills.
    @inline(__always)
    private func watch(_ downstream: UnsafeMutablePointer<Downstream>) {
        var interest: Readiness = wantsInput(downstream) ? .readable : []
        if !downstream.pointee.outbound.isEmpty { interest.insert(.writable) }
        if interest == downstream.pointee.interest { return }
        downstream.pointee.interest = interest
        let token = Token(.exclusiveDownstream, downstream).rawValue
        if downstream.pointee.isUnwatched {
            downstream.pointee.isUnwatched = false
            system.watch(downstream.pointee.descriptor, interest, token: token)
        } else {
            system.rewatch(downstream.pointee.descriptor, interest, token: token)
        }
    }

    /// The client is gone, which the poller tells again and again, but what it has sent before cannot be read yet.
    func unwatch(_ downstream: UnsafeMutablePointer<Downstream>) {
        system.unwatch(downstream.pointee.descriptor)
        downstream.pointee.isUnwatched = true
        downstream.pointee.interest = []
    }

    /// Whether bytes of the client can be used now.
    @inline(__always)
    func wantsInput(_ downstream: UnsafeMutablePointer<Downstream>) -> Bool {
        if downstream.pointee.readClosed { return false }
        switch downstream.pointee.phase {
        case .head: return downstream.pointee.outbound.isEmpty
        case .flushing, .lingering: return true
        case .discovering: return downstream.pointee.inbound.count < Self.scratchSize
        case .tunnel: return downstream.pointee.exchange.request.isEmpty
        case .exchanging:
            if downstream.pointee.exchange.bodyComplete { return downstream.pointee.inbound.count < Self.scratchSize }
            guard let upstream = downstream.pointee.exchange.upstream else { return false }
            // When the host takes nothing more and has answered, the rest is dropped.
            if upstream.pointee.sendError != 0 { return downstream.pointee.exchange.hasAnswered }
            return upstream.pointee.phase != .connecting && downstream.pointee.exchange.request.isEmpty
        }
    }

    /// Reads unless the client lags behind; waits for room while a part of the request waits.
    @inline(__always)
    private mutating func settle(_ upstream: UnsafeMutablePointer<Upstream>) {
        switch upstream.pointee.phase {
        case .connecting:
            // It is watched for the end of connecting from the start.
            wheel.set(timer(upstream), deadline: upstream.pointee.since + settings.limits.connectTimeout)
            return
        case .idle: wheel.set(timer(upstream), deadline: upstream.pointee.since + Self.poolTimeout)
        case .head, .body, .tunnel: wheel.pause(timer(upstream))
        }
        if upstream.pointee.isUnwatched { return }
        var interest: Readiness = .readable
        if let downstream = upstream.pointee.downstream {
            if !downstream.pointee.outbound.isEmpty || upstream.pointee.readClosed { interest = [] }
            if !downstream.pointee.exchange.request.isEmpty && upstream.pointee.sendError == 0 {
                interest.insert(.writable)
            }
        }
        if interest == upstream.pointee.interest { return }
        upstream.pointee.interest = interest
        system.rewatch(upstream.pointee.descriptor, interest, token: Token(.exclusiveUpstream, upstream).rawValue)
    }

    // MARK: Timers

    @inline(__always)
    func timer(_ downstream: UnsafeMutablePointer<Downstream>) -> UnsafeMutablePointer<WheelTimer> {
        UnsafeMutableRawPointer(downstream).assumingMemoryBound(to: WheelTimer.self)
    }

    /// When the phase that a client's connection is in must be over.
    @inline(__always)
    private func deadline(of downstream: UnsafeMutablePointer<Downstream>) -> Int64 {
        let active = downstream.pointee.active
        switch downstream.pointee.phase {
        case .head: return headDeadline(of: downstream)
        case .discovering: return downstream.pointee.exchange.headAt + settings.limits.discoveryTimeout
        case .exchanging:
            if downstream.pointee.exchange.hasAnswered { return active + settings.limits.idleTimeout }
            if downstream.pointee.exchange.bodyComplete { return downstream.pointee.exchange.deadline }
            return min(downstream.pointee.exchange.deadline, active + settings.limits.idleTimeout)
        case .tunnel, .flushing: return active + settings.limits.idleTimeout
        case .lingering: return min(active + Self.lingerPause, downstream.pointee.lingersUntil)
        }
    }

    @inline(__always)
    private func headDeadline(of downstream: UnsafeMutablePointer<Downstream>) -> Int64 {
        // It is read before this batch of events is over.
        if downstream.pointee.queue.isLinked { return .max }
        if downstream.pointee.outbound.isEmpty {
            let started = downstream.pointee.exchange.started
            if started != 0 { return started + settings.limits.headTimeout }
            if drainingSince != 0 { return max(downstream.pointee.active, drainingSince) + Self.drainPause }
        }
        return downstream.pointee.active + settings.limits.idleTimeout
    }

    mutating func downstreamTimeout(_ downstream: UnsafeMutablePointer<Downstream>) {
        let upstream = downstream.pointee.exchange.upstream
        if deadline(of: downstream) <= now { endPhase(downstream) }
        settle(downstream, upstream)
    }

    /// The time of the phase is over.
    private mutating func endPhase(_ downstream: UnsafeMutablePointer<Downstream>) {
        switch downstream.pointee.phase {
        case .head:
            if downstream.pointee.exchange.started != 0 && downstream.pointee.outbound.isEmpty {
                refuseHead(downstream, 408, "the request's head did not arrive in time")
            } else {
                close(downstream)
            }
        case .discovering:
            stopWaiting(downstream)
            answerUndiscovered(downstream)
        case .exchanging: exchangeTimeout(downstream)
        case .tunnel: endTunnel(downstream)
        case .flushing, .lingering: close(downstream)
        }
    }

    mutating func upstreamTimeout(_ upstream: UnsafeMutablePointer<Upstream>) {
        guard let downstream = upstream.pointee.downstream else { return close(upstream) }
        if upstream.pointee.phase == .connecting { connectFailed(upstream, ETIMEDOUT) }
        settle(downstream, upstream)
    }

    /// Draining has begun. Connections without a request close soon; the others are told with their answer.
    mutating func drainDownstreams() {
        var item = http.all.first
        while let downstream = item {
            item = http.all.next(after: downstream)
            settle(downstream, downstream.pointee.exchange.upstream)
        }
    }
}
