import Glibc
import Testing

@testable import Routing

/// Sticky keys and the parts of a split. Bounds are more than four standard deviations.
@Suite struct StickyShareTests {
    typealias Split = [(version: String, weight: UInt32)]

    private static let keys = 40_000

    /// FNV-1a, as texts and keys are hashed by the data plane.
    private static func hash(_ text: String) -> UInt64 {
        var value: UInt64 = 0xcbf2_9ce4_8422_2325
        for byte in text.utf8 { value = (value ^ UInt64(byte)) &* 0x100_0000_01b3 }
        value = (value ^ (value >> 32)) &* 0x9fb2_1c65_1e98_df25
        return value ^ (value >> 29)
    }

    /// The version of each key.
    private func versions(_ split: Split, keys: Int = keys) -> [String] {
        var total: UInt64 = 0
        let shares = split.enumerated().map { index, part in
            total += UInt64(part.weight)
            return Share(version: index, cumulative: total, weight: part.weight, hash: Self.hash(part.version))
        }
        return shares.withUnsafeBufferPointer { shares in
            var rules = Rules()
            rules.shares = shares.baseAddress
            rules.shareCount = shares.count
            rules.total = total
            return (0..<keys).map { key in
                let chance = Self.hash("user-\(key)")
                let decision = wanted(requested: .none, rules: rules, chance: chance, isSticky: true)
                guard case .version(let index) = decision.wanted, decision.reason == .sticky else { return "" }
                return split[index].version
            }
        }
    }

    /// How many keys go from which version to which.
    private func moves(_ before: Split, _ after: Split) -> [String: Int] {
        var moves: [String: Int] = [:]
        for (old, new) in zip(versions(before), versions(after)) where old != new {
            moves["\(old)>\(new)", default: 0] += 1
        }
        return moves
    }

    private static func share(_ version: String, _ split: Split) -> Double {
        let total = split.reduce(0) { $0 + Double($1.weight) }
        return split.reduce(0) { $0 + ($1.version == version ? Double($1.weight) / total : 0) }
    }

    @Test(
        arguments: [
            [("1.0", 90), ("2.0", 10)], [("1.0", 1), ("2.0", 1)], [("a", 5), ("b", 3), ("c", 2)],
            [("1", 999_999), ("2", 1)],
            [("gray", 0), ("1.0", 7)], (1...64).map { ("v\($0)", UInt32($0)) },
        ] as [Split])
    func keysFollowTheWeights(split: Split) {
        let seen = Dictionary(versions(split).map { ($0, 1) }) { $0 + $1 }
        for (version, _) in split {
            let expected = Self.share(version, split) * Double(Self.keys)
            #expect(abs(Double(seen[version, default: 0]) - expected) <= 4.5 * expected.squareRoot())
            if expected == 0 { #expect(seen[version] == nil) }
        }
    }

    @Test func theSameFractionsGiveTheSameAnswer() {
        #expect(moves([("1.0", 9), ("2.0", 1)], [("1.0", 90), ("2.0", 10)]).isEmpty)
        #expect(
            moves([("1.0", 1), ("2.0", 2), ("3.0", 3)], [("1.0", 150_000), ("2.0", 300_000), ("3.0", 450_000)]).isEmpty)
        #expect(moves([("1.0", 9), ("2.0", 1)], [("2.0", 1), ("1.0", 9)]).isEmpty, "in whatever order")
        #expect(
            moves([("1.0", 9), ("2.0", 1)], [("0.9", 0), ("1.0", 9), ("2.0", 1)]).isEmpty,
            "0 is as if it were not there")
    }

    /// Between two versions, or when one weight changes beside others: exactly what the change asks for.
    @Test(
        arguments: [
            ([("1.0", 100), ("2.0", 5)], [("1.0", 100), ("2.0", 10)]),
            ([("1.0", 95), ("2.0", 5)], [("1.0", 90), ("2.0", 10)]),
            ([("1.0", 100), ("2.0", 5), ("3.0", 5)], [("1.0", 100), ("2.0", 20), ("3.0", 5)]),
            ([("1.0", 50), ("2.0", 50)], [("1.0", 40), ("2.0", 40), ("3.0", 20)]),
            ([("1.0", 90), ("2.0", 10)], [("1.0", 90), ("2.0", 10), ("3.0", 10)]),
            ([("1.0", 70), ("2.0", 20), ("3.0", 10)], [("1.0", 70), ("3.0", 10)]),
            ([("1.0", 0), ("2.0", 1)], [("1.0", 1), ("2.0", 0)]),
        ] as [(Split, Split)])
    func onlyWhatMustMoves(before: Split, after: Split) {
        var must = 0.0
        for version in Set((before + after).map(\.version)) {
            must += max(0, Self.share(version, after) - Self.share(version, before)) * Double(Self.keys)
        }
        let moves = moves(before, after)
        #expect(abs(Double(moves.values.reduce(0, +)) - must) <= 4.5 * must.squareRoot())
        for move in moves.keys {
            let (old, new) = (String(move.prefix { $0 != ">" }), String(move.drop { $0 != ">" }.dropFirst()))
            #expect(Self.share(old, after) < Self.share(old, before), "only out of what shrank")
            #expect(Self.share(new, after) * (1 + 1e-9) >= Self.share(new, before) || Self.share(old, after) == 0)
        }
    }

    /// Where one share shrinks for another beside a third, some keys of the third are touched: no rule that knows only the present
    /// weights can avoid that for every such change. It is a part as large as the third's share of what must move.
    @Test func aThirdVersionIsHardlyTouched() {
        let moves = moves([("1.0", 60), ("2.0", 30), ("3.0", 10)], [("1.0", 50), ("2.0", 30), ("3.0", 20)])
        let keys = Double(Self.keys)
        #expect(moves["3.0>1.0"] == nil && moves["3.0>2.0"] == nil && moves["2.0>1.0"] == nil)
        #expect(Double(moves.values.reduce(0, +)) < 0.135 * keys)
        #expect(Double(moves["2.0>3.0", default: 0]) < 0.031 * keys)
    }

    /// These must never change: users would change their versions with an upgrade of Greymesh.
    @Test func answersAreTheSameInEveryProcess() {
        #expect(
            versions([("1.0", 60), ("2.0", 30), ("3.0", 10)], keys: 20).joined(separator: " ")
                == "1.0 2.0 1.0 1.0 1.0 2.0 2.0 2.0 1.0 2.0 3.0 1.0 1.0 1.0 2.0 1.0 2.0 1.0 1.0 2.0")
    }

    @Test func theLogarithmIsOne() {
        var number = 1.0
        while number > 1e-17 {
            #expect(abs(logarithm(number) - log(number)) <= 4e-16 * max(1, abs(log(number))))
            number *= 0.9973
        }
        // Close below 1, where the shortest times come from, it must be right in relation.
        for power in 20...52 {
            let distance = 1.0 / Double(1 << power)
            #expect(abs(logarithm(1 - distance) / log1p(-distance) - 1) < 1e-15)
        }
    }
}
