import Runtime

/// How many queries may hang at one time: fewer for a while after an agent has said that there are too many.
struct ConsulLimit: Equatable {
    private let most: Int
    private var reduced: Int
    private var reducedAt: Int64?

    /// Fewer than this are never allowed, most permitting.
    static let fewest = 8
    private static let calm = Duration.seconds(10).nanoseconds
    private static let recovery = Duration.seconds(60).nanoseconds

    init(most: Int) {
        self.most = max(1, most)
        reduced = self.most
    }

    /// How many may hang. Doubles for each minute since it was reduced.
    func current(now: Int64) -> Int {
        guard let reducedAt else { return most }
        let doublings = min(max(0, now - reducedAt) / Self.recovery, 20)
        return min(most, reduced << Int(doublings))
    }

    /// Halves it; false when that was done just now.
    mutating func reduce(now: Int64) -> Bool {
        if let reducedAt, now - reducedAt < Self.calm { return false }
        reduced = max(min(Self.fewest, most), current(now: now) / 2)
        reducedAt = now
        return true
    }
}
