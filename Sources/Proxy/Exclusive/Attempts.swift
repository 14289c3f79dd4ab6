import Balancing
import Runtime

// A request's way to a host, second part: host, connection, and what becomes of the request when that fails.
extension Worker {
    /// Does what is decided about a request after an event.
    ///
    /// - Parameter text: what an answer of our own says; nil: what it says in general.
    @inline(__always)
    mutating func forward(
        _ downstream: UnsafeMutablePointer<ExclusiveDownstream>, after event: RequestEvent, _ text: StaticString? = nil
    ) {
        var verdict = Forwarding.verdict(on: event, of: downstream.pointee.exchange.state, now: now)
        if case .attempt = verdict {
            if attempt(downstream) { return }
            verdict = Forwarding.verdict(
                on: event, of: downstream.pointee.exchange.state, now: now, isHostLeft: false)
        }
        end(downstream, verdict, text)
    }

    private mutating func end(
        _ downstream: UnsafeMutablePointer<ExclusiveDownstream>, _ verdict: Verdict, _ text: StaticString?
    ) {
        switch verdict {
        case .answer(.noHost): answerNoHost(downstream)
        case .answer(.undiscovered): answerUndiscovered(downstream)
        case .answer(let answer): self.answer(downstream, answer, text ?? answer.text)
        case .cut: cut(downstream)
        case .attempt, .pass: break
        }
    }

    /// Sends the request to a host: the first time, or again. False: there is no host, or none that was not tried.
    @inline(__always)
    private mutating func attempt(_ downstream: UnsafeMutablePointer<ExclusiveDownstream>) -> Bool {
        guard let service = downstream.pointee.exchange.state.service,
            let choice = choose(
                service, downstream.pointee.exchange.state.asked, tried: downstream.pointee.exchange.state.tried)
        else { return false }
        let endpoint = choice.member.pointee.endpoint
        downstream.pointee.exchange.state.served = choice.cluster.pointee.version
        let upstream: UnsafeMutablePointer<ExclusiveUpstream>
        do throws(SystemError) {
            upstream = try connection(to: endpoint, for: downstream)
        } catch {
            notConnected(downstream, endpoint, error.code)
            return true
        }
        endpoint.pointee.take(now: now, timeout: settings.limits.connectTimeout)
        downstream.pointee.exchange.upstream = upstream
        upstream.pointee.downstream = downstream
        upstream.pointee.uses &+= 1
        if upstream.pointee.phase != .connecting { sendRequest(upstream, downstream) }
        return true
    }

    // MARK: Failing

    /// The connection that was begun for a request has failed.
    mutating func connectFailed(_ upstream: UnsafeMutablePointer<ExclusiveUpstream>, _ error: Int32) {
        guard let downstream = upstream.pointee.downstream else { return close(upstream) }
        let outcome = Outcome(error: error)
        lose(upstream, downstream, Self.event(of: outcome), outcome, Self.connectReason(error))
    }

    /// The connection could not even be begun.
    @inline(never)
    private mutating func notConnected(
        _ downstream: UnsafeMutablePointer<ExclusiveDownstream>, _ endpoint: UnsafeMutablePointer<Endpoint>,
        _ error: Int32
    ) {
        let outcome = Outcome(error: error)
        blame(outcome, endpoint, Self.connectReason(error))
        downstream.pointee.exchange.state.tried.insert(endpoint)
        retry(downstream, after: Self.event(of: outcome), nil)
    }

    private static func event(of outcome: Outcome) -> RequestEvent {
        outcome == .ours ? .exhausted : .ended(.nothingSent)
    }

    private static func connectReason(_ error: Int32) -> String { "connect: " + SystemError.text(of: error) }

    /// A request's connection is of no use any more: it was not made, has ended, or what came is no response.
    ///
    /// - Parameters:
    ///   - isStale: the host only closed what it had kept open for nobody. It is not at fault, and may get the request again.
    ///   - text: what an answer of our own says; nil: what it says in general.
    mutating func lose(
        _ upstream: UnsafeMutablePointer<ExclusiveUpstream>, _ downstream: UnsafeMutablePointer<ExclusiveDownstream>,
        _ event: RequestEvent, _ outcome: Outcome, _ reason: String, isStale: Bool = false, text: StaticString? = nil
    ) {
        let endpoint = upstream.pointee.endpoint
        detach(upstream, from: downstream)
        // Before the connection is closed: the last one may free the endpoint.
        if isStale {
            downstream.pointee.exchange.avoidsPool = true
        } else {
            blame(outcome, endpoint, reason)
            downstream.pointee.exchange.state.tried.insert(endpoint)
        }
        close(upstream)
        retry(downstream, after: event, text)
    }

    @inline(never)
    private mutating func retry(
        _ downstream: UnsafeMutablePointer<ExclusiveDownstream>, after event: RequestEvent, _ text: StaticString?
    ) {
        if downstream.pointee.exchange.isReplayable { downstream.pointee.exchange.request.rewind() }
        forward(downstream, after: event, text)
    }

    /// How far a request has come with its host.
    func progress(_ downstream: UnsafeMutablePointer<ExclusiveDownstream>) -> RequestEvent.Progress {
        if downstream.pointee.exchange.isResponding { return .answering }
        if !downstream.pointee.exchange.isReplayable { return .sent(mayRepeat: false) }
        if downstream.pointee.exchange.request.start == 0 { return .nothingSent }
        return .sent(mayRepeat: downstream.pointee.exchange.method.isIdempotent)
    }
}
