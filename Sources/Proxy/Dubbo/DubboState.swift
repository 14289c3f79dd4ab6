import Codecs
import Runtime

/// What a worker holds for Dubbo.
struct DubboState: ~Copyable {
    var consumers = Slab<Consumer>()
    var providers = Slab<Provider>()
    var calls = CallTable()
    /// All consumers.
    var first: UnsafeMutablePointer<Consumer>?
    /// Connections that something is to be written to when this batch of events is through: one system call each.
    var dirtyConsumers: UnsafeMutablePointer<Consumer>?
    var dirtyProviders: UnsafeMutablePointer<Provider>?
    /// For reading bodies; after it the attachments of the last one.
    var scratch = Dubbo.Scratch()
    /// What the last body said.
    var invocation = Dubbo.Invocation()
    /// Bytes of requests that are kept for another attempt or wait for the registries.
    var heldBytes = 0
    /// Memory that consumers' connections hold for frames, as of their last `watch`; and hosts' connections.
    var consumerMemory = 0
    var providerMemory = 0
    /// Why the last connection could not be opened for want of descriptors, ports or memory of our own; 0 when that is not so.
    var exhaustion: Int32 = 0
    /// When connections were last looked through for ones to close while draining.
    var sweptAt: Int64 = 0

    init() {}

    @inline(__always)
    mutating func settle() {
        consumers.settle()
        providers.settle()
    }
}

/// Bounds that keep memory finite whatever the peers do.
enum DubboBounds {
    /// Largest request that is kept for another attempt.
    static let replayedFrame = 65_536
    /// Most bytes of requests that a worker keeps. Beyond it requests are not kept, and none waits for the registries.
    static let heldBytes = 64 << 20
    /// A consumer with this much to take is not read from.
    static let laggingConsumer = 1 << 20
    /// Most memory of all consumers of a worker together, at least four of the largest answers: beyond it those that hold most are
    /// closed, and from half of it on none is read from that has more than its share to take.
    static let consumerMemory = 64 << 20
    /// A host with this much to take gets no more. At least two of the largest requests.
    static let deafProvider = 16 << 20
    /// Most memory of all hosts of a worker together, at least four of the largest requests: from half of it on a host with more than its
    /// share to take gets no more.
    static let providerMemory = 64 << 20
    /// A host with less than this to take gets more in any case.
    static let smallBacklog = 65_536
    /// A consumer with this many calls in flight is not read from.
    static let callsOfConsumer = 65_536
}
