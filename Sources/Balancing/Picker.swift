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
            (keep, alias) = Self.aliasTable(weights)
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
    private static func aliasTable(
        _ weights: [UInt32]
    ) -> (keep: UnsafeMutablePointer<UInt64>, alias: UnsafeMutablePointer<UInt32>) {
        let count = weights.count
        let keep = UnsafeMutablePointer<UInt64>.allocate(capacity: count)
        let alias = UnsafeMutablePointer<UInt32>.allocate(capacity: count)
        let scale = Double(count) / weights.reduce(0) { $0 + Double($1) }
        // Columns with less than their share stand at the front, `small` of them, the others from `large` to the end.
        withUnsafeTemporaryAllocation(of: UInt32.self, capacity: count) { columns in
            withUnsafeTemporaryAllocation(of: Double.self, capacity: count) { shares in
                var (small, large) = (0, count)
                for index in 0..<count {
                    shares[index] = Double(weights[index]) * scale
                    keep[index] = 1 << 32
                    alias[index] = UInt32(index)
                    if shares[index] < 1 {
                        columns[small] = UInt32(index)
                        small += 1
                    } else {
                        large -= 1
                        columns[large] = UInt32(index)
                    }
                }
                while small > 0 && large < count {
                    small -= 1
                    let (less, more) = (Int(columns[small]), Int(columns[large]))
                    keep[less] = UInt64(shares[less] * 4_294_967_296)
                    alias[less] = UInt32(more)
                    shares[more] -= 1 - shares[less]
                    if shares[more] < 1 {
                        large += 1
                        columns[small] = UInt32(more)
                        small += 1
                    }
                }
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
