import Balancing
import Codecs
import Runtime

/// A connection to an HTTP host. Carries one request at a time; between requests it waits in its endpoint's pool.
struct Upstream {
    enum Phase: UInt8 {
        case connecting
        /// The answer's head has not come to its end.
        case head
        case body
        /// Bytes pass both ways unread.
        case tunnel
        /// In the pool.
        case idle
    }

    /// First: a timer's address is its record's. Ends connecting, and waiting in the pool.
    var timer = WheelTimer(kind: RecordKind.exclusiveUpstream.rawValue)
    let descriptor: Int32
    var phase = Phase.connecting
    var interest = Readiness.writable
    /// The poller does not watch it: the host has sent all, and the client has not taken it yet.
    var isUnwatched = false
    /// Closed in this batch of events: events that still name it mean nothing.
    var isClosed = false
    /// The host has ended its way of a tunnel.
    var readClosed = false
    /// This side of a tunnel has been ended.
    var outputEnded = false
    /// The error that sending ended with; 0 before. What the host has said until then still counts.
    var sendError: Int32 = 0
    /// When connecting, or waiting in the pool, began.
    var since: Int64
    /// The host keeps the connection after this answer.
    var keepAlive = false
    /// Requests that it has carried, the present one included.
    var uses: UInt32 = 0
    let endpoint: UnsafeMutablePointer<Endpoint>
    var downstream: UnsafeMutablePointer<Downstream>?
    /// The beginning of an answer's head.
    var inbound = Buffer()
    var scan = HTTP1.ScanState()
    var framing = HTTP1.BodyFraming.none
    var chunked = HTTP1.ChunkedState()
    /// How the body's framing differs for the client.
    var relay = Relay.same
    /// A chunk of our making was begun: its line end is still to come.
    var isInChunk = false
    /// On the list of the endpoint's idle connections.
    var idle = ListLinks<Upstream>()

    init(descriptor: Int32, endpoint: UnsafeMutablePointer<Endpoint>, now: Int64) {
        self.descriptor = descriptor
        self.endpoint = endpoint
        since = now
    }

    /// What becomes of a body's framing on the way to the client.
    enum Relay: UInt8 {
        case same
        /// The client is of version 1.0 and gets a chunked answer without its framing.
        case dechunked
        /// The answer ends with the connection; in chunks the client sees whether that end was a good one.
        case chunked
    }

    enum IdlePlace: ListPlace {
        @inline(__always)
        static func links(_ element: UnsafeMutablePointer<Upstream>) -> UnsafeMutablePointer<ListLinks<Upstream>> {
            let offset = MemoryLayout<Upstream>.offset(of: \.idle).unsafelyUnwrapped
            return (UnsafeMutableRawPointer(element) + offset).assumingMemoryBound(to: ListLinks<Upstream>.self)
        }
    }
}

/// What a worker holds for HTTP.
struct HTTPState: ~Copyable {
    var fields = HTTP1.FieldTable()
    var downstreams = Slab<Downstream>()
    var upstreams = Slab<Upstream>()
    /// All clients' connections.
    var all = LinkedList<Downstream.AllPlace>()
    /// Clients' connections with another request in `inbound`.
    var queue = LinkedList<Downstream.QueuePlace>()

    init() {}

    @inline(__always)
    mutating func settle() {
        downstreams.settle()
        upstreams.settle()
    }
}
