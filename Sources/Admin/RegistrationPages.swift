import ControlPlane
import Model
import Runtime

extension AdminServer {
    /// Every application that is listed, or is to be.
    func registrations() -> JSON {
        let now = Clock.nanoseconds
        return .object([
            "registrations": .array(
                control.registrations.statuses.map { status in
                    .object([
                        "service": .text(status.service.name), "protocol": .text(status.service.kind.rawValue),
                        "version": .text(status.interfaceVersion), "group": .text(status.group),
                        "port": .count(Int(status.port)), "listener": .optional(status.listener),
                        "source": .text(status.source.rawValue), "health": .text(status.health.rawValue),
                        "checked": .optional(status.checked), "problem": .optional(status.problem),
                        "weight": .integer(Int64((status.weight * 100).rounded())),
                        "metadata": .object(
                            status.metadata.sorted { $0.key < $1.key }.map {
                                JSON.Member(name: $0.key, value: .text($0.value))
                            }),
                        "registries": .array(status.registries.map { Self.entry($0, now) }),
                    ])
                })
        ])
    }

    private static func entry(_ entry: RegistrationStatus.Entry, _ now: Int64) -> JSON {
        .object([
            "registry": .text(entry.registry), "state": .text(entry.state.rawValue), "host": .optional(entry.host),
            "reason": .optional(entry.reason),
            "sinceMilliseconds": entry.since.map { .integer((now - $0) / 1_000_000) } ?? .null,
        ])
    }

    func writeRegistrations(_ text: inout MetricsText) {
        let statuses = control.registrations.statuses
        text.begin(
            "greymesh_registration_up", .gauge, "1 while an application that is to be registered serves.")
        for status in statuses {
            text.sample(Self.labels(status), status.health == .up || status.health == .unchecked ? 1 : 0)
        }
        text.begin("greymesh_registration_registered", .gauge, "1 while a registry has confirmed an application.")
        for status in statuses {
            for entry in status.registries {
                text.sample(Self.labels(status, registry: entry.registry), entry.state == .registered ? 1 : 0)
            }
        }
    }

    private static func labels(_ status: RegistrationStatus) -> MetricsText.Labels {
        [
            "service": status.service.name, "protocol": status.service.kind.rawValue,
            "version": status.interfaceVersion, "group": status.group, "port": "\(status.port)",
        ]
    }

    private static func labels(_ status: RegistrationStatus, registry: String) -> MetricsText.Labels {
        [
            "service": status.service.name, "protocol": status.service.kind.rawValue,
            "version": status.interfaceVersion, "group": status.group, "port": "\(status.port)", "registry": registry,
        ]
    }
}
