import Runtime

/// Holds an adapter's requests to a rate, whatever makes it ask: so many may follow at once, then one each interval. What comes
/// rarely is never held up.
struct RateLimit {
    private let interval: Int64
    private let burst: Int64
    /// May be sent beside the rate.
    private var granted = 0
    /// Until when the allowance is used up if one is taken each interval.
    private var usedUntil: Int64 = 0

    /// - Parameter burst: how many may follow at once, 1 or more.
    init(interval: Duration, burst: Int) {
        self.interval = max(1, interval.nanoseconds)
        self.burst = Int64(max(1, burst))
    }

    /// Allows so many more: somebody has asked for something new.
    mutating func grant(_ count: Int) { granted += max(0, count) }

    /// How long a request must wait now.
    func delay(now: Int64) -> Duration {
        if granted > 0 { return .zero }
        let delay = max(usedUntil, now) - now - (burst - 1) * interval
        return delay > 0 ? .nanoseconds(delay) : .zero
    }

    /// A request is sent, or will be after `delay`.
    mutating func use(now: Int64) {
        if granted > 0 { granted -= 1 } else { usedUntil = max(usedUntil, now) + interval }
    }

    /// Takes leave for a request; returns how long to wait with it.
    mutating func take(now: Int64) -> Duration {
        let delay = delay(now: now)
        use(now: now)
        return delay
    }
}
