import Runtime

/// What connections to both sides have: a stream of frames. The first part of both records.
struct FramedConnection {
    var link: Link
    /// What its frames are written in; see `FrameForm`.
    var lane: UInt8 = 0
    /// It is on the list of connections that something is to be written to.
    var isDirty = false
    let isUpstream: Bool
    var nextDirty: UnsafeMutablePointer<FramedConnection>?
    /// Bytes of a frame that is too long, still to come and to be dropped.
    var skip = 0
    /// When the peer was last heard, and how far the frame that has begun has come.
    var progress = FrameProgress()
    /// Memory of the link that is counted in `FramedState`.
    var countedMemory = 0

    /// A frame has begun and has not ended.
    @inline(__always)
    var isWithinFrame: Bool { !link.inbound.isEmpty || skip > 0 }
}

extension UnsafeMutablePointer where Pointee == FramedConnection {
    @inline(__always)
    var link: UnsafeMutablePointer<Link> { UnsafeMutableRawPointer(self).assumingMemoryBound(to: Link.self) }

    @inline(__always)
    var downstream: UnsafeMutablePointer<FramedDownstream> {
        UnsafeMutableRawPointer(self).assumingMemoryBound(to: FramedDownstream.self)
    }

    @inline(__always)
    var upstream: UnsafeMutablePointer<FramedUpstream> {
        UnsafeMutableRawPointer(self).assumingMemoryBound(to: FramedUpstream.self)
    }
}
