import Configuration

/// A document of Dubbo's config centre under `INTERFACE:VERSION:GROUP.configurators`, in YAML.
///
/// `configVersion: v2.7 | scope: service | key: … | enabled: true | configs: [{side, addresses, providerAddresses,
/// applications, enabled, parameters: {weight: 10}}]`.
enum DubboOverrideRule {
    /// What a rule means.
    struct Reading: Equatable {
        var overrides: [DubboOverride] = []
        /// Entries that are not understood; they have no effect.
        var unused = 0
    }

    private static let suffix = ".configurators"

    /// The parts of a key; nil when it is none of a service.
    static func service(of key: String) -> (interface: String, version: String, group: String)? {
        guard key.hasSuffix(suffix) else { return nil }
        let parts = key.dropLast(suffix.count).split(separator: ":", omittingEmptySubsequences: false).map(String.init)
        // Without colons it is the rule of an application, which the application itself obeys.
        guard parts.count == 3, !parts[0].isEmpty else { return nil }
        return (parts[0], DubboProvider.version(parts[1]), parts[2])
    }

    /// Reads a rule; nil when it is none. A blank one sets nothing.
    static func read(_ text: [UInt8], key: String) -> Reading? {
        guard let service = service(of: key) else { return nil }
        if text.allSatisfy({ $0 <= 0x20 }) { return Reading() }
        let document = YAMLDocument(text, file: key)
        guard document.errors.isEmpty, let root = document.root, case .mapping(let entries) = root.content else {
            return nil
        }
        var reading = Reading()
        guard entries.text("enabled") != "false" else { return reading }
        for item in entries.list("configs") {
            guard case .mapping(let config) = item.content, let overrides = overrides(config, service) else {
                reading.unused += 1
                continue
            }
            reading.overrides += overrides
        }
        return reading
    }

    private static func overrides(
        _ config: [YAMLEntry], _ service: (interface: String, version: String, group: String)
    ) -> [DubboOverride]? {
        // Only Dubbo 3's matching has it; to leave a condition out would mean to do too much.
        guard config.node("match") == nil else { return nil }
        if config.text("enabled") == "false" { return [] }
        guard case .mapping(let set)? = config.node("parameters")?.content else { return nil }
        var parameters: [String: String] = [:]
        for entry in set {
            guard case .scalar(let text, _) = entry.value.content else { return nil }
            parameters[entry.name] = text
        }
        let isProvider = config.text("side") == "provider"
        let own = config.texts("addresses")
        // On the consumers' side these are consumers' addresses.
        if !isProvider && own.contains(where: { !isAny($0) }) { return [] }
        let addresses = isProvider ? own : config.texts("providerAddresses")
        let applications = config.texts("applications").filter { $0 != "*" }
        // Those of consumers, which are not known here.
        if !isProvider && !applications.isEmpty { return [] }
        return (addresses.isEmpty ? ["0.0.0.0"] : addresses).flatMap { address in
            (applications.isEmpty ? [nil] : applications.map { $0 }).compactMap { application in
                override(address, application, parameters, service)
            }
        }
    }

    private static func isAny(_ address: String) -> Bool { address == "0.0.0.0" || address.hasPrefix("0.0.0.0:") }

    private static func override(
        _ address: String, _ application: String?, _ parameters: [String: String],
        _ service: (interface: String, version: String, group: String)
    ) -> DubboOverride? {
        guard let url = DubboURL("override://\(address)/\(service.interface)") else { return nil }
        return DubboOverride(
            host: isAny(url.host) || url.host.isEmpty ? nil : url.host, port: url.port, application: application,
            version: service.version, group: service.group, priority: 1, parameters: parameters)
    }
}

extension [YAMLEntry] {
    fileprivate func node(_ name: String) -> YAMLNode? { first { $0.name == name }.map(\.value) }

    fileprivate func text(_ name: String) -> String? {
        guard case .scalar(let text, _)? = node(name)?.content else { return nil }
        return text
    }

    fileprivate func list(_ name: String) -> [YAMLNode] {
        guard case .sequence(let nodes)? = node(name)?.content else { return [] }
        return nodes
    }

    fileprivate func texts(_ name: String) -> [String] {
        list(name).compactMap { node in
            guard case .scalar(let text, _) = node.content else { return nil }
            return text
        }
    }
}
