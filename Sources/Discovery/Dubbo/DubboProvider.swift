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

    /// Why a provider with these parameters is not used; nil when it is.
    static func dropReason(scheme: String, _ parameters: [String: String]) -> DropReason? {
        guard scheme == "dubbo" else { return .unsupportedProtocol }
        guard parameters["category"] ?? "providers" == "providers" else { return .unsupportedProtocol }
        return parameters["enabled"] == "false" || parameters["disabled"] == "true" ? .disabled : nil
    }
}

extension DubboURL {
    /// The provider as a host, or why it is not used.
    var provider: Result<ListedHost, DropReason> {
        guard port > 0, !host.isEmpty, !interface.isEmpty else { return .failure(.unreadable) }
        if let reason = DubboProvider.dropReason(scheme: scheme, parameters) { return .failure(reason) }
        let instance = Instance(
            address: .unknown, weight: DubboProvider.weight(parameters), metadata: parameters,
            interfaceVersion: version, group: group)
        return .success(ListedHost(host: host, port: port, instance: instance))
    }
}
