import Balancing
import ControlPlane
import Discovery
import Model
import Runtime

extension AdminServer {
    /// Every service that is watched, by name.
    func services(_ traffic: Traffic) -> JSON {
        let now = Clock.nanoseconds
        return .object([
            "services": .array(
                control.directory.statuses.map { status in
                    let versions = control.snapshots[status.key]?.clusters.map(\.identity.version) ?? []
                    return .object([
                        "service": .text(status.key.name), "protocol": .text(status.key.kind.rawValue),
                        "state": .text(status.state.rawValue), "configured": .bool(status.isRequired),
                        "hosts": .count(status.instances), "usable": .count(status.usable),
                        "held": .bool(status.isHeld),
                        "versions": .texts(Set(versions).filter { !$0.isEmpty }.sorted()),
                        "requests": .unsigned(traffic.services[status.key]?.requests ?? 0),
                        "changedMillisecondsAgo": status.changedAt.map { .integer((now - $0) / 1_000_000) } ?? .null,
                    ])
                })
        ])
    }

    /// The clusters of one service, or of all, by name.
    func clusters(_ traffic: Traffic, of name: String?) -> JSON {
        let snapshots = control.snapshots.values
            .filter { name == nil || $0.key.name == name }
            .sorted { ($0.key.name, $0.key.kind.rawValue) < ($1.key.name, $1.key.kind.rawValue) }
        return .object([
            "services": .array(
                snapshots.map { snapshot in
                    .object([
                        "service": .text(snapshot.key.name), "protocol": .text(snapshot.key.kind.rawValue),
                        "policy": .policy(snapshot.policy),
                        "clusters": .array(snapshot.clusters.map { cluster(snapshot.key, $0, traffic) }),
                    ])
                })
        ])
    }

    private func cluster(_ key: ServiceKey, _ cluster: VersionCluster, _ traffic: Traffic) -> JSON {
        let available = availableHosts(key, cluster.identity)
        return .object([
            "name": .text(cluster.name), "version": .text(cluster.identity.version),
            "interfaceVersion": .text(cluster.identity.interfaceVersion), "group": .text(cluster.identity.group),
            "hosts": .array(
                cluster.hosts.map { host in
                    let counters = traffic.host(key.kind, host.address)
                    return .object([
                        "address": .text("\(host.address)"), "weight": .integer(Int64(host.weight)),
                        "available": .bool(available.contains(host.address)),
                        "active": .count(counters.active), "connections": .count(counters.connections),
                        "ejectedMilliseconds": .integer(counters.pauseMilliseconds),
                        "draining": .bool(counters.isDraining),
                        "requests": .unsigned(counters.requests), "failures": .unsigned(counters.failures),
                    ])
                }),
        ])
    }

    /// Hosts that the registry says can serve; those with weight 0 are among them.
    private func availableHosts(_ key: ServiceKey, _ identity: VersionCluster.Identity) -> Set<SocketAddress> {
        guard let instances = control.directory.instances(of: key) else {
            // The application behind an inbound listener is in no registry.
            return Set(control.snapshots[key]?.clusters.flatMap { $0.hosts.map(\.address) } ?? [])
        }
        return Set(
            instances.lazy.filter {
                $0.available && $0.group == identity.group
                    && ServiceSnapshot.meaningful($0.interfaceVersion) == identity.interfaceVersion
            }.map(\.address))
    }

    /// The registries, in the order of the configuration.
    func registries() -> JSON {
        let now = Clock.nanoseconds
        func age(_ time: Int64?) -> JSON { time.map { .integer((now - $0) / 1_000_000) } ?? .null }
        return .object([
            "registries": .array(
                zip(control.directory.registries, control.directory.registryStatuses).map { registry, status in
                    return .object([
                        "url": .text(registry.url), "state": .text(status.state.rawValue),
                        "mode": .text(status.mode.rawValue), "whyNoPush": .optional(status.whyNoPush),
                        "lastSuccessMillisecondsAgo": age(status.lastSuccess),
                        "lastError": .optional(status.lastError),
                        "lastErrorMillisecondsAgo": age(status.lastErrorAt),
                        "subscriptions": .count(status.subscriptions), "requests": .unsigned(status.exchanges),
                        "failures": .unsigned(status.failures),
                        "changes": .unsigned(status.changes),
                        "lastChangeMillisecondsAgo": age(status.lastChange),
                        "instances": .count(status.instances),
                        "dropped": .object(
                            DropReason.allCases.compactMap { reason in
                                status.dropped[reason].map { JSON.Member(name: reason.rawValue, value: .count($0)) }
                            }),
                        "unansweredRevisions": .count(status.unansweredRevisions),
                        "unaskedRevisions": .count(status.unaskedRevisions),
                        "registrations": .count(status.registrations), "registered": .count(status.registered),
                    ])
                })
        ])
    }
}
