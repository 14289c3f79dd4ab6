import Codecs
import Runtime

/// What a worker holds for protocols with one message at a time on a connection: HTTP/1.
struct ExclusiveState: ~Copyable {
    var fields = HTTP1.FieldTable()
    var downstreams = Slab<ExclusiveDownstream>()
    var upstreams = Slab<ExclusiveUpstream>()
    /// All connections of downstreams.
    var all = LinkedList<ExclusiveDownstream.AllPlace>()
    /// Downstream connections with another request in `inbound`.
    var queue = LinkedList<ExclusiveDownstream.QueuePlace>()

    /// Copies of requests, which have no connection.
    var copies = LinkedList<ExclusiveDownstream.AllPlace>()
    /// Those that are to go out with this batch.
    var newCopies = LinkedList<ExclusiveDownstream.QueuePlace>()

    init() {}

    @inline(__always)
    mutating func settle() {
        downstreams.settle()
        upstreams.settle()
    }
}
