import Model

/// A rule by which operators change providers' parameters without touching the providers: Dubbo's configurators.
///
/// The old form is a URL: `override://10.0.0.1:20880/com.acme.Echo?version=1.0.0&weight=10`. The new one is a document of the
/// config centre (see `DubboOverrideRule`), which means several of them.
struct DubboOverride: Equatable {
    /// A provider's address; nil for all.
    var host: String?
    /// 0 for all.
    var port: UInt16 = 0
    /// The provider's application; nil for all.
    var application: String?
    /// Version and group of the service, empty for none; nil for all.
    var version: String?
    var group: String?
    /// Only parameters that a provider does not have are set.
    var isDefault = false
    /// Later ones count more.
    var priority = 0
    /// What is set.
    var parameters: [String: String] = [:]

    /// Whether it is about a provider.
    func matches(_ provider: ListedHost) -> Bool {
        let instance = provider.instance
        return (host == nil || host == provider.host) && (port == 0 || port == provider.port)
            && (application == nil || application == instance.metadata["application"])
            && (version == nil || version == instance.interfaceVersion) && (group == nil || group == instance.group)
    }

    /// The provider as the overrides, in their order, leave it, or why it is not used.
    static func apply(_ overrides: [DubboOverride], to provider: ListedHost) -> Result<ListedHost, DropReason> {
        var provider = provider
        let matching = overrides.filter { $0.matches(provider) }
        if !matching.isEmpty {
            var parameters = provider.instance.metadata.dictionary
            for override in matching {
                parameters.merge(override.parameters) { old, new in override.isDefault ? old : new }
            }
            provider.instance.metadata = Labels(parameters)
            provider.instance.weight = DubboProvider.weight(parameters)
        }
        return DubboProvider.isDisabled(provider.instance.metadata) ? .failure(.disabled) : .success(provider)
    }

    /// In the order in which they are applied, which does not depend on that of the list.
    static func ordered(_ overrides: [DubboOverride]) -> [DubboOverride] {
        overrides.sorted { left, right in
            if (left.host == nil) != (right.host == nil) { return left.host == nil }
            if left.priority != right.priority { return left.priority < right.priority }
            return left.text < right.text
        }
    }

    private var text: String {
        parameters.sorted { $0.key < $1.key }.reduce("\(host ?? ""):\(port)") { "\($0)&\($1.key)=\($1.value)" }
    }
}

extension DubboOverride {
    /// What an override URL in a node's name means for an interface.
    enum Reading: Equatable {
        case override(DubboOverride)
        /// It is switched off, or about something else, or sets nothing.
        case ignored
        /// It withdraws all: an override for everybody that sets nothing.
        case clear
    }

    /// Parameters that say which providers are meant, or are about the override itself.
    private static let conditions: Set<String> = [
        "application", "category", "check", "compatible_config", "configVersion", "dynamic", "enabled", "group",
        "interface", "priority", "side", "timestamp", "version",
    ]

    /// Reads a node's name or a URL; nil when it is none.
    static func read(_ name: String, interface: String) -> Reading? {
        guard let url = DubboURL(encoded: name) ?? DubboURL(name), ["override", "absent"].contains(url.scheme) else {
            return nil
        }
        guard url.parameters["enabled"] != "false", [interface, "*"].contains(url.interface) else { return .ignored }
        var override = DubboOverride(port: url.port, version: url.version, group: url.group)
        if !["0.0.0.0", "", "::"].contains(url.host) { override.host = url.host }
        if url.parameters["version"] == "*" { override.version = nil }
        if url.parameters["group"] == "*" { override.group = nil }
        override.application = url.parameters["application"].flatMap { ["", "*"].contains($0) ? nil : $0 }
        override.isDefault = url.scheme == "absent"
        override.priority = url.parameters["priority"].flatMap { Int($0) } ?? 0
        // Conditions on further parameters: `~env=blue`. They cannot be told from a wrong name, so such a rule does nothing.
        guard !url.parameters.keys.contains(where: { $0.hasPrefix("~") }) else { return .ignored }
        override.parameters = url.parameters.filter { !conditions.contains($0.key) && $0.key != "anyhost" }
        if override.parameters.isEmpty { return override.host == nil ? .clear : .ignored }
        return .override(override)
    }
}
