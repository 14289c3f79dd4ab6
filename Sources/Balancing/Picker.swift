import Configuration
import Runtime

/// Draws indexes by weight in constant time from tables made once per cluster.
struct Picker {
    let balancer: BalancerKind
    /// Length of one round of `inTurn`.
    let turns: UInt32
    private let count: UInt64
    /// Round robin: the order of one round; nil when all weights are equal, then the order is 0, 1, 2….
    private let order: UnsafeMutablePointer<UInt32>?
    /// Alias method (Vose): keep column `i` when a 32-bit number is below `keep[i]`, else take `alias[i]`; nil when all
    /// weights are equal.
    private let keep: UnsafeMutablePointer<UInt64>?
    private let alias: UnsafeMutablePointer<UInt32>?

    init(weights: [UInt32], balancer: BalancerKind) {
        self.balancer = balancer
        count = UInt64(weights.count)
        let equal = weights.allSatisfy { $0 == weights.first }
        let needsOrder = balancer == .roundRobin && !equal
        let sequence = needsOrder ? Self.smoothOrder(weights) : []
        order = needsOrder ? Self.copy(sequence) : nil
        turns = needsOrder ? UInt32(sequence.count) : UInt32(max(1, weights.count))
        if balancer == .roundRobin || equal {
            keep = nil
            alias = nil
        } else {
            let table = Self.aliasTable(weights)
            keep = Self.copy(table.keep)
            alias = Self.copy(table.alias)
        }
    }

    func free() {
        order?.deallocate()
        keep?.deallocate()
        alias?.deallocate()
    }

    @inline(__always)
    func inTurn(_ position: UInt32) -> Int {
        let position = position < turns ? position : 0
        guard let order else { return Int(position) }
        return Int(order[Int(position)])
    }

    @inline(__always)
    func byWeight(_ random: inout FastRandom) -> Int {
        if count == 1 { return 0 }
        let bits = random.next()
        let column = Int(truncatingIfNeeded: ((bits >> 32) &* count) >> 32)
        guard let keep, let alias else { return column }
        return bits & 0xffff_ffff < keep[column] ? column : Int(alias[column])
    }

    /// Longest round of the smooth order. Weights whose sum is larger are scaled down to it, each to at least one turn.
    static let longestRound = 8192

    /// Smooth weighted round robin: in one round each index gets exactly its (reduced) weight of turns, spread evenly.
    static func smoothOrder(_ weights: [UInt32]) -> [UInt32] {
        var shares = weights.map(UInt64.init)
        let divisor = shares.reduce(0, greatestCommonDivisor)
        if divisor > 1 { shares = shares.map { $0 / divisor } }
        let sum = shares.reduce(0, +)
        let longest = UInt64(max(longestRound, 2 * weights.count))
        if sum > longest { shares = shares.map { max(1, $0 * longest / sum) } }
        return spread(shares)
    }

    /// The order of one round: each index's turns at even distances, at equal places the smaller index first.
    ///
    /// There are about as many turns as places in the round, so sorting them into places takes constant time for each.
    private static func spread(_ shares: [UInt64]) -> [UInt32] {
        let sum = Int(shares.reduce(0, +))
        var turns = [(at: Double, index: UInt32)](repeating: (0, 0), count: sum)
        var ends = [Int](repeating: 0, count: sum + 1)
        func forEachTurn(_ body: (Double, UInt32) -> Void) {
            for (index, share) in shares.enumerated() {
                for turn in 0..<share { body((Double(turn) + 0.5) / Double(share), UInt32(index)) }
            }
        }
        forEachTurn { at, _ in ends[Int(at * Double(sum)) + 1] += 1 }
        for place in 0..<sum { ends[place + 1] += ends[place] }
        forEachTurn { at, index in
            let place = Int(at * Double(sum))
            turns[ends[place]] = (at, index)
            ends[place] += 1
        }
        var start = 0
        for place in 0..<sum {
            if ends[place] - start > 1 { turns[start..<ends[place]].sort { ($0.at, $0.index) < ($1.at, $1.index) } }
            start = ends[place]
        }
        return turns.map(\.index)
    }

    private static func greatestCommonDivisor(_ left: UInt64, _ right: UInt64) -> UInt64 {
        right == 0 ? left : greatestCommonDivisor(right, left % right)
    }

    /// Vose's alias method; probabilities in units of 2^-32.
    static func aliasTable(_ weights: [UInt32]) -> (keep: [UInt64], alias: [UInt32]) {
        let total = weights.reduce(0) { $0 + Double($1) }
        var scaled = weights.map { Double($0) * Double(weights.count) / total }
        var keep = [UInt64](repeating: 1 << 32, count: weights.count)
        var alias = (0..<UInt32(weights.count)).map { $0 }
        var small = scaled.indices.filter { scaled[$0] < 1 }
        var large = scaled.indices.filter { scaled[$0] >= 1 }
        while let less = small.popLast(), let more = large.last {
            keep[less] = UInt64(scaled[less] * 4_294_967_296)
            alias[less] = UInt32(more)
            scaled[more] -= 1 - scaled[less]
            if scaled[more] < 1 {
                large.removeLast()
                small.append(more)
            }
        }
        return (keep, alias)
    }

    private static func copy<Element>(_ values: [Element]) -> UnsafeMutablePointer<Element> {
        let memory = UnsafeMutablePointer<Element>.allocate(capacity: max(1, values.count))
        memory.initialize(from: values, count: values.count)
        return memory
    }
}
