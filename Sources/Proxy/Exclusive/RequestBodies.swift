import Codecs
import Runtime

// A request's way to a host, third part: what is sent, and what is kept to be sent again.
extension Worker {
    /// Writes what waits in `request`; when the host does not take all, the poller tells when it will.
    @inline(__always)
    mutating func sendRequest(
        _ upstream: UnsafeMutablePointer<ExclusiveUpstream>, _ downstream: UnsafeMutablePointer<ExclusiveDownstream>
    ) {
        let waiting = downstream.pointee.exchange.request.count
        if waiting == 0 || upstream.pointee.link.sendError != 0 { return }
        let sent = send(upstream.link, downstream.pointee.exchange.request.bytes, waiting)
        if sent < 0 {
            // What the host has said before it went counts: it is read with the connection's next event, which tells the end.
            if !sent.isAgain { upstream.pointee.link.sendError = sent.errorCode }
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
        _ downstream: UnsafeMutablePointer<ExclusiveDownstream>, _ bytes: UnsafeMutablePointer<UInt8>, _ count: Int
    ) -> Int {
        guard let taken = measureBody(downstream, bytes, count) else {
            downstream.pointee.exchange.keepAlive = false
            closeUpstream(of: downstream)
            if downstream.pointee.exchange.isResponding {
                abandon(downstream)
            } else {
                answer(downstream, .malformed, "the chunked body is malformed")
            }
            return count
        }
        downstream.pointee.exchange.awaitsContinue = false
        downstream.pointee.exchange.state.givenAt = now
        guard let upstream = downstream.pointee.exchange.upstream else { return taken }
        // Nobody takes it any more.
        if upstream.pointee.link.sendError != 0 && !downstream.pointee.exchange.isReplayable { return taken }
        keep(downstream, bytes, taken)
        if upstream.pointee.phase != .connecting { sendRequest(upstream, downstream) }
        return taken
    }

    /// Adds body bytes to `request`. What was sent stays in front of them as long as it may have to be sent again.
    private mutating func keep(
        _ downstream: UnsafeMutablePointer<ExclusiveDownstream>, _ bytes: UnsafeMutablePointer<UInt8>, _ count: Int
    ) {
        let sent = downstream.pointee.exchange.isReplayable ? downstream.pointee.exchange.request.start : 0
        if sent > 0 { downstream.pointee.exchange.request.rewind() }
        buffers.append(bytes, count: count, to: &downstream.pointee.exchange.request)
        downstream.pointee.exchange.request.pass(sent)
    }

    /// How many of the bytes belong to the request's body; nil when its framing is broken.
    private func measureBody(
        _ downstream: UnsafeMutablePointer<ExclusiveDownstream>, _ bytes: UnsafeMutablePointer<UInt8>, _ count: Int
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
    mutating func stopReplaying(_ downstream: UnsafeMutablePointer<ExclusiveDownstream>) {
        downstream.pointee.exchange.isReplayable = false
        if downstream.pointee.exchange.request.isEmpty { buffers.release(&downstream.pointee.exchange.request) }
    }
}
