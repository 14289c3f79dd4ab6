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
    /// Full batches in a row.
    private var turns: Int32 = 0
    /// The last turn came late.
    private var wasLate = false

    /// A turn that takes longer than this, in nanoseconds, was not work alone.
    private static var longestWork: Int64 { 50_000_000 }
    private static var shortestStop: Int64 { 1_000_000_000 }
    /// Full batches that are read before timers are looked after all the same: 64 of 512 events are as many connections as a worker
    /// is likely to have ready, and no more than some tenths of a second.
    private static var mostTurns: Int32 { 64 }

    /// A wait is over.
    ///
    /// - Parameters:
    ///   - before: when the wait before it was over.
    ///   - now: the time.
    ///   - longest: milliseconds that it was to last at most.
    ///   - isFull: it may have left events that were ready.
    @inline(__always)
    mutating func note(_ before: Int64, now: Int64, longest: Int32, isFull: Bool) {
        let late = now - before - Int64(longest) * 1_000_000
        if late > Self.shortestStop { resumedAt = now }
        // Work that always takes so long must not hold timers up for ever.
        wasLate = !wasLate && late > Self.longestWork
        let isRest = isFull && turns < Self.mostTurns
        turns = isRest ? turns + 1 : 0
        isBehind = wasLate || isRest
    }

    /// From when on a peer could go on with what it began at `time`: nobody takes or reads anything while the worker stands still,
    /// and a peer whose way is full can do nothing.
    @inline(__always)
    func running(since time: Int64) -> Int64 { max(time, resumedAt) }
}
