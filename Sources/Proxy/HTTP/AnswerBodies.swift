import Balancing
import Codecs
import Glibc
import Runtime

// The body of a host's answer, and how answers end.
extension Worker {
    /// Passes on body bytes, behind `head` bytes in `output`, and notices the end of the answer.
    @inline(__always)
    mutating func passBody(
        _ upstream: UnsafeMutablePointer<Upstream>, _ downstream: UnsafeMutablePointer<Downstream>, head: Int,
        _ bytes: UnsafeMutablePointer<UInt8>, _ count: Int
    ) {
        if upstream.pointee.phase == .tunnel {
            return passToDownstream(downstream, head: head, bytes, count)
        }
        if upstream.pointee.relay != .same { return passReframed(upstream, downstream, head: head, bytes, count) }
        var taken = count
        var isComplete = false
        switch upstream.pointee.framing {
        case .none: (taken, isComplete) = (0, true)
        case .untilClose: break
        case .length(let left):
            taken = Int(min(left, UInt64(count)))
            upstream.pointee.framing = .length(left - UInt64(taken))
            isComplete = left == UInt64(taken)
        case .chunked:
            switch HTTP1.advanceChunked(bytes, count: count, state: &upstream.pointee.chunked) {
            case .needMore: break
            case .done(let used): (taken, isComplete) = (used, true)
            case .invalid: return brokenAnswer(upstream, downstream, .host, "the answer's chunks are malformed")
            }
        }
        if taken < count { upstream.pointee.keepAlive = false }
        passToDownstream(downstream, head: head, bytes, taken)
        if isComplete && !downstream.pointee.isClosed { finishExchange(upstream, downstream) }
    }

    /// Writes to the client; when it does not take all, the host waits.
    @inline(__always)
    mutating func passToDownstream(
        _ downstream: UnsafeMutablePointer<Downstream>, head: Int, _ bytes: UnsafeMutablePointer<UInt8>, _ count: Int
    ) {
        if head + count > 0 { write(downstream, output, head, bytes, count) }
    }

    private mutating func passReframed(
        _ upstream: UnsafeMutablePointer<Upstream>, _ downstream: UnsafeMutablePointer<Downstream>, head: Int,
        _ bytes: UnsafeMutablePointer<UInt8>, _ count: Int
    ) {
        if upstream.pointee.relay == .dechunked {
            passDechunked(upstream, downstream, head: head, bytes, count)
        } else {
            passChunk(upstream, downstream, head: head, bytes, count)
        }
    }

    /// Takes the chunks apart for a client of version 1.0.
    private mutating func passDechunked(
        _ upstream: UnsafeMutablePointer<Upstream>, _ downstream: UnsafeMutablePointer<Downstream>, head: Int,
        _ bytes: UnsafeMutablePointer<UInt8>, _ count: Int
    ) {
        if head > 0 { write(downstream, output, head, bytes, 0) }
        var position = 0
        while !downstream.pointee.isClosed {
            let event = HTTP1.nextChunk(
                bytes, count: count, position: &position, state: &upstream.pointee.chunked)
            switch event {
            case .data(let range):
                passToDownstream(downstream, head: 0, bytes + Int(range.start), Int(range.count))
            case .needMore: return
            case .done:
                if position < count { upstream.pointee.keepAlive = false }
                return finishExchange(upstream, downstream)
            case .invalid: return brokenAnswer(upstream, downstream, .host, "the answer's chunks are malformed")
            }
        }
    }

    /// Makes the bytes a chunk. Its line end is written with what follows, so that one call sends all.
    private mutating func passChunk(
        _ upstream: UnsafeMutablePointer<Upstream>, _ downstream: UnsafeMutablePointer<Downstream>, head: Int,
        _ bytes: UnsafeMutablePointer<UInt8>, _ count: Int
    ) {
        var written = head
        if count > 0 {
            written += endChunk(upstream, at: written)
            written += HTTP1.writeChunkSize(count, into: output + written)
            upstream.pointee.isInChunk = true
        }
        passToDownstream(downstream, head: written, bytes, count)
    }

    /// Writes the line end of the chunk before into `output`; returns the bytes written.
    private func endChunk(_ upstream: UnsafeMutablePointer<Upstream>, at place: Int) -> Int {
        guard upstream.pointee.isInChunk else { return 0 }
        upstream.pointee.isInChunk = false
        output[place] = 0x0d
        output[place + 1] = 0x0a
        return 2
    }

    /// The end of the connection is the good end of the answer.
    private mutating func finishUntilClose(
        _ upstream: UnsafeMutablePointer<Upstream>, _ downstream: UnsafeMutablePointer<Downstream>
    ) {
        if upstream.pointee.relay == .chunked {
            let written = endChunk(upstream, at: 0)
            let last = HTTP1.lastChunk
            memcpy(output + written, last.utf8Start, last.utf8CodeUnitCount)
            passToDownstream(downstream, head: written + last.utf8CodeUnitCount, output, 0)
            if downstream.pointee.isClosed { return }
        }
        finishExchange(upstream, downstream)
    }

    // MARK: Ends

    /// The answer cannot be completed. What has come of it is still written; then the client learns from the connection's end that
    /// it is cut: by its framing, or by a reset where the end itself would be a good one.
    mutating func brokenAnswer(
        _ upstream: UnsafeMutablePointer<Upstream>, _ downstream: UnsafeMutablePointer<Downstream>,
        _ outcome: Outcome, _ reason: String
    ) {
        let endsWithClose = downstream.pointee.exchange.endsWithClose || upstream.pointee.phase == .tunnel
        blame(outcome, upstream.pointee.endpoint, reason)
        detach(upstream, from: downstream)
        close(upstream)
        endExchange(downstream, code: Self.brokenOff)
        downstream.pointee.endsWithReset = endsWithClose
        finishConnection(downstream)
    }

    /// Code that counts answers that broke off after their head was sent.
    static var brokenOff: Int32 { 599 }

    /// The host has ended its side (`count` is 0) or the connection is broken.
    mutating func endOfAnswer(
        _ upstream: UnsafeMutablePointer<Upstream>, _ downstream: UnsafeMutablePointer<Downstream>, _ count: Int
    ) {
        if count == -Int(EAGAIN) || count == -Int(EINTR) { return }
        // Sending may have taken the error away that reading would tell.
        let error = count < 0 ? count.errorCode : upstream.pointee.sendError
        // EPIPE: the host had ended its side before it reset the connection, so that all it wanted to say is here.
        let isEnd = error == 0 || error == EPIPE
        if upstream.pointee.phase == .tunnel && isEnd {
            upstream.pointee.readClosed = true
        } else if upstream.pointee.phase == .body && upstream.pointee.framing == .untilClose && isEnd {
            finishUntilClose(upstream, downstream)
        } else {
            upstreamBroken(upstream, downstream, isEnd ? 0 : error)
        }
    }

    /// The connection ended before the answer: tries again where that is safe, else tells the client.
    private mutating func upstreamBroken(
        _ upstream: UnsafeMutablePointer<Upstream>, _ downstream: UnsafeMutablePointer<Downstream>, _ error: Int32
    ) {
        let outcome = Outcome(error: error)
        if downstream.pointee.exchange.hasAnswered {
            return brokenAnswer(upstream, downstream, outcome, "the answer broke off")
        }
        let endpoint = upstream.pointee.endpoint
        let isStale = upstream.pointee.uses > 1 && upstream.pointee.inbound.isEmpty
        let nothingSent = downstream.pointee.exchange.isReplayable && downstream.pointee.exchange.request.start == 0
        let maySendAgain = nothingSent || downstream.pointee.exchange.method.isIdempotent
        detach(upstream, from: downstream)
        if isStale && downstream.pointee.exchange.staleAttempts < 2 {
            downstream.pointee.exchange.staleAttempts += 1
            downstream.pointee.exchange.avoidsPool = true
        } else {
            blame(outcome, endpoint, error == 0 ? "closed without an answer" : SystemError.text(of: error))
            downstream.pointee.exchange.tried.insert(endpoint)
        }
        close(upstream)
        if maySendAgain {
            retryOrAnswer(downstream, 502, "the host closed the connection without an answer")
        } else {
            answer(downstream, 502, "the host closed the connection without an answer")
        }
    }

    // MARK: Time

    /// The time of a request with a host is over: before the head of its answer, or in the middle of the answer.
    mutating func exchangeTimeout(_ downstream: UnsafeMutablePointer<Downstream>) {
        guard let upstream = downstream.pointee.exchange.upstream else { return abandon(downstream) }
        let isOwed = owesBody(downstream, upstream)
        if downstream.pointee.exchange.hasAnswered {
            if isOwed || !downstream.pointee.outbound.isEmpty { return abandon(downstream) }
            return brokenAnswer(upstream, downstream, .host, "the answer stopped")
        }
        blame(isOwed ? .client : .host, upstream.pointee.endpoint, "no answer in time")
        detach(upstream, from: downstream)
        close(upstream)
        if isOwed {
            answer(downstream, 408, "the request's body did not arrive in time")
        } else {
            answer(downstream, 504, "the host did not answer in time")
        }
    }

    /// Whether all is with the host that the client has sent, and a part of its body is still to come.
    private func owesBody(
        _ downstream: UnsafeMutablePointer<Downstream>, _ upstream: UnsafeMutablePointer<Upstream>
    ) -> Bool {
        !downstream.pointee.exchange.bodyComplete && !downstream.pointee.exchange.awaitsContinue
            && downstream.pointee.exchange.request.isEmpty && upstream.pointee.phase != .connecting
            && upstream.pointee.sendError == 0
    }
}
