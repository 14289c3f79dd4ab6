import Codecs
import Runtime

// Downstream connections: opening, reading and answering.
extension Worker {
    mutating func openDownstream<Codec: FramedCodec & ~Copyable>(
        _ framed: Framed<Codec>, _ descriptor: Int32, peer: SocketAddress, listener: Int
    ) {
        let downstream = framed.pointee.downstreams.take(
            FramedDownstream(
                Codec.records.downstream, descriptor: descriptor, listener: Int32(listener), peer: peer))
        framed.pointee.all.insert(downstream)
        if open(downstream.link) != 0 { close(framed, downstream) }
    }

    @inline(__always)
    mutating func downstreamReady<Codec: FramedCodec & ~Copyable>(
        _ framed: Framed<Codec>, _ downstream: UnsafeMutablePointer<FramedDownstream>, _ readiness: Readiness
    ) {
        if downstream.pointee.connection.link.isClosed { return }
        let isOver = !readiness.isDisjoint(with: [.error, .hangUp])
        if downstream.pointee.connection.link.readClosed && isOver {
            // An event of this batch may be older than the hand-over.
            return downstream.pointee.givenAs == 0 ? close(framed, downstream) : ()
        }
        if readiness.contains(.writable) { markDirty(framed, downstream) }
        // What came before the end counts: reading tells when the end is reached.
        guard isOver || readiness.contains(.readable), !downstream.pointee.connection.link.readClosed else { return }
        read(framed, downstream.connection)
        if !downstream.pointee.connection.link.isClosed { watch(framed, downstream) }
    }

    /// Takes a whole frame.
    @inline(__always)
    mutating func take<Codec: FramedCodec & ~Copyable>(
        _ framed: Framed<Codec>, _ downstream: UnsafeMutablePointer<FramedDownstream>, _ head: Codec.Head,
        _ frame: UnsafeMutablePointer<UInt8>
    ) {
        switch Codec.role(head, frame) {
        case .request: begin(framed, downstream, head, frame)
        case .heartbeat:
            downstream.pointee.connection.lane = Codec.form(head, nil).lane
            send(framed, frame, Codec.answerHeartbeat(frame, head), to: downstream)
        case .foreign: refuseForeign(framed, downstream, head, frame)
        // Nothing was asked of a downstream, and it does not lead.
        case .response, .heartbeatAnswer, .goodbye, .comeback, .ignored: break
        }
    }

    // MARK: Bad input

    private mutating func refuseForeign<Codec: FramedCodec & ~Copyable>(
        _ framed: Framed<Codec>, _ downstream: UnsafeMutablePointer<FramedDownstream>, _ head: Codec.Head,
        _ frame: UnsafeMutablePointer<UInt8>
    ) {
        let text = "greymesh: the request is of a kind that is not forwarded"
        noteBadInput(downstream, text)
        refuse(framed, downstream, head, Codec.form(head, frame), .unsupported, text)
    }

    /// The body is dropped as it comes.
    mutating func refuseOversized<Codec: FramedCodec & ~Copyable>(
        _ framed: Framed<Codec>, _ downstream: UnsafeMutablePointer<FramedDownstream>, _ head: Codec.Head
    ) {
        let text =
            "greymesh: the request's body of \(head.bodyLength) bytes is longer than the limit of "
            + "\(framed.pointee.bodyLimit)"
        noteBadInput(downstream, text)
        guard head.isRequest else { return }
        refuse(framed, downstream, head, Codec.form(head, nil), .tooLong, text)
    }

    /// Answers and records a request that has no service.
    ///
    /// - Parameter frame: what was read last, when that was this request.
    mutating func refuse<Codec: FramedCodec & ~Copyable>(
        _ framed: Framed<Codec>, _ downstream: UnsafeMutablePointer<FramedDownstream>, _ head: Codec.Head,
        _ form: FrameForm, _ answer: LocalAnswer, _ text: String, frame: UnsafeMutablePointer<UInt8>? = nil
    ) {
        if Codec.isTwoWay(head) {
            send(framed, output, Codec.write(answer, text, id: Codec.id(head), form, into: output), to: downstream)
        }
        recordRefused(framed, downstream, frame, code: Codec.code(answer))
    }

    mutating func noteBadInput(_ downstream: UnsafeMutablePointer<FramedDownstream>, _ reason: String) {
        note(
            .badInput(
                listener: listeners[Int(downstream.pointee.listener)].configuration.name,
                peer: downstream.peerText.text, reason: reason))
    }
}
