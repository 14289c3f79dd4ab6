import Codecs
import Runtime

// The head of a host's response.
extension Worker {
    /// Reads a head, and with it the first part of the body; returns the bytes used, 0 when the head is not whole.
    @inline(__always)
    mutating func readResponseHead(
        _ upstream: UnsafeMutablePointer<ExclusiveUpstream>, _ downstream: UnsafeMutablePointer<ExclusiveDownstream>,
        _ bytes: UnsafeMutablePointer<UInt8>, _ count: Int
    ) -> Int {
        var head = HTTP1.ResponseHead()
        let result = HTTP1.parseResponseHead(
            bytes, count: count, requestMethod: downstream.pointee.exchange.method, limit: settings.limits.httpHead,
            state: &upstream.pointee.scan, head: &head, fields: &http.fields)
        switch result {
        case .incomplete: return 0
        case .invalid(let error):
            refuseResponse(upstream, downstream, error.text)
            return count
        case .complete: break
        }
        if head.status == 101 && !wasAskedFor(downstream, bytes) {
            refuseResponse(
                upstream, downstream, "an upgrade that was not asked for",
                "the host changed to a protocol not asked for")
            return count
        }
        upstream.pointee.scan = HTTP1.ScanState()
        noteSuccess(upstream.pointee.endpoint)
        if head.isInterim { return passInterim(downstream, head, bytes) }
        if downstream.pointee.exchange.state.tally != nil || downstream.pointee.exchange.limits.isMeasured {
            noteAnswer(
                downstream.pointee.exchange.state, downstream.pointee.exchange.limits, status: Int32(head.status))
        }
        if head.status >= 500 && asksAnother(upstream, downstream, head, bodyCount: count - Int(head.length)) {
            return count
        }
        if downstream.pointee.exchange.hedge != nil { endHedge(downstream, isBeaten: true) }
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

    /// Whether another host has the request now, for the policy does not want this answer passed on.
    @inline(never)
    private mutating func asksAnother(
        _ upstream: UnsafeMutablePointer<ExclusiveUpstream>, _ downstream: UnsafeMutablePointer<ExclusiveDownstream>,
        _ head: HTTP1.ResponseHead, bodyCount: Int
    ) -> Bool {
        guard downstream.pointee.exchange.state.mirror != .copy,
            let service = downstream.pointee.exchange.state.service,
            service.pointee.traffic.find(downstream.pointee.exchange.state.served).pointee.retries.names(
                Int32(head.status))
        else { return false }
        // The connection is of use again when nothing is to come on it, and nothing to go.
        var mayKeep = head.flags.contains(.keepAlive) && downstream.pointee.exchange.bodyComplete
        switch head.framing {
        case .none: mayKeep = mayKeep && bodyCount == 0
        case .length(let length): mayKeep = mayKeep && length == UInt64(bodyCount)
        case .chunked, .untilClose: mayKeep = false
        }
        return moveOn(
            upstream, downstream,
            after: .answered(.possible, mayRepeat: repetition(downstream).isListed),
            mayKeep: mayKeep && downstream.pointee.exchange.request.isEmpty)
    }

    /// The host's response cannot be passed on.
    private mutating func refuseResponse(
        _ upstream: UnsafeMutablePointer<ExclusiveUpstream>, _ downstream: UnsafeMutablePointer<ExclusiveDownstream>,
        _ fault: StaticString, _ text: StaticString? = nil
    ) {
        lose(upstream, downstream, .unreadable, .host, "bad answer: \(fault)", text: text)
    }

    /// Whether the request asked for the protocol that the host changes to. Else a tunnel would pass on what the downstream sends as
    /// further requests, unread, to a host that they are not meant for.
    private func wasAskedFor(
        _ downstream: UnsafeMutablePointer<ExclusiveDownstream>, _ bytes: UnsafeMutablePointer<UInt8>
    )
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

    /// Passes on 100 Continue, 103 Early Hints and the like; downstreams of version 1.0 do not know them.
    private mutating func passInterim(
        _ downstream: UnsafeMutablePointer<ExclusiveDownstream>, _ head: HTTP1.ResponseHead,
        _ bytes: UnsafeMutablePointer<UInt8>
    ) -> Int {
        if downstream.pointee.exchange.hedge != nil { endHedge(downstream, isBeaten: true) }
        if head.status == 100 { downstream.pointee.exchange.awaitsContinue = false }
        if downstream.pointee.exchange.isVersion11 {
            let count = HTTP1.writeResponseHead(
                bytes, head, http.fields, HTTP1.ResponseRewrite(), into: output, capacity: Self.outputSize)
            downstream.pointee.exchange.hasInterim = true
            write(downstream, output, count, output, 0)
        }
        return Int(head.length)
    }

    /// Writes the response's head for the downstream into `output`; decides what becomes of both connections.
    @inline(__always)
    private mutating func writeHead(
        _ upstream: UnsafeMutablePointer<ExclusiveUpstream>, _ downstream: UnsafeMutablePointer<ExclusiveDownstream>,
        _ head: HTTP1.ResponseHead, _ bytes: UnsafeMutablePointer<UInt8>
    ) -> Int {
        upstream.pointee.keepAlive = head.flags.contains(.keepAlive)
        upstream.pointee.framing = head.framing
        upstream.pointee.phase = .body
        upstream.pointee.chunked = HTTP1.ChunkedState()
        chooseRelay(upstream, downstream, head.framing)
        let isLast = downstream.pointee.link.readClosed && downstream.pointee.link.inbound.isEmpty
        // The host may not take the rest of an upload: the downstream is told that the connection ends behind this response.
        let isEarly = !downstream.pointee.exchange.bodyComplete
        if downstream.pointee.exchange.endsWithClose || isLast || isEarly || isEnding(downstream) {
            downstream.pointee.exchange.keepAlive = false
        }
        downstream.pointee.exchange.status = Int32(head.status)
        downstream.pointee.exchange.isResponding = true
        if downstream.pointee.exchange.state.mirror == .chosen { mirror(downstream) }
        stopReplaying(downstream)
        // The host has done the work; a stream may go on for hours.
        if downstream.pointee.exchange.state.isRepeated {
            downstream.pointee.exchange.state.service?.pointee.furtherTries.end(&downstream.pointee.exchange.state)
        }

        var rewrite = HTTP1.ResponseRewrite()
        rewrite.connection = connectionWord(downstream)
        switch upstream.pointee.relay {
        case .same: break
        case .dechunked: rewrite.transferEncoding = .removed
        case .chunked: rewrite.transferEncoding = .added
        }
        if settings.tellsVersion, let service = downstream.pointee.exchange.state.service {
            let version = service.pointee.labels[Int(downstream.pointee.exchange.state.served)]
            rewrite.servedVersion = UnsafeBufferPointer(start: version.base, count: version.count)
            rewrite.ownsNotes = true
            rewrite.attempts = downstream.pointee.exchange.state.tried.count &+ 1
        }
        return HTTP1.writeResponseHead(bytes, head, http.fields, rewrite, into: output, capacity: Self.outputSize)
    }

    /// Decides how the downstream sees the end of the body.
    @inline(__always)
    private func chooseRelay(
        _ upstream: UnsafeMutablePointer<ExclusiveUpstream>, _ downstream: UnsafeMutablePointer<ExclusiveDownstream>,
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
    private func connectionWord(_ downstream: UnsafeMutablePointer<ExclusiveDownstream>) -> HTTP1.ConnectionWord {
        if !downstream.pointee.exchange.keepAlive { return .close }
        return downstream.pointee.exchange.isVersion11 ? .omitted : .keepAlive
    }
}
