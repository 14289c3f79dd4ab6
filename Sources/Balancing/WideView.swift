import Routing
import Runtime

/// What a Dubbo call may use of a service that takes several groups or any interface version: all clusters that `CallView` would find
/// for one of them, with the hosts of all balanced together.
public struct WideView: ClusterView {
    private let clusters: UnsafeMutablePointer<Cluster>
    private let count: Int
    private let groups: CallGroups
    private let interfaceVersion: Int
    private let now: Int64

    /// A call's view; `interfaceVersion` is as for `CallView`.
    public init(_ set: borrowing ClusterSet, groups: CallGroups, interfaceVersion: Int, now: Int64) {
        clusters = set.clusters
        count = set.count
        self.groups = groups
        self.interfaceVersion = interfaceVersion
        self.now = now
    }

    /// Clusters that are equally good for a target.
    private struct Rank {
        let target: Target
        /// Those of the call's own interface version; otherwise the others.
        let isOwn: Bool
    }

    /// Whether a target can serve now.
    public func canServe(_ target: Target) -> Bool { rank(target, isUsable: true) != nil }

    /// Whether a target has hosts at all.
    public func hasHosts(_ target: Target) -> Bool { rank(target, isUsable: false) != nil }

    /// The clusters that serve a target, usable or not where none is.
    public func clusters(for target: Target) -> [UnsafeMutablePointer<Cluster>] {
        guard let rank = rank(target, isUsable: true) ?? rank(target, isUsable: false) else { return [] }
        return (0..<count).map { clusters + $0 }.filter { contains($0, rank) }
    }

    /// Picks a host for a target as `Cluster.pick` does, and where none is usable as `Cluster.pickRegardless` does. Round robin draws
    /// by weight here: there is no round of so many clusters.
    ///
    /// - Parameter isUsable: only a usable one.
    public func pick(
        _ target: Target, random: inout FastRandom, tried: TriedEndpoints, isUsable: Bool = false
    ) -> (member: UnsafeMutablePointer<Member>, cluster: UnsafeMutablePointer<Cluster>)? {
        var place = pick(target, isUsable: true, tried, &random)
        if place == nil && !isUsable { place = pick(target, isUsable: false, tried, &random) }
        return place.map { ($0.member, $0.cluster) }
    }

    private func pick(_ target: Target, isUsable: Bool, _ tried: TriedEndpoints, _ random: inout FastRandom) -> Place? {
        guard let rank = rank(target, isUsable: isUsable) else { return nil }
        return pick(rank, among: Candidates(now: now, tried: tried, regardless: !isUsable), &random)
    }

    // MARK: Clusters

    private func rank(_ target: Target, isUsable: Bool) -> Rank? {
        let own = Rank(target: target, isOwn: true)
        if has(own, isUsable: isUsable) { return own }
        let other = Rank(target: target, isOwn: false)
        return target != .own && has(other, isUsable: isUsable) ? other : nil
    }

    private func has(_ rank: Rank, isUsable: Bool) -> Bool {
        for index in 0..<count where contains(clusters + index, rank) {
            if isUsable ? clusters[index].canServe(now: now) : clusters[index].count > 0 { return true }
        }
        return false
    }

    private func contains(_ cluster: UnsafeMutablePointer<Cluster>, _ rank: Rank) -> Bool {
        groups.contains(cluster.pointee.group)
            && cluster.matches(rank.target, isInterface: true)
            && cluster.isOwn(interfaceVersion) == rank.isOwn
    }

    // MARK: Hosts

    private struct Place {
        let member: UnsafeMutablePointer<Member>
        let cluster: UnsafeMutablePointer<Cluster>
    }

    private func pick(_ rank: Rank, among candidates: Candidates, _ random: inout FastRandom) -> Place? {
        guard let one = draw(rank, candidates, &random) else { return nil }
        if one.cluster.pointee.balancer != .leastRequest { return one }
        guard let other = draw(rank, candidates, &random) else { return one }
        return one.cluster.pointee.isBusier(one.member, than: other.member, &random) ? other : one
    }

    /// Draws a candidate by weight: from all hosts as long as that gives one soon, else from the candidates one by one.
    private func draw(_ rank: Rank, _ candidates: Candidates, _ random: inout FastRandom) -> Place? {
        var total: UInt64 = 0
        for index in 0..<count where contains(clusters + index, rank) { total &+= clusters[index].weight }
        if total == 0 { return nil }
        for _ in 0..<4 {
            var left = random.below(total)
            for index in 0..<count where contains(clusters + index, rank) {
                let weight = clusters[index].weight
                if left >= weight {
                    left -= weight
                    continue
                }
                let member = clusters[index].drawn(&random)
                if candidates.contain(member) { return Place(member: member, cluster: clusters + index) }
                break
            }
        }
        return search(rank, candidates, &random)
    }

    private func search(_ rank: Rank, _ candidates: Candidates, _ random: inout FastRandom) -> Place? {
        var total: UInt64 = 0
        forEach(rank, candidates) { _, member in
            total &+= UInt64(member.pointee.weight)
            return true
        }
        if total == 0 { return nil }
        var left = random.below(total)
        var found: Place?
        forEach(rank, candidates) { cluster, member in
            let weight = UInt64(member.pointee.weight)
            if left < weight {
                found = Place(member: member, cluster: cluster)
                return false
            }
            left -= weight
            return true
        }
        return found
    }

    /// Goes through all candidates until `body` says that it has seen enough.
    private func forEach(
        _ rank: Rank, _ candidates: Candidates,
        _ body: (UnsafeMutablePointer<Cluster>, UnsafeMutablePointer<Member>) -> Bool
    ) {
        for index in 0..<count where contains(clusters + index, rank) {
            let cluster = clusters + index
            for number in 0..<cluster.pointee.count where candidates.contain(cluster.pointee.members + number) {
                if !body(cluster, cluster.pointee.members + number) { return }
            }
        }
    }
}
