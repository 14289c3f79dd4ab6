import Routing
import Testing

/// Hosts as a table: which targets can serve, and which have hosts that are left alone.
private struct FakeView: ClusterView {
    var usable: Set<Target> = []
    var listed: Set<Target> = []

    func canServe(_ target: Target) -> Bool { usable.contains(target) }
    func hasHosts(_ target: Target) -> Bool { usable.contains(target) || listed.contains(target) }
}

@Suite struct DecisionTests {
    private func rules(
        strict: Bool = false, stable: Int? = nil, split: [(version: Int, weight: UInt32)] = []
    ) -> Rules {
        var rules = Rules()
        rules.isStrict = strict
        rules.stable = stable
        let shares = UnsafeMutablePointer<Share>.allocate(capacity: max(1, split.count))
        for (index, part) in split.enumerated() {
            rules.total += UInt64(part.weight)
            shares[index] = Share(
                version: part.version, cumulative: rules.total, weight: part.weight, hash: UInt64(part.version))
        }
        rules.shares = UnsafePointer(shares)
        rules.shareCount = split.count
        return rules
    }

    private func decision(
        _ requested: RequestedVersion, _ rules: Rules, chance: UInt64 = 0, sticky: Bool = false, _ view: FakeView
    ) -> Decision {
        defer { rules.shares?.deallocate() }
        return decide(requested: requested, rules: rules, chance: chance, isSticky: sticky, view: view)
    }

    private let all: Set<Target> = [.version(1), .version(2), .own, .any]

    @Test func wishThenSplitThenStableThenOwn() {
        let view = FakeView(usable: all)
        let split: [(Int, UInt32)] = [(2, 100)]
        #expect(decision(.version(1), rules(stable: 2, split: split), view).target == .version(1))
        #expect(decision(.none, rules(stable: 1, split: split), view).reason == .split)
        #expect(decision(.none, rules(stable: 1, split: split), view).target == .version(2))
        #expect(decision(.none, rules(stable: 1), view).target == .version(1))
        #expect(decision(.none, rules(), view).target == .own)
    }

    @Test func weightsAreExactAtTheirBorders() {
        let view = FakeView(usable: all)
        let split: [(Int, UInt32)] = [(1, 10), (2, 90)]
        for percent in 0..<100 as Range<UInt64> {
            let chance = percent * (UInt64.max / 100) + 1000
            let target = decision(.none, rules(split: split), chance: chance, view).target
            #expect(target == .version(percent < 10 ? 1 : 2))
        }
        for chance in [0, 1, UInt64.max / 2, .max - 1, .max] {
            #expect(decision(.none, rules(split: [(1, 0), (2, 7)]), chance: chance, view).target == .version(2))
            #expect(decision(.none, rules(split: [(1, 7), (2, 0)]), chance: chance, view).target == .version(1))
        }
    }

    @Test func strictRefuses() {
        let view = FakeView(usable: [.version(1), .own, .any])
        #expect(decision(.version(2), rules(strict: true, stable: 1), view).target == .nothing)
        #expect(decision(.version(-1), rules(strict: true, stable: 1), view).target == .nothing)
        #expect(decision(.none, rules(strict: true, stable: 2), view).target == .nothing)
    }

    @Test func fallbackGoesToStableThenSplitThenOwnThenAny() {
        let split: [(Int, UInt32)] = [(1, 0), (3, 5), (4, 5)]
        let wish = RequestedVersion.version(9)
        let steps: [(Set<Target>, Target, Fallback)] = [
            ([.version(2), .version(3), .own, .any], .version(2), .stable),
            ([.version(1), .version(3), .version(4), .own, .any], .version(3), .split),
            ([.version(1), .version(4), .any], .version(4), .split), ([.version(1), .own, .any], .own, .own),
            ([.version(1), .any], .any, .any), ([], .nothing, .none),
        ]
        for (usable, target, fallback) in steps {
            let outcome = decision(wish, rules(stable: 2, split: split), FakeView(usable: usable))
            #expect(outcome.target == target)
            #expect(outcome.fallback == fallback)
            #expect(outcome.wanted == .version(9))
        }
    }

    @Test func hostsThatAreLeftAloneAreTheLastResort() {
        let ejected = FakeView(usable: [], listed: [.version(2), .any])
        let outcome = decision(.version(2), rules(strict: true), ejected)
        #expect(outcome.target == .version(2))
        #expect(outcome.fallback == .unusable)
        #expect(decision(.version(1), rules(strict: true), ejected).target == .nothing)
        #expect(decision(.version(1), rules(), ejected).target == .any)
    }
}
