import Runtime

/// One end of a byte stream: the socket, what it is watched for, and what waits on either side of it. The first part of every
/// record that has a connection, so that link, timer and record have the same address.
///
/// Whatever is received, sent, watched or closed goes through the functions below. A peer that speaks TLS will be a second kind of it.
struct Link {
    /// First: what events and timers name. Its kind says which record this is.
    var timer: WheelTimer
    let descriptor: Int32
    /// What the poller watches for.
    var interest: Readiness
    /// Closed in this batch of events: events that still name it mean nothing.
    var isClosed = false
    /// Nothing more is read: the peer has ended its side, or what it sent cannot be understood.
    var readClosed = false
    /// Nothing more can be sent.
    var writeClosed = false
    /// Bytes that were read and not used.
    var inbound = Buffer()
    /// Bytes that the peer has not taken.
    var outbound = Buffer()
    /// When the peer last took something of what was left after a flush; 0 when nothing was left.
    var takenAt: Int64 = 0

    init(_ kind: RecordKind, descriptor: Int32, interest: Readiness) {
        timer = WheelTimer(kind: kind.rawValue)
        self.descriptor = descriptor
        self.interest = interest
    }

    /// Memory of both buffers.
    @inline(__always)
    var memory: Int { inbound.capacity + outbound.capacity }

    /// What `flush` has come to.
    enum Flushed {
        /// Nothing is left.
        case all
        /// The rest waits for the peer.
        case some
        /// The peer takes nothing any more; the error says why.
        case failed(Int32)
    }
}

extension UnsafeMutablePointer where Pointee == Link {
    @inline(__always)
    var timer: UnsafeMutablePointer<WheelTimer> {
        UnsafeMutableRawPointer(self).assumingMemoryBound(to: WheelTimer.self)
    }
}

extension Worker {
    /// Begins to watch; returns 0, or the error of what there is no room for.
    func open(_ link: UnsafeMutablePointer<Link>) -> Int32 {
        system.watch(link.pointee.descriptor, link.pointee.interest, token: Token(link).rawValue)
    }

    @inline(__always)
    func watch(_ link: UnsafeMutablePointer<Link>, for interest: Readiness) {
        if interest == link.pointee.interest { return }
        link.pointee.interest = interest
        system.rewatch(link.pointee.descriptor, interest, token: Token(link).rawValue)
    }

    /// Reads; 0 is the end of the stream, less is the negative error.
    @inline(__always)
    func receive(_ link: UnsafeMutablePointer<Link>, _ bytes: UnsafeMutablePointer<UInt8>, _ count: Int) -> Int {
        system.receive(link.pointee.descriptor, bytes, count)
    }

    /// Sends what waits in `outbound`.
    @inline(__always)
    mutating func flush(_ link: UnsafeMutablePointer<Link>) -> Link.Flushed {
        let waiting = link.pointee.outbound.count
        if waiting == 0 {
            link.pointee.takenAt = 0
            buffers.release(&link.pointee.outbound)
            return .all
        }
        let sent = system.send(link.pointee.descriptor, link.pointee.outbound.bytes, waiting)
        if sent == waiting {
            link.pointee.takenAt = 0
            buffers.release(&link.pointee.outbound)
            return .all
        }
        if sent < 0 && !sent.isAgain { return .failed(sent.errorCode) }
        if sent > 0 { link.pointee.outbound.consume(sent) }
        if sent > 0 || link.pointee.takenAt == 0 { link.pointee.takenAt = now }
        return .some
    }

    /// The earliest of a link's deadlines comes first: one that moves away is looked at when the earlier one has passed.
    @inline(__always)
    mutating func hasten(_ link: UnsafeMutablePointer<Link>, to deadline: Int64) {
        let timer = link.timer
        if !timer.pointee.isSet || deadline < timer.pointee.deadline { wheel.set(timer, deadline: deadline) }
    }

    /// Closes the socket and gives back what the link holds; the record goes when the batch is over.
    mutating func close(_ link: UnsafeMutablePointer<Link>) {
        link.pointee.isClosed = true
        wheel.cancel(link.timer)
        system.close(link.pointee.descriptor)
        buffers.release(&link.pointee.inbound)
        buffers.release(&link.pointee.outbound)
    }
}
