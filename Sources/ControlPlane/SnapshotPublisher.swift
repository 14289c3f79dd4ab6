import Balancing
import Model
import Proxy
import Runtime

/// Turns a service's hosts into the snapshot that workers use, and hands it over when it differs from the last one.
final class SnapshotPublisher {
    /// What each service's hosts were grouped into last.
    private(set) var snapshots: [ServiceKey: ServiceSnapshot] = [:]
    /// Called with each service that became known or has changed.
    var onPublish: (ServiceKey) -> Void = { _ in }

    private let post: (WorkerMessage) -> Void
    private let health: HostHealth
    private var plan: ServicePlan
    private var instances: [ServiceKey: [Instance]] = [:]
    private var warmup = Warmup()
    /// What is counted for services that nothing is known of so far.
    private var announced: [ServiceKey: ServiceLimits] = [:]

    init(plan: ServicePlan, health: HostHealth, post: @escaping (WorkerMessage) -> Void) {
        self.plan = plan
        self.health = health
        self.post = post
    }

    /// What is known of the health of a service's hosts has changed.
    func rebuild(_ key: ServiceKey) {
        if let hosts = instances[key] { build(key, hosts) }
    }

    /// A service's hosts are these.
    func publish(_ key: ServiceKey, _ hosts: [Instance]) {
        instances[key] = hosts
        build(key, hosts)
    }

    /// A service is not watched any more. Workers may know it though nothing was told of it: requests have asked for it.
    func withdraw(_ key: ServiceKey) {
        instances[key] = nil
        snapshots[key] = nil
        announced[key] = nil
        warmup.forget(key)
        health.forget(key)
        post(.remove(key))
    }

    /// Tells a service's snapshot once more: a worker does not know it. False when there is none.
    func repeatSnapshot(of key: ServiceKey) -> Bool {
        guard let snapshot = snapshots[key] else { return false }
        post(.update(snapshot))
        return true
    }

    /// The registries are asked about a service: what its circuit breaker allows holds for requests that wait for their answer, too.
    func announce(_ key: ServiceKey) {
        let policy = plan.policy(for: key)
        if snapshots[key] != nil || policy.traffic.circuitBreaker.isOff { return }
        guard let limits = ServiceLimits.following(announced[key], policy) else { return }
        announced[key] = limits
        post(.announce(ServiceAnnouncement(key: key, policy: policy, limits: limits)))
    }

    /// Goes over to another configuration; only services that it changes are told.
    func adopt(_ plan: ServicePlan) {
        self.plan = plan
        for (key, hosts) in instances { build(key, hosts) }
    }

    /// Hosts that warm up have grown older.
    func tick() {
        for key in warmup.due(now: Self.now) { rebuild(key) }
    }

    private static var now: Int64 { Clock.wallNanoseconds / 1_000_000 }

    private func build(_ key: ServiceKey, _ hosts: [Instance]) {
        let policy = plan.policy(for: key)
        let snapshot = health.mark(
            ServiceSnapshot(
                key: key, policy: policy, instances: warmup.weigh(key, hosts, policy, now: Self.now),
                versionKeys: plan.versionKeys, after: snapshots[key]?.limits ?? announced[key]))
        if let last = snapshots[key], last.hasSameContent(as: snapshot) { return }
        snapshots[key] = snapshot
        announced[key] = nil
        post(.update(snapshot))
        onPublish(key)
    }
}

extension ServiceSnapshot {
    /// Whether workers would do the same with both.
    func hasSameContent(as other: ServiceSnapshot) -> Bool {
        policy == other.policy
            && clusters.elementsEqual(other.clusters) { $0.identity == $1.identity && $0.hosts == $1.hosts }
    }
}
