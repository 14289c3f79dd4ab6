import Balancing
import Model
import Routing
import Runtime
import Testing

@Suite struct ClusterTests {
    @Test func oneClusterPerVersionAndAUnion() {
        let fixture = ClusterFixture([instance(1, "1.0"), instance(2, "2.0"), instance(3, "2.0"), instance(4)])
        #expect(fixture.clusters.pointee.count == 4)
        #expect(Set(fixture.picks(200, .version(fixture.label("2.0")), fixture.view()).keys) == [2, 3])
        #expect(Set(fixture.picks(200, .any, fixture.view()).keys) == [1, 2, 3, 4])
        #expect(Set(fixture.picks(50, .version(0), fixture.view()).keys) == [4])
    }

    @Test func weightsAreSharesForAllBalancers() {
        let hosts = [instance(1, weight: 1), instance(2, weight: 3), instance(3, weight: 0)]
        for balancer in [BalancerKind.random, .roundRobin] {
            let fixture = ClusterFixture(hosts, balancer: balancer)
            let picks = fixture.picks(4000, .own, fixture.view())
            #expect(picks[3] == nil)
            #expect(abs(picks[1, default: 0] - 1000) < (balancer == .roundRobin ? 2 : 150))
        }
    }

    @Test func roundRobinIsSmooth() {
        let fixture = ClusterFixture([instance(1, weight: 5), instance(2), instance(3)], balancer: .roundRobin)
        var order: [UInt16] = []
        for _ in 0..<14 { order += fixture.picks(1, .own, fixture.view()).keys }
        #expect(Array(order.prefix(7)) == Array(order.suffix(7)))
        #expect(order.prefix(7).filter { $0 == 1 }.count == 5)
        #expect(Set(order.prefix(7)) == [1, 2, 3])
        #expect(order.firstIndex(of: 2)! > 0, "light hosts come between heavy turns")
    }

    @Test func leastRequestEvensOutWhatIsInFlight() {
        let fixture = ClusterFixture((1...10).map { instance(UInt16($0)) })
        let picks = fixture.picks(1000, .own, fixture.view(), busy: true)
        #expect(picks.values.max()! - picks.values.min()! < 12)
    }

    @Test func hostsThatAreOutAreNotPicked() {
        let fixture = ClusterFixture([instance(1), instance(2), instance(3)])
        for port in [1, 2] as [UInt16] {
            fixture.endpoints[SocketAddress(ipv4: 0x7f00_0001, port: port)]!.pointee.noteFailure(now: 1)
        }
        #expect(Set(fixture.picks(100, .own, fixture.view()).keys) == [3])
        fixture.endpoints[SocketAddress(ipv4: 0x7f00_0001, port: 3)]!.pointee.readonlyConnections = 1
        #expect(!fixture.view().canServe(.own))
        #expect(fixture.view().hasHosts(.own))
        #expect(fixture.view(now: 1 + 600_000_000).canServe(.own))
    }

    @Test func pausesGrowAndASuccessEndsThem() {
        var endpoint = Endpoint(address: SocketAddress(ipv4: 0, port: 1), kind: .http)
        var pauses: [Int64] = []
        for _ in 0..<20 {
            endpoint.noteFailure(now: 0)
            pauses.append(endpoint.retryAt)
            endpoint.take(now: 0, timeout: 0)
        }
        #expect(Array(pauses.prefix(3)) == [500_000_000, 1_000_000_000, 2_000_000_000])
        #expect(pauses.last == 30_000_000_000)
        #expect(endpoint.isUsable(now: 30_000_000_000))
        endpoint.take(now: 30_000_000_000, timeout: 1_000_000_000)
        #expect(!endpoint.isUsable(now: 30_500_000_000), "one request tries, the others stay away")
        endpoint.noteSuccess()
        #expect(endpoint.isUsable(now: 30_500_000_000))
    }

    @Test func unavailableHostsAndWeightZeroNeverServe() {
        let fixture = ClusterFixture([instance(1, "1.0", available: false), instance(2, "1.0", weight: 0)])
        #expect(!fixture.view().canServe(.version(fixture.label("1.0"))))
        #expect(!fixture.view().hasHosts(.any))
    }

    @Test func dubboCallsPreferTheirOwnInterfaceVersionAndNeverLeaveTheirGroup() {
        let fixture = ClusterFixture(
            [
                instance(1, "1.0.0", iface: "1.0.0"), instance(2, "2.0.0", iface: "2.0.0"),
                tagged(3, "gray", iface: "1.0.0"), tagged(4, "gray", iface: "2.0.0"),
                tagged(5, "gray", iface: "1.0.0", group: "blue"), instance(6, "1.0.0", iface: "1.0.0", group: "blue"),
            ], dubbo: true)
        let gray = Target.version(fixture.label("gray"))
        #expect(Set(fixture.picks(50, gray, fixture.view(version: "1.0.0")).keys) == [3])
        #expect(Set(fixture.picks(50, gray, fixture.view(version: "2.0.0")).keys) == [4])
        #expect(Set(fixture.picks(50, gray, fixture.view(group: "blue", version: "2.0.0")).keys) == [5])
        #expect(Set(fixture.picks(50, .own, fixture.view(version: "1.0.0")).keys) == [1])
        #expect(Set(fixture.picks(50, .own, fixture.view(group: "blue", version: "1.0.0")).keys) == [6])
        #expect(!fixture.view(version: "3.0.0").canServe(.own))
        #expect(fixture.view(version: "3.0.0").canServe(.any))
        #expect(!fixture.view(group: "green", version: "1.0.0").canServe(.any))
        let two = Target.version(fixture.label("2.0.0"))
        #expect(Set(fixture.picks(50, two, fixture.view(version: "1.0.0")).keys) == [2])
        #expect(!fixture.view(group: "blue", version: "1.0.0").canServe(two))
    }

    @Test func oneEndpointIsSharedByAllClustersThatListIt() {
        let fixture = ClusterFixture(
            [instance(1, "1.0.0", iface: "1.0.0"), instance(1, "2.0.0", iface: "2.0.0")], dubbo: true)
        #expect(fixture.endpoints.count == 1)
        #expect(fixture.endpoints.values.first?.pointee.references == 2)
        var unused = 0
        let isMore = fixture.clusters.pointee.releaseEndpoints(atMost: 100) { _ in unused += 1 }
        #expect(unused == 1 && !isMore)
    }

    @Test(arguments: [1, 3, 4, 7, 1000]) func referencesAreGivenBackInSteps(size: Int) {
        let fixture = ClusterFixture((1...12).map { instance(UInt16($0), "\($0 % 3)") })
        var unused: [UnsafeMutablePointer<Endpoint>] = []
        var steps = 1
        while fixture.clusters.pointee.releaseEndpoints(atMost: size, unused: { unused.append($0) }) {
            steps += 1
            #expect(unused.count <= steps * size)
        }
        #expect(Set(unused).count == 12 && unused.count == 12, "each host once")
        #expect(steps >= (12 + size - 1) / size)
    }

    @Test func aThousandWeightsKeepTheirShares() {
        let fixture = ClusterFixture(
            (1...1000).map { instance(UInt16($0), weight: Double($0 % 7 + 1)) }, balancer: .random)
        let picks = fixture.picks(200_000, .own, fixture.view())
        let heavy = picks.filter { $0.key % 7 == 6 }.values.reduce(0, +)
        let light = picks.filter { $0.key % 7 == 0 }.values.reduce(0, +)
        #expect(abs(Double(heavy) / Double(light) - 7) < 0.6)
    }

    @Test func manyHostsGetTheirTurnsInOneRound() {
        let weights = (1...3000).map { Double($0 % 3 + 1) }
        let fixture = ClusterFixture(
            weights.enumerated().map { instance(UInt16($0 + 1), weight: $1) }, balancer: .roundRobin)
        let picks = fixture.picks(6000, .own, fixture.view())
        #expect(picks.allSatisfy { picks in Double(picks.value) == weights[Int(picks.key) - 1] })
        #expect(picks.count == 3000)
    }

    @Test func turnsAreInTheOrderOfTheirPlaces() {
        let weights = [7, 1, 30, 2, 11, 7, 1]
        let fixture = ClusterFixture(
            weights.enumerated().map { instance(UInt16($0 + 1), weight: Double($1)) }, balancer: .roundRobin)
        let turns = weights.enumerated().flatMap { index, weight in
            (0..<weight).map { (place: (Double($0) + 0.5) / Double(weight), port: UInt16(index + 1)) }
        }
        let expected = turns.sorted { ($0.place, $0.port) < ($1.place, $1.port) }.map(\.port)
        let order = (0..<turns.count).flatMap { _ in fixture.picks(1, .own, fixture.view()).keys }
        let rounds = expected.indices.map { Array(expected[$0...] + expected[..<$0]) }
        #expect(rounds.contains(order), "the round begins anywhere")
    }
}
