import Balancing
import Model
import Runtime

/// What hosts have answered, while it is being collected for the control plane.
final class TallyBuild {
    let services: [UnsafeMutablePointer<Service>]
    /// How far it has come: services, then clusters and members of the next one.
    var done = (services: 0, clusters: 0, members: 0)
    var hosts: [(address: SocketAddress, counts: VersionOutliers.Counts)] = []
    var tallies: [ClusterTally] = []

    init(_ services: [UnsafeMutablePointer<Service>]) { self.services = services }
}

extension Worker {
    /// Services or members that one step looks at.
    private static var tallyStep: Int { 64 }

    /// Does the next step; false when all is done. A worker without any requests has nothing to tell.
    func advance(_ build: TallyBuild) -> Bool {
        for _ in 0..<Self.tallyStep {
            guard build.done.services < build.services.count else {
                if !build.tallies.isEmpty { outbox.post(.tallies(build.tallies)) }
                return false
            }
            let service = build.services[build.done.services]
            if service.pointee.isWatched, build.done.clusters < service.pointee.clusters.count {
                takeTallies(service, build)
                return true
            }
            build.done = (build.done.services + 1, 0, 0)
        }
        return true
    }

    /// Takes some of a cluster. Clusters do not change in between: that is an update as well, and a service without clusters gets
    /// its first ones at once.
    private func takeTallies(_ service: UnsafeMutablePointer<Service>, _ build: TallyBuild) {
        let cluster = service.pointee.clusters.clusters + build.done.clusters
        let count = cluster.pointee.isUnion ? 0 : cluster.pointee.count
        let end = min(count, build.done.members + Self.tallyStep)
        for index in build.done.members..<end {
            guard let tally = cluster.pointee.members[index].tally, tally.pointee.requests > 0 else { continue }
            build.hosts.append((tally.pointee.address, tally.takeCounts()))
            if build.hosts.count == 1 { build.hosts.reserveCapacity(Self.tallyStep) }
        }
        build.done.members = end
        if end < count { return }
        if !build.hosts.isEmpty {
            let identity = service.pointee.identity(
                cluster.pointee.version, cluster.pointee.group, cluster.pointee.interfaceVersion)
            build.tallies.append(ClusterTally(key: service.pointee.key, identity: identity, hosts: build.hosts))
            build.hosts.removeAll()
        }
        build.done.clusters += 1
        build.done.members = 0
    }
}

extension UnsafeMutablePointer<HostTally> {
    /// What was counted; from now on it is counted anew.
    fileprivate func takeCounts() -> VersionOutliers.Counts {
        var counts = VersionOutliers.Counts(requests: UInt64(pointee.requests), failures: UInt64(pointee.failures))
        if let classes = pointee.durations {
            var durations = Durations()
            for number in 0..<Durations.classes where classes[number] > 0 { durations.add(classes[number], to: number) }
            counts.durations = durations
        }
        pointee.clear()
        return counts
    }
}
