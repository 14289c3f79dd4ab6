import Model
import Runtime

/// One instance as a Eureka server tells it.
struct EurekaInstance: Equatable {
    /// In the order in which the server's checksum counts them.
    enum Status: String, CaseIterable {
        case down = "DOWN"
        case outOfService = "OUT_OF_SERVICE"
        case starting = "STARTING"
        case unknown = "UNKNOWN"
        case up = "UP"
    }

    /// Of which application, in small letters.
    let application: String
    /// Unique in the application.
    let id: String
    /// Overrides by operators are in it already.
    let status: Status
    /// The server's clock at its last change, in milliseconds; 0 where it is not told.
    let updated: Int64
    /// In a list of changes: it is gone.
    let isDeleted: Bool
    /// The host, or why it is not used; nil where nobody wanted to know.
    private(set) var host: Result<ListedHost, DropReason>?

    /// Reads an instance; nil where not even application and id can be read.
    ///
    /// - Parameters:
    ///   - application: the name above it, where it has none itself.
    ///   - wantsHost: whether an application's hosts are wanted: the rest is cheaper without.
    init?(
        _ text: [UInt8], _ range: Range<Int>, application above: String, _ settings: EurekaSettings,
        wantsHost: (String) -> Bool
    ) {
        guard let object = JSONText.object(text, in: range) else { return nil }
        func label(_ name: StaticString) -> String { object[name].flatMap { JSONText.label(text, $0) } ?? "" }
        let own = label("app")
        application = (own.isEmpty ? above : own).lowercased()
        let given = label("instanceId")
        id = given.isEmpty ? label("hostName") : given
        guard !application.isEmpty, !id.isEmpty else { return nil }
        status = Status(rawValue: label("status")) ?? .unknown
        updated = Int64(label("lastUpdatedTimestamp")) ?? 0
        isDeleted = label("actionType") == "DELETED"
        guard wantsHost(application) else { return }
        host = Self.host(text, object, status, usesHostName: settings.usesHostName)
    }

    private static func host(
        _ text: [UInt8], _ object: JSONText.Object, _ status: Status, usesHostName: Bool
    ) -> Result<ListedHost, DropReason> {
        switch status {
        case .up: break
        case .outOfService: return .failure(.disabled)
        case .down, .starting, .unknown: return .failure(.unhealthy)
        }
        func label(_ name: StaticString) -> String { object[name].flatMap { JSONText.label(text, $0) } ?? "" }
        let (ip, name) = (label("ipAddr"), label("hostName"))
        let host = usesHostName ? (name.isEmpty ? ip : name) : (ip.isEmpty ? name : ip)
        guard !host.isEmpty, host.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7f }) else { return .failure(.unreadable) }
        let plain = Port(text, object["port"])
        guard plain.isEnabled else {
            return .failure(Port(text, object["securePort"]).isEnabled ? .unsupportedProtocol : .unreadable)
        }
        guard let port = plain.number else { return .failure(.unreadable) }
        var labels = object["metadata"].map { JSONText.labels(text, in: $0) } ?? [:]
        // What the server's JSON library and every Spring client add.
        labels["@class"] = nil
        labels["management.port"] = nil
        let weight = Double(labels["weight"] ?? "") ?? 1
        let instance = Instance(
            address: .unknown, weight: weight > 0 && weight <= 1_000_000 ? weight : 1, metadata: Labels(labels))
        return .success(ListedHost(host: host, port: port, instance: instance))
    }

    /// `{"$":8080,"@enabled":"true"}`; in the JSON of old servers number and boolean have swapped their quotes.
    private struct Port {
        let isEnabled: Bool
        let number: UInt16?

        init(_ text: [UInt8], _ range: Range<Int>?) {
            let object = range.flatMap { JSONText.object(text, in: $0) }
            func label(_ name: StaticString) -> String? { object?[name].flatMap { JSONText.label(text, $0) } }
            isEnabled = label("@enabled")?.lowercased() == "true"
            number = label("$").flatMap { UInt16($0) }.flatMap { $0 > 0 ? $0 : nil }
        }
    }
}
