import Balancing
import Runtime

/// A connection to a Dubbo host. All calls of this worker to the host share it; a second one exists only while the first one
/// is being given up.
struct Provider {
    enum Phase: UInt8 {
        /// Calls wait in `outbound`.
        case connecting
        case ready
        /// The host wants no new requests on this connection; those in flight finish.
        case readonly
        /// Writing failed: what the host has still sent is read, then the calls are resolved.
        case broken
    }

    /// First: a timer's address is its record's. Ends connecting, and keeps the connection alive.
    var timer = WheelTimer(kind: TimerKind.provider)
    let descriptor: Int32
    var phase = Phase.connecting
    /// What the poller watches for.
    var interest = Readiness.writable
    /// Closed in this batch of events: events that still name it mean nothing.
    var isClosed = false
    /// It is on the list of connections that something is to be written to.
    var isDirty = false
    let endpoint: UnsafeMutablePointer<Endpoint>
    /// Bytes of an oversized frame that are still to come and to be dropped.
    var skip = 0
    /// The beginning of a frame.
    var inbound = Buffer()
    /// Frames that the host has not taken yet.
    var outbound = Buffer()
    /// Bytes that were ever put into `outbound`: where the next frame begins in the stream.
    var queued: UInt64 = 0
    /// Calls that wait for their answer.
    var calls = CallList()
    /// Calls without an answer, in the order of their frames; they end when their frame is written.
    var oneWayCalls = CallList()
    /// When something was last read.
    var heardAt: Int64 = 0
    /// A heartbeat was sent: when the connection is given up unless something is read; 0 when none was.
    var answerBy: Int64 = 0
    var nextDirty: UnsafeMutablePointer<Provider>?

    init(descriptor: Int32, endpoint: UnsafeMutablePointer<Endpoint>) {
        self.descriptor = descriptor
        self.endpoint = endpoint
    }

    /// Bytes that were handed to the kernel.
    @inline(__always)
    var sent: UInt64 { queued &- UInt64(outbound.count) }

    @inline(__always)
    var isIdle: Bool { calls.first == nil && oneWayCalls.first == nil }
}
