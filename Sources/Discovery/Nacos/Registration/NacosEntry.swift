import Runtime

/// What is written into Nacos for a registration.
struct NacosEntry: Equatable {
    /// The Nacos service.
    let service: String
    let ip: String
    let port: UInt16
    /// 0 to 10000.
    let weight: Double
    let metadata: [String: String]

    /// What a server knows an entry by.
    struct Name: Hashable {
        let service: String
        let ip: String
        let port: UInt16
    }

    /// What a server knows it by.
    var name: Name { Name(service: service, ip: ip, port: port) }

    /// What a server takes in all keys and values together.
    static let mostMetadata = 1024

    /// Writes an application down as Dubbo or Spring Cloud do.
    ///
    /// - Parameter startedAt: milliseconds since 1970; Dubbo's consumers warm a provider up by it.
    init(_ registration: Registration, separator: String, startedAt: Int64) {
        ip = registration.host
        port = registration.port
        var labels = registration.metadata
        switch registration.service.kind {
        case .http, .bolt:
            service = registration.service.name
            weight = registration.weight.isFinite ? min(max(registration.weight, 0), 10_000) : 1
            labels["preserved.register.source"] = "SPRING_CLOUD"
        case .dubbo:
            let parts = ["providers", registration.service.name, registration.interfaceVersion, registration.group]
            service = parts.joined(separator: separator)
            // Java consumers take Dubbo's own weight from the labels and no notice of this one.
            weight = registration.weight > 0 ? 1 : 0
            labels = Self.dubboLabels(registration, startedAt: startedAt)
        }
        metadata = labels
    }

    /// Why a server would not take it; nil when it would.
    var problem: String? {
        let count = Self.count(metadata)
        guard count > Self.mostMetadata else { return nil }
        let longest = metadata.max { $0.key.count + $0.value.count < $1.key.count + $1.value.count }?.key ?? ""
        return "the metadata has \(count) characters, Nacos takes \(Self.mostMetadata); the longest is \"\(longest)\""
    }

    /// For a call over the push connection.
    var json: NacosJSON {
        .object([
            ("ip", .string(ip)), ("port", .integer(Int(port))), ("weight", .number(weight)), ("healthy", true),
            ("enabled", true), ("ephemeral", true), ("clusterName", "DEFAULT"), ("metadata", .labels(metadata)),
        ])
    }

    /// For a call over HTTP: what names it.
    var address: [(String, String)] {
        [
            ("serviceName", service), ("ip", ip), ("port", String(port)), ("clusterName", "DEFAULT"),
            ("ephemeral", "true"),
        ]
    }

    /// For a call over HTTP: all of it.
    var parameters: [(String, String)] {
        address + [("weight", String(weight)), ("metadata", NacosJSON.labels(metadata).text)]
    }

    private static func dubboLabels(_ registration: Registration, startedAt: Int64) -> [String: String] {
        let usual = ["protocol": "dubbo", "category": "providers", "path": registration.service.name]
        // Those values are escaped for a URL, and here they stand for themselves.
        let parameters = registration.dubboParameters(startedAt: startedAt).mapValues {
            PercentEncoding.decode($0) ?? $0
        }
        var labels = usual.merging(parameters) { _, own in own }
        // The list of methods is the one that can be long, and consumers call without it.
        if count(labels) > mostMetadata { labels["methods"] = "*" }
        return labels
    }

    private static func count(_ metadata: [String: String]) -> Int {
        metadata.reduce(0) { $0 + $1.key.utf16.count + $1.value.utf16.count }
    }
}
