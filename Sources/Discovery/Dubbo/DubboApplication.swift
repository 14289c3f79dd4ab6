import Model
import Runtime

/// An instance of a Dubbo 3 application as registries list it at application level; the metadata keys are the same in all.
///
/// It says where the application listens and for which protocols. Which interfaces it offers, with which version, group, tag
/// and weight, stands in `DubboMetadata` of its revision, for all instances of that revision together.
struct DubboApplication: Equatable {
    /// A port and what is spoken there.
    struct Endpoint: Equatable {
        let scheme: String
        let port: UInt16
    }

    /// The application's name.
    let name: String
    /// An address or a name, IPv6 without brackets.
    let host: String
    /// One for each protocol; the same protocol twice is not possible.
    let endpoints: [Endpoint]
    /// Names the `DubboMetadata` that holds for it; nil where the instance offers nothing or does not say.
    let revision: String?
    /// The metadata is in the metadata centre. Otherwise only the instance itself can be asked, by a call.
    let isMetadataStored: Bool
    /// Where it can be asked; nil where it cannot.
    let metadataPlace: DubboMetadataPlace?
    /// What users have put on the instance, and `timestamp`.
    let labels: [String: String]

    /// Reads an instance's metadata.
    ///
    /// - Parameter port: of the preferred protocol, used where no endpoints are listed.
    /// - Returns: nil where it is no Dubbo application: nothing in the metadata is Dubbo's.
    init?(name: String, host: String, port: UInt16, metadata: [String: String]) {
        let listed = metadata["dubbo.endpoints"]
        guard listed != nil || metadata["dubbo.metadata.revision"] != nil else { return nil }
        self.name = name
        self.host = HostText.bare(host)
        let single = [Endpoint(scheme: metadata["dubbo.protocol"] ?? metadata["protocol"] ?? "dubbo", port: port)]
        endpoints = listed.map { Self.endpoints($0) ?? [] } ?? single
        let revision = metadata["dubbo.metadata.revision"] ?? ""
        self.revision = revision.isEmpty || revision == "0" ? nil : revision
        isMetadataStored = metadata["dubbo.metadata.storage-type"] == "remote"
        metadataPlace = DubboMetadataPlace(host: host, metadata: metadata)
        labels = metadata.filter { !Self.isInternal($0.key) }
    }

    /// What it offers is looked up in the metadata centre. An instance that can be asked goes before one that says that its
    /// metadata is not there, but may be wrong.
    var isMetadataLookedUp: Bool { isMetadataStored || metadataPlace == nil }

    /// Nothing is exported.
    var isEmpty: Bool { endpoints.isEmpty }

    /// Where it listens.
    var hostPorts: some Sequence<HostPort> { endpoints.lazy.map { HostPort(host: host, port: $0.port) } }

    /// Whether it listens at one of them. A provider that stands at both levels says more of itself at its interface's own, and
    /// what listens there is left out at the application's.
    func listens(at known: Set<HostPort>) -> Bool { hostPorts.contains(where: known.contains) }

    /// It listens for the dubbo protocol, or may do so.
    var speaksDubbo: Bool { endpoints.isEmpty || endpoints.contains { $0.scheme == "dubbo" } }

    private static func isInternal(_ key: String) -> Bool {
        // A path of the instance's is none of an interface's.
        key.hasPrefix("dubbo.") && key != "dubbo.tag" || ["meta-v", "path"].contains(key) || key.hasPrefix("preserved.")
    }

    private static func endpoints(_ listed: String) -> [Endpoint]? {
        let text = Array(listed.utf8)
        guard let entries = JSONText.elements(text, in: 0..<text.count) else { return nil }
        var endpoints: [Endpoint] = []
        for entry in entries {
            guard let members = JSONText.object(text, in: entry),
                let port = members["port"].flatMap({ JSONText.integer(text, $0) }),
                let scheme = members["protocol"].flatMap({ JSONText.string(text, $0) })
            else { return nil }
            guard let port = UInt16(exactly: port), port > 0 else { continue }
            endpoints.append(Endpoint(scheme: scheme, port: port))
        }
        return endpoints
    }
}

extension DubboApplication {
    /// What an instance means for one interface.
    struct Providers: Equatable {
        var hosts: [ListedHost] = []
        var unused: [DropReason: Int] = [:]
        /// Where instances listen that are being asked what they offer.
        var awaited: Set<HostPort> = []

        var isEmpty: Bool { hosts.isEmpty && awaited.isEmpty }
    }

    /// The instance as providers of an interface.
    ///
    /// - Parameter metadata: of its revision; nil where it cannot be known. Then the interface's version, group, tag and
    ///   weight are unknown as well, and the providers have none.
    func providers(of interface: String, _ metadata: DubboMetadata?) -> Providers {
        var providers = Providers()
        guard let metadata else {
            for endpoint in endpoints { providers.add(endpoint.scheme, endpoint.port, self, labels, "", "", interface) }
            if endpoints.isEmpty { providers.unused[.unreadable] = 1 }
            return providers
        }
        for service in metadata.services(of: interface) {
            let parameters = labels.merging(service.parameters) { _, own in own }
            guard let port = port(of: service) else {
                providers.unused[.unreadable, default: 0] += 1
                continue
            }
            providers.add(service.scheme, port, self, parameters, service.version, service.group, interface)
        }
        return providers
    }

    /// The port where a service is offered here: metadata belongs to a revision, and instances of one revision can have
    /// different ports.
    private func port(of service: DubboMetadata.Service) -> UInt16? {
        let ports = endpoints.filter { $0.scheme == service.scheme }.map(\.port)
        if ports.contains(service.port) { return service.port }
        return ports.first ?? (service.port > 0 ? service.port : nil)
    }
}

extension DubboApplication.Providers {
    fileprivate mutating func add(
        _ scheme: String, _ port: UInt16, _ application: DubboApplication, _ parameters: [String: String],
        _ version: String, _ group: String, _ interface: String
    ) {
        if let reason = DubboProvider.dropReason(scheme: scheme, parameters) {
            unused[reason, default: 0] += 1
            return
        }
        var labels = DubboProvider.labels(parameters, interface: interface)
        labels["application"] = application.name
        // What is listed in this way is Dubbo 3, but does not say so here. Calls of its path depend on that.
        if labels["path"] != nil && labels["release"] == nil { labels["release"] = "3" }
        let instance = Instance(
            address: .unknown, weight: DubboProvider.weight(parameters), metadata: Labels(labels),
            interfaceVersion: version,
            group: group)
        hosts.append(ListedHost(host: application.host, port: port, instance: instance))
    }

    /// Adds a host, or counts why it is not used.
    mutating func add(_ entry: Result<ListedHost, DropReason>) {
        switch entry {
        case .success(let host): hosts.append(host)
        case .failure(let reason): unused[reason, default: 0] += 1
        }
    }

    /// Adds what another instance means.
    mutating func add(_ other: Self) {
        hosts += other.hosts
        unused.merge(other.unused, uniquingKeysWith: +)
        awaited.formUnion(other.awaited)
    }
}
