import Balancing
import Model
import Proxy
import Runtime

/// What the control plane knows of hosts that are ejected for what they answer.
struct Outliers {
    var versions: [Int: [VersionCluster.Identity: VersionOutliers]] = [:]
    var nextTally: Int64 = 0
    /// Hosts that are ejected, with the time since when the worker knows it for certain.
    var known: [Int: Int64] = [:]
}

extension Generator {
    /// Most services have none.
    mutating func makeOutliers() -> OutlierDetectionPolicy {
        var policy = OutlierDetectionPolicy()
        if chance(60) { return policy }
        policy.isOn = true
        policy.consecutive = pick([nil, 1, 2, 3])
        policy.errorRate = pick([nil, 30, 60])
        policy.requests = pick([1, 3, 10])
        policy.interval = .seconds(pick([1, 3]))
        policy.ejection = .seconds(pick([1, 2]))
        policy.maxEjected = pick([10, 50, 67, 100])
        policy.latency = pick([nil, nil, 2])
        return policy
    }
}

// The control plane decides as in the product; its class needs a loop, which there is not here.
extension World {
    private static let second: Int64 = 1_000_000_000

    /// A service's hosts as workers are told of them.
    func marked(_ service: Int, _ snapshot: ServiceSnapshot) -> ServiceSnapshot {
        var versions: [VersionCluster.Identity: VersionOutliers] = [:]
        for cluster in snapshot.clusters {
            let policy = snapshot.policy.traffic.outlierDetection
            var version = outliers.versions[service]?[cluster.identity] ?? VersionOutliers(policy)
            let hosts = cluster.hosts.filter { $0.weight > 0 }.map(\.address)
            for change in version.adopt(policy, hosts: hosts, now: now) { note(change) }
            if policy.isOn { versions[cluster.identity] = version }
        }
        outliers.versions[service] = versions
        // A host may be listed with another version now, or not at all.
        for host in plan.services[service].hosts
        where !versions.values.contains(where: { $0.ejection(of: hosts[host].address) != nil }) {
            outliers.known[host] = nil
        }
        checkShare(service)
        return snapshot.marked { versions[$0]?.ejection(of: $1) == nil ? [] : .ejected }
    }

    /// A worker tells of answers.
    func takeOutliers(_ event: WorkerEvent) {
        switch event {
        case .failing(let key, let identity, let address):
            judge(key) { $0[identity]?.noteStreak(of: address, now: self.now).map { [$0] } ?? [] }
        case .tallies(let tallies):
            for tally in tallies {
                judge(tally.key) { versions in
                    tally.hosts.compactMap { versions[tally.identity]?.note($0.counts, of: $0.address, now: self.now) }
                }
            }
        default: break
        }
    }

    /// Time goes on for the control plane.
    func advanceOutliers() {
        guard drainedAt == nil, ending.phase.rawValue <= Ending.Phase.settled.rawValue, now >= outliers.nextTally else {
            return
        }
        outliers.nextTally = now + Self.second
        for service in plan.services.indices where outliers.versions[service]?.isEmpty == false {
            judge(key(service)) { versions in
                versions.keys.sorted().flatMap { versions[$0]?.advance(now: self.now) ?? [] }
            }
        }
        post(.tally)
    }

    /// The worker has done all that it was told.
    func settleOutliers() {
        for (host, time) in outliers.known where time == .max { outliers.known[host] = now }
    }

    private func judge(
        _ key: ServiceKey,
        _ body: (inout [VersionCluster.Identity: VersionOutliers]) -> [VersionOutliers.Change]
    ) {
        guard let service = plan.services.indices.first(where: { self.key($0) == key }),
            var versions = outliers.versions[service]
        else { return }
        let changes = body(&versions)
        outliers.versions[service] = versions
        if changes.isEmpty { return }
        for change in changes { note(change) }
        checkShare(service)
        if let listing = listings[service].last { post(.update(marked(service, snapshot(service, listing)))) }
    }

    private func note(_ change: VersionOutliers.Change) {
        guard let host = hosts.first(where: { $0.address == change.address }) else { return }
        if change.ejection != nil {
            host.spoil(.ejected)
            outliers.known[host.number] = .max
        } else {
            outliers.known[host.number] = nil
        }
    }

    // MARK: Checks

    /// Never more of a version than its share.
    private func checkShare(_ service: Int) {
        for (identity, version) in outliers.versions[service] ?? [:] {
            let most = version.hostCount * version.policy.maxEjected / 100
            if version.ejectedCount > most {
                fail("too many ejected", "\(version.ejectedCount) of \(version.hostCount) of \(identity.name)", nil)
            }
        }
    }

    /// A host that is ejected gets nothing while another one of its version is well and always was.
    func checkEjected(_ request: Request, at host: Host) {
        guard let since = outliers.known[host.number], since != .max, request.seen.isEmpty,
            let start = request.headSentAt, start > since
        else { return }
        // The well one may have been tried in vain for want of descriptors here: then the last resort is this one.
        if kernel.failedAt >= start { return }
        let all = listings[request.plan.service].during(start, now)
        guard let version = all.last?.listing?.entries.first(where: { $0.host == host.number })?.version,
            hasSpotlessHost(request, version: version)
        else { return }
        fail("ejected host asked", "host \(host.number)", request)
    }

    /// When all is well for long, nobody is ejected.
    func checkReturned() {
        let isLeft = outliers.versions.values.contains { $0.values.contains { $0.ejectedCount > 0 } }
        if isLeft { fail("left alone for ever", "a host is ejected though all was well for a minute", nil) }
    }
}
