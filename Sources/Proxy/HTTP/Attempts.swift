import Balancing
import Codecs
import Glibc
import Runtime

// A request's way to a host, second part: connection, sending, body.
extension Worker {
    /// Sends the request to a host: the first time, or again. False: there is no host, or none that was not tried.
    @inline(__always)
    mutating func attempt(
        _ downstream: UnsafeMutablePointer<Downstream>, _ service: UnsafeMutablePointer<Service>
    ) -> Bool {
        guard
            let choice = choose(
                service, downstream.pointee.exchange.asked, tried: downstream.pointee.exchange.tried)
        else { return false }
        let endpoint = choice.member.pointee.endpoint
        downstream.pointee.exchange.served = choice.cluster.pointee.version
        let upstream: UnsafeMutablePointer<Upstream>
        do throws(SystemError) {
            upstream = try connection(to: endpoint, for: downstream)
        } catch {
            notConnected(downstream, endpoint, error.code)
            return true
        }
        endpoint.pointee.take(now: now, patience: settings.limits.connectTimeout)
        downstream.pointee.exchange.upstream = upstream
        upstream.pointee.downstream = downstream
        upstream.pointee.uses &+= 1
        if upstream.pointee.phase != .connecting { sendRequest(upstream, downstream) }
        return true
    }

    /// Another host, while that can help; else the error.
    mutating func retryOrAnswer(
        _ downstream: UnsafeMutablePointer<Downstream>, _ status: Int, _ reason: StaticString
    ) {
        if let service = downstream.pointee.exchange.service, downstream.pointee.exchange.isReplayable,
            downstream.pointee.exchange.tried.count < Self.mostAttempts
        {
            downstream.pointee.exchange.request.rewind()
            if attempt(downstream, service) { return }
        }
        answer(downstream, status, reason)
    }

    /// The connection that was begun for a request has failed.
    mutating func connectFailed(_ upstream: UnsafeMutablePointer<Upstream>, _ error: Int32) {
        guard let downstream = upstream.pointee.downstream else { return close(upstream) }
        let endpoint = upstream.pointee.endpoint
        detach(upstream, from: downstream)
        // Blamed before it is closed: the last close may free the endpoint.
        let outcome = blameConnect(endpoint, error)
        downstream.pointee.exchange.tried.insert(endpoint)
        close(upstream)
        retryConnect(downstream, outcome)
    }

    private mutating func notConnected(
        _ downstream: UnsafeMutablePointer<Downstream>, _ endpoint: UnsafeMutablePointer<Endpoint>, _ error: Int32
    ) {
        let outcome = blameConnect(endpoint, error)
        downstream.pointee.exchange.tried.insert(endpoint)
        retryConnect(downstream, outcome)
    }

    private mutating func blameConnect(_ endpoint: UnsafeMutablePointer<Endpoint>, _ error: Int32) -> Outcome {
        let outcome = Outcome(error: error)
        blame(outcome, endpoint, "connect: " + SystemError.text(of: error))
        return outcome
    }

    private mutating func retryConnect(_ downstream: UnsafeMutablePointer<Downstream>, _ outcome: Outcome) {
        let isOurs = outcome == .ours
        retryOrAnswer(
            downstream, 503,
            isOurs ? "this proxy has no descriptors, ports or memory left to connect" : "no host could be reached")
    }

    // MARK: Sending

    /// Writes what waits in `request`; when the host does not take all, the poller tells when it will.
    @inline(__always)
    mutating func sendRequest(
        _ upstream: UnsafeMutablePointer<Upstream>, _ downstream: UnsafeMutablePointer<Downstream>
    ) {
        let waiting = downstream.pointee.exchange.request.count
        if waiting == 0 || upstream.pointee.sendError != 0 { return }
        let sent = system.send(upstream.pointee.descriptor, downstream.pointee.exchange.request.bytes, waiting)
        if sent < 0 {
            // What the host has said before it went counts: it is read with the connection's next event, which tells the end.
            if sent.errorCode != EAGAIN { upstream.pointee.sendError = sent.errorCode }
        } else if downstream.pointee.exchange.isReplayable {
            downstream.pointee.exchange.request.pass(sent)
            // An upgrade is looked up in the request when it is granted; it has no body.
            if downstream.pointee.exchange.request.end > Self.replayLimit && !downstream.pointee.exchange.wantsUpgrade {
                stopReplaying(downstream)
            }
        } else {
            downstream.pointee.exchange.request.consume(sent)
        }
    }

    /// Takes body bytes and sends them on; returns how many were taken.
    mutating func readBody(
        _ downstream: UnsafeMutablePointer<Downstream>, _ bytes: UnsafeMutablePointer<UInt8>, _ count: Int
    ) -> Int {
        guard let taken = measureBody(downstream, bytes, count) else {
            downstream.pointee.exchange.keepAlive = false
            if let upstream = downstream.pointee.exchange.upstream {
                detach(upstream, from: downstream)
                close(upstream)
            }
            if downstream.pointee.exchange.hasAnswered {
                abandon(downstream)
            } else {
                answer(downstream, 400, "the chunked body is malformed")
            }
            return count
        }
        downstream.pointee.exchange.awaitsContinue = false
        guard let upstream = downstream.pointee.exchange.upstream else { return taken }
        // Nobody takes it any more.
        if upstream.pointee.sendError != 0 && !downstream.pointee.exchange.isReplayable { return taken }
        keep(downstream, bytes, taken)
        if upstream.pointee.phase != .connecting { sendRequest(upstream, downstream) }
        return taken
    }

    /// Adds body bytes to `request`. What was sent stays in front of them as long as it may have to be sent again.
    private mutating func keep(
        _ downstream: UnsafeMutablePointer<Downstream>, _ bytes: UnsafeMutablePointer<UInt8>, _ count: Int
    ) {
        let sent = downstream.pointee.exchange.isReplayable ? downstream.pointee.exchange.request.start : 0
        if sent > 0 { downstream.pointee.exchange.request.rewind() }
        buffers.append(bytes, count: count, to: &downstream.pointee.exchange.request)
        downstream.pointee.exchange.request.pass(sent)
    }

    /// How many of the bytes belong to the request's body; nil when its framing is broken.
    private func measureBody(
        _ downstream: UnsafeMutablePointer<Downstream>, _ bytes: UnsafeMutablePointer<UInt8>, _ count: Int
    ) -> Int? {
        switch downstream.pointee.exchange.framing {
        case .none, .untilClose: return 0
        case .length(let left):
            let taken = Int(min(left, UInt64(count)))
            downstream.pointee.exchange.framing = .length(left - UInt64(taken))
            downstream.pointee.exchange.bodyComplete = left == UInt64(taken)
            return taken
        case .chunked:
            switch HTTP1.advanceChunked(bytes, count: count, state: &downstream.pointee.exchange.chunked) {
            case .needMore: return count
            case .done(let taken):
                downstream.pointee.exchange.bodyComplete = true
                return taken
            case .invalid: return nil
            }
        }
    }

    /// What was sent need not be kept any more.
    @inline(__always)
    mutating func stopReplaying(_ downstream: UnsafeMutablePointer<Downstream>) {
        downstream.pointee.exchange.isReplayable = false
        if downstream.pointee.exchange.request.isEmpty { buffers.release(&downstream.pointee.exchange.request) }
    }
}
