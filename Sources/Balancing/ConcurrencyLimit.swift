import Synchronization

/// The limit that a service's answers, or those of one of its versions, have led to: workers count what they see, and whoever ends a
/// window looks at it.
public struct ConcurrencyLimit: ~Copyable, Sendable {
    private let limit = Atomic<Int>(ConcurrencyEstimate.first)
    private let estimate = Mutex(ConcurrencyEstimate())
    private let windowEnd = Atomic<Int64>(0)
    /// Answers in this window, what they took in nanoseconds, and the most requests that were in flight.
    private let answers = Atomic<Int>(0)
    private let sum = Atomic<Int64>(0)
    private let peak = Atomic<Int>(0)

    /// Nothing is known.
    init() {}

    /// Most requests in flight.
    @inline(__always)
    public var current: Int { limit.load(ordering: .relaxed) }

    /// A host has answered, or has not in time.
    ///
    /// - Parameters:
    ///   - nanoseconds: how long it had the request.
    ///   - active: requests in flight.
    ///   - now: monotonic nanoseconds.
    @inline(never)
    public func note(nanoseconds: Int64, active: Int, now: Int64) {
        let count = answers.wrappingAdd(1, ordering: .relaxed).newValue
        sum.wrappingAdd(max(0, nanoseconds), ordering: .relaxed)
        peak.max(active, ordering: .relaxed)
        if now >= windowEnd.load(ordering: .relaxed) && count >= ConcurrencyEstimate.samples { endWindow(now: now) }
    }

    /// Another worker may be at it: then that is done.
    private func endWindow(now: Int64) {
        _ = estimate.withLockIfAvailable { estimate in
            let count = answers.exchange(0, ordering: .relaxed)
            let total = sum.exchange(0, ordering: .relaxed)
            let most = peak.exchange(0, ordering: .relaxed)
            if count == 0 { return }
            let length = estimate.note(average: total / Int64(count), peak: most, now: now)
            limit.store(estimate.limit, ordering: .relaxed)
            windowEnd.store(now &+ length, ordering: .relaxed)
        }
    }
}
