import Synchronization

/// What a service has in flight in all workers together, or one of its versions with limits of its own for that.
///
/// Workers count in and out without waiting for each other. It outlives changes of hosts and settings: whoever has counted in
/// counts out with the same object.
public final class BreakerCounts: Sendable {
    /// Requests that hosts have or that wait.
    public let requests = SharedCount()
    /// Requests among them that wait, for the registries or for a connection.
    public let pending = SharedCount()
    /// Connections to hosts.
    public let connections = SharedCount()
    /// Most requests in flight where the limit is found from their latency.
    public let concurrency = ConcurrencyLimit()

    /// Nothing in flight.
    public init() {}
}

/// A number that several workers change.
public struct SharedCount: ~Copyable, Sendable {
    private let count = Atomic<Int>(0)

    /// Nothing.
    public init() {}

    /// Counts one in unless there are `most` already.
    ///
    /// - Returns: whether it was counted.
    @inline(__always)
    public func enter(most: Int) -> Bool {
        var seen = count.load(ordering: .relaxed)
        while seen < most {
            let (isDone, current) = count.weakCompareExchange(
                expected: seen, desired: seen &+ 1, ordering: .relaxed)
            if isDone { return true }
            seen = current
        }
        return false
    }

    /// Counts one out that was counted in.
    @inline(__always)
    public func leave() { count.wrappingSubtract(1, ordering: .relaxed) }

    /// How many there are.
    public var current: Int { count.load(ordering: .relaxed) }
}
