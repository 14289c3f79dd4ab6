/// A service's list as it is put together from places.
struct EtcdListing {
    /// A Dubbo interface; nil for an HTTP application.
    let interface: String?
    /// A place was not read yet.
    private(set) var isWaiting = false
    /// Why a place cannot be read.
    private(set) var failure: String?
    /// Applications that offer the interface, by name.
    private(set) var applications: [String] = []

    private var hosts: [ListedHost] = []
    private var unused: [DropReason: Int] = [:]
    private var instances: [DubboApplication] = []
    private var metadata: [String: DubboMetadata] = [:]

    init(interface: String?) { self.interface = interface }

    /// Names and revisions of which the metadata is in etcd, in order.
    var revisions: [(String, String)] {
        var seen: Set<String> = []
        return instances.compactMap { instance in
            guard instance.isMetadataStored, let revision = instance.revision,
                seen.insert(Self.key(instance.name, revision)).inserted
            else { return nil }
            return (instance.name, revision)
        }
    }

    /// Adds what a place holds.
    ///
    /// - Parameter revision: of what application it is the metadata.
    mutating func add(_ place: EtcdPlace, _ mirror: EtcdMirror, revision: (String, String)? = nil) {
        guard let folder = mirror.folder(place) else {
            if let failure = mirror.failure(place) { self.failure = failure } else { isWaiting = true }
            return
        }
        for entry in folder.entries.values {
            switch entry.content {
            case .host(let host): hosts.append(host)
            case .unused(let reason): unused[reason, default: 0] += 1
            case .mapping(let names): applications = Array(Set(applications).union(names)).sorted()
            case .application(let instance): if !instance.isEmpty { instances.append(instance) }
            case .metadata(let metadata): if let revision { self.metadata[Self.key(revision.0, revision.1)] = metadata }
            }
        }
    }

    /// The hosts, and how many entries are not used.
    var finished: ([ListedHost], [DropReason: Int]) {
        guard let interface, !instances.isEmpty else { return (hosts, unused) }
        var providers = DubboApplication.Providers(hosts: hosts, unused: unused)
        // A provider that stands at both levels says more of itself at the interface's.
        let listed = Set(hosts.map { "\($0.host) \($0.port)" })
        for instance in instances {
            let known = instance.revision.flatMap { metadata[Self.key(instance.name, $0)] }
            var offered = instance.providers(of: interface, known)
            let count = offered.hosts.count
            offered.hosts.removeAll { listed.contains("\($0.host) \($0.port)") }
            if offered.hosts.count < count { offered.unused[.duplicate, default: 0] += count - offered.hosts.count }
            providers.add(offered)
        }
        return (providers.hosts, providers.unused)
    }

    private static func key(_ application: String, _ revision: String) -> String { "\(application)/\(revision)" }
}
