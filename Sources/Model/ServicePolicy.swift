/// What to do when the wanted version has no usable host.
public enum FallbackMode: String, Equatable, Sendable, CaseIterable {
    /// Answer an error that names service and version.
    case strict
    /// Use the stable version, then any usable host.
    case fallback
}

/// How a host is picked within a version.
public enum BalancerKind: String, Equatable, Sendable, CaseIterable {
    /// Smooth weighted round robin.
    case roundRobin = "round-robin"
    /// The less busy of two hosts drawn at random by weight.
    case leastRequest = "least-request"
    /// Drawn at random by weight.
    case random
}

/// Which registries a service's hosts are taken from when several list it.
public enum MergeRule: String, Equatable, Sendable, CaseIterable {
    /// All of them. A host that several list is taken from the first.
    case union
    /// The first, in the order of the configuration, that lists hosts.
    case priority
}

/// What makes requests stick to one version of a split.
public enum StickyKey: Equatable, Sendable {
    /// The value of a header or attachment, named in lower case.
    case header(String)
    /// The caller's address without its port.
    case clientAddress
}

/// A version and its share of the requests that ask for none.
public struct VersionWeight: Equatable, Sendable {
    /// The version.
    public var version: String
    /// 0 means never; otherwise its share of the sum of all weights.
    public var weight: UInt32

    /// A share.
    public init(version: String, weight: UInt32) {
        self.version = version
        self.weight = weight
    }
}

/// How requests for a service are sent on.
public struct ServicePolicy: Equatable, Sendable {
    /// What happens when the wanted version cannot serve.
    public var mode = FallbackMode.fallback
    /// The version for requests that ask for none, and the first to fall back to.
    public var stable: String?
    /// Weighted split of requests that ask for nothing, in a fixed order; empty is no split.
    public var split: [VersionWeight] = []
    /// What makes requests stick to their version of the split.
    public var sticky: StickyKey?
    /// How a host is picked.
    public var balancer = BalancerKind.leastRequest
    /// Which registries its hosts are taken from.
    public var merge = MergeRule.union
    /// For how long a host that has just started gets less than its share; zero is never, nil is what a Dubbo provider says of
    /// itself, and never for HTTP and Bolt.
    public var warmup: Duration?
    /// What holds for its requests, where the version that serves has nothing of its own.
    public var traffic = TrafficPolicy()
    /// What holds for requests that one of these versions serves. Each is complete: what the version does not say is the service's.
    public var versions: [String: TrafficPolicy] = [:]

    /// What holds for requests that a version serves, and for its hosts.
    public func traffic(of version: String) -> TrafficPolicy { versions[version] ?? traffic }

    /// Versions that requests are copied to.
    public var mirroredVersions: [String] {
        [traffic.mirror.version].compactMap { $0 } + versions.values.compactMap(\.mirror.version)
    }

    /// Whether hosts of some version are checked.
    public func checksHealth(of kind: ServiceKey.Kind) -> Bool {
        traffic.healthCheck.suits(kind) || versions.values.contains { $0.healthCheck.suits(kind) }
    }

    /// Whether some version has outlier detection.
    public var detectsOutliers: Bool {
        traffic.outlierDetection.isOn || versions.values.contains { $0.outlierDetection.isOn }
    }

    /// The defaults.
    public init() {}
}
