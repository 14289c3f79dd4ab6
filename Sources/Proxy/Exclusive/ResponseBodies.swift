import Codecs
import Glibc
import Runtime

// The body of a host's response, and how responses end.
extension Worker {
    /// Passes on body bytes, behind `head` bytes in `output`, and notices the end of the response.
    @inline(__always)
    mutating func passBody(
        _ upstream: UnsafeMutablePointer<ExclusiveUpstream>, _ downstream: UnsafeMutablePointer<ExclusiveDownstream>,
        head: Int,
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
            case .invalid:
                return lose(upstream, downstream, .ended(.answering), .host, "the answer's chunks are malformed")
            }
        }
        if taken < count { upstream.pointee.keepAlive = false }
        passToDownstream(downstream, head: head, bytes, taken)
        if isComplete && !downstream.pointee.link.isClosed { finishExchange(upstream, downstream) }
    }

    /// Writes to the downstream; when it does not take all, the host waits.
    @inline(__always)
    mutating func passToDownstream(
        _ downstream: UnsafeMutablePointer<ExclusiveDownstream>, head: Int, _ bytes: UnsafeMutablePointer<UInt8>,
        _ count: Int
    ) {
        if head + count > 0 { write(downstream, output, head, bytes, count) }
    }

    private mutating func passReframed(
        _ upstream: UnsafeMutablePointer<ExclusiveUpstream>, _ downstream: UnsafeMutablePointer<ExclusiveDownstream>,
        head: Int,
        _ bytes: UnsafeMutablePointer<UInt8>, _ count: Int
    ) {
        if upstream.pointee.relay == .dechunked {
            passDechunked(upstream, downstream, head: head, bytes, count)
        } else {
            passChunk(upstream, downstream, head: head, bytes, count)
        }
    }

    /// Takes the chunks apart for a downstream of version 1.0.
    private mutating func passDechunked(
        _ upstream: UnsafeMutablePointer<ExclusiveUpstream>, _ downstream: UnsafeMutablePointer<ExclusiveDownstream>,
        head: Int,
        _ bytes: UnsafeMutablePointer<UInt8>, _ count: Int
    ) {
        if head > 0 { write(downstream, output, head, bytes, 0) }
        var position = 0
        while !downstream.pointee.link.isClosed {
            let event = HTTP1.nextChunk(
                bytes, count: count, position: &position, state: &upstream.pointee.chunked)
            switch event {
            case .data(let range):
                passToDownstream(downstream, head: 0, bytes + Int(range.start), Int(range.count))
            case .needMore: return
            case .done:
                if position < count { upstream.pointee.keepAlive = false }
                return finishExchange(upstream, downstream)
            case .invalid:
                return lose(upstream, downstream, .ended(.answering), .host, "the answer's chunks are malformed")
            }
        }
    }

    /// Makes the bytes a chunk. Its line end is written with what follows, so that one call sends all.
    private mutating func passChunk(
        _ upstream: UnsafeMutablePointer<ExclusiveUpstream>, _ downstream: UnsafeMutablePointer<ExclusiveDownstream>,
        head: Int,
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
    private func endChunk(_ upstream: UnsafeMutablePointer<ExclusiveUpstream>, at place: Int) -> Int {
        guard upstream.pointee.isInChunk else { return 0 }
        upstream.pointee.isInChunk = false
        output[place] = 0x0d
        output[place + 1] = 0x0a
        return 2
    }

    /// The end of the connection is the good end of the response.
    private mutating func finishUntilClose(
        _ upstream: UnsafeMutablePointer<ExclusiveUpstream>, _ downstream: UnsafeMutablePointer<ExclusiveDownstream>
    ) {
        if upstream.pointee.relay == .chunked {
            let written = endChunk(upstream, at: 0)
            let last = HTTP1.lastChunk
            memcpy(output + written, last.utf8Start, last.utf8CodeUnitCount)
            passToDownstream(downstream, head: written + last.utf8CodeUnitCount, output, 0)
            if downstream.pointee.link.isClosed { return }
        }
        finishExchange(upstream, downstream)
    }

    /// The host has ended its side (`count` is 0) or the connection is broken.
    mutating func endOfResponse(
        _ upstream: UnsafeMutablePointer<ExclusiveUpstream>, _ downstream: UnsafeMutablePointer<ExclusiveDownstream>,
        _ count: Int
    ) {
        if count.isAgain { return }
        // Sending may have taken the error away that reading would tell.
        let error = count < 0 ? count.errorCode : upstream.pointee.link.sendError
        // EPIPE: the host had ended its side before it reset the connection, so that all it wanted to say is here.
        let isEnd = error == 0 || error == EPIPE
        if upstream.pointee.phase == .tunnel && isEnd {
            upstream.pointee.link.readClosed = true
        } else if upstream.pointee.phase == .body && upstream.pointee.framing == .untilClose && isEnd {
            finishUntilClose(upstream, downstream)
        } else {
            endEarly(upstream, downstream, isEnd ? 0 : error)
        }
    }

    /// A host that closes a kept connection does so before it sees the request: this is how long both may be on their way, in
    /// nanoseconds. Later it has had the request.
    private static var longestCrossing: Int64 { 250_000_000 }

    /// The connection has ended before the response.
    private mutating func endEarly(
        _ upstream: UnsafeMutablePointer<ExclusiveUpstream>, _ downstream: UnsafeMutablePointer<ExclusiveDownstream>,
        _ error: Int32
    ) {
        let outcome = Outcome(error: error)
        if downstream.pointee.exchange.isResponding {
            return lose(upstream, downstream, .ended(.answering), outcome, "the answer broke off")
        }
        let reason = error == 0 ? "closed without an answer" : SystemError.text(of: error)
        let progress = progress(downstream)
        let isStale =
            upstream.pointee.uses > 1 && upstream.pointee.link.inbound.isEmpty
            && !downstream.pointee.exchange.hasInterim
            && now - downstream.pointee.exchange.state.givenAt < Self.longestCrossing
        lose(upstream, downstream, isStale ? .stale(progress) : .ended(progress), outcome, reason)
    }
}
