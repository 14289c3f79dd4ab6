import Balancing
import Codecs
import Runtime

/// A connection to a host. Carries one request at a time; between requests it waits in its endpoint's pool.
struct ExclusiveUpstream {
    enum Phase: UInt8 {
        case connecting
        /// The response's head has not come to its end.
        case head
        case body
        /// Bytes pass both ways unread.
        case tunnel
        /// In the pool.
        case idle
    }

    /// What becomes of a body's framing on the way to the downstream.
    enum Relay: UInt8 {
        case same
        /// The downstream is of version 1.0 and gets a chunked response without its framing.
        case dechunked
        /// The response ends with the connection; in chunks the downstream sees whether that end was a good one.
        case chunked
    }

    /// Its `inbound` has the beginning of a response's head, its `outbound` bytes of a tunnel, or of a request that two hosts have:
    /// other requests wait in their exchange. Its
    /// timer ends connecting, and waiting in the pool.
    var link: Link
    var phase = Phase.connecting
    /// When connecting, or waiting in the pool, began.
    var since: Int64
    /// The host keeps the connection after this response.
    var keepAlive = false
    /// Requests that it has carried, the present one included.
    var uses: UInt32 = 0
    let endpoint: UnsafeMutablePointer<Endpoint>
    var downstream: UnsafeMutablePointer<ExclusiveDownstream>?
    /// What its request's state has when this one is `exchange.upstream`; nothing otherwise.
    var aside = TryState()
    /// Where the connection counts; it keeps that alive.
    var counted: Unmanaged<BreakerCounts>?
    var scan = HTTP1.ScanState()
    var framing = HTTP1.BodyFraming.none
    var chunked = HTTP1.ChunkedState()
    /// How the body's framing differs for the downstream.
    var relay = Relay.same
    /// A chunk of our making was begun: its line end is still to come.
    var isInChunk = false
    /// On the list of the endpoint's idle connections.
    var idle = ListLinks<ExclusiveUpstream>()

    init(descriptor: Int32, endpoint: UnsafeMutablePointer<Endpoint>, now: Int64) {
        link = Link(.exclusiveUpstream, descriptor: descriptor, interest: .writable)
        self.endpoint = endpoint
        since = now
    }

    enum IdlePlace: ListPlace {
        @inline(__always)
        static func links(_ element: UnsafeMutablePointer<ExclusiveUpstream>) -> UnsafeMutablePointer<
            ListLinks<ExclusiveUpstream>
        > {
            let offset = MemoryLayout<ExclusiveUpstream>.offset(of: \.idle).unsafelyUnwrapped
            return (UnsafeMutableRawPointer(element) + offset).assumingMemoryBound(
                to: ListLinks<ExclusiveUpstream>.self)
        }
    }
}

extension UnsafeMutablePointer where Pointee == ExclusiveUpstream {
    @inline(__always)
    var link: UnsafeMutablePointer<Link> { UnsafeMutableRawPointer(self).assumingMemoryBound(to: Link.self) }
}
