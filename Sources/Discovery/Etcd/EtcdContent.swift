import Model

/// What a key in etcd says.
enum EtcdContent {
    case host(ListedHost)
    /// An entry that is not used.
    case unused(DropReason)
    case application(DubboApplication)
    /// Applications that offer an interface.
    case mapping([String])
    case metadata(DubboMetadata)
    case override(DubboOverride)
    /// All overrides of an interface are withdrawn.
    case withdrawal

    /// Reads a key; nil where it says nothing by being there.
    ///
    /// - Parameter name: the part of the key that the place does not say.
    init?(_ content: EtcdPlace.Content, name: String, _ record: EtcdRecord) {
        switch content {
        case .providers:
            // Parents are keys as well, and anything may lie about.
            if !name.contains("%3A%2F%2F") && !name.contains("%3a%2f%2f") && !name.contains("://") { return nil }
            self.init(DubboURL(encoded: name)?.candidate ?? .failure(.unreadable))
        case .configurators(let interface):
            switch DubboOverride.read(name, interface: interface) {
            case .override(let override): self = .override(override)
            case .clear: self = .withdrawal
            case .ignored, nil: return nil
            }
        case .kratos: self.init(Self.kratos(record.value))
        case .goZero: self.init(Self.goZero(record.value))
        case .goMicro: self.init(Self.goMicro(record.value))
        case .application(let name): self = Self.application(name, record.value)
        case .mapping:
            let names = String(decoding: record.value, as: UTF8.self).split(separator: ",")
            self = .mapping(names.map { String($0.filter { !$0.isWhitespace }) }.filter { !$0.isEmpty })
        case .metadata:
            guard let metadata = DubboMetadata(record.value) else { return nil }
            self = .metadata(metadata)
        }
    }

    private init(_ result: Result<ListedHost, DropReason>) {
        switch result {
        case .success(let host): self = .host(host)
        case .failure(let reason): self = .unused(reason)
        }
    }

    /// Whether it means the same.
    static func isSame(_ left: EtcdContent?, _ right: EtcdContent?) -> Bool {
        switch (left, right) {
        case (.host(let one), .host(let other)): one == other
        case (.unused(let one), .unused(let other)): one == other
        case (.application(let one), .application(let other)): one == other
        case (.override(let one), .override(let other)): one == other
        case (.mapping(let one), .mapping(let other)): one == other
        case (nil, nil): true
        default: false
        }
    }
}

extension EtcdContent {
    /// Of an instance's endpoints the one for plain HTTP counts.
    private static func kratos(_ value: [UInt8]) -> Result<ListedHost, DropReason> {
        guard let entry = EtcdText(value), let ranges = entry.elements("endpoints") else {
            return .failure(.unreadable)
        }
        let endpoints = ranges.compactMap { JSONText.string(value, $0).flatMap { DubboURL($0) } }
        if endpoints.isEmpty { return .failure(.unreadable) }
        guard let endpoint = endpoints.first(where: { $0.scheme == "http" && $0.parameters["isSecure"] != "true" })
        else { return .failure(.unsupportedProtocol) }
        var labels = entry.labels("metadata")
        if let version = entry.string("version"), !version.isEmpty { labels["version"] = version }
        return host(endpoint, labels, weight: hundredth(labels["weight"]))
    }

    private static func goZero(_ value: [UInt8]) -> Result<ListedHost, DropReason> {
        guard let address = String(validating: value, as: UTF8.self), !address.contains("/"),
            let endpoint = DubboURL("http://" + address)
        else { return .failure(.unreadable) }
        return host(endpoint, [:], weight: 1)
    }

    /// Each key holds one node, with what is common to all.
    private static func goMicro(_ value: [UInt8]) -> Result<ListedHost, DropReason> {
        guard let entry = EtcdText(value),
            let node = entry.elements("nodes")?.first.flatMap({ EtcdText(value, in: $0) }),
            let address = node.string("address"), !address.contains("/"), let endpoint = DubboURL("http://" + address)
        else { return .failure(.unreadable) }
        var labels = entry.labels("metadata").merging(node.labels("metadata")) { $1 }
        guard labels["protocol"] ?? "http" == "http" else { return .failure(.unsupportedProtocol) }
        if let version = entry.string("version"), !version.isEmpty { labels["version"] = version }
        return host(endpoint, labels, weight: 1)
    }

    private static func host(
        _ endpoint: DubboURL, _ labels: [String: String], weight: Double
    ) -> Result<ListedHost, DropReason> {
        guard endpoint.port > 0, !endpoint.host.isEmpty else { return .failure(.unreadable) }
        let instance = Instance(address: .unknown, weight: weight, metadata: Labels(labels))
        return .success(ListedHost(host: endpoint.host, port: endpoint.port, instance: instance))
    }

    /// A weight of which 100 is normal.
    private static func hundredth(_ text: String?) -> Double {
        let weight = Double(text ?? "") ?? 100
        return weight.isFinite ? min(max(weight, 0), 1_000_000) / 100 : 1
    }

    /// An instance as dubbo-go writes it, with the names of Go.
    private static func application(_ name: String, _ value: [UInt8]) -> EtcdContent {
        guard let entry = EtcdText(value), let host = entry.string("Host"), !host.isEmpty,
            host.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7f }), let number = entry.number("Port"),
            let port = UInt16(exactly: number)
        else { return .unused(.unreadable) }
        if entry.isFalse("Enable") { return .unused(.disabled) }
        if entry.isFalse("Healthy") { return .unused(.unhealthy) }
        var labels = entry.labels("Metadata")
        if let tag = entry.string("Tag"), !tag.isEmpty, labels["dubbo.tag"] == nil { labels["dubbo.tag"] = tag }
        guard let application = DubboApplication(name: name, host: host, port: port, metadata: labels) else {
            return .unused(.unsupportedProtocol)
        }
        return .application(application)
    }
}
