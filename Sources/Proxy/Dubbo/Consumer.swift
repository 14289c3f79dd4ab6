import Runtime

/// A Dubbo consumer's connection. Carries many calls at a time, answered in any order.
///
/// It is never closed for being idle, and behind an outbound listener never sent the readonly event: to a consumer this is the
/// only address there is.
struct Consumer {
    /// First: a timer's address is its record's. Ends the phases that have a time; the table stands at `watch`.
    var timer = WheelTimer(kind: TimerKind.consumer)
    let descriptor: Int32
    let listener: Int32
    /// What the poller watches for.
    var interest = Readiness.readable
    /// Nothing more is read: the consumer has ended its side, or what it sent cannot be understood. It still gets its answers.
    var readClosed = false
    /// Nothing more can be written: its answers are dropped. What it sent before is still read.
    var writeClosed = false
    /// Closed in this batch of events: events that still name it mean nothing.
    var isClosed = false
    /// It is on the list of connections that something is to be written to.
    var isDirty = false
    /// Bytes of a refused frame that are still to come and to be dropped.
    var skip = 0
    /// The beginning of a frame.
    var inbound = Buffer()
    /// How far the frame that has begun has come.
    var progress = FrameProgress()
    /// Answers that the consumer has not taken yet.
    var outbound = Buffer()
    /// When it last took something of what was left after writing; 0 when nothing was left.
    var takenAt: Int64 = 0
    /// Memory of both that is counted in `DubboState.consumerMemory`.
    var countedMemory = 0
    /// Two-way calls that are not answered.
    var firstCall: UnsafeMutablePointer<Call>?
    /// How many they are.
    var callCount = 0
    /// All consumers.
    var previous: UnsafeMutablePointer<Consumer>?
    var next: UnsafeMutablePointer<Consumer>?
    var nextDirty: UnsafeMutablePointer<Consumer>?
    /// The consumer's IP address as text.
    var peer: PeerText

    init(descriptor: Int32, listener: Int32, peer: PeerText) {
        self.descriptor = descriptor
        self.listener = listener
        self.peer = peer
    }

    /// A frame has begun and has not ended.
    @inline(__always)
    var isWithinFrame: Bool { !inbound.isEmpty || skip > 0 }
}

extension UnsafeMutablePointer where Pointee == Consumer {
    /// The consumer's IP address as text, where it lies in the record.
    @inline(__always)
    var peerText: ByteString {
        let offset = MemoryLayout<Consumer>.offset(of: \.peer).unsafelyUnwrapped
        let base = UnsafeRawPointer(self).advanced(by: offset).assumingMemoryBound(to: UInt8.self)
        return ByteString(base: base, count: Int(pointee.peer.count))
    }
}
