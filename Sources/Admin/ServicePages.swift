import Balancing
import ControlPlane
import Discovery
import Model
import Runtime

extension AdminServer {
    /// Every service that is watched, by name.
    func services(_ traffic: Traffic) -> JSONPage {
        let now = Clock.nanoseconds
        let page = JSONPage()
        page.begin(.object)
        page.begin(.array, named: "services")
        page.add(control.directory.statuses) { layout, text, status in
            let versions = self.control.snapshots[status.key]?.clusters.map(\.identity.version) ?? []
            let service: JSON = .object([
                "service": .text(status.key.name), "protocol": .text(status.key.kind.rawValue),
                "state": .text(status.state.rawValue), "configured": .bool(status.isRequired),
                "hosts": .count(status.instances), "usable": .count(status.usable),
                "held": .bool(status.isHeld),
                "versions": .texts(Set(versions).filter { !$0.isEmpty }.sorted()),
                "requests": .unsigned(traffic.services[status.key]?.requests ?? 0),
                "changedMillisecondsAgo": status.changedAt.map { .integer((now - $0) / 1_000_000) } ?? .null,
            ])
            layout.value(service, &text)
        }
        page.end()
        page.end()
        return page
    }

    /// The clusters of one service, or of all, by name.
    func clusters(_ traffic: Traffic, of name: String?) -> JSONPage {
        let snapshots = control.snapshots.values
            .filter { name == nil || $0.key.name == name }
            .sorted { ($0.key.name, $0.key.kind.rawValue) < ($1.key.name, $1.key.kind.rawValue) }
        let page = JSONPage()
        page.begin(.object)
        page.begin(.array, named: "services")
        for snapshot in snapshots { add(snapshot, traffic, to: page) }
        page.end()
        page.end()
        return page
    }

    private func add(_ snapshot: ServiceSnapshot, _ traffic: Traffic, to page: JSONPage) {
        let key = snapshot.key
        let available = AvailableHosts()
        // The application behind an inbound listener is in no registry.
        if let instances = control.directory.instances(of: key) {
            page.prepare(instances) { available.add($0, of: key.kind) }
        } else {
            available.areAll = true
        }
        page.begin(.object)
        page.members([
            "service": .text(key.name), "protocol": .text(key.kind.rawValue), "policy": .policy(snapshot.policy),
            "inFlight": snapshot.limits.map(Self.inFlight) ?? .null,
        ])
        page.begin(.array, named: "clusters")
        for cluster in snapshot.clusters {
            page.begin(.object)
            page.members([
                "name": .text(cluster.name), "version": .text(cluster.identity.version),
                "interfaceVersion": .text(cluster.identity.interfaceVersion), "group": .text(cluster.identity.group),
            ])
            page.begin(.array, named: "hosts")
            page.add(cluster.hosts) { layout, text, host in
                let isAvailable = available.contains(host.address, cluster.identity)
                let status = self.control.status(of: host.address, cluster.identity, key)
                layout.value(Self.host(host, traffic.host(key.kind, host.address), isAvailable, status), &text)
            }
            page.end()
            page.end()
        }
        page.end()
        page.end()
    }

    /// What is in flight now, and the limit for that where it is found: the service's, and of versions that count for themselves.
    private static func inFlight(_ limits: ServiceLimits) -> JSON {
        func counts(_ part: ServiceLimits.Part) -> JSON {
            guard let breaker = part.breaker else { return .null }
            var members = [
                JSON.Member(name: "requests", value: .count(breaker.requests.current)),
                JSON.Member(name: "pending", value: .count(breaker.pending.current)),
                JSON.Member(name: "connections", value: .count(breaker.connections.current)),
            ]
            if part.isAdaptive {
                members.append(JSON.Member(name: "limit", value: .count(breaker.concurrency.current)))
            }
            return .object(members)
        }
        return .object([
            "service": counts(limits.own),
            "versions": .object(limits.countedApart.map { JSON.Member(name: $0.version, value: counts($0.part)) }),
        ])
    }

    private static func host(
        _ host: Host, _ counters: Traffic.Host, _ isAvailable: Bool, _ status: HostStatus
    ) -> JSON {
        // Where a worker leaves the address alone, nothing is known but for how long.
        let isLeft = status.state == .ok && counters.pauseMilliseconds > 0
        return .object([
            "address": .text("\(host.address)"), "weight": .integer(Int64(host.weight)),
            "available": .bool(isAvailable),
            "active": .count(counters.active), "connections": .count(counters.connections),
            "health": .text(isLeft ? HostStatus.State.ejected.rawValue : status.state.rawValue),
            "why": .optional(isLeft ? "its connections have failed" : status.why),
            "ejectedMilliseconds": .integer(max(counters.pauseMilliseconds, status.ejectedMilliseconds)),
            "draining": .bool(counters.isDraining),
            "requests": .unsigned(counters.requests), "failures": .unsigned(counters.failures),
        ])
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

/// Hosts that the registry says can serve; those with weight 0 are among them.
private final class AvailableHosts {
    private struct Entry: Hashable {
        let address: SocketAddress
        let interfaceVersion: String
        let group: String
    }

    var areAll = false
    private var entries: Set<Entry> = []

    func add(_ instance: Instance, of kind: ServiceKey.Kind) {
        guard instance.available else { return }
        entries.insert(
            Entry(
                address: instance.address, interfaceVersion: kind.meaningful(instance.interfaceVersion),
                group: instance.group))
    }

    func contains(_ address: SocketAddress, _ identity: VersionCluster.Identity) -> Bool {
        areAll
            || entries.contains(
                Entry(address: address, interfaceVersion: identity.interfaceVersion, group: identity.group))
    }
}
