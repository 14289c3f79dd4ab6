/// Smooth weighted round robin: in one round each index gets exactly its (reduced) weight of turns, spread evenly: at even
/// distances, at equal places the smaller index first. Made a part at a time.
///
/// There are as many places as turns in the round, so sorting turns into places takes constant time for each.
struct RoundOrder {
    /// Longest round, unless there are more than half as many indexes. Weights whose sum is larger are scaled down to it, each
    /// to at least one turn.
    static let longest = 8192
    /// Indexes, turns or places of one part.
    private static let part = 256

    private enum Phase { case divisor, sum, scale, count, place, set, sort, done }

    private struct Turn: Comparable {
        /// Where in the round, from 0 to 1.
        var at = 0.0
        var index: UInt32 = 0

        static func < (left: Turn, right: Turn) -> Bool { (left.at, left.index) < (right.at, right.index) }
    }

    /// The round, once there is nothing more to do.
    private(set) var indexes: [UInt32] = []

    private var phase = Phase.divisor
    /// Indexes or places that this phase has done, and turns of the next index.
    private var (done, turnsDone) = (0, 0)
    /// Turns of each index.
    private var shares: [UInt64]
    private var divisor: UInt64 = 0
    private var weight: UInt64 = 0
    private var length = 0
    private var turns: [Turn] = []
    /// Where in `turns` those of each place begin; from `set` on, where they end.
    private var ends: [Int] = []

    /// - Parameter weights: none is 0.
    init(_ weights: [UInt32]) { shares = weights.map(UInt64.init) }

    /// Does the next part; returns whether there is more to do.
    mutating func advance() -> Bool {
        switch phase {
        case .divisor: each(shares.count, then: .sum) { $0.divisor = Self.commonDivisor($0.shares[$1], $0.divisor) }
        case .sum: each(shares.count, then: .scale) { $0.weight += $0.shares[$1] / $0.divisor }
        case .scale: each(shares.count, then: .count) { $0.scale($1) }
        case .count: eachTurn(then: .place) { $0.ends[$0.place(of: $1) + 1] += 1 }
        case .place: each(length, then: .set) { $0.ends[$1 + 1] += $0.ends[$1] }
        case .set: eachTurn(then: .sort) { $0.set($1) }
        case .sort: each(length, then: .done) { $0.sort($1) }
        case .done: return false
        }
        return true
    }

    // MARK: Parts

    private mutating func each(_ count: Int, then next: Phase, _ body: (inout Self, Int) -> Void) {
        let end = min(count, done + Self.part)
        for number in done..<end { body(&self, number) }
        done = end
        if done == count { begin(next) }
    }

    /// An index of small weight counts like a turn, one of large weight takes many parts.
    private mutating func eachTurn(then next: Phase, _ body: (inout Self, Turn) -> Void) {
        for _ in 0..<Self.part where done < shares.count {
            let share = Int(shares[done])
            body(&self, Turn(at: (Double(turnsDone) + 0.5) / Double(share), index: UInt32(done)))
            turnsDone += 1
            if turnsDone == share { (done, turnsDone) = (done + 1, 0) }
        }
        if done == shares.count { begin(next) }
    }

    private mutating func begin(_ next: Phase) {
        phase = next
        done = 0
        if next == .count {
            turns = Array(repeating: Turn(), count: length)
            ends = Array(repeating: 0, count: length + 1)
            indexes.reserveCapacity(length)
        }
    }

    // MARK: Steps

    private static func commonDivisor(_ left: UInt64, _ right: UInt64) -> UInt64 {
        right == 0 ? left : commonDivisor(right, left % right)
    }

    private mutating func scale(_ index: Int) {
        var share = shares[index] / divisor
        let longest = UInt64(max(Self.longest, 2 * shares.count))
        if weight > longest { share = max(1, share * longest / weight) }
        shares[index] = share
        length += Int(share)
    }

    private func place(of turn: Turn) -> Int { Int(turn.at * Double(length)) }

    private mutating func set(_ turn: Turn) {
        let place = place(of: turn)
        turns[ends[place]] = turn
        ends[place] += 1
    }

    /// Puts the turns of a place in order, behind those of the places before.
    private mutating func sort(_ place: Int) {
        let those = indexes.count..<ends[place]
        if those.count > 1 { turns.withUnsafeMutableBufferPointer { $0[those].sort() } }
        for number in those { indexes.append(turns[number].index) }
    }
}
