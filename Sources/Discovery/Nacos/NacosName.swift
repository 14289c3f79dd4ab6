import Model

/// How Dubbo services are named in Nacos: `providers:INTERFACE:VERSION:GROUP`.
///
/// Old clients leave the empty parts and their separators at the end away.
struct NacosDubboName: Equatable {
    let interface: String
    /// Empty where there is none or it is `0.0.0`.
    let version: String
    /// Empty where there is none.
    let group: String

    /// Nil when it is not the name of providers.
    init?(_ name: String, separator: String) {
        let prefix = "providers" + separator
        guard !separator.isEmpty, name.hasPrefix(prefix) else { return nil }
        let parts = Self.split(name.dropFirst(prefix.count), separator)
        guard (1...3).contains(parts.count), !parts[0].isEmpty else { return nil }
        interface = parts[0]
        version = DubboProvider.version(parts.count > 1 ? parts[1] : nil)
        group = parts.count > 2 ? parts[2] : ""
    }

    private static func split(_ text: Substring, _ separator: String) -> [String] {
        var parts: [String] = []
        var rest = text
        while let range = rest.firstRange(of: separator) {
            parts.append(String(rest[..<range.lowerBound]))
            rest = rest[range.upperBound...]
        }
        return parts + [String(rest)]
    }
}

extension NacosHost {
    /// The host as one of an HTTP application, or why it is none.
    var httpHost: Result<ListedHost, DropReason> {
        guard isUsable else { return .failure(.unhealthy) }
        // A Dubbo 3 application registers under the same name as its web port; only Spring's entry speaks HTTP.
        let isSpring = metadata["preserved.register.source"] == "SPRING_CLOUD"
        if metadata["dubbo.endpoints"] != nil && !isSpring { return .failure(.unsupportedProtocol) }
        if SpringLabels.isSecure(metadata) { return .failure(.unsupportedProtocol) }
        return .success(listed(Instance(address: .unknown, weight: weight, metadata: Labels(labels))))
    }

    /// The host as a provider of a Dubbo service, or why it is none that `dubbo://` reaches.
    func dubboHost(_ name: NacosDubboName?) -> Result<ListedHost, DropReason> {
        guard let name else { return .failure(.unreadable) }
        guard isUsable else { return .failure(.unhealthy) }
        if let reason = DubboProvider.dropReason(scheme: metadata["protocol"] ?? "", metadata) {
            return .failure(reason)
        }
        var labels = labels
        // Without it the path alone does not tell whether it is one.
        if metadata["interface"] == nil {
            labels["path"] = DubboProvider.ownPath(metadata["path"], interface: name.interface)
        }
        // Dubbo has its own weight and leaves Nacos' one alone: there an operator's 0 counts.
        return .success(
            listed(
                Instance(
                    address: .unknown, weight: weight > 0 ? DubboProvider.weight(metadata) : 0,
                    metadata: Labels(labels),
                    interfaceVersion: name.version, group: name.group)))
    }

    private func listed(_ instance: Instance) -> ListedHost { ListedHost(host: ip, port: port, instance: instance) }

    /// Metadata without the keys that Nacos keeps for itself, and that of a provider without what Dubbo does.
    static func labels(_ metadata: [String: String]) -> [String: String] {
        let labels =
            metadata.keys.contains { $0.hasPrefix("preserved.") }
            ? metadata.filter { !$0.key.hasPrefix("preserved.") } : metadata
        return metadata["protocol"] == "dubbo"
            ? DubboProvider.labels(labels, interface: metadata["interface"] ?? metadata["path"] ?? "") : labels
    }
}
