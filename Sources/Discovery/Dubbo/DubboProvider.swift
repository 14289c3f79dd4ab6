import Model
import Runtime

/// What Dubbo's parameters say of a provider; they are the same in all registries.
enum DubboProvider {
    /// An interface version with "none" written in one way: `0.0.0` means none.
    static func version(_ text: String?) -> String { text == "0.0.0" ? "" : text ?? "" }

    /// The weight, 1 being normal: Dubbo's is an integer, and 100 is normal.
    static func weight(_ parameters: [String: String]) -> Double {
        let own = Double(parameters["weight"] ?? "") ?? 100
        return own.isFinite ? min(max(own, 0), 1_000_000) / 100 : 1
    }

    /// Parameters that are the same everywhere or tell a proxy nothing. There are many hosts, and of each they take more
    /// memory than all others together.
    private static let unused: Set<String> = [
        "REGISTRY_CLUSTER", "anyhost", "background", "bind.ip", "bind.port", "deprecated", "dubbo", "dynamic",
        "executor-management-mode", "file-cache", "generic", "interface", "metadata-type", "methods", "pid",
        "qos.enable", "register-mode", "register.ip", "revision", "service-name-mapping", "service.name", "side",
        "unloadClusterRelated",
    ]

    /// What is kept of a provider's parameters. Its path is one where it is not the interface: calls have to name it then.
    static func labels(_ parameters: [String: String], interface: String) -> [String: String] {
        var labels = parameters.filter { isKept($0.key) }
        labels["path"] = ownPath(parameters["path"], interface: interface)
        return labels
    }

    /// A path that is not the interface, as calls name it: without a slash in front. A context path is part of it already.
    static func ownPath(_ path: String?, interface: String) -> String? {
        guard let path = path?.drop(while: { $0 == "/" }), !path.isEmpty, path != interface else { return nil }
        return String(path)
    }

    /// Whether a parameter is kept.
    static func isKept(_ name: String) -> Bool { !unused.contains(name) }

    /// The parameters as consumers of Dubbo 2.5 to 2.7.1 read them: what a provider of that time says for all its services
    /// stands as `default.KEY`, and counts where there is no `KEY`.
    static func withDefaults(_ parameters: [String: String]) -> [String: String] {
        guard parameters.keys.contains(where: { $0.hasPrefix("default.") }) else { return parameters }
        var result = parameters
        for (key, value) in parameters where key.hasPrefix("default.") {
            let name = String(key.dropFirst("default.".count))
            if result[name]?.isEmpty ?? true { result[name] = value }
            result[key] = nil
        }
        return result
    }

    /// Why a provider with these parameters is not used; nil when it is.
    static func dropReason(scheme: String, _ parameters: [String: String]) -> DropReason? {
        guard scheme == "dubbo" else { return .unsupportedProtocol }
        guard parameters["category"] ?? "providers" == "providers" else { return .unsupportedProtocol }
        return isDisabled(parameters) ? .disabled : nil
    }

    /// An operator has switched it off.
    static func isDisabled(_ parameters: [String: String]) -> Bool {
        isDisabled(enabled: parameters["enabled"], disabled: parameters["disabled"])
    }

    static func isDisabled(_ labels: Labels) -> Bool {
        isDisabled(enabled: labels["enabled"], disabled: labels["disabled"])
    }

    private static func isDisabled(enabled: String?, disabled: String?) -> Bool {
        enabled == "false" || disabled == "true"
    }
}

extension DubboURL {
    /// The provider as a host, or why it is not used.
    var provider: Result<ListedHost, DropReason> {
        candidate.flatMap { DubboProvider.isDisabled(parameters) ? .failure(.disabled) : .success($0) }
    }

    /// The provider as a host, also when it is switched off, which an override can undo; or why it can never be used.
    var candidate: Result<ListedHost, DropReason> {
        guard port > 0, !host.isEmpty, !interface.isEmpty else { return .failure(.unreadable) }
        if let reason = DubboProvider.dropReason(scheme: scheme, parameters), reason != .disabled {
            return .failure(reason)
        }
        var labels = parameters
        labels["path"] = path
        labels = DubboProvider.labels(labels, interface: interface)
        let instance = Instance(
            address: .unknown, weight: DubboProvider.weight(parameters),
            metadata: Labels(labels),
            interfaceVersion: version, group: group)
        return .success(ListedHost(host: host, port: port, instance: instance))
    }
}
