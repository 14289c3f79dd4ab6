/// Whether the worker knows less than the clock: what peers have done in time may not be read yet. Nobody is told that time is over
/// then.
///
/// That is so when more was ready than one wait tells, and when the process was stopped, or got no processor: Linux ends a wait with
/// no events when a stopped process goes on (`signal(7)`), so that the clock is far ahead of what was read.
struct Lag {
    /// The batch of this turn may not be all that has come before it.
    private(set) var isBehind = false
    /// When the worker last went on after it had stood still for a second or more; 0 when it never has.
    private var resumedAt: Int64 = 0
    /// It stood still, so that much may have come on each connection: all of that is read. Otherwise all connections are looked at.
    private var stoodStill = false
    /// Turns that it is behind.
    private var turns: Int32 = 0
    /// Since when.
    private var behindSince: Int64 = 0

    /// A turn that takes longer than this, in nanoseconds, was not work alone.
    private static var longestWork: Int64 { 50_000_000 }
    private static var shortestStop: Int64 { 1_000_000_000 }
    /// After so many turns and so long timers are looked after all the same: 64 of 512 events are as many connections as a worker is
    /// likely to have ready. A worker that is always busy, or always slow, must not hold timers up for ever.
    private static var mostTurns: Int32 { 64 }
    private static var longestCatchingUp: Int64 { 500_000_000 }

    /// A wait is over.
    ///
    /// - Parameters:
    ///   - before: when the wait before it was over.
    ///   - now: the time.
    ///   - longest: milliseconds that it was to last at most.
    ///   - count: events that it has told of.
    ///   - isFull: it may have left events that were ready.
    @inline(__always)
    mutating func note(_ before: Int64, now: Int64, longest: Int32, count: Int, isFull: Bool) {
        let late = now - before - Int64(longest) * 1_000_000
        if late > Self.shortestStop {
            resumedAt = now
            fallBehind(now: now, stoodStill: true)
        } else if isBehind && stoodStill {
            catchUp(now: now, isMore: count > 0)
        } else if late > Self.longestWork {
            fallBehind(now: now, stoodStill: true)
        } else if isBehind {
            catchUp(now: now, isMore: isFull)
        } else if isFull {
            fallBehind(now: now, stoodStill: false)
        }
    }

    @inline(never)
    private mutating func fallBehind(now: Int64, stoodStill: Bool) {
        turns = isBehind ? turns + 1 : 0
        isBehind = turns < Self.mostTurns
        self.stoodStill = stoodStill
        behindSince = now
    }

    @inline(never)
    private mutating func catchUp(now: Int64, isMore: Bool) {
        turns += 1
        isBehind = isMore && turns < Self.mostTurns && now - behindSince < Self.longestCatchingUp
    }

    /// From when on a peer could go on with what it began at `time`: nobody takes or reads anything while the worker stands still,
    /// and a peer whose way is full can do nothing.
    @inline(__always)
    func running(since time: Int64) -> Int64 { max(time, resumedAt) }
}
