import Balancing
import Codecs
import Runtime

// Hosts' answers on their way to the downstreams.
extension Worker {
    @inline(__always)
    mutating func upstreamReady<Codec: FramedCodec & ~Copyable>(
        _ framed: Framed<Codec>, _ upstream: UnsafeMutablePointer<FramedUpstream>, _ readiness: Readiness
    ) {
        if upstream.pointee.connection.link.isClosed { return }
        if upstream.pointee.phase == .connecting {
            finishConnect(framed, upstream)
            if readiness.contains(.peerClosed) { readToEnd(framed, upstream) }
            return
        }
        if readiness.contains(.writable) { markDirty(framed, upstream) }
        if readiness.isDisjoint(with: [.readable, .error, .hangUp]) { return }
        let wasWithinFrame = upstream.pointee.connection.isWithinFrame
        read(framed, upstream.connection)
        if readiness.contains(.peerClosed) { return readToEnd(framed, upstream) }
        let isWatched = wasWithinFrame || upstream.pointee.connection.isWithinFrame
        if isWatched && !upstream.pointee.connection.link.isClosed { watch(framed, upstream) }
    }

    /// The host has ended its side: what it has still sent is taken at once, so that no request of this moment is sent after the end.
    @inline(never)
    private mutating func readToEnd<Codec: FramedCodec & ~Copyable>(
        _ framed: Framed<Codec>, _ upstream: UnsafeMutablePointer<FramedUpstream>
    ) {
        while !upstream.pointee.connection.link.isClosed {
            if !read(framed, upstream.connection) { break }
        }
        if !upstream.pointee.connection.link.isClosed { watch(framed, upstream) }
    }

    /// Takes a whole frame.
    @inline(__always)
    mutating func take<Codec: FramedCodec & ~Copyable>(
        _ framed: Framed<Codec>, _ upstream: UnsafeMutablePointer<FramedUpstream>, _ head: Codec.Head,
        _ frame: UnsafeMutablePointer<UInt8>
    ) {
        switch Codec.role(head, frame) {
        case .response: passAnswer(framed, upstream, head, frame)
        case .heartbeat: send(framed, frame, Codec.answerHeartbeat(frame, head), to: upstream)
        case .heartbeatAnswer: noteAlive(upstream.pointee.endpoint)
        case .goodbye: beginLeaving(framed, upstream)
        case .comeback: endLeaving(framed, upstream)
        case .request, .foreign: refuseCallback(framed, upstream, head, frame)
        case .ignored: break
        }
    }

    // MARK: Answers

    @inline(__always)
    private mutating func passAnswer<Codec: FramedCodec & ~Copyable>(
        _ framed: Framed<Codec>, _ upstream: UnsafeMutablePointer<FramedUpstream>, _ head: Codec.Head,
        _ frame: UnsafeMutablePointer<UInt8>
    ) {
        noteSuccess(upstream.pointee.endpoint)
        // Nobody waits for answers that come too late.
        guard var request = framed.pointee.requests.find(Codec.id(head), from: upstream),
            let service = request.pointee.state.service
        else { return }
        let execution = Codec.execution(head, frame, of: service.pointee.name)
        let code = Codec.code(head, frame)
        if request.pointee.partner != nil {
            guard let one = answerTry(framed, request, upstream, execution, code: code) else { return }
            request = one
        }
        if request.pointee.state.tally != nil || request.pointee.limits.isMeasured {
            noteAnswer(request.pointee.state, request.pointee.limits, status: code, execution)
        }
        let rules = service.pointee.traffic.find(request.pointee.state.served)
        if execution != .possible || rules.pointee.retries.names(code),
            sendElsewhere(framed, request, upstream, execution, code: code)
        {
            return
        }
        if let downstream = request.pointee.downstream {
            Codec.stampResponse(frame, head, id: request.pointee.downstreamID)
            send(framed, frame, head.frameLength, to: downstream)
        }
        end(framed, request, code: code)
    }

    /// Tells the downstream; the body is dropped as it comes.
    mutating func refuseOversized<Codec: FramedCodec & ~Copyable>(
        _ framed: Framed<Codec>, _ upstream: UnsafeMutablePointer<FramedUpstream>, _ head: Codec.Head
    ) {
        guard !head.isRequest, var request = framed.pointee.requests.find(Codec.id(head), from: upstream) else {
            return
        }
        if request.pointee.partner != nil { request = winTry(framed, request) }
        let host = upstream.pointee.endpoint.pointee.address.description
        answer(
            framed, request, .badAnswer,
            "greymesh: the answer of \(host) has \(head.bodyLength) bytes, more than the limit of "
                + "\(framed.pointee.bodyLimit)")
    }

    // MARK: What hosts ask

    private mutating func noteAlive(_ endpoint: UnsafeMutablePointer<Endpoint>) {
        if endpoint.pointee.failures == 0 { return }
        endpoint.pointee.noteAlive()
        if endpoint.pointee.failures == 0 { note(.hostRecovered(address: endpoint.pointee.address)) }
    }

    /// A callback would have to reach the downstream that registered it, but this connection is everybody's.
    private mutating func refuseCallback<Codec: FramedCodec & ~Copyable>(
        _ framed: Framed<Codec>, _ upstream: UnsafeMutablePointer<FramedUpstream>, _ head: Codec.Head,
        _ frame: UnsafeMutablePointer<UInt8>
    ) {
        guard Codec.isTwoWay(head) else { return }
        let count = Codec.write(
            .unsupported, "greymesh: requests of hosts (argument callbacks) are not passed to downstreams",
            id: Codec.id(head), Codec.form(head, frame), into: output)
        send(framed, output, count, to: upstream)
    }
}
