import Runtime

// How requests end that a host has answered, or that run out of time.
extension Worker {
    /// The host's response has been passed on to its end.
    @inline(__always)
    mutating func finishExchange(
        _ upstream: UnsafeMutablePointer<ExclusiveUpstream>, _ downstream: UnsafeMutablePointer<ExclusiveDownstream>
    ) {
        if downstream.pointee.exchange.state.mirror == .copy { return finishCopy(upstream, downstream) }
        // What the host has not taken of a body is nobody's any more; the downstream has sent it all the same, and may go on.
        let isRead = downstream.pointee.exchange.bodyComplete
        let isSent = isRead && downstream.pointee.exchange.request.isEmpty && upstream.pointee.link.outbound.isEmpty
        detach(upstream, from: downstream)
        if upstream.pointee.keepAlive && isSent { putBack(upstream) } else { close(upstream) }
        endExchange(downstream, code: downstream.pointee.exchange.status)
        if downstream.pointee.exchange.keepAlive && isRead {
            nextRequest(downstream)
        } else {
            finishConnection(downstream)
        }
    }

    /// The connection is ready for another request, which may be there already.
    @inline(__always)
    mutating func nextRequest(_ downstream: UnsafeMutablePointer<ExclusiveDownstream>) {
        downstream.pointee.phase = .head
        downstream.pointee.exchange.state.started = 0
        downstream.pointee.exchange.headAt = 0
        downstream.pointee.active = now
        if !downstream.pointee.link.inbound.isEmpty { queue(downstream) }
    }

    /// Counts and logs a request that has ended in whatever way, and gives back what it held.
    @inline(__always)
    mutating func endExchange(_ downstream: UnsafeMutablePointer<ExclusiveDownstream>, code: Int32) {
        buffers.release(&downstream.pointee.exchange.request)
        let service = downstream.pointee.exchange.state.service
        downstream.pointee.exchange.isOpen = false
        record(
            RequestRecord(
                service: service, kind: .http, requested: downstream.pointee.exchange.state.asked.requestedLabel,
                served: downstream.pointee.exchange.state.served, code: code,
                started: downstream.pointee.exchange.state.started), line: &downstream.pointee.exchange.state.logLine)
        guard let service else { return }
        if downstream.pointee.exchange.limits.place != nil { downstream.pointee.exchange.limits.leaveLimits() }
        if downstream.pointee.exchange.state.isRepeated {
            service.pointee.furtherTries.end(&downstream.pointee.exchange.state)
        }
        downstream.pointee.exchange.state.service = nil
        finishRequest(of: service)
    }

    /// The response cannot be completed. What has come of it is still written; then the downstream learns from the connection's end
    /// that it is cut: by its framing, or by a reset where the end itself would be a good one.
    mutating func cut(_ downstream: UnsafeMutablePointer<ExclusiveDownstream>) {
        let endsWithClose = downstream.pointee.exchange.endsWithClose || downstream.pointee.phase == .tunnel
        endExchange(downstream, code: RequestCode.cut)
        downstream.pointee.endsWithReset = endsWithClose
        finishConnection(downstream)
    }

    // MARK: Time

    /// The time of a request with a host is over: before the head of its response, or in the middle of the response.
    mutating func exchangeTimeout(_ downstream: UnsafeMutablePointer<ExclusiveDownstream>) {
        guard let upstream = downstream.pointee.exchange.upstream else { return abandon(downstream) }
        if downstream.pointee.exchange.state.mirror == .copy { return endCopy(downstream, .failed) }
        let isOwed = owesBody(downstream, upstream)
        if isTryOver(downstream) {
            if !isOwed { return endTry(downstream, upstream) }
            // That is not the host's fault: its time begins anew.
            if let service = downstream.pointee.exchange.state.service { beginTryTime(downstream, service) }
            return
        }
        if downstream.pointee.exchange.isResponding {
            if isOwed || !downstream.pointee.link.outbound.isEmpty { return abandon(downstream) }
            if case .length = upstream.pointee.framing {
                return lose(upstream, downstream, .ended(.answering), .host, "the answer stopped")
            }
            // Events of a stream may come seldom.
            noteTimeout(upstream.pointee.endpoint, since: downstream.pointee.active)
            return lose(upstream, downstream, .ended(.answering), .downstream, "the answer stopped")
        }
        if isOwed {
            closeUpstream(of: downstream)
            return answer(
                downstream, 408, "the request's body did not arrive in time", error: LocalAnswer.word(refusing: 408))
        }
        if downstream.pointee.exchange.hedge != nil { endHedge(downstream, isBeaten: false) }
        downstream.pointee.exchange.limits.measure(since: downstream.pointee.exchange.state.givenAt, now: now)
        lose(upstream, downstream, .timedOut, hadTime(downstream) ? .host : .downstream, "no answer in time")
    }

    /// Whether a host that has not answered had half of the time for it. The rest of a body may have come only now, or the request
    /// was with another host before, or what it has said is not taken: that is not this host's failure.
    private func hadTime(_ downstream: UnsafeMutablePointer<ExclusiveDownstream>) -> Bool {
        let timeout = downstream.pointee.exchange.state.deadline - downstream.pointee.exchange.headAt
        return downstream.pointee.link.outbound.isEmpty
            && now - lag.running(since: downstream.pointee.exchange.state.givenAt) >= timeout / 2
    }

    /// Whether it is not the request's whole time that is over, but that of one try.
    private func isTryOver(_ downstream: UnsafeMutablePointer<ExclusiveDownstream>) -> Bool {
        !downstream.pointee.exchange.isResponding && downstream.pointee.exchange.tryDeadline <= now
            && now < downstream.pointee.exchange.state.deadline
    }

    /// Whether all is with the host that the downstream has sent, and a part of its body is still to come.
    private func owesBody(
        _ downstream: UnsafeMutablePointer<ExclusiveDownstream>, _ upstream: UnsafeMutablePointer<ExclusiveUpstream>
    ) -> Bool {
        !downstream.pointee.exchange.bodyComplete && !downstream.pointee.exchange.awaitsContinue
            && downstream.pointee.exchange.request.isEmpty && upstream.pointee.phase != .connecting
            && upstream.pointee.link.sendError == 0
    }
}
