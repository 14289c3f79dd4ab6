import Model
import Runtime
import Testing

@testable import Balancing

/// Weights of lists that take one part and of such that take many.
private let lists: [[UInt32]] = {
    var random = FastRandom(seed: 3)
    func some(_ count: Int, below bound: UInt64) -> [UInt32] {
        (0..<count).map { _ in UInt32(1 + random.below(bound)) }
    }
    return [
        [1, 2], [5, 1, 1], [3, 3, 6], [1, 100_000], [4_000_000_000, 4_000_000_000, 1], some(10, below: 10),
        some(700, below: 3), some(700, below: 1_000_000), some(5000, below: 100), some(4999, below: 2) + [7],
        [UInt32](repeating: 1, count: 4999) + [2], [UInt32](repeating: 50, count: 600) + [100, 8000],
    ]
}()

@Suite struct PickerTests {
    @Test(arguments: lists.indices) func aRoundIsSmooth(list: Int) {
        let weights = lists[list]
        var order = RoundOrder(weights)
        while order.advance() {}
        let shares = Self.shares(weights)
        var turns: [(at: Double, index: UInt32)] = []
        for (index, share) in shares.enumerated() {
            for turn in 0..<share { turns.append(((Double(turn) + 0.5) / Double(share), UInt32(index))) }
        }
        turns.sort { ($0.at, $0.index) < ($1.at, $1.index) }
        #expect(order.indexes == turns.map(\.index))
    }

    /// Turns of each index: the weights in lowest terms, scaled down where their sum is too large.
    private static func shares(_ weights: [UInt32]) -> [UInt64] {
        func divisor(_ left: UInt64, _ right: UInt64) -> UInt64 { right == 0 ? left : divisor(right, left % right) }
        let common = weights.reduce(0) { divisor(UInt64($1), $0) }
        let shares = weights.map { UInt64($0) / common }
        let sum = shares.reduce(0, +)
        let longest = UInt64(max(8192, 2 * weights.count))
        return sum <= longest ? shares : shares.map { max(1, $0 * longest / sum) }
    }

    @Test(arguments: lists.indices) func theTableHoldsEachIndexsShare(list: Int) {
        let weights = lists[list]
        var table = AliasTable(weights)
        while table.advance() {}
        var shares = [Double](repeating: 0, count: weights.count)
        for column in weights.indices {
            let kept = Double(table.keep[column]) / 4_294_967_296
            shares[column] += kept
            shares[Int(table.alias[column])] += 1 - kept
        }
        let sum = weights.reduce(0) { $0 + Double($1) }
        for (share, weight) in zip(shares, weights) {
            #expect(abs(share / Double(weights.count) - Double(weight) / sum) < 1e-6)
        }
    }

    /// However many hosts and turns there are, no part does more than some of them.
    @Test func longListsTakeManyParts() {
        for balancer in [BalancerKind.roundRobin, .random] {
            let builder = PickerBuilder(weights: lists[8], balancer: balancer)
            var parts = 0
            while builder.advance() { parts += 1 }
            #expect(parts >= 10)
        }
        let equal = PickerBuilder(weights: [2, 2, 2], balancer: .roundRobin)
        #expect(!equal.advance())
    }
}
