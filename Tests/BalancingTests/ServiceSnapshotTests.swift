import Balancing
import Model
import Runtime
import Testing

@Suite struct ServiceSnapshotTests {
    private func instance(_ number: UInt32, _ version: String, weight: Double = 1, iface: String = "") -> Instance {
        Instance(
            address: SocketAddress(ipv4: number, port: 1), weight: weight, metadata: ["version": version],
            interfaceVersion: iface)
    }

    private func clusters(_ instances: [Instance], _ kind: ServiceKey.Kind = .dubbo) -> [VersionCluster] {
        let key = ServiceKey(kind: kind, name: "shop")
        return ServiceSnapshot(key: key, policy: ServicePolicy(), instances: instances, versionKeys: ["version"])
            .clusters
    }

    @Test func hostsStandByAddressWhateverTheirOrder() {
        let hosts = [3, 1, 2].map { instance($0, "a") } + [5, 4].map { instance($0, "b") }
        for list in [hosts, hosts.reversed(), hosts.sorted { $0.address < $1.address }] {
            let clusters = clusters(list)
            #expect(clusters.map(\.identity.version) == ["a", "b"])
            #expect(clusters.map { $0.hosts.map { $0.address.low & 0xff } } == [[1, 2, 3], [4, 5]])
        }
    }

    @Test func anAddressStandsOnceInACluster() {
        // `0.0.0` means no version.
        let list = [instance(1, "a"), instance(1, "a", weight: 3, iface: "0.0.0"), instance(2, "a")]
        let clusters = clusters(list)
        #expect(clusters.count == 1)
        #expect(clusters[0].hosts.map(\.weight) == [300, 100])
    }

    @Test func eachProtocolHasAnInterfaceVersionThatMeansNone() {
        let list = ["", "0.0.0", "1.0", "2.0"].enumerated().map { instance(UInt32($0), "", iface: $1) }
        #expect(clusters(list).map(\.identity.interfaceVersion) == ["", "1.0", "2.0"])
        let bolt = clusters(list, .bolt)
        #expect(bolt.map(\.identity.interfaceVersion) == ["", "0.0.0", "2.0"])
        #expect(bolt.allSatisfy { $0.identity.isUntagged })
        // A label is what it says: requests can ask for 1.0.
        let labelled = clusters([instance(1, "1.0", iface: "1.0")], .bolt)
        #expect(labelled.map(\.name) == ["1.0"] && !labelled[0].identity.isUntagged)
    }
}
