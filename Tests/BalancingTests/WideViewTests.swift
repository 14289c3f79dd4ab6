import Balancing
import Model
import Routing
import Runtime
import Testing

@Suite struct WideViewTests {
    private func groups(_ text: String, _ fixture: ClusterFixture) -> CallGroups {
        let bytes = ByteString(copying: text)
        defer { bytes.free() }
        return fixture.groups(bytes)
    }

    private func picks(
        _ count: Int, _ target: Target, _ text: String, version: Int, _ fixture: ClusterFixture,
        tried: TriedEndpoints = TriedEndpoints(), now: Int64 = 1
    ) -> [UInt16: Int] {
        let view = WideView(
            fixture.clusters.pointee, groups: groups(text, fixture), interfaceVersion: version, now: now)
        var picks: [UInt16: Int] = [:]
        for _ in 0..<count {
            guard let (member, cluster) = view.pick(target, random: &fixture.random, tried: tried) else { continue }
            #expect(member >= cluster.pointee.members && member < cluster.pointee.members + cluster.pointee.count)
            picks[member.pointee.endpoint.pointee.address.port, default: 0] += 1
        }
        return picks
    }

    /// 1, 2 and 5 of the groups g1, g2 and none, in two versions.
    private func fixture(_ balancer: BalancerKind = .leastRequest) -> ClusterFixture {
        ClusterFixture(
            [
                instance(1, weight: 1, iface: "1.0", group: "g1"), instance(2, weight: 2, iface: "1.0", group: "g2"),
                instance(3, weight: 5, iface: "1.0"), instance(4, weight: 2, iface: "2.0", group: "g2"),
                tagged(5, "gray", iface: "1.0", group: "g1"), tagged(6, "gray", iface: "2.0", group: "g2"),
            ], balancer: balancer, dubbo: true)
    }

    @Test(arguments: BalancerKind.allCases)
    func weightsHoldOverAllGroups(_ balancer: BalancerKind) {
        let fixture = fixture(balancer)
        let version = fixture.label("1.0")
        let all = picks(8000, .own, "*", version: version, fixture)
        #expect(Set(all.keys) == [1, 2, 3])
        #expect(abs(all[1, default: 0] - 1000) < 160 && abs(all[2, default: 0] - 2000) < 200)
        let listed = picks(3000, .own, "g1,g2", version: version, fixture)
        #expect(Set(listed.keys) == [1, 2] && abs(listed[1, default: 0] - 1000) < 140)
        let any = picks(5000, .own, "g2,g1", version: CallView.anyInterfaceVersion, fixture)
        #expect(Set(any.keys) == [1, 2, 4] && abs(any[1, default: 0] - 1000) < 150)
    }

    @Test(arguments: BalancerKind.allCases)
    func whatAHostThatIsOutWouldHaveGotFallsToAllByWeight(_ balancer: BalancerKind) {
        let fixture = fixture(balancer)
        fixture.endpoint(3).pointee.retryAt = 1000
        let all = picks(3000, .own, "*", version: fixture.label("1.0"), fixture)
        #expect(Set(all.keys) == [1, 2] && abs(all[1, default: 0] - 1000) < 140)
        // Then no host of a group is left.
        fixture.endpoint(2).pointee.retryAt = 1000
        #expect(picks(50, .own, "*", version: fixture.label("1.0"), fixture) == [1: 50])
        #expect(picks(50, .own, "g2,x", version: fixture.label("1.0"), fixture) == [2: 50], "the last resort")
    }

    @Test func hostsThatWereTriedAreNotPickedAgain() {
        let fixture = fixture()
        var tried = TriedEndpoints()
        for port: UInt16 in [3, 1] { tried.insert(fixture.endpoint(port)) }
        let version = fixture.label("1.0")
        #expect(picks(50, .own, "*", version: version, fixture, tried: tried) == [2: 50])
        tried.insert(fixture.endpoint(2))
        #expect(picks(50, .own, "*", version: version, fixture, tried: tried).isEmpty)
    }

    @Test func aVersionPrefersTheCallsOwnInterfaceVersion() {
        let fixture = fixture()
        let gray = Target.version(fixture.label("gray"))
        #expect(picks(50, gray, "*", version: fixture.label("1.0"), fixture) == [5: 50])
        #expect(picks(50, gray, "g2,x", version: fixture.label("1.0"), fixture) == [6: 50])
        #expect(Set(picks(50, gray, "*", version: CallView.anyInterfaceVersion, fixture).keys) == [5, 6])
        #expect(Set(picks(200, .any, "g1,g2", version: fixture.label("1.0"), fixture).keys) == [1, 2, 4, 5, 6])
        #expect(picks(50, .nothing, "*", version: 0, fixture).isEmpty)
    }

    @Test func theLessBusyOfTwoGroupsIsTaken() {
        let fixture = ClusterFixture([instance(1, group: "g1"), instance(2, group: "g2")], dubbo: true)
        fixture.endpoint(1).pointee.active = 100
        // The other one is picked unless the busy one is drawn twice.
        let counts = picks(4000, .own, "*", version: 0, fixture)
        #expect(abs(counts[1, default: 0] - 1000) < 140)
    }

    @Test func moreThanEightGroupsOfAList() {
        let names = (1...9).map { "g\($0)" }
        let fixture = ClusterFixture(names.enumerated().map { instance(UInt16($0 + 1), group: $1) }, dubbo: true)
        // Twice the same is one, and what no host has takes no place.
        let list = "g1,nobody," + names.joined(separator: ",")
        #expect(Set(picks(1000, .own, list, version: 0, fixture).keys) == Set(1...8))
        #expect(Set(picks(1000, .own, "*", version: 0, fixture).keys) == Set(1...9))
    }

    @Test func pathsOfMembers() {
        var instances = (1...200).map { instance(UInt16($0), iface: "1.0", group: "g\($0 % 2)") }
        for index in stride(from: 0, to: 200, by: 3) {
            instances[index].metadata["path"] = "p\(index % 2)"
            if index % 5 == 0 { instances[index].metadata["release"] = "3.0" }
        }
        instances.append(instance(201, iface: "1.0", group: "plain"))
        let fixture = ClusterFixture(instances, dubbo: true)
        for number in 0..<fixture.clusters.pointee.count {
            let cluster = fixture.clusters.pointee.clusters + number
            for place in 0..<cluster.pointee.count {
                let member = cluster.pointee.members + place
                let index = Int(member.pointee.endpoint.pointee.address.port) - 1
                let expected =
                    index < 200 && index % 3 == 0
                    ? CallPath(label: fixture.label("p\(index % 2)"), isInBody: index % 5 != 0) : .interface
                #expect(cluster.pointee.path(of: member) == expected)
            }
        }
        #expect(fixture.label("p0") > 0 && fixture.label("p1") > 0)
    }

    @Test func ofTwoWithOneAddressTheLastOnesPathCounts() {
        var first = instance(1)
        first.metadata["path"] = "a"
        var second = instance(1)
        for path in ["b", nil] {
            second.metadata["path"] = path
            let snapshot = ServiceSnapshot(
                key: ServiceKey(kind: .dubbo, name: "s"), policy: ServicePolicy(), instances: [first, second],
                versionKeys: [])
            #expect(snapshot.clusters.first?.paths.map(\.text) ?? [] == (path.map { [$0] } ?? []))
            #expect(snapshot.hasPaths == (path != nil))
        }
        let http = ServiceSnapshot(
            key: ServiceKey(kind: .http, name: "s"), policy: ServicePolicy(), instances: [first], versionKeys: [])
        #expect(!http.hasPaths)
    }
}
