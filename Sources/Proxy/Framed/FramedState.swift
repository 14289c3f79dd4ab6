import Codecs
import Runtime

/// What a worker holds for one multiplexed protocol. It stays where it is in memory, and functions of the engine have its address:
/// which protocol they serve is known when they are compiled.
struct FramedState<Codec: FramedCodec & ~Copyable>: ~Copyable {
    var codec = Codec()
    var downstreams = Slab<FramedDownstream>()
    var upstreams = Slab<FramedUpstream>()
    var requests = FramedRequestTable(Codec.records.request, slotBits: Codec.slotBits, idBits: Codec.idBits)
    /// All downstream connections.
    var all = LinkedList<FramedDownstream.AllPlace>()
    /// Copies of requests that are to go out with this batch.
    var newCopies = LinkedQueue<FramedRequest.QueuePlace>()
    /// Connections that something is to be written to when this batch of events is through: one system call each.
    var dirtyDownstreams: UnsafeMutablePointer<FramedConnection>?
    var dirtyUpstreams: UnsafeMutablePointer<FramedConnection>?
    /// Bytes of requests that are kept for another attempt or wait for the registries.
    var heldBytes = 0
    /// Memory that connections hold for frames, as of their last `watch`.
    var downstreamMemory = 0
    var upstreamMemory = 0
    /// Why the last connection could not be opened for want of descriptors, ports or memory of our own; 0 when that is not so.
    var exhaustion: Int32 = 0
    /// When connections were last looked through for ones to close while draining.
    var sweptAt: Int64 = 0
    /// Longest body that a peer may send.
    let bodyLimit: Int
    /// Most memory of all downstream connections together, at least four of the largest answers: beyond it those that hold most are
    /// closed, and from half of it on none is read from that has more than its share to take.
    let downstreamBound: Int
    /// Most memory of all upstream connections together, at least four of the largest requests: from half of it on a host with more
    /// than its share to take gets no more.
    let upstreamBound: Int
    /// A host with this much to take gets no more: at least two of the largest requests.
    let backlogBound: Int

    init(bodyLimit: Int) {
        self.bodyLimit = bodyLimit
        downstreamBound = max(64 << 20, 4 * bodyLimit)
        upstreamBound = max(64 << 20, 4 * bodyLimit)
        backlogBound = max(16 << 20, 2 * bodyLimit)
    }

    @inline(__always)
    mutating func settle() {
        downstreams.settle()
        upstreams.settle()
    }

    var isClean: Bool { dirtyDownstreams == nil && dirtyUpstreams == nil }
}

typealias Framed<Codec: FramedCodec & ~Copyable> = UnsafeMutablePointer<FramedState<Codec>>

/// Bounds that keep memory finite whatever the peers do.
enum FramedBounds {
    /// Largest request that is kept for another attempt.
    static let replayedFrame = 65_536
    /// Most bytes of requests that a worker keeps. Beyond it requests are not kept, and none waits for the registries.
    static let heldBytes = 64 << 20
    /// A downstream with this much to take is not read from.
    static let laggingDownstream = 1 << 20
    /// A host with less than this to take gets more in any case.
    static let smallBacklog = 65_536
    /// A downstream with this many requests in flight is not read from.
    static let requestsOfDownstream = 65_536
}

extension Worker {
    /// State of one protocol, for as long as the worker lives.
    static func makeFramed<Codec: FramedCodec & ~Copyable>(bodyLimit: Int) -> Framed<Codec> {
        let framed = Framed<Codec>.allocate(capacity: 1)
        framed.initialize(to: FramedState(bodyLimit: bodyLimit))
        return framed
    }

    static func free<Codec: FramedCodec & ~Copyable>(_ framed: Framed<Codec>) {
        framed.deinitialize(count: 1)
        framed.deallocate()
    }
}
