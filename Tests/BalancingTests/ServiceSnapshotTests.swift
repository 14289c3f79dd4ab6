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

    private func clusters(_ instances: [Instance]) -> [VersionCluster] {
        let key = ServiceKey(kind: .dubbo, name: "shop")
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
}
