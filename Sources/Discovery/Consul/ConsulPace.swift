import Runtime

/// Holds queries apart that return at once, whatever the reason: two may follow at once, then one each interval. What comes
/// rarely is never held up.
struct ConsulPace {
    private let quick: Duration
    private let slow: Duration
    private let burst: Int
    private(set) var interval: Duration
    /// Until when the allowance is used up if one is taken each interval.
    private var usedUntil: Int64 = 0

    /// - Parameters:
    ///   - quick: one query each.
    ///   - slow: one query each when they bring nothing new.
    ///   - burst: how many may follow at once.
    init(quick: Duration, slow: Duration, burst: Int = 2) {
        (self.quick, self.slow, self.burst) = (quick, slow, max(1, burst))
        interval = quick
    }

    /// How long a query must wait now.
    func delay(now: Int64) -> Duration {
        // What was saved up does not grow with the interval.
        let delay = max(usedUntil, now) - now - Int64(burst - 1) * quick.nanoseconds
        return delay > 0 ? .nanoseconds(delay) : .zero
    }

    /// A query is sent, or will be after `delay`.
    mutating func use(now: Int64) { usedUntil = max(usedUntil, now) + interval.nanoseconds }

    /// Takes leave for a query; returns how long to wait with it.
    mutating func take(now: Int64) -> Duration {
        let delay = delay(now: now)
        use(now: now)
        // Up to a tenth more, so that what was woken together does not stay together.
        return delay * Double.random(in: 1...1.1)
    }

    /// A query returned early and brought nothing: as if it had not blocked.
    mutating func slowDown() { interval = min(slow, interval * 2) }

    /// A query brought something, or it blocked as it should.
    mutating func speedUp(now: Int64) {
        interval = quick
        usedUntil = min(usedUntil, now + Int64(burst) * quick.nanoseconds)
    }
}
