import Balancing
import Model
import Proxy
import Runtime

/// Which hosts get no requests though they are listed, decided here once for all workers.
///
/// Workers tell what hosts answer; each version of a service is judged for itself. A change has the service's snapshot made anew: so
/// workers that know the service already, and those that come to it later, have the same view.
final class HostHealth {
    /// Has a service's snapshot made anew.
    var rebuild: (ServiceKey) -> Void = { _ in }
    /// Asks all workers what hosts have answered.
    var ask: () -> Void = {}

    /// Whether a service has health checks.
    var checksHealth: (ServiceKey) -> Bool = { _ in false }

    private let loop: EventLoop
    private let logger: Logger
    private let checker: HealthChecker
    /// When workers have told last that they use a service. Only hosts of services in use are checked.
    private var usedAt: [ServiceKey: Int64] = [:]
    private let idle: Int64
    private var services: [ServiceKey: [VersionCluster.Identity: VersionOutliers]] = [:]
    private var changed: Set<ServiceKey> = []
    private var timer: EventLoop.Timer?
    private var flushedAt: Int64 = 0

    /// Changes are gathered for so long: when many hosts of a large service fail, workers take its hosts over once, not for each.
    private static let pause: Int64 = 100_000_000

    /// - Parameter serviceIdle: the setting; workers tell at least four times in it which services they use.
    init(loop: EventLoop, logger: Logger, serviceIdle: Duration) {
        self.loop = loop
        self.logger = logger
        checker = HealthChecker(loop: loop)
        idle = min(60_000_000_000, serviceIdle.nanoseconds * 3 / 4)
        checker.onChange = { [weak self] subject, entry in self?.take(subject, entry) }
    }

    // MARK: Services

    /// The hosts of a service are these now.
    ///
    /// - Returns: the same, and which of them get no requests.
    func mark(_ snapshot: ServiceSnapshot) -> ServiceSnapshot {
        adopt(snapshot)
        check(snapshot)
        let key = snapshot.key
        let versions = services[key] ?? [:]
        let areChecked = checker.checks(key)
        if !areChecked && !versions.values.contains(where: { $0.ejectedCount > 0 }) { return snapshot }
        return snapshot.marked { identity, address in
            var state: HostState = versions[identity]?.ejection(of: address) == nil ? [] : .ejected
            if areChecked, entry(key, identity, address, snapshot.policy)?.gate.isHealthy == false {
                state.insert(.unhealthy)
            }
            return state
        }
    }

    /// What is known from checks of a host.
    private func entry(
        _ key: ServiceKey, _ identity: VersionCluster.Identity, _ address: SocketAddress, _ policy: ServicePolicy
    ) -> HealthChecker.Entry? {
        let check = policy.traffic(of: identity.version).healthCheck
        return check.suits(key.kind) && checker.checks(key) ? checker.entry(address, check) : nil
    }

    /// A worker uses a service.
    func use(_ key: ServiceKey) {
        let isNew = usedAt.updateValue(Clock.nanoseconds, forKey: key) == nil
        if isNew && checksHealth(key) { rebuild(key) }
    }

    private func check(_ snapshot: ServiceSnapshot) {
        let (key, policy) = (snapshot.key, snapshot.policy)
        guard policy.checksHealth(of: key.kind), usedAt[key] != nil else { return checker.adopt(key, []) }
        var hosts: [(subject: HealthChecker.Subject, identity: VersionCluster.Identity)] = []
        for cluster in snapshot.clusters {
            let check = policy.traffic(of: cluster.identity.version).healthCheck
            if !check.suits(key.kind) { continue }
            for host in cluster.hosts where host.weight > 0 {
                hosts.append((HealthChecker.Subject(address: host.address, policy: check), cluster.identity))
            }
        }
        checker.adopt(key, hosts)
    }

    /// A host is well again, or is not any more.
    private func take(_ subject: HealthChecker.Subject, _ entry: HealthChecker.Entry) {
        let keys = Set(entry.users.map(\.key))
        let check = CheckQuestion(subject.policy).map { "\($0)" } ?? ""
        let names = keys.map(\.name).sorted()
        let services = names.prefix(3).joined(separator: ",") + (names.count > 3 ? ",…" : "")
        let limitKey = "\(subject.address) \(check)"
        if entry.gate.isHealthy {
            logger.log(
                .info, "host.healthy", ["address": "\(subject.address)", "check": check, "services": services],
                limit: 6,
                limitKey: limitKey)
        } else {
            logger.log(
                .warning, "host.unhealthy",
                ["address": "\(subject.address)", "check": check, "services": services, "why": entry.why ?? ""],
                limit: 6, limitKey: limitKey)
        }
        for key in keys { change(key) }
    }

    /// The service is not watched any more.
    func forget(_ key: ServiceKey) {
        services[key] = nil
        usedAt[key] = nil
        checker.adopt(key, [])
        changed.remove(key)
    }

    private func adopt(_ snapshot: ServiceSnapshot) {
        let key = snapshot.key
        if !snapshot.policy.detectsOutliers && services[key] == nil { return }
        let now = Clock.nanoseconds
        var old = services[key] ?? [:]
        var new: [VersionCluster.Identity: VersionOutliers] = [:]
        for cluster in snapshot.clusters {
            let policy = snapshot.policy.traffic(of: cluster.identity.version).outlierDetection
            let before = old.removeValue(forKey: cluster.identity)
            if !policy.isOn && before == nil { continue }
            var version = before ?? VersionOutliers(policy)
            let hosts = cluster.hosts.filter { $0.weight > 0 }.map(\.address)
            for change in version.adopt(policy, hosts: hosts, now: now) { log(change, key, cluster.identity) }
            if policy.isOn { new[cluster.identity] = version }
        }
        // A version of which all hosts have gone may come again: a list that is empty for a moment makes no host well.
        for (identity, version) in old {
            var version = version
            _ = version.adopt(snapshot.policy.traffic(of: identity.version).outlierDetection, hosts: [], now: now)
            if version.policy.isOn && version.remembers { new[identity] = version }
        }
        services[key] = new.isEmpty ? nil : new
    }

    // MARK: What workers tell

    /// A host has failed as often in a row as it may.
    func noteStreak(_ key: ServiceKey, _ identity: VersionCluster.Identity, _ address: SocketAddress) {
        take(services[key]?[identity]?.noteStreak(of: address, now: Clock.nanoseconds), key, identity)
    }

    /// Hosts have answered.
    func note(_ tallies: [ClusterTally]) {
        let now = Clock.nanoseconds
        for tally in tallies {
            for (address, counts) in tally.hosts {
                take(
                    services[tally.key]?[tally.identity]?.note(counts, of: address, now: now), tally.key,
                    tally.identity)
            }
        }
    }

    /// A second has passed: ejections and intervals end.
    func tick() {
        let now = Clock.nanoseconds
        for (key, time) in usedAt where now - time > idle {
            usedAt[key] = nil
            // Without checks nothing is known of the hosts any more.
            if checker.checks(key) { rebuild(key) }
        }
        if services.isEmpty { return }
        // Each is changed in its place: to hold on to them meanwhile would have all copied.
        for key in Array(services.keys) {
            for identity in services[key].map({ Array($0.keys) }) ?? [] {
                for change in services[key]?[identity]?.advance(now: now) ?? [] { take(change, key, identity) }
            }
        }
        ask()
    }

    private func take(_ change: VersionOutliers.Change?, _ key: ServiceKey, _ identity: VersionCluster.Identity) {
        guard let change else { return }
        log(change, key, identity)
        self.change(key)
    }

    private func change(_ key: ServiceKey) {
        changed.insert(key)
        if timer != nil { return }
        let wait = max(0, flushedAt + Self.pause - Clock.nanoseconds)
        timer = loop.schedule(after: .nanoseconds(wait)) { [weak self] in self?.flush() }
    }

    private func flush() {
        timer = nil
        flushedAt = Clock.nanoseconds
        let keys = changed
        changed = []
        for key in keys { rebuild(key) }
    }

    func stop() {
        loop.cancel(timer)
        checker.stop()
    }

    private func log(_ change: VersionOutliers.Change, _ key: ServiceKey, _ identity: VersionCluster.Identity) {
        let (protocolName, address) = (key.kind.rawValue, "\(change.address)")
        let limitKey = "\(key) \(identity.name) \(address)"
        guard let ejection = change.ejection else {
            return logger.log(
                .info, "host.returned",
                ["service": key.name, "protocol": protocolName, "version": identity.name, "address": address],
                limit: 6, limitKey: limitKey)
        }
        logger.log(
            .warning, "host.ejected",
            [
                "service": key.name, "protocol": protocolName, "version": identity.name, "address": address,
                "reason": ejection.reason.rawValue, "why": ejection.why,
                "ejection_ms": "\(ejection.nanoseconds / 1_000_000)",
            ], limit: 6, limitKey: limitKey)
    }

    // MARK: What is told

    /// A host of a version.
    func status(
        _ key: ServiceKey, _ identity: VersionCluster.Identity, _ address: SocketAddress, _ policy: ServicePolicy?
    ) -> HostStatus {
        var status = HostStatus()
        if let policy, let entry = entry(key, identity, address, policy) {
            if !entry.gate.isHealthy { return HostStatus(state: .unhealthy, why: entry.why ?? "it was unwell") }
        }
        guard let ejection = services[key]?[identity]?.ejection(of: address) else { return status }
        status.state = .ejected
        status.why = ejection.why
        status.ejectedMilliseconds = max(0, ejection.until - Clock.nanoseconds) / 1_000_000
        return status
    }

    /// All versions that are watched, in a fixed order.
    func versions(of snapshots: [ServiceKey: ServiceSnapshot]) -> [VersionHealth] {
        let watched = snapshots.values.filter { $0.policy.detectsOutliers || $0.policy.checksHealth(of: $0.key.kind) }
        return watched.sorted { ($0.key.name, $0.key.kind.rawValue) < ($1.key.name, $1.key.kind.rawValue) }.flatMap {
            snapshot in
            snapshot.clusters.compactMap { cluster in
                let policy = snapshot.policy.traffic(of: cluster.identity.version)
                let isWatched = policy.outlierDetection.isOn || policy.healthCheck.suits(snapshot.key.kind)
                if !isWatched { return nil }
                let outliers = services[snapshot.key]?[cluster.identity]
                return VersionHealth(
                    key: snapshot.key, identity: cluster.identity,
                    hosts: cluster.hosts.count { $0.weight > 0 },
                    ejected: outliers?.ejectedCount ?? 0,
                    unhealthy: cluster.hosts.count { $0.state.contains(.unhealthy) },
                    ejections: outliers?.ejections.sorted { $0.address < $1.address } ?? [])
            }
        }
    }

    /// All hosts that are checked, in a fixed order.
    var checkedHosts: [CheckedHost] {
        checker.entries.map { subject, entry in
            CheckedHost(
                address: subject.address, check: CheckQuestion(subject.policy).map { "\($0)" } ?? "",
                isHealthy: entry.gate.isHealthy, good: entry.good, failed: entry.failed)
        }.sorted { ($0.address, $0.check) < ($1.address, $1.check) }
    }
}
