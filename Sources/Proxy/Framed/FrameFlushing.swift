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
        if upstream.pointee.firstExpired != .max { dropExpired(framed, upstream) }
        let (sent, isLagging) = (upstream.pointee.sent, upstream.link.pointee.takenAt != 0)
        if case .failed = flush(upstream.link) { return stopWriting(framed, upstream) }
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
        if request.pointee.position >= upstream.pointee.sent { expire(request.pointee.position, upstream) }
    }

    /// The request that begins there in the stream, of which nothing was sent, is not sent any more.
    mutating func expire(_ position: UInt64, _ upstream: UnsafeMutablePointer<FramedUpstream>) {
        let offset = Int(position &- upstream.pointee.sent)
        upstream.pointee.connection.link.outbound.bytes[offset] = Self.expiredMark
        upstream.pointee.firstExpired = min(upstream.pointee.firstExpired, position)
    }

    /// What such a request begins with, in place of the protocol's first byte, which it never is.
    private static var expiredMark: UInt8 { 0 }

    /// Takes expired requests out of what waits. From the first one on there are whole frames.
    private mutating func dropExpired<Codec: FramedCodec & ~Copyable>(
        _ framed: Framed<Codec>, _ upstream: UnsafeMutablePointer<FramedUpstream>
    ) {
        let bytes = upstream.pointee.connection.link.outbound.bytes
        let end = upstream.pointee.connection.link.outbound.count
        var from = Int(upstream.pointee.firstExpired &- upstream.pointee.sent)
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
                memmove(bytes + to, bytes + from, head.frameLength)
                to += head.frameLength
            }
            from += head.frameLength
        }
        upstream.pointee.connection.link.outbound.shorten(by: end - to)
        upstream.pointee.queued &-= UInt64(end - to)
        upstream.pointee.firstExpired = .max
    }
}
