import Balancing
import Codecs
import Glibc
import Runtime

// A host's answer on its way to the client.
extension Worker {
    mutating func upstreamReady(_ upstream: UnsafeMutablePointer<Upstream>, _ readiness: Readiness) {
        if upstream.pointee.isClosed { return }
        if upstream.pointee.phase == .connecting {
            finishConnect(upstream)
            return
        }
        if readiness.contains(.writable), let downstream = upstream.pointee.downstream {
            continueSending(upstream, downstream)
            if upstream.pointee.isClosed { return }
        }
        if !readiness.isDisjoint(with: [.readable, .error, .hangUp]) { read(upstream) }
    }

    private mutating func finishConnect(_ upstream: UnsafeMutablePointer<Upstream>) {
        let error = system.connectError(upstream.pointee.descriptor)
        guard error == 0 else { return connectFailed(upstream, SystemError.text(of: error)) }
        wheel.cancel(timer(upstream))
        upstream.pointee.phase = .head
        guard let downstream = upstream.pointee.downstream else { return close(upstream) }
        continueSending(upstream, downstream)
    }

    /// The host takes more: sends what waits, then lets the client go on.
    private mutating func continueSending(
        _ upstream: UnsafeMutablePointer<Upstream>, _ downstream: UnsafeMutablePointer<Downstream>
    ) {
        sendRequest(upstream, downstream)
        if upstream.pointee.isClosed || !downstream.pointee.exchange.request.isEmpty { return }
        if downstream.pointee.phase == .tunnel && downstream.pointee.readClosed {
            system.endOutput(upstream.pointee.descriptor)
        }
        if !downstream.pointee.exchange.bodyComplete && !downstream.pointee.inbound.isEmpty { queue(downstream) }
        updateInterest(downstream)
    }

    // MARK: Reading

    private mutating func read(_ upstream: UnsafeMutablePointer<Upstream>) {
        if upstream.pointee.inbound.isEmpty {
            let count = system.receive(upstream.pointee.descriptor, scratch, Self.scratchSize)
            if count <= 0 { return endOfAnswer(upstream, count) }
            let used = consume(upstream, scratch, count)
            if used < count && !upstream.pointee.isClosed && upstream.pointee.phase == .head {
                buffers.append(scratch + used, count: count - used, to: &upstream.pointee.inbound)
            }
        } else {
            buffers.reserve(4096, in: &upstream.pointee.inbound)
            let count = system.receive(
                upstream.pointee.descriptor, upstream.pointee.inbound.tail, upstream.pointee.inbound.room)
            if count <= 0 { return endOfAnswer(upstream, count) }
            upstream.pointee.inbound.filled(count)
            var inbound = upstream.pointee.inbound
            upstream.pointee.inbound = Buffer()
            let used = consume(upstream, inbound.bytes, inbound.count)
            inbound.consume(used)
            if inbound.isEmpty || upstream.pointee.isClosed || upstream.pointee.phase != .head {
                buffers.release(&inbound)
            } else {
                upstream.pointee.inbound = inbound
            }
        }
    }

    /// Passes on what belongs to the answer; returns how many bytes were used.
    private mutating func consume(
        _ upstream: UnsafeMutablePointer<Upstream>, _ bytes: UnsafeMutablePointer<UInt8>, _ count: Int
    ) -> Int {
        guard let downstream = upstream.pointee.downstream else {
            // Nobody asked: whatever a host sends between answers cannot be trusted.
            close(upstream)
            return count
        }
        var used = 0
        while used < count && upstream.pointee.phase == .head && !upstream.pointee.isClosed {
            let taken = readAnswerHead(upstream, downstream, bytes + used, count - used)
            if taken == 0 { return used }
            used += taken
        }
        if used < count && !upstream.pointee.isClosed {
            passBody(upstream, downstream, head: 0, bytes + used, count - used)
        }
        return count
    }

    /// Reads a head, and with it the first part of the body; returns the bytes used, 0 when the head is not whole.
    @inline(__always)
    private mutating func readAnswerHead(
        _ upstream: UnsafeMutablePointer<Upstream>, _ downstream: UnsafeMutablePointer<Downstream>,
        _ bytes: UnsafeMutablePointer<UInt8>, _ count: Int
    ) -> Int {
        var head = HTTP1.ResponseHead()
        let result = HTTP1.parseResponseHead(
            bytes, count: count, requestMethod: downstream.pointee.exchange.method, limit: Self.scratchSize,
            state: &upstream.pointee.scan, head: &head, fields: &http.fields)
        switch result {
        case .incomplete: return 0
        case .invalid(let error):
            noteFailure(upstream.pointee.endpoint, "bad answer: \(error.text)")
            detach(upstream, from: downstream)
            close(upstream)
            answer(downstream, 502, "the host's answer is not valid HTTP")
            return count
        case .complete: break
        }
        upstream.pointee.scan = HTTP1.ScanState()
        noteSuccess(upstream.pointee.endpoint)
        if head.isInterim { return passInterim(downstream, head, bytes) }
        let length = Int(head.length)
        let written = writeHead(upstream, downstream, head, bytes)
        if head.status == 101 {
            beginTunnel(upstream, downstream)
            passToDownstream(upstream, downstream, head: written, bytes + length, count - length)
        } else {
            passBody(upstream, downstream, head: written, bytes + length, count - length)
        }
        return count
    }

    /// Passes on 100 Continue, 103 Early Hints and the like; clients of version 1.0 do not know them.
    private mutating func passInterim(
        _ downstream: UnsafeMutablePointer<Downstream>, _ head: HTTP1.ResponseHead, _ bytes: UnsafeMutablePointer<UInt8>
    ) -> Int {
        if downstream.pointee.exchange.isVersion11 {
            let count = HTTP1.writeResponseHead(
                bytes, head, http.fields, HTTP1.ResponseRewrite(), into: output, capacity: Self.outputSize)
            write(downstream, output, count, output, 0)
        }
        return Int(head.length)
    }

    /// Writes the answer's head for the client into `output`; decides what becomes of both connections.
    @inline(__always)
    private mutating func writeHead(
        _ upstream: UnsafeMutablePointer<Upstream>, _ downstream: UnsafeMutablePointer<Downstream>,
        _ head: HTTP1.ResponseHead, _ bytes: UnsafeMutablePointer<UInt8>
    ) -> Int {
        wheel.pause(timer(downstream))
        upstream.pointee.keepAlive = head.flags.contains(.keepAlive)
        upstream.pointee.framing = head.framing
        upstream.pointee.phase = .body
        upstream.pointee.chunked = HTTP1.ChunkedState()
        let isVersion11 = downstream.pointee.exchange.isVersion11
        upstream.pointee.dechunks = head.framing == .chunked && !isVersion11
        if head.framing == .untilClose || upstream.pointee.dechunks || drainingSince != 0 {
            downstream.pointee.exchange.keepAlive = false
        }
        downstream.pointee.exchange.status = Int32(head.status)
        downstream.pointee.exchange.hasAnswered = true
        stopReplaying(downstream)

        var rewrite = HTTP1.ResponseRewrite()
        rewrite.connection = connectionWord(downstream)
        rewrite.transferEncoding = upstream.pointee.dechunks ? .removed : .kept
        if settings.tellsVersion, let service = downstream.pointee.exchange.service {
            let version = service.pointee.labels[Int(downstream.pointee.exchange.served)]
            rewrite.servedVersion = UnsafeBufferPointer(start: version.base, count: version.count)
        }
        return HTTP1.writeResponseHead(bytes, head, http.fields, rewrite, into: output, capacity: Self.outputSize)
    }

    @inline(__always)
    private func connectionWord(_ downstream: UnsafeMutablePointer<Downstream>) -> HTTP1.ConnectionWord {
        if !downstream.pointee.exchange.keepAlive { return .close }
        return downstream.pointee.exchange.isVersion11 ? .omitted : .keepAlive
    }

    /// Passes on body bytes, behind `head` bytes in `output`, and notices the end of the answer.
    @inline(__always)
    private mutating func passBody(
        _ upstream: UnsafeMutablePointer<Upstream>, _ downstream: UnsafeMutablePointer<Downstream>, head: Int,
        _ bytes: UnsafeMutablePointer<UInt8>, _ count: Int
    ) {
        if upstream.pointee.phase == .tunnel {
            return passToDownstream(upstream, downstream, head: head, bytes, count)
        }
        if upstream.pointee.dechunks { return passDechunked(upstream, downstream, head: head, bytes, count) }
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
            case .invalid: return brokenAnswer(upstream, downstream)
            }
        }
        if taken < count { upstream.pointee.keepAlive = false }
        passToDownstream(upstream, downstream, head: head, bytes, taken)
        if isComplete && !downstream.pointee.isClosed { finishExchange(upstream, downstream) }
    }

    /// Writes to the client; when it does not take all, the host waits.
    @inline(__always)
    mutating func passToDownstream(
        _ upstream: UnsafeMutablePointer<Upstream>, _ downstream: UnsafeMutablePointer<Downstream>, head: Int,
        _ bytes: UnsafeMutablePointer<UInt8>, _ count: Int
    ) {
        if head + count == 0 { return }
        write(downstream, output, head, bytes, count)
        if !upstream.pointee.isClosed { updateInterest(upstream) }
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
                passToDownstream(upstream, downstream, head: 0, bytes + Int(range.start), Int(range.count))
            case .needMore: return
            case .done:
                if position < count { upstream.pointee.keepAlive = false }
                return finishExchange(upstream, downstream)
            case .invalid: return brokenAnswer(upstream, downstream)
            }
        }
    }

    /// The answer cannot be completed: the client learns it from the connection's end.
    private mutating func brokenAnswer(
        _ upstream: UnsafeMutablePointer<Upstream>, _ downstream: UnsafeMutablePointer<Downstream>
    ) {
        noteFailure(upstream.pointee.endpoint, "the answer broke off")
        detach(upstream, from: downstream)
        close(upstream)
        endExchange(downstream, code: Self.brokenOff)
        close(downstream)
    }

    /// Code that counts answers that broke off after their head was sent.
    static var brokenOff: Int32 { 599 }

    // MARK: Ends

    private mutating func endOfAnswer(_ upstream: UnsafeMutablePointer<Upstream>, _ count: Int) {
        if count < 0 && (count.errorCode == EAGAIN || count.errorCode == EINTR) { return }
        let error = count < 0 ? count.errorCode : 0
        guard let downstream = upstream.pointee.downstream else { return close(upstream) }
        if upstream.pointee.phase == .tunnel && error == 0 { return endTunnelOutput(upstream, downstream) }
        if upstream.pointee.phase == .body && upstream.pointee.framing == .untilClose && error == 0 {
            upstream.pointee.keepAlive = false
            return finishExchange(upstream, downstream)
        }
        upstreamBroken(upstream, error)
    }

    /// The connection ended before the answer: tries again where that is safe, else tells the client.
    mutating func upstreamBroken(_ upstream: UnsafeMutablePointer<Upstream>, _ error: Int32) {
        guard let downstream = upstream.pointee.downstream else { return close(upstream) }
        if downstream.pointee.exchange.hasAnswered { return brokenAnswer(upstream, downstream) }
        let endpoint = upstream.pointee.endpoint
        let isStale = upstream.pointee.uses > 1 && upstream.pointee.inbound.isEmpty
        let nothingSent = downstream.pointee.exchange.isReplayable && downstream.pointee.exchange.request.start == 0
        let maySendAgain = nothingSent || downstream.pointee.exchange.method.isIdempotent
        detach(upstream, from: downstream)
        if isStale && downstream.pointee.exchange.staleAttempts < 2 {
            downstream.pointee.exchange.staleAttempts += 1
            downstream.pointee.exchange.avoidsPool = true
        } else {
            noteFailure(endpoint, error == 0 ? "closed without an answer" : SystemError.text(of: error))
            downstream.pointee.exchange.tried.insert(endpoint)
        }
        close(upstream)
        if maySendAgain {
            retryOrAnswer(downstream, 502, "the host closed the connection without an answer")
        } else {
            answer(downstream, 502, "the host closed the connection without an answer")
        }
    }

    mutating func connectFailed(_ upstream: UnsafeMutablePointer<Upstream>, _ reason: String) {
        let endpoint = upstream.pointee.endpoint
        guard let downstream = upstream.pointee.downstream else { return close(upstream) }
        detach(upstream, from: downstream)
        noteFailure(endpoint, "connect: " + reason)
        downstream.pointee.exchange.tried.insert(endpoint)
        close(upstream)
        retryOrAnswer(downstream, 503, "no host could be reached")
    }

    /// The host has not answered in time.
    mutating func responseTimeout(_ downstream: UnsafeMutablePointer<Downstream>) {
        if let upstream = downstream.pointee.exchange.upstream {
            detach(upstream, from: downstream)
            close(upstream)
        }
        answer(downstream, 504, "the host did not answer in time")
    }
}
