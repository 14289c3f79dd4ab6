import Runtime

// Connections that go to another process, which is to serve in this one's place, and those that have come from one.
//
// A connection with one request at a time goes when no request is in progress, with the bytes behind the last one. One of a multiplexed
// protocol goes at once: what was read and not used goes along, what it has not taken too, and answers to calls in flight follow as
// whole frames, which the other process writes between its own. Tunnels, uploads and responses in progress stay until they end.
extension Worker {
    // MARK: Giving

    mutating func beginHandOver(_ names: Set<String>) {
        for number in listeners.indices {
            listeners[number].isGiven = names.contains(listeners[number].configuration.name)
        }
        if names.isEmpty { return }
        handOver.isGiving = true
        // What was read already is begun with here: only then it is known what is left.
        continuePipelined()
        beginDrain()
        flush(dubbo)
        flush(bolt)
        give(dubbo)
        give(bolt)
    }

    /// Connections of the listener go to another process.
    @inline(__always)
    func isGiven(_ downstream: UnsafeMutablePointer<FramedDownstream>) -> Bool {
        listeners[Int(downstream.pointee.listener)].isGiven
    }

    /// The connection ends with its present request: the process does.
    @inline(__always)
    func isEnding(_ downstream: UnsafeMutablePointer<ExclusiveDownstream>) -> Bool {
        drainingSince != 0 && !listeners[Int(downstream.pointee.listener)].isGiven
    }

    /// Gives the connections between two requests away.
    @inline(never)
    mutating func giveIdle() {
        var item = http.all.first
        while let downstream = item {
            item = http.all.next(after: downstream)
            if downstream.pointee.phase == .head && downstream.pointee.link.outbound.isEmpty
                && !downstream.pointee.link.readClosed && listeners[Int(downstream.pointee.listener)].isGiven
            {
                give(downstream)
            }
        }
    }

    private mutating func give(_ downstream: UnsafeMutablePointer<ExclusiveDownstream>) {
        let listener = Int(downstream.pointee.listener)
        var connection = HandedConnection(
            descriptor: leave(downstream.link), listener: listeners[listener].configuration.name,
            peer: Self.address(downstream.peerText))
        connection.inbound = Self.bytes(downstream.pointee.link.inbound)
        outbox.post(.handedOver(connection))
        close(downstream)
    }

    private mutating func give<Codec: FramedCodec & ~Copyable>(_ framed: Framed<Codec>) {
        var item = framed.pointee.all.first
        while let downstream = item {
            item = framed.pointee.all.next(after: downstream)
            let link = downstream.link
            if link.pointee.writeClosed || link.pointee.peer != .socket || !isGiven(downstream) { continue }
            // It has ended its side, or nobody understands where its next frame begins: it ends here with its last answer.
            if link.pointee.readClosed { continue }
            give(framed, downstream)
        }
    }

    private mutating func give<Codec: FramedCodec & ~Copyable>(
        _ framed: Framed<Codec>, _ downstream: UnsafeMutablePointer<FramedDownstream>
    ) {
        let link = downstream.link
        var connection = HandedConnection(
            descriptor: leave(link), listener: listeners[Int(downstream.pointee.listener)].configuration.name,
            peer: Self.address(downstream.peerText))
        connection.lane = downstream.pointee.connection.lane
        connection.skip = downstream.pointee.connection.skip
        connection.inbound = Self.bytes(link.pointee.inbound)
        connection.outbound = Self.bytes(link.pointee.outbound)
        let isOwed = downstream.pointee.requestCount > 0
        if isOwed {
            handOver.lastNumber += 1
            connection.number = UInt64(index) << 48 | handOver.lastNumber
            downstream.pointee.givenAs = connection.number
        }
        outbox.post(.handedOver(connection))
        if !isOwed { return close(framed, downstream) }
        downstream.pointee.connection.skip = 0
        link.pointee.takenAt = 0
        buffers.release(&link.pointee.inbound)
        buffers.release(&link.pointee.outbound)
        // It ends with its last answer.
        link.pointee.readClosed = true
    }

    /// Writing to a connection that another process has, which always fails, has come to this: the answers go there.
    mutating func passOn<Codec: FramedCodec & ~Copyable>(
        _ framed: Framed<Codec>, _ downstream: UnsafeMutablePointer<FramedDownstream>
    ) {
        let link = downstream.link
        outbox.post(.owed(number: downstream.pointee.givenAs, Self.bytes(link.pointee.outbound)))
        buffers.release(&link.pointee.outbound)
        if !closeIfDone(framed, downstream) { watch(framed, downstream) }
    }

    /// Takes the socket out of the link and of the poller.
    private func leave(_ link: UnsafeMutablePointer<Link>) -> Int32 {
        let descriptor = link.pointee.descriptor
        if !link.pointee.isUnwatched { system.unwatch(descriptor) }
        link.pointee.isUnwatched = true
        link.pointee.interest = []
        link.pointee.peer = .elsewhere
        link.pointee.descriptor = -1
        return descriptor
    }

    private static func address(_ text: ByteString) -> SocketAddress {
        SocketAddress(ip: text.text, port: 0) ?? SocketAddress(ipv4: 0, port: 0)
    }

    private static func bytes(_ buffer: Buffer) -> [UInt8] {
        buffer.isEmpty ? [] : Array(UnsafeBufferPointer(start: buffer.bytes, count: buffer.count))
    }

    // MARK: Taking

    mutating func adopt(_ connection: HandedConnection) {
        let found = listeners.indices.first { listeners[$0].configuration.name == connection.listener }
        guard let listener = found else { return system.close(connection.descriptor) }
        listeners[listener].accepted += 1
        listeners[listener].open += 1
        switch listeners[listener].configuration.protocol {
        case .http: adopt(connection, listener)
        case .dubbo: adopt(dubbo, connection, listener)
        case .bolt: adopt(bolt, connection, listener)
        }
    }

    private mutating func adopt(_ connection: HandedConnection, _ listener: Int) {
        openDownstream(connection.descriptor, peer: connection.peer, listener: listener)
        guard let downstream = http.all.first, downstream.pointee.link.descriptor == connection.descriptor,
            !connection.inbound.isEmpty
        else { return }
        fill(&downstream.pointee.link.inbound, connection.inbound)
        queue(downstream)
    }

    private mutating func adopt<Codec: FramedCodec & ~Copyable>(
        _ framed: Framed<Codec>, _ connection: HandedConnection, _ listener: Int
    ) {
        openDownstream(framed, connection.descriptor, peer: connection.peer, listener: listener)
        guard let downstream = framed.pointee.all.first,
            downstream.pointee.connection.link.descriptor == connection.descriptor
        else { return }
        downstream.pointee.connection.lane = connection.lane
        downstream.pointee.connection.skip = max(0, connection.skip)
        // The time of a frame that has begun with the other process begins here.
        downstream.pointee.connection.progress.hear(now: now)
        if connection.number != 0 {
            downstream.pointee.owedAs = connection.number
            handOver.owed[connection.number] = downstream
        }
        if !connection.outbound.isEmpty {
            fill(&downstream.pointee.connection.link.outbound, connection.outbound)
            markDirty(framed, downstream)
        }
        if !connection.inbound.isEmpty { take(framed, downstream.connection, connection.inbound) }
        if !downstream.pointee.connection.link.isClosed { watch(framed, downstream) }
    }

    private mutating func fill(_ buffer: inout Buffer, _ bytes: [UInt8]) {
        bytes.withUnsafeBufferPointer { buffers.append($0.baseAddress.unsafelyUnwrapped, count: $0.count, to: &buffer) }
    }

    mutating func writeOwed(_ number: UInt64, _ bytes: [UInt8]) {
        guard let downstream = handOver.owed[number], !bytes.isEmpty else { return }
        switch RecordKind(code: downstream.link.timer.pointee.kind) {
        case .dubboDownstream: writeOwed(dubbo, downstream, bytes)
        default: writeOwed(bolt, downstream, bytes)
        }
    }

    private mutating func writeOwed<Codec: FramedCodec & ~Copyable>(
        _ framed: Framed<Codec>, _ downstream: UnsafeMutablePointer<FramedDownstream>, _ bytes: [UInt8]
    ) {
        if downstream.pointee.connection.link.writeClosed { return }
        fill(&downstream.pointee.connection.link.outbound, bytes)
        markDirty(framed, downstream)
    }

    /// Nothing more comes from the other process: a peer that asks nothing more has all its answers.
    mutating func endOwed(_ number: UInt64) {
        guard let downstream = handOver.owed.removeValue(forKey: number) else { return }
        downstream.pointee.owedAs = 0
        switch RecordKind(code: downstream.link.timer.pointee.kind) {
        case .dubboDownstream: markDirty(dubbo, downstream)
        default: markDirty(bolt, downstream)
        }
    }

    /// A connection closes.
    mutating func endHandOver(_ downstream: UnsafeMutablePointer<FramedDownstream>) {
        if downstream.pointee.owedAs != 0 { handOver.owed[downstream.pointee.owedAs] = nil }
        if downstream.pointee.givenAs != 0 { outbox.post(.settled(number: downstream.pointee.givenAs)) }
    }
}
