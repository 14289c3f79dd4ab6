import Balancing
import ControlPlane
import Model

extension AdminServer {
    /// What is known of the hosts of versions that are watched. Without such versions there are no series.
    func addHealth(_ traffic: Traffic, to page: MetricsPage) {
        let versions = control.watchedVersions
        if !versions.isEmpty {
            page.begin(
                "greymesh_version_hosts", .gauge,
                "Hosts that may get requests, of versions with health checks or outlier detection.")
            page.add(versions) { text, version in text.sample(Self.labels(version), version.hosts) }
            page.begin("greymesh_version_hosts_ejected", .gauge, "Those of them that are ejected for what they answer.")
            page.add(versions) { text, version in text.sample(Self.labels(version), version.ejected) }
            page.begin(
                "greymesh_version_hosts_unhealthy", .gauge, "Those of them whose health checks have failed.")
            page.add(versions) { text, version in text.sample(Self.labels(version), version.unhealthy) }
            page.begin("greymesh_ejections_total", .counter, "Times that a host of a version was ejected, by reason.")
            page.add(versions) { text, version in
                for (address, times) in version.ejections {
                    for reason in VersionOutliers.Reason.allCases {
                        guard let count = times[reason] else { continue }
                        text.sample(
                            [
                                "service": version.key.name, "protocol": version.key.kind.rawValue,
                                "version": version.identity.name, "host": "\(address)", "reason": reason.rawValue,
                            ], count)
                    }
                }
            }
        }
        addChecks(control.checkedHosts, to: page)
        let services = traffic.services.filter { $0.value.regardless > 0 }.sorted {
            ($0.key.name, $0.key.kind.rawValue) < ($1.key.name, $1.key.kind.rawValue)
        }
        if services.isEmpty { return }
        page.begin(
            "greymesh_regardless_requests_total", .counter,
            "Tries of requests at a host that is to be left alone, for there was no other.")
        page.add(services) { text, entry in
            text.sample(["service": entry.key.name, "protocol": entry.key.kind.rawValue], entry.value.regardless)
        }
    }

    private func addChecks(_ hosts: [CheckedHost], to page: MetricsPage) {
        if hosts.isEmpty { return }
        page.begin(
            "greymesh_host_healthy", .gauge, "0 while a host gets no requests, for its health checks have failed.")
        page.add(hosts) { text, host in
            text.sample(["host": "\(host.address)", "check": host.check], host.isHealthy ? 1 : 0)
        }
        page.begin("greymesh_health_checks_total", .counter, "Health checks of a host, by result.")
        page.add(hosts) { text, host in
            text.sample(["host": "\(host.address)", "check": host.check, "result": "good"], host.good)
            text.sample(["host": "\(host.address)", "check": host.check, "result": "failed"], host.failed)
        }
    }

    private static func labels(_ version: VersionHealth) -> MetricsText.Labels {
        ["service": version.key.name, "protocol": version.key.kind.rawValue, "version": version.identity.name]
    }
}
