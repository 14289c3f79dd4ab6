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
    /// A consumer with this much to take is closed. At least two of the largest answers.
    static let deafConsumer = 64 << 20
    /// A host with this much to take gets no more. At least two of the largest requests.
    static let deafProvider = 16 << 20
    /// A consumer with this many calls in flight is not read from.
    static let callsOfConsumer = 65_536
}
