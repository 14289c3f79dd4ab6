import Runtime

/// A Dubbo consumer's connection. Carries many calls at a time, answered in any order.
///
/// It is never closed for being idle, and behind an outbound listener never sent the readonly event: to a consumer this is the
/// only address there is.
struct Consumer {
    // The first eight bytes do not outlive `Slab.bury`; nobody needs these of a closed connection.
    let descriptor: Int32
    let listener: Int32
    /// What the poller watches for.
    var interest = Readiness.readable
    /// The consumer has ended its side; it still gets its answers.
    var readClosed = false
    /// Closed in this batch of events: events that still name it mean nothing.
    var isClosed = false
    /// It is on the list of connections that something is to be written to.
    var isDirty = false
    /// Bytes of a refused frame that are still to come and to be dropped.
    var skip = 0
    /// The beginning of a frame.
    var inbound = Buffer()
    /// Answers that the consumer has not taken yet.
    var outbound = Buffer()
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
