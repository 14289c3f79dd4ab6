import Codecs
import Runtime

/// A downstream connection that carries one request at a time.
struct ExclusiveDownstream {
    enum Phase: UInt8 {
        /// Between requests, or in the middle of a request's head.
        case head
        /// The head waits in `inbound` for the registries' first answer about its service.
        case discovering
        /// The request waits on purpose; what it is followed by waits in `inbound`.
        case delayed
        /// A request is with a host, or on its way there.
        case exchanging
        /// Bytes pass both ways unread (Upgrade).
        case tunnel
        /// The last response is being written, then the connection closes.
        case flushing
        /// All is written; what the peer still sends is read and dropped, so that it sees the response and not a reset.
        case lingering
    }

    /// Its `inbound` has a part of a head, or requests behind the one in progress.
    var link: Link
    let listener: Int32
    var phase = Phase.head
    /// The response broke off, and only a reset can tell so.
    var endsWithReset = false
    /// When the peer last sent or took something, or something else moved its request on.
    var active: Int64
    /// When the request goes on that waits on purpose.
    var delayedUntil: Int64 = 0
    /// When lingering ends at the latest.
    var lingersUntil: Int64 = 0
    var scan = HTTP1.ScanState()
    var exchange = Exchange()
    /// On the list of all connections.
    var all = ListLinks<ExclusiveDownstream>()
    /// On the list of connections with another request in `inbound`.
    var queue = ListLinks<ExclusiveDownstream>()
    /// On the list of requests that wait for the same service.
    var waiting = ListLinks<ExclusiveDownstream>()
    /// Of the copy of a request: bytes that are not with its host.
    var copiedBytes = 0
    /// The peer's IP address as text.
    var peer: PeerText
    /// The peer is a trusted proxy.
    let isProxy: Bool
    /// Whom the request comes from: the peer, unless that is a trusted proxy.
    var client: SocketAddress

    init(descriptor: Int32, listener: Int32, peer: SocketAddress, isProxy: Bool, now: Int64) {
        link = Link(.exclusiveDownstream, descriptor: descriptor, interest: .readable)
        self.listener = listener
        self.peer = PeerText(peer)
        self.isProxy = isProxy
        client = peer
        active = now
    }

    /// The copy of a request, for a version by its label; its bytes are still to be put into it.
    init(copyOf other: ExclusiveDownstream, to version: Int32, now: Int64) {
        link = Link(toNobodyAs: .exclusiveDownstream)
        listener = other.listener
        peer = other.peer
        isProxy = other.isProxy
        client = other.client
        active = now
        phase = .exchanging
        exchange.keepAlive = false
        exchange.method = other.exchange.method
        exchange.headAt = now
        exchange.state.service = other.exchange.state.service
        exchange.state.asked = other.exchange.state.asked
        exchange.state.started = now
        exchange.state.mirror = .copy
        exchange.state.served = version
    }
}

extension ExclusiveDownstream {
    enum AllPlace: ListPlace {
        @inline(__always)
        static func links(_ element: UnsafeMutablePointer<ExclusiveDownstream>) -> UnsafeMutablePointer<
            ListLinks<ExclusiveDownstream>
        > {
            let offset = MemoryLayout<ExclusiveDownstream>.offset(of: \.all).unsafelyUnwrapped
            return (UnsafeMutableRawPointer(element) + offset).assumingMemoryBound(
                to: ListLinks<ExclusiveDownstream>.self)
        }
    }

    enum QueuePlace: ListPlace {
        @inline(__always)
        static func links(_ element: UnsafeMutablePointer<ExclusiveDownstream>) -> UnsafeMutablePointer<
            ListLinks<ExclusiveDownstream>
        > {
            let offset = MemoryLayout<ExclusiveDownstream>.offset(of: \.queue).unsafelyUnwrapped
            return (UnsafeMutableRawPointer(element) + offset).assumingMemoryBound(
                to: ListLinks<ExclusiveDownstream>.self)
        }
    }

    enum WaitingPlace: ListPlace {
        @inline(__always)
        static func links(_ element: UnsafeMutablePointer<ExclusiveDownstream>) -> UnsafeMutablePointer<
            ListLinks<ExclusiveDownstream>
        > {
            let offset = MemoryLayout<ExclusiveDownstream>.offset(of: \.waiting).unsafelyUnwrapped
            return (UnsafeMutableRawPointer(element) + offset).assumingMemoryBound(
                to: ListLinks<ExclusiveDownstream>.self)
        }
    }
}

extension UnsafeMutablePointer where Pointee == ExclusiveDownstream {
    @inline(__always)
    var link: UnsafeMutablePointer<Link> { UnsafeMutableRawPointer(self).assumingMemoryBound(to: Link.self) }

    /// The peer's IP address as text, where it lies in the record.
    @inline(__always)
    var peerText: ByteString {
        let offset = MemoryLayout<ExclusiveDownstream>.offset(of: \.peer).unsafelyUnwrapped
        let base = UnsafeRawPointer(self).advanced(by: offset).assumingMemoryBound(to: UInt8.self)
        return ByteString(base: base, count: Int(pointee.peer.count))
    }
}
