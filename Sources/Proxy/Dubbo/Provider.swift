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

    /// First: a timer's address is its record's. Ends the phases that have a time; the table stands at `watch`.
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
    /// When the host was last heard, and how far the frame that has begun has come.
    var progress = FrameProgress()
    /// Frames that the host has not taken yet.
    var outbound = Buffer()
    /// When it last took something of what was left after writing; 0 when nothing was left.
    var takenAt: Int64 = 0
    /// Where in the stream the first request begins that is not to be sent any more; `.max` when there is none.
    var firstExpired = UInt64.max
    /// Memory of both that is counted in `DubboState.providerMemory`.
    var countedMemory = 0
    /// Bytes that were ever put into `outbound`: where the next frame begins in the stream.
    var queued: UInt64 = 0
    /// Calls that wait for their answer.
    var calls = CallList()
    /// Calls without an answer, in the order of their frames; they end when their frame is written.
    var oneWayCalls = CallList()
    /// A heartbeat was sent: when the connection is given up unless the host is heard; 0 when none was.
    var answerBy: Int64 = 0
    /// When connecting, or reading on after writing has failed, has taken too long.
    var phaseEnd: Int64 = 0
    /// Until when this connection counts in `Endpoint.readonlyConnections`; 0 when it does not.
    var readonlyUntil: Int64 = 0
    var nextDirty: UnsafeMutablePointer<Provider>?

    init(descriptor: Int32, endpoint: UnsafeMutablePointer<Endpoint>) {
        self.descriptor = descriptor
        self.endpoint = endpoint
    }

    /// Bytes that were handed to the kernel.
    @inline(__always)
    var sent: UInt64 { queued &- UInt64(outbound.count) }

    /// A frame has begun and has not ended.
    @inline(__always)
    var isWithinFrame: Bool { !inbound.isEmpty || skip > 0 }

    @inline(__always)
    var isIdle: Bool { calls.first == nil && oneWayCalls.first == nil }
}
