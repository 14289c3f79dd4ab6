/// Finds out how many requests may be in flight before they only wait for each other.
///
/// It looks at windows of time. While answers take less than twice as long as the fastest window of late, and the limit is made use
/// of, it grows by its square root; when they take longer, it shrinks in proportion, to the half at most. Where it is made use of
/// all the time, every window would be slow after a while: so once in a period it goes down to a quarter for two windows, and again
/// as long as that makes answers much faster. Then hosts have nothing that waits, and what they take is the measure for the next
/// period. It knows no time but what it is told.
public struct ConcurrencyEstimate: Equatable, Sendable {
    /// What a service may have in flight before anything is known of it.
    public static let first = 100
    /// What it may always have.
    public static let least = 4
    /// What it may have at most.
    public static let most = 100_000
    /// Answers that a window has at least.
    public static let samples = 10
    /// Shortest window in nanoseconds.
    private static let shortestWindow: Int64 = 100_000_000
    /// How long a measure holds, in nanoseconds.
    private static let period: Int64 = 30_000_000_000
    /// There may have been too much to do from the beginning.
    private static let firstPeriod: Int64 = 1_000_000_000
    /// How much longer than the measure answers may take.
    private static let tolerance = 2.0
    /// With a quarter in flight answers that took this part of the time had waited for each other.
    private static let muchFaster = 0.75

    /// Most requests in flight.
    public private(set) var limit = first
    /// What the answers of this period's fastest window took, in nanoseconds.
    private var fastest = Int64.max
    private var periodEnd = Int64.max
    /// A new measure is taken.
    private var probe: Probe?

    private struct Probe: Equatable {
        /// What the limit goes back to.
        let limit: Int
        /// What answers took before it went down, in nanoseconds.
        var average: Int64
        /// The window of what was in flight before is over, and the next one tells.
        var isDrained = false
    }

    /// Nothing is known.
    public init() {}

    /// A window is over.
    ///
    /// - Parameters:
    ///   - average: what its answers took, in nanoseconds.
    ///   - peak: most requests that were in flight.
    /// - Returns: how long the next one is, in nanoseconds.
    public mutating func note(average: Int64, peak: Int, now: Int64) -> Int64 {
        let average = max(1, average)
        if let probe {
            advance(probe, average, now: now)
        } else {
            if periodEnd == .max { periodEnd = now + Self.firstPeriod }
            fastest = min(fastest, average)
            if now >= periodEnd { endPeriod(average, peak, now: now) } else { adjust(average, peak) }
        }
        return max(Self.shortestWindow, min(average, Self.period) * 2)
    }

    private mutating func adjust(_ average: Int64, _ peak: Int) {
        let room = Self.tolerance * Double(fastest) / Double(average)
        if room < 1 {
            limit = max(Self.least, Int(Double(limit) * max(0.5, room)))
        } else if peak >= limit / 2 {
            limit = min(Self.most, limit + max(1, Int(Double(limit).squareRoot())))
        }
    }

    private mutating func endPeriod(_ average: Int64, _ peak: Int, now: Int64) {
        if peak >= limit / 2 && limit > Self.least {
            probe = Probe(limit: limit, average: average)
            limit = max(Self.least, limit / 4)
        } else {
            // Nothing waits: any window is as good a measure.
            begin(with: average, now: now)
        }
    }

    private mutating func advance(_ last: Probe, _ average: Int64, now: Int64) {
        if !last.isDrained {
            probe?.isDrained = true
        } else if limit > Self.least && Double(average) < Self.muchFaster * Double(last.average) {
            probe = Probe(limit: last.limit, average: average)
            limit = max(Self.least, limit / 4)
        } else {
            begin(with: average, now: now)
            limit = last.limit
            probe = nil
        }
    }

    private mutating func begin(with average: Int64, now: Int64) {
        fastest = average
        periodEnd = now + Self.period
    }
}
