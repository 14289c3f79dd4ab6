import Runtime

/// A downstream connection on its way from one process to another, with what was read of it and not used, and what it has not taken.
public struct HandedConnection: Sendable, Equatable {
    /// The socket; whoever holds this value closes it.
    public var descriptor: Int32
    /// Name of its listener.
    public var listener: String
    /// The peer, with port 0.
    public var peer: SocketAddress
    /// The number by which the giving process owes answers to calls in flight; 0: nothing is owed.
    public var number: UInt64 = 0
    /// What a multiplexed protocol's frames are written in.
    public var lane: UInt8 = 0
    /// Bytes of a frame that is too long, still to come and to be dropped.
    public var skip = 0
    /// Bytes that were read and not used: the beginning of a request, or of several.
    public var inbound: [UInt8] = []
    /// Bytes that the peer has not taken; they go before all others.
    public var outbound: [UInt8] = []

    /// A connection with nothing on its way.
    public init(descriptor: Int32, listener: String, peer: SocketAddress) {
        self.descriptor = descriptor
        self.listener = listener
        self.peer = peer
    }
}

/// What a worker gives to another process, and what it has got from one.
struct HandOverState {
    /// Connections go to another process as soon as they can.
    var isGiving = false
    /// Numbers of the connections that were given with calls in flight.
    var lastNumber: UInt64 = 0
    /// Adopted connections that another process still owes answers, by number.
    var owed: [UInt64: UnsafeMutablePointer<FramedDownstream>] = [:]
}
