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
    private var overrides: [DubboOverride] = []
    private var isWithdrawn = false
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
            case .override(let override): overrides.append(override)
            case .withdrawal: isWithdrawn = true
            case .metadata(let metadata): if let revision { self.metadata[Self.key(revision.0, revision.1)] = metadata }
            }
        }
    }

    /// What only instances can tell; those that stand at the interface's level as well are not needed.
    var wishes: DubboWishes {
        var wishes = DubboWishes()
        let listed = listed
        for instance in instances {
            guard let revision = instance.revision, metadata[Self.key(instance.name, revision)] == nil,
                !instance.listens(at: listed)
            else { continue }
            wishes.add(instance.name, instance)
        }
        return wishes
    }

    /// Adds what instances have told.
    mutating func add(_ offers: DubboOffers) {
        for instance in instances {
            guard let revision = instance.revision else { continue }
            let key = Self.key(instance.name, revision)
            if metadata[key] == nil { metadata[key] = offers.metadata(of: instance.name, revision) }
        }
    }

    /// Where the providers listen that stand at the interface's level.
    private var listed: Set<HostPort> { instances.isEmpty ? [] : Set(hosts.map(\.hostPort)) }

    /// The hosts, and how many entries are not used.
    var finished: ([ListedHost], [DropReason: Int]) {
        guard let interface else { return (hosts, unused) }
        var candidates = hosts
        var unused = unused
        // A provider that stands at both levels says more of itself at the interface's.
        let listed = listed
        for instance in instances {
            let known = instance.revision.flatMap { metadata[Self.key(instance.name, $0)] }
            let offered = instance.providers(of: interface, known)
            unused.merge(offered.unused, uniquingKeysWith: +)
            for host in offered.hosts {
                if listed.contains(host.hostPort) {
                    unused[.duplicate, default: 0] += 1
                } else {
                    candidates.append(host)
                }
            }
        }
        let ordered = isWithdrawn ? [] : DubboOverride.ordered(overrides)
        var used: [ListedHost] = []
        used.reserveCapacity(candidates.count)
        for candidate in candidates {
            switch DubboOverride.apply(ordered, to: candidate) {
            case .success(let host): used.append(host)
            case .failure(let reason): unused[reason, default: 0] += 1
            }
        }
        return (used, unused)
    }

    private static func key(_ application: String, _ revision: String) -> String { "\(application)/\(revision)" }
}
