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
    var timer = WheelTimer(kind: TimerKind.upstream)
    let descriptor: Int32
    var phase = Phase.connecting
    var interest = Readiness.writable
    /// Closed in this batch of events: events that still name it mean nothing.
    var isClosed = false
    /// The host has ended its way of a tunnel.
    var readClosed = false
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
    /// The client is of version 1.0 and gets a chunked answer without its framing.
    var dechunks = false
    /// The pool's list.
    var previousIdle: UnsafeMutablePointer<Upstream>?
    var nextIdle: UnsafeMutablePointer<Upstream>?

    init(descriptor: Int32, endpoint: UnsafeMutablePointer<Endpoint>) {
        self.descriptor = descriptor
        self.endpoint = endpoint
    }
}

/// What a worker holds for HTTP.
struct HTTPState: ~Copyable {
    var fields = HTTP1.FieldTable()
    var downstreams = Slab<Downstream>()
    var upstreams = Slab<Upstream>()
    /// All clients' connections.
    var first: UnsafeMutablePointer<Downstream>?
    /// Clients' connections with another request in `inbound`.
    var queued: UnsafeMutablePointer<Downstream>?
    /// Why the last attempt to connect failed at once.
    var connectError: Int32 = 0

    init() {}

    @inline(__always)
    mutating func settle() {
        downstreams.settle()
        upstreams.settle()
    }
}
