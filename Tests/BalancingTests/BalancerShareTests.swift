import Balancing
import Model
import Routing
import Runtime
import Testing

/// Each host's part, with hosts that come, go, fail and are busy. Bounds are more than four standard deviations.
@Suite struct BalancerShareTests {
    private static let balancers = [BalancerKind.roundRobin, .random, .leastRequest]

    private func picks(_ count: Int, _ fixture: ClusterFixture) -> [UInt16: Int] {
        fixture.picks(count, .own, fixture.view())
    }

    // MARK: Round robin and rebuilding

    @Test(arguments: [1...3, 2...2, 1...1, 0...4] as [ClosedRange<Int>])
    func roundRobinIsExactWhereverItBegins(weights: ClosedRange<Int>) {
        let hosts = weights.enumerated().map { instance(UInt16($0 + 1), weight: Double($1)) }
        let round = weights.reduce(0, +)
        var first: Set<UInt16> = []
        for seed in 0..<50 as Range<UInt64> {
            let fixture = ClusterFixture(hosts, balancer: .roundRobin, seed: seed)
            first.formUnion(picks(1, fixture).keys)
            for _ in 0..<3 {
                let picks = picks(round, fixture)
                for (index, weight) in weights.enumerated() { #expect(picks[UInt16(index + 1), default: 0] == weight) }
            }
        }
        #expect(first.count == weights.count { $0 > 0 }, "not all begin at the same host")
    }

    @Test(arguments: [[1, 1, 1], [1, 2, 3], [7, 1, 4]], [1, 2, 5])
    func roundRobinGoesOnWhenItIsRebuilt(weights: [Int], requests: Int) {
        let hosts = weights.enumerated().map { instance(UInt16($0 + 1), weight: Double($1)) }
        let fixture = ClusterFixture(hosts, balancer: .roundRobin)
        var picks: [UInt16: Int] = [:]
        let rounds = 10 * requests
        for _ in 0..<rounds * weights.reduce(0, +) / requests {
            picks.merge(self.picks(requests, fixture)) { $0 + $1 }
            fixture.rebuild(hosts)
        }
        for (index, weight) in weights.enumerated() { #expect(picks[UInt16(index + 1)] == rounds * weight) }
    }

    /// A service that changes as often as it is asked: nobody has more than its part.
    @Test func roundRobinIsFairBetweenRoundsOfDifferentLengths() {
        let fixture = ClusterFixture([instance(1)], balancer: .roundRobin)
        var expected: [UInt16: Double] = [:]
        var seen: [UInt16: Int] = [:]
        for number in 0..<30_000 {
            // The last host warms up, one of the others comes and goes.
            let warm = Double(number % 20 + 1) / 20
            var weights: [(port: UInt16, weight: Double)] = [(1, 1), (3, 1), (4, warm)]
            if number % 3 == 0 { weights.append((2, 2)) }
            let total = weights.reduce(0) { $0 + $1.weight }
            for (port, weight) in weights { expected[port, default: 0] += weight / total }
            fixture.rebuild(weights.map { instance($0.port, weight: $0.weight) })
            seen.merge(picks(1, fixture)) { $0 + $1 }
        }
        for (port, count) in expected { #expect(abs(Double(seen[port, default: 0]) - count) < 4 * count.squareRoot()) }
    }

    @Test func aVersionsRoundGoesOnThoughOthersComeAndGo() {
        let hosts = (1...4).map { instance(UInt16($0), "stable") }
        let fixture = ClusterFixture(hosts, balancer: .roundRobin)
        var picks: [UInt16: Int] = [:]
        for number in 0..<100 {
            picks.merge(fixture.picks(1, .version(fixture.label("stable")), fixture.view())) { $0 + $1 }
            fixture.rebuild(hosts + (0..<number % 7).map { instance(UInt16(100 + $0), "a-\(number)-\($0)") })
        }
        #expect(picks.values.sorted() == [25, 25, 25, 25])
    }

    // MARK: Hosts that are out

    @Test(arguments: balancers) func whatIsLeftSharesByWeight(balancer: BalancerKind) {
        for weights in [[1, 1], [1, 3]] {
            let hosts = (1...10).map { instance(UInt16($0), weight: $0 > 8 ? Double(weights[$0 - 9]) : 2) }
            let fixture = ClusterFixture(hosts, balancer: balancer)
            for port in 1...8 as ClosedRange<UInt16> {
                if port % 2 == 0 { fixture.endpoint(port).pointee.noteFailure(now: 1) }
                if port % 2 == 1 { fixture.endpoint(port).pointee.readonlyConnections = 1 }
            }
            let picks = picks(8000, fixture)
            let part = 8000 / weights.reduce(0, +)
            #expect(picks.keys.sorted() == [9, 10])
            #expect(abs(picks[9, default: 0] - part) <= (balancer == .roundRobin ? 1 : 180))
        }
    }

    @Test(arguments: balancers) func whenAllAreOutTheyShareByWeight(balancer: BalancerKind) {
        let fixture = ClusterFixture((1...4).map { instance(UInt16($0), weight: Double($0)) }, balancer: balancer)
        for port in 1...4 as ClosedRange<UInt16> { fixture.endpoint(port).pointee.noteFailure(now: 1) }
        var tried = TriedEndpoints()
        tried.insert(fixture.endpoint(2))
        var picks: [UInt16: Int] = [:]
        for _ in 0..<8000 {
            let cluster = fixture.view().clusterRegardless(for: .own)
            let member = cluster?.pointee.pickRegardless(random: &fixture.random, tried: tried)
            picks[member?.pointee.endpoint.pointee.address.port ?? 0, default: 0] += 1
        }
        #expect(picks.keys.sorted() == [1, 3, 4])
        for port in [1, 3, 4] as [UInt16] {
            #expect(abs(picks[port, default: 0] - 1000 * Int(port)) <= (balancer == .roundRobin ? 1 : 200))
        }
    }

    @Test func aHeavyHostThatIsOutLeavesItsTurnsToAll() {
        let hosts = [instance(1), instance(2, weight: 8000), instance(3), instance(4, weight: 2)]
        let fixture = ClusterFixture(hosts, balancer: .roundRobin)
        fixture.endpoint(2).pointee.noteFailure(now: 1)
        let picks = picks(8000, fixture)
        #expect(abs(picks[1, default: 0] - 2000) < 180 && abs(picks[4, default: 0] - 4000) < 200)
    }

    // MARK: Least request

    @Test func idleHostsShareByWeightAndBusyOnesAreSpared() {
        let hosts = [instance(1), instance(2, weight: 3)]
        let fixture = ClusterFixture(hosts)
        #expect(abs(picks(8000, fixture)[1, default: 0] - 2000) < 180, "nothing in flight")
        fixture.endpoint(2).pointee.active = 300
        #expect(picks(4000, fixture)[1, default: 0] > 1600, "a busy host only gets what is drawn twice")
    }

    /// Callers that each send the next request when the last is answered; hosts that are equally fast.
    @Test(arguments: [[1, 3], [100, 300], [1, 1], [1, 10], [1, 2, 5], [1, 1, 1, 7]], [1, 2, 3, 4, 8, 48, 500])
    func hostsThatAreEquallyFastGetTheirParts(weights: [Int], callers: Int) {
        let fixture = ClusterFixture(weights.enumerated().map { instance(UInt16($0 + 1), weight: Double($1)) })
        let cluster = fixture.view().cluster(for: .own)!
        // Answers come in random order.
        var flying: [UnsafeMutablePointer<Member>] = []
        var picks = [Int](repeating: 0, count: weights.count)
        let count = 20_000
        for _ in 0..<count {
            if flying.count == callers {
                let answered = flying.remove(at: Int(fixture.random.below(UInt64(callers))))
                answered.pointee.endpoint.pointee.active -= 1
            }
            let member = cluster.pointee.pick(random: &fixture.random, now: 1, tried: TriedEndpoints())!
            member.pointee.endpoint.pointee.active += 1
            picks[Int(member.pointee.endpoint.pointee.address.port) - 1] += 1
            flying.append(member)
        }
        for (weight, pick) in zip(weights, picks) {
            let share = Double(weight) / Double(weights.reduce(0, +))
            #expect(abs(Double(pick) / Double(count) - share) < 0.02)
        }
    }
}
