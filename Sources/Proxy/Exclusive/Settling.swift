import Glibc
import Runtime

// What the poller watches for and when a timer fires follow from a connection's state, here and nowhere else: every event, every
// timer and every request that is read later ends with `settle`.
//
// | phase | ends when | after | with |
// |---|---|---|---|
// | head, nothing read | the downstream is idle | `idle_timeout`; draining: 1 s | close |
// | head, a part read | the rest does not come | `head_timeout` from its first byte | 408 |
// | head, the response before not taken | the downstream takes nothing | `idle_timeout` | close |
// | discovering | the registries do not answer | `discovery_timeout` from the whole head | 503 |
// | discovering | the same | `timeout` from the whole head | 504 |
// | delayed on purpose | the delay (`fault`) | the same | to a host, or an answer |
// | delayed on purpose | the wait before a further try | `backoff` | to a host, or an answer |
// | delayed on purpose | the request's time | `timeout` from the whole head | 504 |
// | exchanging, connecting | the host does not accept | `connect_timeout` | another host, or 503 |
// | exchanging, before the response | its head does not come | `hedge` | another host beside it, where one can be asked |
// | exchanging, before the response | its head does not come | `per_try_timeout` | another host, where one can be asked |
// | exchanging, before the response | its head does not come | `timeout` from the whole head, for all attempts | 504 |
// | exchanging, before the response | the downstream owes its body | the same, or `idle_timeout` without a byte | 408 |
// | exchanging, responding | the host stops | `stream_idle` without a byte | a cut response |
// | exchanging, responding | the downstream takes nothing, or owes its body | `stream_idle` | close |
// | tunnel | nothing moves either way | `stream_idle` | close |
// | flushing | the downstream takes nothing | `idle_timeout` | close |
// | lingering | the downstream does not end | 2 s of silence, 30 s in all | close |
//
// A host's connection in the pool is closed after a minute. The control plane ends whatever is left after `drain_timeout`.
extension Worker {
    private static var lingerPause: Int64 { 2_000_000_000 }
    static var longestLinger: Int64 { 30_000_000_000 }

    /// Brings a downstream connection, and those to hosts that the last step has to do with, into line with their state.
    ///
    /// - Parameter upstream: where the request was before the step.
    @inline(__always)
    mutating func settle(
        _ downstream: UnsafeMutablePointer<ExclusiveDownstream>, _ upstream: UnsafeMutablePointer<ExclusiveUpstream>?
    ) {
        if !downstream.pointee.link.isClosed {
            if downstream.pointee.phase == .tunnel { settleTunnel(downstream) }
            if downstream.pointee.link.readClosed { settleEnd(downstream) }
        }
        if !downstream.pointee.link.isClosed {
            if let current = downstream.pointee.exchange.upstream { settle(current) }
            if let hedge = downstream.pointee.exchange.hedge { settle(hedge) }
            watch(downstream)
            wheel.set(downstream.link.timer, deadline: deadline(of: downstream))
        }
        // It may be in the pool by now.
        if let upstream, !upstream.pointee.link.isClosed, upstream.pointee.downstream == nil { settle(upstream) }
    }

    /// What the end of a downstream's input means, once all that came before it is used.
    private mutating func settleEnd(_ downstream: UnsafeMutablePointer<ExclusiveDownstream>) {
        if downstream.pointee.link.isClosed || downstream.pointee.queue.isLinked { return }
        switch downstream.pointee.phase {
        case .head:
            if downstream.pointee.link.inbound.isEmpty || downstream.pointee.link.outbound.isEmpty {
                finishConnection(downstream)
            }
        case .exchanging, .delayed:
            let exchange = downstream.pointee.exchange
            if !exchange.bodyComplete && !exchange.isResponding && downstream.pointee.link.inbound.isEmpty {
                abandon(downstream)
            }
        case .lingering: close(downstream)
        case .discovering, .tunnel, .flushing: break
        }
    }

    // MARK: Interest

    /// Watches for what the connection's state can use: not for input that nobody takes, nor for room that nobody fills.
    @inline(__always)
    private func watch(_ downstream: UnsafeMutablePointer<ExclusiveDownstream>) {
        var interest: Readiness = wantsInput(downstream) ? .readable : []
        if !downstream.pointee.link.outbound.isEmpty { interest.insert(.writable) }
        watch(downstream.link, for: interest)
    }

    /// Whether bytes of the downstream can be used now.
    @inline(__always)
    func wantsInput(_ downstream: UnsafeMutablePointer<ExclusiveDownstream>) -> Bool {
        if downstream.pointee.link.readClosed { return false }
        switch downstream.pointee.phase {
        case .head: return downstream.pointee.link.outbound.isEmpty
        case .flushing, .lingering: return true
        case .discovering, .delayed: return downstream.pointee.link.inbound.count < Self.scratchSize
        case .tunnel: return downstream.pointee.exchange.upstream?.pointee.link.outbound.isEmpty == true
        case .exchanging:
            if downstream.pointee.exchange.bodyComplete {
                return downstream.pointee.link.inbound.count < Self.scratchSize
            }
            guard let upstream = downstream.pointee.exchange.upstream else { return false }
            // When the host takes nothing more and has answered, the rest is dropped.
            if upstream.pointee.link.sendError != 0 { return downstream.pointee.exchange.isResponding }
            return upstream.pointee.phase != .connecting && downstream.pointee.exchange.request.isEmpty
        }
    }

    /// Reads unless the downstream lags behind; waits for room while a part of the request waits.
    @inline(__always)
    private mutating func settle(_ upstream: UnsafeMutablePointer<ExclusiveUpstream>) {
        switch upstream.pointee.phase {
        case .connecting:
            // It is watched for the end of connecting from the start.
            wheel.set(upstream.link.timer, deadline: upstream.pointee.since + settings.limits.connectTimeout)
            return
        case .idle: wheel.set(upstream.link.timer, deadline: upstream.pointee.since + Self.poolTimeout)
        case .head, .body, .tunnel: wheel.pause(upstream.link.timer)
        }
        if upstream.pointee.link.isUnwatched { return }
        var interest: Readiness = .readable
        if let downstream = upstream.pointee.downstream {
            if !downstream.pointee.link.outbound.isEmpty || upstream.pointee.link.readClosed { interest = [] }
            let isWaiting = !downstream.pointee.exchange.request.isEmpty || !upstream.pointee.link.outbound.isEmpty
            if isWaiting && upstream.pointee.link.sendError == 0 { interest.insert(.writable) }
        }
        watch(upstream.link, for: interest)
    }

    // MARK: Timers

    /// When the phase that a downstream connection is in must be over.
    @inline(__always)
    private func deadline(of downstream: UnsafeMutablePointer<ExclusiveDownstream>) -> Int64 {
        let active = downstream.pointee.active
        switch downstream.pointee.phase {
        case .head: return headDeadline(of: downstream)
        case .discovering:
            let waited = downstream.pointee.exchange.headAt + settings.limits.discoveryTimeout
            return min(waited, downstream.pointee.exchange.state.deadline)
        case .delayed: return min(downstream.pointee.delayedUntil, downstream.pointee.exchange.state.deadline)
        case .exchanging:
            if downstream.pointee.exchange.isResponding { return active + streamIdle(of: downstream) }
            let end = min(downstream.pointee.exchange.state.deadline, downstream.pointee.exchange.tryDeadline)
            if downstream.pointee.exchange.bodyComplete { return end }
            return min(end, active + settings.limits.idleTimeout)
        case .tunnel: return active + streamIdle(of: downstream)
        case .flushing: return active + settings.limits.idleTimeout
        case .lingering: return min(active + Self.lingerPause, downstream.pointee.lingersUntil)
        }
    }

    /// How long the version that serves lets an answer, a stream or a tunnel be silent.
    @inline(never)
    private func streamIdle(of downstream: UnsafeMutablePointer<ExclusiveDownstream>) -> Int64 {
        let state = downstream.pointee.exchange.state
        // Nobody reads the answer to a copy: it may take as long as others may until they begin.
        if state.mirror == .copy { return state.deadline - downstream.pointee.active }
        let own = state.service?.pointee.traffic.find(state.served).pointee.streamIdle ?? 0
        return own > 0 ? own : settings.limits.idleTimeout
    }

    @inline(__always)
    private func headDeadline(of downstream: UnsafeMutablePointer<ExclusiveDownstream>) -> Int64 {
        // It is read before this batch of events is over.
        if downstream.pointee.queue.isLinked { return .max }
        if downstream.pointee.link.outbound.isEmpty {
            let started = downstream.pointee.exchange.state.started
            if started != 0 { return started + settings.limits.headTimeout }
            if drainingSince != 0 { return max(downstream.pointee.active, drainingSince) + Self.drainPause }
        }
        return downstream.pointee.active + settings.limits.idleTimeout
    }

    mutating func downstreamTimeout(_ downstream: UnsafeMutablePointer<ExclusiveDownstream>) {
        let upstream = downstream.pointee.exchange.upstream
        if deadline(of: downstream) <= now { endPhase(downstream) }
        settle(downstream, upstream)
    }

    /// The time of the phase is over.
    private mutating func endPhase(_ downstream: UnsafeMutablePointer<ExclusiveDownstream>) {
        switch downstream.pointee.phase {
        case .head:
            if downstream.pointee.exchange.state.started != 0 && downstream.pointee.link.outbound.isEmpty {
                refuseHead(downstream, 408, "the request's head did not arrive in time")
            } else {
                close(downstream)
            }
        case .discovering: waitingTimeout(downstream)
        case .delayed: endDelay(downstream)
        case .exchanging: exchangeTimeout(downstream)
        case .tunnel: endTunnel(downstream)
        case .flushing, .lingering: close(downstream)
        }
    }

    mutating func upstreamTimeout(_ upstream: UnsafeMutablePointer<ExclusiveUpstream>) {
        guard let downstream = upstream.pointee.downstream else { return close(upstream) }
        if downstream.pointee.exchange.upstream != upstream { turn(to: upstream, downstream) }
        if upstream.pointee.phase == .connecting { connectFailed(upstream, ETIMEDOUT) }
        settle(downstream, upstream)
    }

    /// Draining has begun. Connections without a request close soon; the others are told with their response.
    mutating func drainDownstreams() {
        var item = http.all.first
        while let downstream = item {
            item = http.all.next(after: downstream)
            settle(downstream, downstream.pointee.exchange.upstream)
        }
    }
}
