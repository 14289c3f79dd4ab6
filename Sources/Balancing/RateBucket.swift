import Model
import Runtime
import Synchronization

/// The tokens of a rate limit, which all workers take from.
///
/// A bucket is one number: when all its tokens will be back. A token that is taken puts that off by the time between two requests,
/// and there is none when it would be further away than `burst` of those times (the generic cell rate algorithm). So nothing has to
/// fill buckets up, and a bucket whose time has come is as good as one that never was.
public final class RateBucket: Sendable {
    /// What it was made for.
    public let policy: RateLimitPolicy
    /// Nanoseconds between two requests, and those of `burst` of them.
    private let interval: Int64
    private let tolerance: Int64
    private let full = Atomic<Int64>(0)
    /// Tells its keys from those of other buckets.
    private let salt: UInt64

    /// A full bucket; nil where nothing is limited.
    public init?(_ policy: RateLimitPolicy) {
        guard let rate = policy.rate else { return nil }
        self.policy = policy
        interval = Int64(rate.period.seconds) * 1_000_000_000 / Int64(rate.requests)
        tolerance = interval * Int64(policy.effectiveBurst)
        salt = UInt64.random(in: 1...UInt64.max)
    }

    /// Each value of a key has tokens of its own.
    public var isKeyed: Bool { policy.key != nil }

    /// Takes a token.
    ///
    /// - Parameters:
    ///   - key: hash of the key's value; it does not matter where there is no key.
    ///   - now: monotonic nanoseconds.
    /// - Returns: 0, or the nanoseconds until there is one again.
    @inline(__always)
    public func take(key: UInt64, now: Int64) -> Int64 {
        if isKeyed { return RateTable.process.take(key ^ salt, interval: interval, tolerance: tolerance, now: now) }
        return Self.take(full, interval: interval, tolerance: tolerance, now: now)
    }

    /// Takes a token from a bucket.
    @inline(__always)
    static func take(_ full: borrowing Atomic<Int64>, interval: Int64, tolerance: Int64, now: Int64) -> Int64 {
        var seen = full.load(ordering: .relaxed)
        while true {
            let next = max(seen, now) &+ interval
            let wait = next &- now &- tolerance
            if wait > 0 { return wait }
            let (isDone, current) = full.weakCompareExchange(expected: seen, desired: next, ordering: .relaxed)
            if isDone { return 0 }
            seen = current
        }
    }
}
