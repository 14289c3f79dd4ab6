import Runtime

/// A downstream connection. Carries many requests at a time, answered in any order.
///
/// It is never closed for being idle, and behind an outbound listener never told that this process goes: to a Dubbo consumer this is
/// the only address there is.
struct FramedDownstream {
    var connection: FramedConnection
    let listener: Int32
    /// When it was last written to, or a request of it ended.
    var flushedAt: Int64 = 0
    /// Two-way requests that are not answered.
    var requests = LinkedList<FramedRequest.DownstreamPlace>()
    /// How many they are.
    var requestCount = 0
    /// The number by which another process still owes it answers; 0: nothing is owed.
    var owedAs: UInt64 = 0
    /// The number by which this process owes answers to it, which another process has now; 0: it is here.
    var givenAs: UInt64 = 0
    /// On the list of all downstream connections.
    var all = ListLinks<FramedDownstream>()
    /// The peer's IP address as text.
    var peer: PeerText
    /// Whom its requests come from: the peer.
    let client: SocketAddress

    init(_ kind: RecordKind, descriptor: Int32, listener: Int32, peer: SocketAddress) {
        connection = FramedConnection(
            link: Link(kind, descriptor: descriptor, interest: .readable), isUpstream: false)
        self.listener = listener
        self.peer = PeerText(peer)
        client = peer
    }

    enum AllPlace: ListPlace {
        @inline(__always)
        static func links(
            _ element: UnsafeMutablePointer<FramedDownstream>
        ) -> UnsafeMutablePointer<ListLinks<FramedDownstream>> {
            let offset = MemoryLayout<FramedDownstream>.offset(of: \.all).unsafelyUnwrapped
            return (UnsafeMutableRawPointer(element) + offset).assumingMemoryBound(to: ListLinks<FramedDownstream>.self)
        }
    }
}

extension UnsafeMutablePointer where Pointee == FramedDownstream {
    @inline(__always)
    var connection: UnsafeMutablePointer<FramedConnection> {
        UnsafeMutableRawPointer(self).assumingMemoryBound(to: FramedConnection.self)
    }

    @inline(__always)
    var link: UnsafeMutablePointer<Link> { UnsafeMutableRawPointer(self).assumingMemoryBound(to: Link.self) }

    /// The peer's IP address as text, where it lies in the record.
    @inline(__always)
    var peerText: ByteString {
        let offset = MemoryLayout<FramedDownstream>.offset(of: \.peer).unsafelyUnwrapped
        let base = UnsafeRawPointer(self).advanced(by: offset).assumingMemoryBound(to: UInt8.self)
        return ByteString(base: base, count: Int(pointee.peer.count))
    }
}
