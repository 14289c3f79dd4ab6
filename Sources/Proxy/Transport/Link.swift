import Runtime

/// One end of a byte stream: the socket, what it is watched for, and what waits on either side of it. The first part of every
/// record that has a connection, so that link, timer and record have the same address.
///
/// A link to nobody stands for the downstream of a request that nobody waits for: all that is sent is taken and dropped, nothing ever
/// comes, and no system call is made for it.
///
/// Whatever is received, sent, watched or closed goes through the functions below. A peer that speaks TLS will be a second kind of it.
struct Link {
    /// Who is at the other end.
    enum Peer: UInt8 {
        /// Whoever the socket leads to.
        case socket
        /// The same, but another process has the socket now.
        case elsewhere
        case nobody
    }

    /// First: what events and timers name. Its kind says which record this is.
    var timer: WheelTimer
    var peer = Peer.socket
    /// -1 without a socket.
    var descriptor: Int32
    /// What the poller watches for.
    var interest: Readiness
    /// The poller does not watch it: the peer is gone, which would be told again and again, and what it has sent has to wait.
    var isUnwatched = false
    /// Closed in this batch of events: events that still name it mean nothing.
    var isClosed = false
    /// Nothing more is read: the peer has ended its side, or what it sent cannot be understood.
    var readClosed = false
    /// Nothing more is sent: this side was ended, or what the peer does not take is given up.
    var writeClosed = false
    /// The error that sending has ended with; 0 before. What the peer has sent until then still counts.
    var sendError: Int32 = 0
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

    /// A link to nobody.
    init(toNobodyAs kind: RecordKind) {
        self.init(kind, descriptor: -1, interest: .readable)
        peer = .nobody
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

// Readiness and the end.
extension Worker {
    /// Begins to watch; returns 0, or the error of what there is no room for.
    func open(_ link: UnsafeMutablePointer<Link>) -> Int32 {
        system.watch(link.pointee.descriptor, link.pointee.interest, token: Token(link).rawValue)
    }

    /// Watches for what the state of the link's record can use: not for input that nobody takes, nor for room that nobody fills.
    @inline(__always)
    func watch(_ link: UnsafeMutablePointer<Link>, for interest: Readiness) {
        if interest == link.pointee.interest { return }
        link.pointee.interest = interest
        if link.pointee.peer == .nobody { return }
        if link.pointee.isUnwatched {
            link.pointee.isUnwatched = false
            _ = open(link)
        } else {
            system.rewatch(link.pointee.descriptor, interest, token: Token(link).rawValue)
        }
    }

    /// Not even the peer's end is told, until the link is watched for something.
    func unwatch(_ link: UnsafeMutablePointer<Link>) {
        if link.pointee.isUnwatched { return }
        system.unwatch(link.pointee.descriptor)
        link.pointee.isUnwatched = true
        link.pointee.interest = []
    }

    /// The earliest of a link's deadlines comes first: one that moves away is looked at when the earlier one has passed.
    @inline(__always)
    mutating func hasten(_ link: UnsafeMutablePointer<Link>, to deadline: Int64) {
        let timer = link.timer
        if !timer.pointee.isSet || deadline < timer.pointee.deadline { wheel.set(timer, deadline: deadline) }
    }

    /// Whether the peer has neither ended the connection nor sent anything.
    func isQuiet(_ link: UnsafeMutablePointer<Link>) -> Bool { system.isQuiet(link.pointee.descriptor) }

    /// Ends this side's way; the peer's way stays open.
    func endOutput(_ link: UnsafeMutablePointer<Link>) {
        link.pointee.writeClosed = true
        system.endOutput(link.pointee.descriptor)
    }

    /// Closes the socket and gives back what the link holds; the record goes when the batch is over.
    mutating func close(_ link: UnsafeMutablePointer<Link>) {
        if link.pointee.peer == .socket { system.close(link.pointee.descriptor) }
        release(link)
    }

    /// The same, but the peer sees a reset and not an end.
    mutating func reset(_ link: UnsafeMutablePointer<Link>) {
        system.reset(link.pointee.descriptor)
        release(link)
    }

    private mutating func release(_ link: UnsafeMutablePointer<Link>) {
        link.pointee.isClosed = true
        wheel.cancel(link.timer)
        buffers.release(&link.pointee.inbound)
        buffers.release(&link.pointee.outbound)
    }
}
