import Codecs
import Glibc
import Runtime

// Writing: whatever a batch of events has put together for a connection goes out in one system call.
extension Worker {
    /// Puts a frame behind what waits for a peer.
    @inline(__always)
    mutating func send<Codec: FramedCodec & ~Copyable>(
        _ framed: Framed<Codec>, _ frame: UnsafeMutablePointer<UInt8>, _ count: Int,
        to downstream: UnsafeMutablePointer<FramedDownstream>
    ) {
        if downstream.pointee.connection.link.writeClosed { return }
        buffers.append(frame, count: count, to: &downstream.pointee.connection.link.outbound)
        markDirty(framed, downstream)
    }

    mutating func send<Codec: FramedCodec & ~Copyable>(
        _ framed: Framed<Codec>, _ frame: UnsafeMutablePointer<UInt8>, _ count: Int,
        to upstream: UnsafeMutablePointer<FramedUpstream>
    ) {
        buffers.append(frame, count: count, to: &upstream.pointee.connection.link.outbound)
        upstream.pointee.queued &+= UInt64(count)
        markDirty(framed, upstream)
    }

    @inline(__always)
    mutating func markDirty<Codec: FramedCodec & ~Copyable>(
        _ framed: Framed<Codec>, _ downstream: UnsafeMutablePointer<FramedDownstream>
    ) {
        if downstream.pointee.connection.isDirty { return }
        downstream.pointee.connection.isDirty = true
        downstream.pointee.connection.nextDirty = framed.pointee.dirtyDownstreams
        framed.pointee.dirtyDownstreams = downstream.connection
    }

    @inline(__always)
    mutating func markDirty<Codec: FramedCodec & ~Copyable>(
        _ framed: Framed<Codec>, _ upstream: UnsafeMutablePointer<FramedUpstream>
    ) {
        if upstream.pointee.connection.isDirty { return }
        upstream.pointee.connection.isDirty = true
        upstream.pointee.connection.nextDirty = framed.pointee.dirtyUpstreams
        framed.pointee.dirtyUpstreams = upstream.connection
    }

    /// Writes to hosts first: they have work to do. What fails may make more to write; requests have only so many attempts.
    @inline(__always)
    mutating func flush<Codec: FramedCodec & ~Copyable>(_ framed: Framed<Codec>) {
        while true {
            if let connection = framed.pointee.dirtyUpstreams {
                framed.pointee.dirtyUpstreams = connection.pointee.nextDirty
                connection.pointee.isDirty = false
                if !connection.pointee.link.isClosed { flush(framed, connection.upstream) }
            } else if let connection = framed.pointee.dirtyDownstreams {
                framed.pointee.dirtyDownstreams = connection.pointee.nextDirty
                connection.pointee.isDirty = false
                if !connection.pointee.link.isClosed { flush(framed, connection.downstream) }
            } else if framed.pointee.downstreamMemory > framed.pointee.downstreamBound {
                closeSlowest(framed)
            } else {
                return
            }
        }
    }

    @inline(__always)
    private mutating func flush<Codec: FramedCodec & ~Copyable>(
        _ framed: Framed<Codec>, _ upstream: UnsafeMutablePointer<FramedUpstream>
    ) {
        if !upstream.pointee.isOpen { return }
        let isLagging = upstream.link.pointee.takenAt != 0
        var sent = upstream.pointee.sent
        let hasExpired = upstream.pointee.firstExpired != .max
        let flushed = hasExpired ? flushUnexpired(framed, upstream, &sent) : flush(upstream.link)
        if case .failed = flushed { return stopWriting(framed, upstream) }
        if isLagging { noteTaken(upstream, since: sent) }
        watch(framed, upstream)
        if upstream.pointee.oneWayRequests.first != nil { endWritten(framed, upstream) }
    }

    /// One-way requests end when the last byte of their frame is handed over.
    private mutating func endWritten<Codec: FramedCodec & ~Copyable>(
        _ framed: Framed<Codec>, _ upstream: UnsafeMutablePointer<FramedUpstream>
    ) {
        while let request = upstream.pointee.oneWayRequests.first, request.pointee.end <= upstream.pointee.sent {
            end(framed, request, code: Codec.handedOver)
            if upstream.pointee.connection.link.isClosed { return }
        }
    }

    @inline(__always)
    private mutating func flush<Codec: FramedCodec & ~Copyable>(
        _ framed: Framed<Codec>, _ downstream: UnsafeMutablePointer<FramedDownstream>
    ) {
        downstream.pointee.flushedAt = now
        if case .failed = flush(downstream.link) { return stopWriting(framed, downstream) }
        if downstream.pointee.connection.link.readClosed && closeIfDone(framed, downstream) { return }
        watch(framed, downstream)
    }

    // MARK: Requests that are not sent any more

    /// A request ends for which nobody waits any more: unless a byte of it was sent, nothing is.
    mutating func expireUnsent(
        _ request: UnsafeMutablePointer<FramedRequest>, _ upstream: UnsafeMutablePointer<FramedUpstream>
    ) {
        let position = request.pointee.position
        if position >= upstream.pointee.sent { expire(position..<request.pointee.end, upstream) }
    }

    /// The request that stands there in the stream, of which nothing was sent, is not sent any more.
    mutating func expire(_ place: Range<UInt64>, _ upstream: UnsafeMutablePointer<FramedUpstream>) {
        let offset = Int(place.lowerBound &- upstream.pointee.sent)
        upstream.pointee.connection.link.outbound.bytes[offset] = Self.expiredMark
        upstream.pointee.firstExpired = min(upstream.pointee.firstExpired, place.lowerBound)
        upstream.pointee.expiredBytes += place.count
    }

    /// What such a request begins with, in place of the protocol's first byte, which it never is.
    private static var expiredMark: UInt8 { 0 }

    /// As long as expired requests are less than half of what waits, and no more than this, they stay until they come to the front:
    /// to take them out moves all that stands behind them.
    private static var idleExpiredBytes: Int { 65_536 }

    /// Sends what waits, but for expired requests.
    ///
    /// - Parameter sent: how far the stream had been sent; what is passed over without being sent is added.
    @inline(never)
    private mutating func flushUnexpired<Codec: FramedCodec & ~Copyable>(
        _ framed: Framed<Codec>, _ upstream: UnsafeMutablePointer<FramedUpstream>, _ sent: inout UInt64
    ) -> Link.Flushed {
        let expired = upstream.pointee.expiredBytes
        if expired > Self.idleExpiredBytes && expired > upstream.pointee.connection.link.outbound.count / 2 {
            dropExpired(framed, upstream)
        }
        while upstream.pointee.firstExpired != .max {
            let distance = Int(upstream.pointee.firstExpired &- upstream.pointee.sent)
            if distance > 0 {
                let flushed = flush(upstream.link, first: distance)
                if upstream.pointee.sent < upstream.pointee.firstExpired { return flushed }
            }
            sent &+= passExpired(framed, upstream)
        }
        return flush(upstream.link)
    }

    /// Passes over the expired requests at the front and finds the next one. Returns the bytes passed.
    private mutating func passExpired<Codec: FramedCodec & ~Copyable>(
        _ framed: Framed<Codec>, _ upstream: UnsafeMutablePointer<FramedUpstream>
    ) -> UInt64 {
        let bytes = upstream.pointee.connection.link.outbound.bytes
        let end = upstream.pointee.connection.link.outbound.count
        var (front, next) = (0, 0)
        while next < end {
            let isExpired = bytes[next] == Self.expiredMark
            if isExpired && front < next { break }
            if isExpired { bytes[next] = Codec.firstByte(lane: upstream.pointee.connection.lane) }
            // Behind the first expired request there are whole frames.
            next += Codec.head(bytes + next, count: end - next)?.frameLength ?? end - next
            if isExpired { front = next }
        }
        upstream.pointee.expiredBytes -= front
        upstream.pointee.connection.link.outbound.consume(front)
        upstream.pointee.firstExpired = next < end ? upstream.pointee.sent &+ UInt64(next - front) : .max
        return UInt64(front)
    }

    /// Takes expired requests out of what waits. From the first one on there are whole frames.
    private mutating func dropExpired<Codec: FramedCodec & ~Copyable>(
        _ framed: Framed<Codec>, _ upstream: UnsafeMutablePointer<FramedUpstream>
    ) {
        let bytes = upstream.pointee.connection.link.outbound.bytes
        let end = upstream.pointee.connection.link.outbound.count
        let sent = upstream.pointee.sent
        var from = Int(upstream.pointee.firstExpired &- sent)
        var to = from
        while from < end {
            let isExpired = bytes[from] == Self.expiredMark
            if isExpired { bytes[from] = Codec.firstByte(lane: upstream.pointee.connection.lane) }
            guard let head = Codec.head(bytes + from, count: end - from) else { break }
            if !isExpired {
                if head.isRequest, let request = framed.pointee.requests.find(Codec.id(head), from: upstream) {
                    request.pointee.position &-= UInt64(from - to)
                    request.pointee.end &-= UInt64(from - to)
                }
                if sent &+ UInt64(from + head.frameLength) == upstream.pointee.heartbeatEnd {
                    upstream.pointee.heartbeatEnd &-= UInt64(from - to)
                }
                memmove(bytes + to, bytes + from, head.frameLength)
                to += head.frameLength
            }
            from += head.frameLength
        }
        upstream.pointee.connection.link.outbound.shorten(by: end - to)
        upstream.pointee.queued &-= UInt64(end - to)
        upstream.pointee.firstExpired = .max
        upstream.pointee.expiredBytes = 0
    }
}
