import Balancing
import Runtime

/// A connection to a host. All requests of this worker to the host in one lane share it; a second one of the lane exists only while
/// the first one is being given up.
struct FramedUpstream {
    enum Phase: UInt8 {
        /// Requests wait in `outbound`.
        case connecting
        case ready
        /// The host wants no new requests on this connection; those in flight finish.
        case leaving
        /// Writing failed: what the host has still sent is read, then the requests are resolved.
        case broken
    }

    var connection: FramedConnection
    var phase = Phase.connecting
    let endpoint: UnsafeMutablePointer<Endpoint>
    /// The next of the endpoint's connections, of another lane.
    var nextInPool: UnsafeMutablePointer<FramedUpstream>?
    /// Where the connection counts; it keeps that alive.
    var counted: Unmanaged<BreakerCounts>?
    /// Where in the stream the first request begins that is not to be sent any more; `.max` when there is none.
    var firstExpired = UInt64.max
    /// Bytes of requests in `outbound` that are not to be sent any more.
    var expiredBytes = 0
    /// Bytes that were ever put into `outbound`: where the next frame begins in the stream.
    var queued: UInt64 = 0
    /// Requests that wait for their answer.
    var requests = LinkedQueue<FramedRequest.QueuePlace>()
    /// Requests without an answer, in the order of their frames; they end when their frame is written.
    var oneWayRequests = LinkedQueue<FramedRequest.QueuePlace>()
    /// A heartbeat was sent: when the connection is given up unless the host is heard; 0 when none was.
    var answerBy: Int64 = 0
    /// Where that heartbeat ends in the stream.
    var heartbeatEnd: UInt64 = 0
    /// When connecting, or reading on after writing has failed, has taken too long.
    var phaseEnd: Int64 = 0
    /// Until when this connection counts in `Endpoint.readonlyConnections`; 0 when it does not.
    var leavingUntil: Int64 = 0

    init(_ kind: RecordKind, descriptor: Int32, lane: UInt8, endpoint: UnsafeMutablePointer<Endpoint>) {
        connection = FramedConnection(
            link: Link(kind, descriptor: descriptor, interest: [.writable, .peerClosed]), isUpstream: true)
        connection.lane = lane
        self.endpoint = endpoint
    }

    /// Bytes that were handed to the kernel.
    @inline(__always)
    var sent: UInt64 { queued &- UInt64(connection.link.outbound.count) }

    @inline(__always)
    var isIdle: Bool { requests.first == nil && oneWayRequests.first == nil }

    /// Requests can be sent and answered.
    @inline(__always)
    var isOpen: Bool { phase == .ready || phase == .leaving }
}

extension UnsafeMutablePointer where Pointee == FramedUpstream {
    @inline(__always)
    var connection: UnsafeMutablePointer<FramedConnection> {
        UnsafeMutableRawPointer(self).assumingMemoryBound(to: FramedConnection.self)
    }

    @inline(__always)
    var link: UnsafeMutablePointer<Link> { UnsafeMutableRawPointer(self).assumingMemoryBound(to: Link.self) }
}
