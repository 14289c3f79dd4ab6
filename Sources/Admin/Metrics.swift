import ControlPlane
import Discovery
import Model
import Proxy
import Runtime

extension AdminServer {
    /// All metrics. Series stand in a fixed order.
    func metrics(_ traffic: Traffic) -> MetricsPage {
        let page = MetricsPage()
        let services = traffic.services.sorted {
            ($0.key.name, $0.key.kind.rawValue) < ($1.key.name, $1.key.kind.rawValue)
        }
        addRequests(services, to: page)
        addResponses(services, to: page)
        addDurations(services, to: page)
        addRetries(services.filter { !$0.value.retries.isEmpty }, to: page)
        addRefusals(services.filter { $0.value.versions.contains { !$0.value.refusals.isEmpty } }, to: page)
        addConcurrency(to: page)
        addFaults(services.filter { $0.value.versions.contains { !$0.value.faults.isEmpty } }, to: page)
        addCopies(services.filter { $0.value.versions.contains { !$0.value.copies.isEmpty } }, to: page)
        page.add { self.writeListeners(traffic, &$0) }
        addHosts(traffic, to: page)
        addHealth(traffic, to: page)
        page.add { self.writeRegistries(&$0) }
        page.add { self.writeServices(&$0) }
        page.add { self.writeUpdates(traffic, &$0) }
        page.add { self.writeRegistrations(&$0) }
        page.add { self.writeProcess(&$0) }
        return page
    }

    private typealias Services = [(key: ServiceKey, value: Traffic.Service)]

    private func addRequests(_ services: Services, to page: MetricsPage) {
        page.begin(
            "greymesh_requests_total", .counter,
            "Requests that have ended, by the version asked for and the version that served; empty: none.")
        page.add(services) { text, entry in
            let (key, service) = entry
            let routes = service.routes.sorted {
                ($0.key.requested ?? "", $0.key.served ?? "") < ($1.key.requested ?? "", $1.key.served ?? "")
            }
            for (route, count) in routes {
                text.sample(
                    [
                        "service": key.name, "protocol": key.kind.rawValue, "requested": route.requested ?? "",
                        "version": Self.label(route.served),
                    ], count)
            }
        }
    }

    /// No version has served: empty. The hosts that did have no version: a word, or there would be two equal series.
    private static func label(_ version: String?) -> String {
        guard let version else { return "" }
        return version.isEmpty ? "unversioned" : version
    }

    private func addResponses(_ services: Services, to page: MetricsPage) {
        page.begin(
            "greymesh_responses_total", .counter,
            "Requests that have ended, by the status of HTTP (499: the client went, 599: the answer broke off), Dubbo or Bolt "
                + "(1000: an exception of the called method).")
        page.add(services) { text, entry in
            let (key, service) = entry
            for (version, counters) in service.sortedVersions {
                for (code, count) in counters.codes.sorted(by: { $0.key < $1.key }) {
                    text.sample(
                        [
                            "service": key.name, "protocol": key.kind.rawValue, "version": Self.label(version),
                            "code": "\(code)",
                        ], count)
                }
            }
        }
    }

    private func addDurations(_ services: Services, to page: MetricsPage) {
        page.begin(
            "greymesh_request_duration_seconds", .histogram,
            "Time from the first byte of a request to the end of its answer.")
        page.add(services) { text, entry in
            let (key, service) = entry
            // One that only gets copies has none.
            for (version, counters) in service.sortedVersions where !counters.codes.isEmpty {
                text.histogram(
                    ["service": key.name, "protocol": key.kind.rawValue, "version": Self.label(version)],
                    bounds: ServiceReport.bucketBounds, buckets: counters.buckets,
                    sum: Double(counters.nanoseconds) / 1e9)
            }
        }
    }

    private func addRetries(_ services: Services, to page: MetricsPage) {
        if services.isEmpty { return }
        page.begin(
            "greymesh_retries_total", .counter,
            "Tries of requests at a further host, by what happened at the one before.")
        page.add(services) { text, entry in
            let (key, service) = entry
            for cause in RetryCause.allCases {
                guard let count = service.retries[cause] else { continue }
                text.sample(["service": key.name, "protocol": key.kind.rawValue, "cause": "\(cause)"], count)
            }
        }
    }

    private func addRefusals(_ services: Services, to page: MetricsPage) {
        if services.isEmpty { return }
        page.begin(
            "greymesh_refused_total", .counter,
            "Requests and further tries that a limit or access has refused, by the version that would have served.")
        add(\.refusals, by: "reason", of: services, to: page)
    }

    /// What versions have counted, with a label for the kind of it.
    private func add<Kind: CaseIterable & Hashable>(
        _ counts: KeyPath<Traffic.Version, [Kind: UInt64]>, by label: String, of services: Services,
        to page: MetricsPage
    ) {
        page.add(services) { text, entry in
            let (key, service) = entry
            for (version, counters) in service.sortedVersions {
                for kind in Kind.allCases {
                    guard let count = counters[keyPath: counts][kind] else { continue }
                    text.sample(
                        [
                            "service": key.name, "protocol": key.kind.rawValue, "version": Self.label(version),
                            label: "\(kind)",
                        ], count)
                }
            }
        }
    }

    /// Versions that count together with their service have no series.
    private func addConcurrency(to page: MetricsPage) {
        let limits = control.snapshots.values.compactMap { snapshot in
            snapshot.limits.map { (key: snapshot.key, limits: $0) }
        }.filter { !$0.limits.adaptive.isEmpty }.sorted {
            ($0.key.name, $0.key.kind.rawValue) < ($1.key.name, $1.key.kind.rawValue)
        }
        if limits.isEmpty { return }
        page.begin(
            "greymesh_concurrency_limit", .gauge,
            "Most requests in flight as found from how long answers take; version: empty for the service's own.")
        page.add(limits) { text, entry in
            for (version, breaker) in entry.limits.adaptive {
                text.sample(
                    ["service": entry.key.name, "protocol": entry.key.kind.rawValue, "version": version],
                    breaker.concurrency.current)
            }
        }
    }

    private func addFaults(_ services: Services, to page: MetricsPage) {
        if services.isEmpty { return }
        page.begin(
            "greymesh_faults_total", .counter,
            "Requests that were delayed or aborted on purpose, by the version that would have served.")
        add(\.faults, by: "fault", of: services, to: page)
    }

    private func addCopies(_ services: Services, to page: MetricsPage) {
        if services.isEmpty { return }
        page.begin(
            "greymesh_mirrored_requests_total", .counter,
            "Copies of requests, by the version that they were meant for (sent: the host has answered, or taken a one-way call; failed: it has "
                + "not; dropped: too much was in flight; too_large: over 64 KiB; no_host: that version has none that is usable)."
        )
        add(\.copies, by: "result", of: services, to: page)
    }

    private func writeListeners(_ traffic: Traffic, _ text: inout MetricsText) {
        let listeners = traffic.listeners.sorted { $0.key < $1.key }
        text.begin("greymesh_connections", .gauge, "Connections of clients that are open.")
        for (name, listener) in listeners { text.sample(["listener": name], listener.open) }
        text.begin("greymesh_connections_accepted_total", .counter, "Connections of clients that were accepted.")
        for (name, listener) in listeners { text.sample(["listener": name], listener.accepted) }
    }

    private func addHosts(_ traffic: Traffic, to page: MetricsPage) {
        let hosts = traffic.hosts.keys.sorted {
            $0.address != $1.address ? $0.address < $1.address : $0.kind.rawValue < $1.kind.rawValue
        }
        func add(
            _ name: String, _ kind: MetricsText.Kind, _ help: String, _ value: @escaping (Traffic.Host) -> UInt64
        ) {
            page.begin(name, kind, help)
            page.add(hosts) { text, host in
                let labels: MetricsText.Labels = ["host": "\(host.address)", "protocol": host.kind.rawValue]
                text.sample(labels, value(traffic.host(host.kind, host.address)))
            }
        }
        add("greymesh_host_requests_total", .counter, "Requests sent to a host.", \.requests)
        add(
            "greymesh_host_failures_total", .counter, "Failed connects and broken connections of a host.", \.failures)
        add("greymesh_host_active_requests", .gauge, "Requests in flight to a host.") { UInt64(max(0, $0.active)) }
        add("greymesh_host_connections", .gauge, "Open connections to a host.") { UInt64(max(0, $0.connections)) }
        add("greymesh_host_ejected", .gauge, "1 while a host is left alone after failures.") {
            $0.pauseMilliseconds > 0 ? 1 : 0
        }
    }

    private func writeRegistries(_ text: inout MetricsText) {
        let now = Clock.nanoseconds
        let registries = zip(control.directory.registries, control.directory.registryStatuses).map {
            (url: $0.url, status: $1)
        }
        func write<Value: Numeric>(
            _ name: String, _ kind: MetricsText.Kind, _ help: String, _ value: (RegistryStatus) -> Value?
        ) {
            text.begin(name, kind, help)
            for (url, status) in registries {
                if let value = value(status) { text.sample(["registry": url], value) }
            }
        }
        func age(_ time: Int64?) -> Double? { time.map { Double(now - $0) / 1e9 } }
        write("greymesh_registry_up", .gauge, "1 when the last exchange with a registry was good.") {
            $0.state == .connected ? 1 : 0
        }
        write("greymesh_registry_requests_total", .counter, "Exchanges with a registry.", \.exchanges)
        write("greymesh_registry_failures_total", .counter, "Exchanges with a registry that failed.", \.failures)
        write("greymesh_registry_changes_total", .counter, "Changed lists of hosts that a registry told.", \.changes)
        write(
            "greymesh_registry_last_success_age_seconds", .gauge,
            "Time since the last good exchange with a registry; missing before the first."
        ) { age($0.lastSuccess) }
        write(
            "greymesh_registry_last_change_age_seconds", .gauge,
            "Time since a registry told a changed list of hosts; missing before the first."
        ) { age($0.lastChange) }
        write("greymesh_registry_push", .gauge, "1 while a registry tells changes, 0 while it is polled.") {
            $0.mode == .push ? 1 : 0
        }
        write("greymesh_registry_subscriptions", .gauge, "Services that a registry is asked about.", \.subscriptions)
        write("greymesh_registry_instances", .gauge, "Hosts that a registry lists and that are used.", \.instances)
        text.begin(
            "greymesh_registry_dropped_instances", .gauge, "Entries that a registry lists and that are not used.")
        for (url, status) in registries {
            for reason in DropReason.allCases {
                text.sample(["registry": url, "reason": reason.rawValue], status.dropped[reason] ?? 0)
            }
        }
        text.begin(
            "greymesh_registry_unknown_revisions", .gauge,
            "Revisions of Dubbo applications whose hosts are listed without version: no instance has answered, or none is asked."
        )
        for (url, status) in registries {
            text.sample(["registry": url, "reason": "unanswered"], status.unansweredRevisions)
            text.sample(["registry": url, "reason": "unasked"], status.unaskedRevisions)
        }
        write(
            "greymesh_registry_registrations", .gauge, "Applications that are to be registered.", \.registrations)
        write(
            "greymesh_registry_registered", .gauge, "Those of them that the registry has confirmed.", \.registered)
    }

    private func writeServices(_ text: inout MetricsText) {
        text.begin("greymesh_services", .gauge, "Services that are watched.")
        text.sample([:], control.directory.count)
        text.begin("greymesh_services_held", .gauge, "Services of which an answer that takes hosts away is doubted.")
        text.sample([:], control.directory.heldCount)
        text.begin("greymesh_services_saved", .gauge, "Services that are served from the hosts of the last run.")
        text.sample([:], control.directory.savedCount)
    }

    private func writeUpdates(_ traffic: Traffic, _ text: inout MetricsText) {
        let times = [("control", control.directory.updates), ("worker", traffic.updates)]
        text.begin(
            "greymesh_update_duration_seconds", .histogram,
            "Processor time that changes of services take at once, by kind of thread.")
        for (thread, time) in times {
            text.histogram(
                ["thread": thread], bounds: WorkTime.bounds.map { Double($0) / 1e9 },
                buckets: time.buckets.indices.map { time.buckets[$0] }, sum: Double(time.nanoseconds) / 1e9)
        }
        text.begin(
            "greymesh_update_longest_seconds", .gauge, "The longest time that such a change has held a thread up.")
        for (thread, time) in times { text.sample(["thread": thread], Double(time.longest) / 1e9) }
        text.begin(
            "greymesh_control_turn_longest_seconds", .gauge,
            "The longest turn of the control thread, in processor time: whatever else it does waits meanwhile.")
        text.sample([:], Double(control.loop.turns.longest) / 1e9)
    }

    private func writeProcess(_ text: inout MetricsText) {
        text.begin("greymesh_upgrade_failures_total", .counter, "Upgrades that have failed; this process went on.")
        text.sample([:], control.failedUpgrades)
        text.begin(
            "greymesh_upgrade_connections_total", .counter, "Connections taken over from the process before.")
        text.sample([:], control.takenConnections)
        text.begin("greymesh_build_info", .gauge, "Always 1; the label tells the version of the program.")
        text.sample(["version": version], 1)
        text.begin("process_resident_memory_bytes", .gauge, "Resident memory in bytes.")
        text.sample([:], process.residentBytes)
        text.begin("process_cpu_seconds_total", .counter, "Processor time used, user and system.")
        text.sample([:], process.processorSeconds)
        text.begin("process_start_time_seconds", .gauge, "Start of the process since 1970 in seconds.")
        text.sample([:], process.startSeconds)
    }
}

extension Traffic.Service {
    /// By version; those that no version served come first.
    fileprivate var sortedVersions: [(key: String?, value: Traffic.Version)] {
        versions.sorted { ($0.key ?? "") < ($1.key ?? "") }
    }
}
