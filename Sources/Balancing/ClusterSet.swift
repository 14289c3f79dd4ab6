import Routing
import Runtime

/// The clusters of one service in one worker: one per version, and after them one union per group.
public struct ClusterSet: ~Copyable {
    /// The clusters. Few; searched one by one.
    public let clusters: UnsafeMutablePointer<Cluster>
    /// How many there are.
    public let count: Int
    /// How far `releaseEndpoints` has come.
    private var released = (clusters: 0, members: 0)

    /// No clusters: a service whose hosts are not known.
    public init() {
        clusters = .allocate(capacity: 1)
        count = 0
    }

    init(_ built: [Cluster]) {
        clusters = .allocate(capacity: max(1, built.count))
        clusters.initialize(from: built, count: built.count)
        count = built.count
    }

    /// Where the cluster of the same version is, at `place` or not far behind it: clusters stand in a fixed order.
    func find(_ cluster: Cluster, from place: Int) -> Int? {
        for index in place..<min(count, place + 64) where clusters[index].isSame(as: cluster) { return index }
        return nil
    }

    /// A host in the version cluster with these labels, hosts being in the order of their addresses.
    func member(
        of address: SocketAddress, version: Int, group: Int, interfaceVersion: Int
    ) -> UnsafeMutablePointer<Member>? {
        for index in 0..<count {
            let cluster = clusters + index
            if Int(cluster.pointee.version) != version || Int(cluster.pointee.group) != group { continue }
            if cluster.pointee.isUnion || Int(cluster.pointee.interfaceVersion) != interfaceVersion { continue }
            return cluster.pointee.member(of: address)
        }
        return nil
    }

    /// Requests in flight that tallies of hosts count. Looks at every member.
    public var tallied: Int {
        var sum = 0
        for index in 0..<count where !clusters[index].isUnion {
            let cluster = clusters[index]
            for place in 0..<cluster.count { sum += Int(cluster.members[place].tally?.pointee.active ?? 0) }
        }
        return sum
    }

    /// Whether a host is listed with a group and an interface version, by their labels.
    public func has(_ group: Int, _ interfaceVersion: Int) -> Bool {
        for index in 0..<count where Int(clusters[index].group) == group && !clusters[index].isUnion {
            if Int(clusters[index].interfaceVersion) == interfaceVersion { return true }
        }
        return false
    }

    deinit {
        for index in 0..<count { clusters[index].free() }
        clusters.deallocate()
    }

    /// Gives the references of the next members back; `unused` gets each endpoint that no cluster lists any more. Of use only
    /// when nobody picks from these clusters any longer.
    ///
    /// - Parameter limit: for how many members at most.
    /// - Returns: whether there are more.
    public mutating func releaseEndpoints(atMost limit: Int, unused: (UnsafeMutablePointer<Endpoint>) -> Void) -> Bool {
        var left = limit
        while released.clusters < count {
            let cluster = clusters + released.clusters
            // A union has no references of its own.
            let members = cluster.pointee.isUnion ? 0 : cluster.pointee.count
            let end = min(members, released.members + left)
            for place in released.members..<end {
                let endpoint = cluster.pointee.members[place].endpoint
                cluster.pointee.members[place].tally?.release()
                endpoint.pointee.references -= 1
                if endpoint.pointee.references == 0 { unused(endpoint) }
            }
            left -= end - released.members
            released.members = end
            if end < members { return true }
            released = (released.clusters + 1, 0)
        }
        return false
    }
}

/// What a call may use of a service: the hosts of its group, those of its own interface version first.
public struct CallView: ClusterView {
    private let clusters: UnsafeMutablePointer<Cluster>
    private let count: Int
    private let group: Int
    private let interfaceVersion: Int
    private let isInterface: Bool
    private let now: Int64

    /// Any interface version will do (Dubbo's `*`).
    public static let anyInterfaceVersion = -2

    /// A call's view.
    ///
    /// - Parameters:
    ///   - group: label of the call's group; 0 for HTTP.
    ///   - interfaceVersion: label of the call's interface version, `LabelTable.unknown` when no host has it,
    ///     `anyInterfaceVersion`, or 0 for HTTP.
    @inline(__always)
    public init(_ set: borrowing ClusterSet, group: Int, interfaceVersion: Int, isInterface: Bool, now: Int64) {
        clusters = set.clusters
        count = set.count
        self.group = group
        self.interfaceVersion = interfaceVersion
        self.isInterface = isInterface
        self.now = now
    }

    /// The cluster for a target, nil when there is none that can serve.
    @inline(__always)
    public func cluster(for target: Target) -> UnsafeMutablePointer<Cluster>? {
        find(target) { $0.pointee.canServe(now: now) }
    }

    /// The cluster for a target when it has hosts at all, usable or not.
    public func clusterRegardless(for target: Target) -> UnsafeMutablePointer<Cluster>? {
        find(target) { $0.pointee.count > 0 }
    }

    /// Whether a target can serve now.
    @inline(__always)
    public func canServe(_ target: Target) -> Bool { cluster(for: target) != nil }

    /// Whether a target has hosts at all.
    public func hasHosts(_ target: Target) -> Bool { clusterRegardless(for: target) != nil }

    @inline(__always)
    private func find(
        _ target: Target, where accept: (UnsafeMutablePointer<Cluster>) -> Bool
    ) -> UnsafeMutablePointer<Cluster>? {
        var other: UnsafeMutablePointer<Cluster>?
        for index in 0..<count {
            let cluster = clusters + index
            if Int(cluster.pointee.group) != group { continue }
            if !cluster.matches(target, isInterface: isInterface) { continue }
            if cluster.isOwn(interfaceVersion) {
                if accept(cluster) { return cluster }
            } else if other == nil && target != .own && accept(cluster) {
                other = cluster
            }
        }
        return other
    }
}

extension UnsafeMutablePointer<Cluster> {
    /// Whether it serves a target, whatever its group and interface version.
    @inline(__always)
    func matches(_ target: Target, isInterface: Bool) -> Bool {
        switch target {
        case .version(let label): !pointee.isUnion && Int(pointee.version) == label
        case .own: isInterface ? !pointee.isUnion && pointee.isUntagged : pointee.isUnion
        case .any: pointee.isUnion
        case .nothing: false
        }
    }

    /// Whether it is of the interface version that a call has.
    @inline(__always)
    func isOwn(_ version: Int) -> Bool {
        pointee.isUnion || version == CallView.anyInterfaceVersion || Int(pointee.interfaceVersion) == version
    }
}
