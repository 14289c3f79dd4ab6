import Model
import Runtime

/// What an instance's registration says. The conventions of several frameworks are understood.
struct ConsulRecord {
    private let text: [UInt8]
    private let service: JSONText.Object
    private let node: JSONText.Object?
    private let tags: [String]
    private let meta: [String: String]

    init(_ text: [UInt8], service: JSONText.Object, node: JSONText.Object?) {
        (self.text, self.service, self.node) = (text, service, node)
        let elements = service["Tags"].flatMap { JSONText.elements(text, in: $0) } ?? []
        tags = elements.compactMap { JSONText.string(text, $0) }
        meta = service["Meta"].map { JSONText.labels(text, in: $0) } ?? [:]
    }

    /// A sidecar of Consul's own mesh; the application has an entry of its own.
    var isProxy: Bool { !["", "typical"].contains(string(service, "Kind")) }

    var passingWeight: Double { weight("Passing") }
    var warningWeight: Double { weight("Warning") }

    /// The host as one of an HTTP application. Spring Cloud, kratos and plain registrations are understood.
    func httpHost(weight: Double, _ settings: ConsulSettings) -> Result<ListedHost, DropReason> {
        if isDubbo { return .failure(.unsupportedProtocol) }
        var labels = tagLabels.merging(meta.filter { !$0.value.isEmpty }) { $1 }
        if labels["version"] == nil {
            labels["version"] = tags.first(where: settings.versionTags.contains)
        }
        // Spring's mark of an application that speaks TLS only.
        if labels["secure"] == "true" { return .failure(.unsupportedProtocol) }
        var address = self.address
        let endpoints = kratosEndpoints
        if !endpoints.isEmpty {
            guard let endpoint = endpoints["http"] else { return .failure(.unsupportedProtocol) }
            address = DubboURL(endpoint).map { ($0.host, $0.port) } ?? ("", 0)
        }
        return listed(address, Instance(address: .unknown, weight: weight, metadata: Labels(labels)))
    }

    /// The host as a Dubbo provider: by the URL in its metadata, or by its tags where that was too long for metadata.
    func dubboHost(weight: Double) -> Result<ListedHost, DropReason> {
        guard isDubbo else { return .failure(.unsupportedProtocol) }
        if let text = meta["url"] {
            guard let url = DubboURL(text) else { return .failure(.unreadable) }
            return url.provider.map { host in
                var host = host
                if weight == 0 { host.instance.weight = 0 }
                return host
            }
        }
        var parameters = tagLabels
        parameters["path"] = DubboProvider.ownPath(parameters["path"], interface: parameters["interface"] ?? "")
        if let reason = DubboProvider.dropReason(scheme: parameters["protocol"] ?? "dubbo", parameters) {
            return .failure(reason)
        }
        return listed(
            address,
            Instance(
                address: .unknown, weight: weight > 0 ? DubboProvider.weight(parameters) : 0,
                metadata: Labels(parameters),
                interfaceVersion: DubboProvider.version(parameters["version"]),
                group: parameters["group"] ?? ""))
    }

    /// Dubbo's registry marks what it registers with a tag and the provider's URL.
    private var isDubbo: Bool {
        if let url = meta["url"], let scheme = url.firstRange(of: "://").map({ url[..<$0.lowerBound] }) {
            if scheme == "dubbo" || scheme == "tri" { return true }
        }
        return tags.contains("dubbo") && tagLabels["interface"] != nil
    }

    private var address: (host: String, port: UInt16) {
        let own = string(service, "Address")
        let port = service["Port"].flatMap { JSONText.integer(text, $0) } ?? 0
        return (
            own.isEmpty ? node.map { string($0, "Address") } ?? "" : own, UInt16(exactly: port) ?? 0
        )
    }

    /// kratos writes whole URLs by scheme where others have addresses.
    private var kratosEndpoints: [String: String] {
        var endpoints: [String: String] = [:]
        guard let tagged = service["TaggedAddresses"] else { return endpoints }
        for (key, value) in JSONText.members(text, in: tagged) ?? [] {
            guard let entry = JSONText.object(text, in: value),
                let address = (entry["Address"] ?? entry["address"]).flatMap({ JSONText.string(text, $0) }),
                address.contains("://")
            else { continue }
            endpoints[String(decoding: text[key], as: UTF8.self)] = address
        }
        return endpoints
    }

    /// Tags of the form `name=value`: the metadata of clients from before Consul had any.
    private var tagLabels: [String: String] {
        var labels: [String: String] = [:]
        for tag in tags {
            guard let sign = tag.firstIndex(of: "="), sign > tag.startIndex else { continue }
            let value = tag[tag.index(after: sign)...]
            if !value.isEmpty { labels[String(tag[..<sign])] = String(value) }
        }
        return labels
    }

    private func weight(_ name: String) -> Double {
        guard let weights = service["Weights"] else { return 1 }
        let weight = Double(JSONText.labels(text, in: weights)[name] ?? "") ?? 1
        return weight.isNaN ? 1 : min(max(weight, 0), 1_000_000)
    }

    private func string(_ object: JSONText.Object, _ name: StaticString) -> String {
        object[name].flatMap { JSONText.string(text, $0) } ?? ""
    }

    private func listed(
        _ address: (host: String, port: UInt16), _ instance: Instance
    ) -> Result<ListedHost, DropReason> {
        guard address.port > 0, !address.host.isEmpty,
            address.host.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7f })
        else { return .failure(.unreadable) }
        return .success(ListedHost(host: address.host, port: address.port, instance: instance))
    }
}
