import Balancing
import Codecs
import Glibc
import Runtime

// A host's answer on its way to the client.
extension Worker {
    mutating func upstreamReady(_ upstream: UnsafeMutablePointer<Upstream>, _ readiness: Readiness) {
        if upstream.pointee.isClosed { return }
        // Nobody asked: whatever comes of a host between answers ends the connection.
        guard let downstream = upstream.pointee.downstream else { return close(upstream) }
        downstream.pointee.active = now
        if upstream.pointee.phase == .connecting {
            finishConnect(upstream, downstream)
        } else {
            proceed(upstream, downstream, readiness)
        }
        settle(downstream, upstream)
    }

    @inline(__always)
    private mutating func proceed(
        _ upstream: UnsafeMutablePointer<Upstream>, _ downstream: UnsafeMutablePointer<Downstream>,
        _ readiness: Readiness
    ) {
        if readiness.contains(.writable) { continueSending(upstream, downstream) }
        if readiness == .writable { return }
        if upstream.pointee.readClosed { return unwatch(upstream) }
        read(upstream, downstream)
    }

    private mutating func finishConnect(
        _ upstream: UnsafeMutablePointer<Upstream>, _ downstream: UnsafeMutablePointer<Downstream>
    ) {
        let error = system.connectError(upstream.pointee.descriptor)
        guard error == 0 else { return connectFailed(upstream, error) }
        upstream.pointee.phase = .head
        continueSending(upstream, downstream)
    }

    /// The host takes more: sends what waits, then lets the client go on.
    private mutating func continueSending(
        _ upstream: UnsafeMutablePointer<Upstream>, _ downstream: UnsafeMutablePointer<Downstream>
    ) {
        sendRequest(upstream, downstream)
        if !downstream.pointee.exchange.request.isEmpty { return }
        if !downstream.pointee.exchange.bodyComplete && !downstream.pointee.inbound.isEmpty { queue(downstream) }
    }

    /// The host has ended both ways of a tunnel, which the poller tells again and again, and the client lags behind.
    private func unwatch(_ upstream: UnsafeMutablePointer<Upstream>) {
        if upstream.pointee.isUnwatched { return }
        system.unwatch(upstream.pointee.descriptor)
        upstream.pointee.isUnwatched = true
    }

    // MARK: Reading

    private mutating func read(
        _ upstream: UnsafeMutablePointer<Upstream>, _ downstream: UnsafeMutablePointer<Downstream>
    ) {
        if upstream.pointee.inbound.isEmpty {
            let count = system.receive(upstream.pointee.descriptor, scratch, Self.scratchSize)
            if count <= 0 { return endOfAnswer(upstream, downstream, count) }
            let used = consume(upstream, downstream, scratch, count)
            if used < count && !upstream.pointee.isClosed && upstream.pointee.phase == .head {
                buffers.append(scratch + used, count: count - used, to: &upstream.pointee.inbound)
            }
        } else {
            buffers.reserve(4096, in: &upstream.pointee.inbound)
            let count = system.receive(
                upstream.pointee.descriptor, upstream.pointee.inbound.tail, upstream.pointee.inbound.room)
            if count <= 0 { return endOfAnswer(upstream, downstream, count) }
            upstream.pointee.inbound.filled(count)
            var inbound = upstream.pointee.inbound
            upstream.pointee.inbound = Buffer()
            let used = consume(upstream, downstream, inbound.bytes, inbound.count)
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
        _ upstream: UnsafeMutablePointer<Upstream>, _ downstream: UnsafeMutablePointer<Downstream>,
        _ bytes: UnsafeMutablePointer<UInt8>, _ count: Int
    ) -> Int {
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
            refuseAnswer(upstream, downstream, error.text, "the host's answer is not valid HTTP")
            return count
        case .complete: break
        }
        if head.status == 101 && !wasAskedFor(downstream, bytes) {
            refuseAnswer(
                upstream, downstream, "an upgrade that was not asked for",
                "the host changed to a protocol not asked for")
            return count
        }
        upstream.pointee.scan = HTTP1.ScanState()
        noteSuccess(upstream.pointee.endpoint)
        if head.isInterim { return passInterim(downstream, head, bytes) }
        let length = Int(head.length)
        let written = writeHead(upstream, downstream, head, bytes)
        if head.status == 101 {
            beginTunnel(upstream, downstream)
            passToDownstream(downstream, head: written, bytes + length, count - length)
        } else {
            passBody(upstream, downstream, head: written, bytes + length, count - length)
        }
        return count
    }

    /// The host's answer cannot be passed on.
    private mutating func refuseAnswer(
        _ upstream: UnsafeMutablePointer<Upstream>, _ downstream: UnsafeMutablePointer<Downstream>,
        _ fault: StaticString, _ reason: StaticString
    ) {
        blame(.host, upstream.pointee.endpoint, "bad answer: \(fault)")
        detach(upstream, from: downstream)
        close(upstream)
        answer(downstream, 502, reason)
    }

    /// Whether the request asked for the protocol that the host changes to. Else a tunnel would pass on what the client sends as
    /// further requests, unread, to a host that they are not meant for.
    private func wasAskedFor(_ downstream: UnsafeMutablePointer<Downstream>, _ bytes: UnsafeMutablePointer<UInt8>)
        -> Bool
    {
        let request = downstream.pointee.exchange.request
        guard downstream.pointee.exchange.wantsUpgrade, let asked = request.memory else { return false }
        var (head, state) = (HTTP1.RequestHead(), HTTP1.ScanState())
        var fields = HTTP1.FieldTable()
        let result = HTTP1.parseRequestHead(
            asked, count: request.end, limit: request.end, state: &state, head: &head, fields: &fields)
        return result == .complete && HTTP1.upgradeWasAskedFor(bytes, http.fields, asked, fields)
    }

    /// Passes on 100 Continue, 103 Early Hints and the like; clients of version 1.0 do not know them.
    private mutating func passInterim(
        _ downstream: UnsafeMutablePointer<Downstream>, _ head: HTTP1.ResponseHead, _ bytes: UnsafeMutablePointer<UInt8>
    ) -> Int {
        if head.status == 100 { downstream.pointee.exchange.awaitsContinue = false }
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
        upstream.pointee.keepAlive = head.flags.contains(.keepAlive)
        upstream.pointee.framing = head.framing
        upstream.pointee.phase = .body
        upstream.pointee.chunked = HTTP1.ChunkedState()
        chooseRelay(upstream, downstream, head.framing)
        let isLast = downstream.pointee.readClosed && downstream.pointee.inbound.isEmpty
        // The host may not take the rest of an upload: the client is told that the connection ends behind this answer.
        let isEarly = !downstream.pointee.exchange.bodyComplete
        if downstream.pointee.exchange.endsWithClose || isLast || isEarly || drainingSince != 0 {
            downstream.pointee.exchange.keepAlive = false
        }
        downstream.pointee.exchange.status = Int32(head.status)
        downstream.pointee.exchange.hasAnswered = true
        stopReplaying(downstream)

        var rewrite = HTTP1.ResponseRewrite()
        rewrite.connection = connectionWord(downstream)
        switch upstream.pointee.relay {
        case .same: break
        case .dechunked: rewrite.transferEncoding = .removed
        case .chunked: rewrite.transferEncoding = .added
        }
        if settings.tellsVersion, let service = downstream.pointee.exchange.service {
            let version = service.pointee.labels[Int(downstream.pointee.exchange.served)]
            rewrite.servedVersion = UnsafeBufferPointer(start: version.base, count: version.count)
        }
        return HTTP1.writeResponseHead(bytes, head, http.fields, rewrite, into: output, capacity: Self.outputSize)
    }

    /// Decides how the client sees the end of the body.
    @inline(__always)
    private func chooseRelay(
        _ upstream: UnsafeMutablePointer<Upstream>, _ downstream: UnsafeMutablePointer<Downstream>,
        _ framing: HTTP1.BodyFraming
    ) {
        let isVersion11 = downstream.pointee.exchange.isVersion11
        upstream.pointee.relay = .same
        switch framing {
        case .none, .length: return
        case .chunked: if !isVersion11 { upstream.pointee.relay = .dechunked }
        case .untilClose: if isVersion11 { upstream.pointee.relay = .chunked }
        }
        downstream.pointee.exchange.endsWithClose = !isVersion11
    }

    @inline(__always)
    private func connectionWord(_ downstream: UnsafeMutablePointer<Downstream>) -> HTTP1.ConnectionWord {
        if !downstream.pointee.exchange.keepAlive { return .close }
        return downstream.pointee.exchange.isVersion11 ? .omitted : .keepAlive
    }
}
