import Codecs
import Glibc
import Runtime

// Consumers' connections: opening, reading, answering and closing.
extension Worker {
    mutating func openConsumer(_ descriptor: Int32, peer: SocketAddress, listener: Int) {
        let consumer = dubbo.consumers.take(
            Consumer(descriptor: descriptor, listener: Int32(listener), peer: PeerText(peer)))
        consumer.pointee.next = dubbo.first
        dubbo.first?.pointee.previous = consumer
        dubbo.first = consumer
        system.watch(descriptor, .readable, token: Token(.consumer, consumer).rawValue)
    }

    @inline(__always)
    mutating func consumerReady(_ consumer: UnsafeMutablePointer<Consumer>, _ readiness: Readiness) {
        if consumer.pointee.isClosed { return }
        let isOver = !readiness.isDisjoint(with: [.error, .hangUp])
        if consumer.pointee.readClosed && isOver { return close(consumer) }
        if readiness.contains(.writable) { markDirty(consumer) }
        // What came before the end counts: reading tells when the end is reached.
        if isOver || readiness.contains(.readable) { read(consumer) }
    }

    // MARK: Reading

    @inline(__always)
    private mutating func read(_ consumer: UnsafeMutablePointer<Consumer>) {
        if consumer.pointee.readClosed { return }
        if consumer.pointee.inbound.isEmpty {
            let count = system.receive(consumer.pointee.descriptor, scratch, Self.scratchSize)
            if count <= 0 { return endOfRequests(consumer, count) }
            noteArrival(consumer, count)
            let used = consume(consumer, scratch, count)
            if used < count && !consumer.pointee.isClosed {
                buffers.append(scratch + used, count: count - used, to: &consumer.pointee.inbound)
            }
        } else {
            readOn(consumer)
        }
        if !consumer.pointee.isClosed { watch(consumer) }
    }

    @inline(__always)
    private func noteArrival(_ consumer: UnsafeMutablePointer<Consumer>, _ count: Int) {
        if consumer.pointee.isWithinFrame {
            _ = consumer.pointee.progress.goOn(count, now: now)
        } else {
            consumer.pointee.progress.hear(now: now)
        }
    }

    /// A frame's beginning is there. Memory grows with what arrives, not with what the head promises.
    private mutating func readOn(_ consumer: UnsafeMutablePointer<Consumer>) {
        buffers.reserve(4096, in: &consumer.pointee.inbound)
        let count = system.receive(
            consumer.pointee.descriptor, consumer.pointee.inbound.tail, consumer.pointee.inbound.room)
        if count <= 0 { return endOfRequests(consumer, count) }
        noteArrival(consumer, count)
        var inbound = consumer.pointee.inbound
        consumer.pointee.inbound = Buffer()
        inbound.filled(count)
        inbound.consume(consume(consumer, inbound.bytes, inbound.count))
        if inbound.isEmpty || consumer.pointee.isClosed {
            buffers.release(&inbound)
        } else {
            consumer.pointee.inbound = inbound
        }
    }

    /// Uses whole frames; returns how many bytes were used.
    @inline(__always)
    private mutating func consume(
        _ consumer: UnsafeMutablePointer<Consumer>, _ bytes: UnsafeMutablePointer<UInt8>, _ count: Int
    ) -> Int {
        var used = 0
        while used < count && !consumer.pointee.isClosed {
            let step = Dubbo.nextFrame(
                bytes, count: count, used: &used, skip: &consumer.pointee.skip, limit: settings.limits.dubboBody)
            switch step {
            case .incomplete: return used
            case .invalid(let error):
                refuseStream(consumer, error)
                return count
            case .oversized(let head): refuseOversized(consumer, head)
            case .frame(let head):
                consumer.pointee.progress.hear(now: now)
                handle(consumer, head, bytes + used)
                used += head.frameLength
            }
        }
        return used
    }

    @inline(__always)
    private mutating func handle(
        _ consumer: UnsafeMutablePointer<Consumer>, _ head: Dubbo.FrameHead, _ frame: UnsafeMutablePointer<UInt8>
    ) {
        // Answers: nothing was asked of a consumer.
        if !head.isRequest { return }
        if head.isEvent { return answerHeartbeat(consumer, head, frame) }
        beginCall(consumer, head, frame)
    }

    /// Heartbeats belong to this connection. Other events get no answer, not even when they are marked as two-way.
    private mutating func answerHeartbeat(
        _ consumer: UnsafeMutablePointer<Consumer>, _ head: Dubbo.FrameHead, _ frame: UnsafeMutablePointer<UInt8>
    ) {
        let body = frame + Dubbo.headSize
        guard head.isTwoWay, Dubbo.isHeartbeat(body, count: head.bodyLength, head.serialization) else { return }
        let count = Dubbo.writeHeartbeatAnswer(request: frame, count: head.frameLength, into: frame)
        send(frame, count, to: consumer)
    }

    /// The consumer has ended its side (`count` is 0) or the connection is broken.
    private mutating func endOfRequests(_ consumer: UnsafeMutablePointer<Consumer>, _ count: Int) {
        if count < 0 {
            if count.errorCode == EAGAIN || count.errorCode == EINTR { return }
            return close(consumer)
        }
        stopReading(consumer)
    }

    // MARK: Bad input

    /// What comes after these bytes cannot be understood either. What came before them is still answered.
    private mutating func refuseStream(_ consumer: UnsafeMutablePointer<Consumer>, _ error: Dubbo.FrameError) {
        switch error {
        case .badMagic: noteBadInput(consumer, "not a Dubbo frame: it does not begin with dabb")
        case .badLength: noteBadInput(consumer, "a Dubbo frame with a negative length")
        }
        stopReading(consumer)
    }

    /// The body is dropped as it comes.
    private mutating func refuseOversized(_ consumer: UnsafeMutablePointer<Consumer>, _ head: Dubbo.FrameHead) {
        let text =
            "greymesh: the request's body of \(head.bodyLength) bytes is longer than the limit of "
            + "\(settings.limits.dubboBody)"
        noteBadInput(consumer, text)
        guard head.isRequest, !head.isEvent else { return }
        if head.isTwoWay { sendError(Dubbo.Status.badRequest, head.id, text, to: consumer) }
        recordRefused(consumer, nil, status: Dubbo.Status.badRequest)
    }

    mutating func noteBadInput(_ consumer: UnsafeMutablePointer<Consumer>, _ reason: String) {
        note(
            .badInput(
                listener: listeners[Int(consumer.pointee.listener)].configuration.name,
                peer: consumer.peerText.text, reason: reason))
    }

    // MARK: Answering

    /// Has a frame written when this batch of events is through.
    @inline(__always)
    mutating func send(
        _ frame: UnsafeMutablePointer<UInt8>, _ count: Int, to consumer: UnsafeMutablePointer<Consumer>
    ) {
        if consumer.pointee.writeClosed { return }
        buffers.append(frame, count: count, to: &consumer.pointee.outbound)
        markDirty(consumer)
    }

    mutating func sendError(
        _ status: UInt8, _ id: Int64, _ text: String, to consumer: UnsafeMutablePointer<Consumer>
    ) {
        let frame = output
        var text = text
        let count = text.withUTF8 {
            Dubbo.writeError(status: status, id: id, text: $0.baseAddress!, count: $0.count, into: frame)
        }
        send(frame, count, to: consumer)
    }
}
