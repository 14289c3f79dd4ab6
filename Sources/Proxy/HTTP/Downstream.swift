import Balancing
import Codecs
import Runtime

/// An HTTP client's connection.
struct Downstream {
    enum Phase: UInt8 {
        /// Between requests, or in the middle of a request's head.
        case head
        /// The head waits in `inbound` for the registries' first answer about its service.
        case discovering
        /// A request is with a host, or on its way there.
        case exchanging
        /// Bytes pass both ways unread (Upgrade).
        case tunnel
        /// The last answer is being written, then the connection closes.
        case flushing
        /// All is written; what the client still sends is read and dropped, so that it sees the answer and not a reset.
        case lingering
    }

    /// First: a timer's address is its record's.
    var timer = WheelTimer(kind: RecordKind.exclusiveDownstream.rawValue)
    let descriptor: Int32
    let listener: Int32
    var phase = Phase.head
    /// What the poller watches for.
    var interest = Readiness.readable
    /// The poller does not watch it: the client is gone, and what it has sent before must wait.
    var isUnwatched = false
    /// The client has ended its side.
    var readClosed = false
    /// Closed in this batch of events: events that still name it mean nothing.
    var isClosed = false
    /// This side of a tunnel has been ended.
    var outputEnded = false
    /// The answer broke off, and only a reset can tell the client so.
    var endsWithReset = false
    /// When the client last sent or took something, or something else moved its request on.
    var active: Int64
    /// When lingering ends at the latest.
    var lingersUntil: Int64 = 0
    /// Bytes that were read and not used: a part of a head, or requests behind the one in progress.
    var inbound = Buffer()
    /// Bytes that the client has not taken yet.
    var outbound = Buffer()
    var scan = HTTP1.ScanState()
    var exchange = Exchange()
    /// On the list of all connections.
    var all = ListLinks<Downstream>()
    /// On the list of connections with another request in `inbound`.
    var queue = ListLinks<Downstream>()
    /// On the list of requests that wait for the same service.
    var waiting = ListLinks<Downstream>()
    /// The client's IP address as text.
    var peer: PeerText

    init(descriptor: Int32, listener: Int32, peer: PeerText, now: Int64) {
        self.descriptor = descriptor
        self.listener = listener
        self.peer = peer
        active = now
    }
}

extension Downstream {
    enum AllPlace: ListPlace {
        @inline(__always)
        static func links(_ element: UnsafeMutablePointer<Downstream>) -> UnsafeMutablePointer<ListLinks<Downstream>> {
            let offset = MemoryLayout<Downstream>.offset(of: \.all).unsafelyUnwrapped
            return (UnsafeMutableRawPointer(element) + offset).assumingMemoryBound(to: ListLinks<Downstream>.self)
        }
    }

    enum QueuePlace: ListPlace {
        @inline(__always)
        static func links(_ element: UnsafeMutablePointer<Downstream>) -> UnsafeMutablePointer<ListLinks<Downstream>> {
            let offset = MemoryLayout<Downstream>.offset(of: \.queue).unsafelyUnwrapped
            return (UnsafeMutableRawPointer(element) + offset).assumingMemoryBound(to: ListLinks<Downstream>.self)
        }
    }

    enum WaitingPlace: ListPlace {
        @inline(__always)
        static func links(_ element: UnsafeMutablePointer<Downstream>) -> UnsafeMutablePointer<ListLinks<Downstream>> {
            let offset = MemoryLayout<Downstream>.offset(of: \.waiting).unsafelyUnwrapped
            return (UnsafeMutableRawPointer(element) + offset).assumingMemoryBound(to: ListLinks<Downstream>.self)
        }
    }
}

/// An address as text without memory of its own: 45 bytes are enough for IPv6.
struct PeerText {
    private var words: (UInt64, UInt64, UInt64, UInt64, UInt64, UInt64) = (0, 0, 0, 0, 0, 0)
    private(set) var count: UInt8 = 0

    init(_ address: SocketAddress) {
        let text = address.ip
        count = UInt8(min(48, text.utf8.count))
        withUnsafeMutableBytes(of: &words) { bytes in
            for (index, byte) in text.utf8.prefix(48).enumerated() { bytes[index] = byte }
        }
    }
}

extension UnsafeMutablePointer where Pointee == Downstream {
    /// The client's IP address as text, where it lies in the record.
    @inline(__always)
    var peerText: ByteString {
        let offset = MemoryLayout<Downstream>.offset(of: \.peer).unsafelyUnwrapped
        let base = UnsafeRawPointer(self).advanced(by: offset).assumingMemoryBound(to: UInt8.self)
        return ByteString(base: base, count: Int(pointee.peer.count))
    }
}

/// One request and its answer.
struct Exchange {
    /// Where the request is.
    var upstream: UnsafeMutablePointer<Upstream>?
    var service: UnsafeMutablePointer<Service>?
    /// A request has begun and what has become of it is not recorded yet.
    var isOpen = false
    var asked = Asked()
    var tried = TriedEndpoints()
    /// The rewritten head and the body read so far; what the host has not taken waits in it.
    var request = Buffer()
    /// The whole of `request` since its head is still there: it can be sent to another host.
    var isReplayable = false
    /// An answer's head was sent to the client: too late for another host or an error.
    var hasAnswered = false
    /// The request's body is read to its end.
    var bodyComplete = true
    /// The client keeps its connection.
    var keepAlive = true
    /// The client understands chunked answers.
    var isVersion11 = true
    var wantsUpgrade = false
    /// The client sends no body before the host has asked for it.
    var awaitsContinue = false
    /// The client learns where the answer ends from the connection's end.
    var endsWithClose = false
    /// The next attempt opens a connection of its own: a pooled one had been closed by the host.
    var avoidsPool = false
    var method = HTTP1.Method.get
    var framing = HTTP1.BodyFraming.none
    var chunked = HTTP1.ChunkedState()
    /// Attempts to use a pooled connection that turned out closed.
    var staleAttempts: UInt8 = 0
    /// The version that serves, for counters; `ServiceMetrics.nobody` before one is chosen.
    var served = ServiceMetrics.nobody
    /// Status sent to the client.
    var status: Int32 = 0
    /// When its first byte was seen; 0: it has none yet.
    var started: Int64 = 0
    /// When its head was whole.
    var headAt: Int64 = 0
    /// When the head of the answer must be there: for all attempts together.
    var deadline: Int64 = 0
    /// The beginning of the access log's line; empty when none is written.
    var logLine = Buffer()
}
