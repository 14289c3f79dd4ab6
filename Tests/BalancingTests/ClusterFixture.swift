import Balancing
import Model
import Routing
import Runtime

/// A service's clusters with endpoints of their own.
final class ClusterFixture {
    private(set) var endpoints: [SocketAddress: UnsafeMutablePointer<Endpoint>] = [:]
    let clusters: UnsafeMutablePointer<ClusterSet>
    private let labels: UnsafeMutablePointer<LabelTable>
    var random: FastRandom
    private let balancer: BalancerKind
    private let dubbo: Bool
    var policy = ServicePolicy()
    /// Why hosts get no requests.
    var state: (VersionCluster.Identity, SocketAddress) -> HostState = { _, _ in [] }

    init(_ instances: [Instance], balancer: BalancerKind = .leastRequest, dubbo: Bool = false, seed: UInt64 = 7) {
        self.balancer = balancer
        self.dubbo = dubbo
        random = FastRandom(seed: seed)
        labels = .allocate(capacity: 1)
        labels.initialize(to: LabelTable())
        clusters = .allocate(capacity: 1)
        clusters.initialize(to: ClusterSet())
        rebuild(instances)
    }

    /// Puts other hosts in the place of those that there are.
    func rebuild(_ instances: [Instance]) {
        policy.balancer = balancer
        let key = ServiceKey(kind: dubbo ? .dubbo : .http, name: "shop")
        let builder = ClusterBuilder(
            ServiceSnapshot(key: key, policy: policy, instances: instances, versionKeys: ["dubbo.tag", "version"])
                .marked(state))
        while builder.advance(
            labels: &labels.pointee, replacing: clusters.pointee, endpoint: { endpoint($0, key.kind) })
        {}
        var old = builder.finish(replacing: clusters.pointee, random: &random)
        swap(&clusters.pointee, &old)
        // The endpoints are the fixture's own.
        while old.releaseEndpoints(atMost: 100, unused: { _ in }) {}
    }

    private func endpoint(_ address: SocketAddress, _ kind: ServiceKey.Kind) -> UnsafeMutablePointer<Endpoint> {
        if let known = endpoints[address] { return known }
        let endpoint = UnsafeMutablePointer<Endpoint>.allocate(capacity: 1)
        endpoint.initialize(to: Endpoint(address: address, kind: kind))
        endpoints[address] = endpoint
        return endpoint
    }

    func endpoint(_ port: UInt16) -> UnsafeMutablePointer<Endpoint> {
        endpoints[SocketAddress(ipv4: 0x7f00_0001, port: port)]!
    }

    deinit {
        while clusters.pointee.releaseEndpoints(atMost: 100, unused: { _ in }) {}
        clusters.deinitialize(count: 1)
        clusters.deallocate()
        labels.deinitialize(count: 1)
        labels.deallocate()
        for endpoint in endpoints.values { endpoint.deallocate() }
    }

    func label(_ text: String) -> Int {
        let bytes = ByteString(copying: text)
        defer { bytes.free() }
        return labels.pointee.find(bytes)
    }

    func groups(_ text: ByteString) -> CallGroups { CallGroups(text, in: labels.pointee) }

    func view(group: String = "", version: String = "", now: Int64 = 1) -> CallView {
        CallView(
            clusters.pointee, group: label(group), interfaceVersion: label(version), isInterface: dubbo, now: now)
    }

    /// How often each port is picked for a target.
    func picks(_ count: Int, _ target: Target, _ view: CallView, busy: Bool = false) -> [UInt16: Int] {
        var picks: [UInt16: Int] = [:]
        for _ in 0..<count {
            let cluster = view.cluster(for: target)
            guard let member = cluster?.pointee.pick(random: &random, now: 1, tried: TriedEndpoints()) else { continue }
            if busy { member.pointee.endpoint.pointee.active += 1 }
            picks[member.pointee.endpoint.pointee.address.port, default: 0] += 1
        }
        return picks
    }
}

func instance(
    _ port: UInt16, _ version: String = "", weight: Double = 1, available: Bool = true, iface: String = "",
    group: String = ""
) -> Instance {
    Instance(
        address: SocketAddress(ipv4: 0x7f00_0001, port: port), weight: weight, available: available,
        metadata: version.isEmpty ? [:] : ["version": version], interfaceVersion: iface, group: group)
}

func tagged(_ port: UInt16, _ tag: String, iface: String = "", group: String = "") -> Instance {
    var instance = instance(port, iface, iface: iface, group: group)
    instance.metadata["dubbo.tag"] = tag
    return instance
}
