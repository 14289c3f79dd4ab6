import Balancing
import Runtime

// A second host beside one that does not answer. `exchange.upstream` is the connection of both that something has happened to,
// `exchange.hedge` the other one: so whatever happens to one of them is handled as if it were alone. What a host has not taken of the
// request waits in its connection's own `outbound`.
//
// | what happens to one | the other one |
// |---|---|
// | an answer that can be passed on, an interim one too | is closed |
// | an answer with a status that the policy names, a failure | goes on alone |
// | it is too slow (`per_try_timeout`, the first one) | goes on alone, with the time that is left |
// | the downstream goes, the time is over | is closed |
extension Worker {
    /// Asks another host as well, when that may be and there is one of the same version.
    mutating func hedge(
        _ downstream: UnsafeMutablePointer<ExclusiveDownstream>, _ upstream: UnsafeMutablePointer<ExclusiveUpstream>,
        _ service: UnsafeMutablePointer<Service>
    ) {
        downstream.pointee.exchange.state.isHedged = true
        guard downstream.pointee.exchange.bodyComplete, !downstream.pointee.exchange.wantsUpgrade,
            case .attempt(let cause?) = verdict(
                on: .overdue(repetition(downstream)), of: downstream.pointee.exchange.state)
        else { return }
        var tried = downstream.pointee.exchange.state.tried
        tried.insert(upstream.pointee.endpoint)
        guard
            let choice = choose(service, downstream.pointee.exchange.state.asked, tried: tried, isUsable: true),
            choice.cluster.pointee.version == downstream.pointee.exchange.state.served,
            downstream.pointee.exchange.limits.beginDouble(
                service.pointee.traffic.find(downstream.pointee.exchange.state.served))
        else { return }
        guard let second = secondConnection(downstream, service, choice) else {
            return downstream.pointee.exchange.limits.endDouble()
        }
        service.pointee.furtherTries.begin(cause, of: &downstream.pointee.exchange.state)
        stepAside(upstream, downstream)
        begin(downstream, service, second, choice.member)
        keepUnsent(second, downstream)
    }

    /// A connection to the second host, made or begun.
    private mutating func secondConnection(
        _ downstream: UnsafeMutablePointer<ExclusiveDownstream>, _ service: UnsafeMutablePointer<Service>,
        _ choice: Choice
    ) -> UnsafeMutablePointer<ExclusiveUpstream>? {
        let wasPending = downstream.pointee.exchange.limits.isPending
        downstream.pointee.exchange.limits.beginMove()
        var second: UnsafeMutablePointer<ExclusiveUpstream>?
        do throws(NoConnection) {
            second = try connection(to: choice.member.pointee.endpoint, for: downstream, of: choice.origin)
        } catch {
            switch error {
            case .failed(let error): noteUnconnected(choice.member, service, error.code)
            case .limited(let reason):
                service.pointee.metrics.countRefusal(downstream.pointee.exchange.state.served, reason)
            }
        }
        downstream.pointee.exchange.limits.endMove(isDone: second != nil, wasPending: wasPending)
        return second
    }

    /// The first connection goes on with what it has still to send by itself, and the whole request is there for the second one.
    private mutating func stepAside(
        _ upstream: UnsafeMutablePointer<ExclusiveUpstream>, _ downstream: UnsafeMutablePointer<ExclusiveDownstream>
    ) {
        keepUnsent(upstream, downstream)
        downstream.pointee.exchange.request.rewind()
        upstream.pointee.aside = downstream.pointee.exchange.state.current
        downstream.pointee.exchange.state.current = TryState()
        downstream.pointee.exchange.hedge = upstream
        downstream.pointee.exchange.upstream = nil
    }

    private mutating func keepUnsent(
        _ upstream: UnsafeMutablePointer<ExclusiveUpstream>, _ downstream: UnsafeMutablePointer<ExclusiveDownstream>
    ) {
        let rest = downstream.pointee.exchange.request.count
        if rest == 0 { return }
        if upstream.pointee.link.sendError == 0 {
            buffers.append(
                downstream.pointee.exchange.request.bytes, count: rest, to: &upstream.pointee.link.outbound)
        }
        downstream.pointee.exchange.request.pass(rest)
    }

    /// The host takes more of a request that two hosts have, or had.
    mutating func sendCopy(
        _ upstream: UnsafeMutablePointer<ExclusiveUpstream>, _ downstream: UnsafeMutablePointer<ExclusiveDownstream>
    ) {
        flushRelay(upstream.link)
        if upstream.pointee.link.outbound.isEmpty { downstream.pointee.exchange.state.givenAt = now }
    }

    // MARK: What happens to one of both

    /// Something has happened to the connection that `exchange.hedge` is.
    @inline(never)
    func turn(
        to upstream: UnsafeMutablePointer<ExclusiveUpstream>, _ downstream: UnsafeMutablePointer<ExclusiveDownstream>
    ) {
        let other = downstream.pointee.exchange.upstream
        other?.pointee.aside = downstream.pointee.exchange.state.current
        downstream.pointee.exchange.state.current = upstream.pointee.aside
        downstream.pointee.exchange.upstream = upstream
        downstream.pointee.exchange.hedge = other
    }

    /// One of both connections is gone: the other one has the request.
    mutating func goOn(_ downstream: UnsafeMutablePointer<ExclusiveDownstream>) {
        guard let other = downstream.pointee.exchange.hedge else { return }
        turn(to: other, downstream)
        downstream.pointee.exchange.limits.endDouble()
        if other.pointee.phase != .connecting { downstream.pointee.exchange.limits.endPending() }
    }

    /// A host is left whose answer is not wanted, or that is too slow, as the other one has the request too.
    mutating func leave(
        _ upstream: UnsafeMutablePointer<ExclusiveUpstream>, _ downstream: UnsafeMutablePointer<ExclusiveDownstream>,
        after event: RequestEvent, mayKeep: Bool
    ) {
        downstream.pointee.exchange.state.tried.insert(upstream.pointee.endpoint)
        if case .slow = event {
            tallyFailure(downstream.pointee.exchange.state)
            noteTimeout(upstream.pointee.endpoint, since: downstream.pointee.exchange.state.givenAt)
        }
        detach(upstream, from: downstream)
        if mayKeep && upstream.pointee.link.outbound.isEmpty { putBack(upstream) } else { close(upstream) }
        goOn(downstream)
    }

    /// The first of both hosts has taken as long as one may.
    mutating func leaveFirst(_ downstream: UnsafeMutablePointer<ExclusiveDownstream>) {
        guard let other = downstream.pointee.exchange.hedge else { return }
        if other.pointee.aside.givenAt < downstream.pointee.exchange.state.givenAt { turn(to: other, downstream) }
        guard let first = downstream.pointee.exchange.upstream else { return }
        leave(first, downstream, after: .slow(progress(downstream)), mayKeep: false)
    }

    /// Closes the other connection.
    ///
    /// - Parameter isBeaten: this one has answered first. A host that was asked before it, and has not, is as slow as one whose try is
    ///   over.
    @inline(never)
    mutating func endHedge(_ downstream: UnsafeMutablePointer<ExclusiveDownstream>, isBeaten: Bool) {
        guard let current = downstream.pointee.exchange.upstream, let other = downstream.pointee.exchange.hedge else {
            return
        }
        let endpoint = other.pointee.endpoint
        turn(to: other, downstream)
        downstream.pointee.exchange.state.tried.insert(endpoint)
        let givenAt = downstream.pointee.exchange.state.givenAt
        if isBeaten && givenAt < current.pointee.aside.givenAt { noteTimeout(endpoint, since: givenAt) }
        detach(other, from: downstream)
        close(other)
        goOn(downstream)
    }
}
