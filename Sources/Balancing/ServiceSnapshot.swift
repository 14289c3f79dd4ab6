import Model
import Runtime

/// A service as all workers see it: hosts grouped into one cluster per version. Immutable; built by the control plane.
public final class ServiceSnapshot: Sendable {
    /// Which service.
    public let key: ServiceKey
    /// How its requests are sent on.
    public let policy: ServicePolicy
    /// One cluster per group, interface version and version, in that order. HTTP services have neither group nor interface
    /// version.
    public let clusters: [VersionCluster]
    /// What is counted for the limits of its policy; nil where it has none.
    public let limits: ServiceLimits?

    /// Groups instances into clusters.
    ///
    /// - Parameters:
    ///   - versionKeys: metadata keys that say which version an instance is; the first that is not empty decides.
    ///   - last: what was counted for the service before: it goes on.
    public init(
        key: ServiceKey, policy: ServicePolicy, instances: [Instance], versionKeys: [String],
        after last: ServiceLimits? = nil
    ) {
        self.key = key
        self.policy = policy
        limits = .following(last, policy)
        var members: [VersionCluster.Identity: [Host]] = [:]
        var paths: [VersionCluster.Identity: [SocketAddress: ProviderPath]] = [:]
        for instance in instances {
            let identity = VersionCluster.Identity(
                group: instance.group, interfaceVersion: key.kind.meaningful(instance.interfaceVersion),
                version: Self.version(of: instance, key.kind, keys: versionKeys))
            let host = Host(address: instance.address, weight: instance.available ? Self.weight(instance.weight) : 0)
            members[identity, default: []].append(host)
            if key.kind != .dubbo { continue }
            if let path = ProviderPath(instance) {
                paths[identity, default: [:]][instance.address] = path
            } else if !paths.isEmpty {
                paths[identity]?[instance.address] = nil
            }
        }
        clusters = members.map { VersionCluster(identity: $0, hosts: Self.ordered($1), paths: paths[$0] ?? [:]) }
            .sorted { $0.identity < $1.identity }
    }

    /// The hosts by address; of several with one address the last. Usually they are so already.
    private static func ordered(_ hosts: [Host]) -> [Host] {
        if hosts.indices.dropFirst().allSatisfy({ hosts[$0 - 1].address < hosts[$0].address }) { return hosts }
        let last = Dictionary(hosts.map { ($0.address, $0) }) { $1 }
        return last.values.sorted { $0.address < $1.address }
    }

    private init(_ other: ServiceSnapshot, clusters: [VersionCluster]) {
        key = other.key
        policy = other.policy
        limits = other.limits
        self.clusters = clusters
    }

    /// The same with hosts that get no requests.
    public func marked(
        _ state: (VersionCluster.Identity, SocketAddress) -> HostState
    ) -> ServiceSnapshot {
        ServiceSnapshot(
            self,
            clusters: clusters.map { cluster in cluster.marked { state(cluster.identity, $0) } })
    }

    /// Whether a host has a path of its own.
    public var hasPaths: Bool { clusters.contains { !$0.paths.isEmpty } }

    /// Whether there is a host, be it of weight 0.
    public var hasHosts: Bool { clusters.contains { !$0.hosts.isEmpty } }

    /// All hosts with their cluster's number, hosts of weight 0 included.
    public var hostCount: Int { clusters.reduce(0) { $0 + $1.hosts.count } }

    private static func version(of instance: Instance, _ kind: ServiceKey.Kind, keys: [String]) -> String {
        for key in keys {
            if let value = instance.metadata[key], !value.isEmpty, value != "0.0.0" { return value }
        }
        return kind.meaningful(instance.interfaceVersion)
    }

    /// A registry's weight (1 is normal) in hundredths, at most a million.
    private static func weight(_ value: Double) -> UInt32 {
        guard value > 0 else { return 0 }
        return UInt32(max(1, min(1_000_000, (value * 100).rounded())))
    }
}

/// A host in a cluster.
public struct Host: Hashable, Sendable {
    /// Where it listens.
    public let address: SocketAddress
    /// 100 is normal; 0 gets no requests.
    public let weight: UInt32
    /// Why it gets no requests though it is listed.
    public internal(set) var state: HostState = []
}

/// The path under which a Dubbo provider exports an interface.
public struct ProviderPath: Hashable, Sendable {
    /// Empty: the interface.
    public let text: String
    /// Calls have it in body field 2 as well, see `CallPath`.
    public let isInBody: Bool

    /// The interface.
    static let interface = ProviderPath(text: "", isInBody: false)

    private init(text: String, isInBody: Bool) {
        self.text = text
        self.isInBody = isInBody
    }

    /// An instance's own path: its label `path`; nil where it is the interface. Only since Dubbo 2.7 providers say their `release`.
    init?(_ instance: Instance) {
        guard let path = instance.metadata["path"], !path.isEmpty else { return nil }
        self.init(text: path, isInBody: instance.metadata["release"]?.isEmpty ?? true)
    }
}

/// The hosts of one version of a service.
public struct VersionCluster: Sendable {
    /// What tells clusters of a service apart.
    public struct Identity: Hashable, Comparable, Sendable {
        /// Dubbo group or Bolt unique id; empty for none and for HTTP.
        public let group: String
        /// Interface version of Dubbo and Bolt; empty for none and for HTTP.
        public let interfaceVersion: String
        /// The version that requests ask for; empty for hosts without one.
        public let version: String

        /// An identity.
        public init(group: String = "", interfaceVersion: String = "", version: String) {
            self.group = group
            self.interfaceVersion = interfaceVersion
            self.version = version
        }

        /// By group, then interface version, then version.
        public static func < (left: Self, right: Self) -> Bool {
            (left.group, left.interfaceVersion, left.version) < (right.group, right.interfaceVersion, right.version)
        }

        /// How the cluster is shown: its version, with interface version and group where they say more: `gray@1.0.0/blue`.
        public var name: String {
            var name = version.isEmpty ? "unversioned" : version
            if !interfaceVersion.isEmpty && interfaceVersion != version { name += "@" + interfaceVersion }
            if !group.isEmpty { name += "/" + group }
            return name
        }

        /// Dubbo and Bolt: hosts that requests that name no version may use: they carry no tag.
        public var isUntagged: Bool { version.isEmpty || version == interfaceVersion }
    }

    /// Which hosts these are.
    public let identity: Identity
    /// The hosts, by address.
    public private(set) var hosts: [Host]
    /// The path of each host; empty where all have the interface.
    public let paths: [ProviderPath]

    init(identity: Identity, hosts: [Host], paths: [SocketAddress: ProviderPath] = [:]) {
        self.identity = identity
        self.hosts = hosts
        self.paths = paths.isEmpty ? [] : hosts.map { paths[$0.address] ?? .interface }
    }

    fileprivate func marked(_ state: (SocketAddress) -> HostState) -> VersionCluster {
        var cluster = self
        for index in hosts.indices where hosts[index].weight > 0 {
            let state = state(hosts[index].address)
            if state != hosts[index].state { cluster.hosts[index].state = state }
        }
        return cluster
    }

    /// How the cluster is shown.
    public var name: String { identity.name }
}
