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
        let version = parts.count > 1 ? parts[1] : ""
        self.version = version == "0.0.0" ? "" : version
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
    /// The host as one of an HTTP application; nil when it is none.
    func httpHost() -> ListedHost? {
        guard isUsable else { return nil }
        // A Dubbo 3 application registers under the same name as its web port; only Spring's entry speaks HTTP.
        let isSpring = metadata["preserved.register.source"] == "SPRING_CLOUD"
        if metadata["dubbo.endpoints"] != nil && !isSpring { return nil }
        return listed(Instance(address: .unknown, weight: weight, metadata: labels))
    }

    /// The host as a provider of a Dubbo service; nil when it is none that `dubbo://` reaches.
    func dubboHost(_ name: NacosDubboName) -> ListedHost? {
        guard isUsable, metadata["protocol"] == "dubbo", metadata["category"] ?? "providers" == "providers",
            metadata["enabled"] != "false", metadata["disabled"] != "true"
        else { return nil }
        // Dubbo has its own weight, 100 being normal, and leaves Nacos' one alone: there an operator's 0 counts.
        let own = Double(metadata["weight"] ?? "") ?? 100
        let share = own.isFinite ? min(max(own, 0), 1_000_000) / 100 : 1
        return listed(
            Instance(
                address: .unknown, weight: weight > 0 ? share : 0, metadata: labels, interfaceVersion: name.version,
                group: name.group))
    }

    private func listed(_ instance: Instance) -> ListedHost { ListedHost(host: ip, port: port, instance: instance) }

    /// Metadata without the keys that Nacos keeps for itself.
    private var labels: [String: String] {
        metadata.keys.contains { $0.hasPrefix("preserved.") }
            ? metadata.filter { !$0.key.hasPrefix("preserved.") } : metadata
    }
}
