import Runtime

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

    /// Where the providers listen that stand at the interface's level.
    private var listed: Set<HostPort> { instances.isEmpty ? [] : Set(hosts.map(\.hostPort)) }

    /// All providers, as far as they are known.
    ///
    /// - Parameter offers: what instances have told.
    func providers(_ offers: DubboOffers) -> DubboApplication.Providers {
        var found = DubboApplication.Providers(hosts: hosts, unused: unused)
        guard let interface else { return found }
        // A provider that stands at both levels says more of itself at the interface's.
        let listed = listed
        for instance in instances {
            let stored = instance.revision.flatMap { metadata[Self.key(instance.name, $0)] }
            var offered = offers.providers(instance, of: interface, stored: stored)
            let count = offered.hosts.count
            offered.hosts.removeAll { listed.contains($0.hostPort) }
            if instance.listens(at: listed) { offered.awaited = [] }
            if offered.hosts.count < count { offered.unused[.duplicate, default: 0] += count - offered.hosts.count }
            found.add(offered)
        }
        let ordered = isWithdrawn ? [] : DubboOverride.ordered(overrides)
        let candidates = found.hosts
        found.hosts = []
        found.hosts.reserveCapacity(candidates.count)
        for candidate in candidates { found.add(DubboOverride.apply(ordered, to: candidate)) }
        return found
    }

    private static func key(_ application: String, _ revision: String) -> String { "\(application)/\(revision)" }
}
