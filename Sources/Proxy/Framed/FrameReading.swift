import Codecs
import Runtime

// Reading frames, from either side.
extension Worker {
    /// Reads once; the next event tells when there is more. False: nothing has come.
    @inline(__always) @discardableResult
    mutating func read<Codec: FramedCodec & ~Copyable>(
        _ framed: Framed<Codec>, _ connection: UnsafeMutablePointer<FramedConnection>
    ) -> Bool {
        if !connection.pointee.link.inbound.isEmpty { return readOn(framed, connection) }
        let count = receive(connection.link, scratch, Self.scratchSize)
        if count <= 0 {
            endOfStream(framed, connection, count)
            return false
        }
        noteArrival(connection, count)
        let used = consume(framed, connection, scratch, count)
        if used < count && !connection.pointee.link.isClosed && !connection.pointee.link.readClosed {
            buffers.append(scratch + used, count: count - used, to: &connection.pointee.link.inbound)
        }
        return true
    }

    /// A frame's beginning is there. Memory grows with what arrives, not with what the head promises.
    private mutating func readOn<Codec: FramedCodec & ~Copyable>(
        _ framed: Framed<Codec>, _ connection: UnsafeMutablePointer<FramedConnection>
    ) -> Bool {
        let link = connection.link
        buffers.reserve(4096, in: &link.pointee.inbound)
        let count = receive(link, link.pointee.inbound.tail, link.pointee.inbound.room)
        if count <= 0 {
            endOfStream(framed, connection, count)
            return false
        }
        noteArrival(connection, count)
        var inbound = link.pointee.inbound
        link.pointee.inbound = Buffer()
        inbound.filled(count)
        inbound.consume(consume(framed, connection, inbound.bytes, inbound.count))
        if inbound.isEmpty || link.pointee.isClosed || link.pointee.readClosed {
            buffers.release(&inbound)
        } else {
            link.pointee.inbound = inbound
        }
        return true
    }

    /// Uses bytes that another process has read of this connection.
    mutating func take<Codec: FramedCodec & ~Copyable>(
        _ framed: Framed<Codec>, _ connection: UnsafeMutablePointer<FramedConnection>, _ bytes: [UInt8]
    ) {
        var inbound = Buffer()
        bytes.withUnsafeBufferPointer {
            buffers.append($0.baseAddress.unsafelyUnwrapped, count: $0.count, to: &inbound)
        }
        noteArrival(connection, bytes.count)
        inbound.consume(consume(framed, connection, inbound.bytes, inbound.count))
        if inbound.isEmpty || connection.pointee.link.isClosed || connection.pointee.link.readClosed {
            buffers.release(&inbound)
        } else {
            connection.pointee.link.inbound = inbound
        }
    }

    /// Bytes of a frame that had begun before are no sign of life until they are many: nothing can overtake them, and what comes
    /// may never end.
    @inline(__always)
    private func noteArrival(_ connection: UnsafeMutablePointer<FramedConnection>, _ count: Int) {
        if !connection.pointee.isWithinFrame {
            hear(connection)
        } else if connection.pointee.progress.goOn(count, now: now) && connection.pointee.isUpstream {
            connection.upstream.pointee.answerBy = 0
        }
    }

    @inline(__always)
    private func hear(_ connection: UnsafeMutablePointer<FramedConnection>) {
        connection.pointee.progress.hear(now: now)
        if connection.pointee.isUpstream { connection.upstream.pointee.answerBy = 0 }
    }

    /// Uses whole frames; returns how many bytes were used.
    @inline(__always)
    private mutating func consume<Codec: FramedCodec & ~Copyable>(
        _ framed: Framed<Codec>, _ connection: UnsafeMutablePointer<FramedConnection>,
        _ bytes: UnsafeMutablePointer<UInt8>, _ count: Int
    ) -> Int {
        var used = 0
        while used < count && !connection.pointee.link.isClosed {
            let step = Codec.nextFrame(
                bytes, count: count, used: &used, skip: &connection.pointee.skip, limit: framed.pointee.bodyLimit)
            switch step {
            case .incomplete: return used
            case .invalid(let failure):
                refuseStream(framed, connection, Codec.text(of: failure))
                return count
            case .oversized(let head):
                if connection.pointee.isUpstream {
                    refuseOversized(framed, connection.upstream, head)
                } else {
                    refuseOversized(framed, connection.downstream, head)
                }
            case .frame(let head):
                hear(connection)
                if connection.pointee.isUpstream {
                    take(framed, connection.upstream, head, bytes + used)
                } else {
                    take(framed, connection.downstream, head, bytes + used)
                }
                used += head.frameLength
            }
        }
        return used
    }

    /// The peer has ended its side (`count` is 0) or the connection is broken.
    private mutating func endOfStream<Codec: FramedCodec & ~Copyable>(
        _ framed: Framed<Codec>, _ connection: UnsafeMutablePointer<FramedConnection>, _ count: Int
    ) {
        if count.isAgain { return }
        if connection.pointee.isUpstream {
            let error = count.errorCode
            let reason = count == 0 ? "the host closed the connection" : SystemError.text(of: error)
            let wasUnused = isUnused(connection.upstream)
            lose(framed, connection.upstream, reason, Outcome(error: error), wasUnused: wasUnused)
        } else if count == 0 {
            stopReading(framed, connection.downstream)
        } else {
            close(framed, connection.downstream)
        }
    }

    /// What comes after these bytes cannot be understood either. What came before them is still answered.
    private mutating func refuseStream<Codec: FramedCodec & ~Copyable>(
        _ framed: Framed<Codec>, _ connection: UnsafeMutablePointer<FramedConnection>, _ text: StaticString
    ) {
        if connection.pointee.isUpstream {
            lose(framed, connection.upstream, "what the host sent is \(text)")
        } else {
            noteBadInput(connection.downstream, "\(text)")
            stopReading(framed, connection.downstream)
        }
    }
}
