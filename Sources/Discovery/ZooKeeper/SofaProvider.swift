import Model

/// A provider of SOFA RPC as it writes itself into a registry: `bolt://10.0.0.1:12200?version=1.0&uniqueId=&weight=100&…`.
enum SofaProvider {
    /// The version that SOFA RPC itself writes into every URL; it is no service's.
    private static let constantVersion = "1.0"
    /// The parameter that tells the service's interface version. SOFA RPC has none: Greymesh writes it, and applications can.
    static let interfaceVersion = "interfaceVersion"

    /// Keys that tell a proxy nothing.
    private static let unused: Set<String> = [
        "accepts", "delay", "dynamic", "generic", "id", "interface", "language", "pid", "protocol", "timeout",
    ]

    /// Reads a percent-encoded URL. The unique id is the group; `version` is kept where it is a user's own, and is a label only:
    /// consumers call such a provider by the interface version that it does not tell.
    static func read(_ name: String) -> Result<ListedHost, DropReason> {
        guard let text = DubboURL.decode(name), let url = DubboURL(text) else { return .failure(.unreadable) }
        guard url.scheme == "bolt" else { return .failure(.unsupportedProtocol) }
        // Without the key no consumer takes it.
        guard url.port > 0, !url.host.isEmpty, let unique = url.parameters["uniqueId"] else {
            return .failure(.unreadable)
        }
        var labels = url.parameters.filter { !unused.contains($0.key) && $0.key != "uniqueId" }
        let interfaceVersion = labels.removeValue(forKey: interfaceVersion) ?? ""
        labels["version"] = version(text)
        labels["application"] = labels.removeValue(forKey: "appName")
        let instance = Instance(
            address: .unknown, weight: DubboProvider.weight(labels), metadata: Labels(labels),
            interfaceVersion: ServiceKey.Kind.bolt.meaningful(interfaceVersion), group: unique)
        return .success(ListedHost(host: url.host, port: url.port, instance: instance))
    }

    /// A user's parameter `version` stands beside the constant one, in any order.
    private static func version(_ url: String) -> String? {
        let query = url.split(separator: "?", maxSplits: 1).dropFirst().first ?? ""
        var given = query.split(separator: "&").filter { $0.hasPrefix("version=") }.map { String($0.dropFirst(8)) }
        if let constant = given.firstIndex(of: constantVersion) { given.remove(at: constant) }
        return given.last
    }
}
