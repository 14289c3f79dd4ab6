import Model
import Runtime

/// The instances of an application, and what its revisions offer, kept known while somebody uses it.
final class ZooKeeperApplication {
    /// One node below the application.
    private enum Entry {
        case waiting
        /// Gone again before it could be read.
        case none
        /// Broken, or not allowed to be read.
        case unreadable
        case instance(CuratorInstance, DubboApplication?)

        /// The revision about which the registry is asked, not the instance.
        var storedRevision: String? {
            guard case .instance(_, let dubbo?) = self, dubbo.isMetadataLookedUp else { return nil }
            return dubbo.revision
        }
    }

    private struct Revision {
        var node: ZooKeeperNode
        /// Nil: not read yet, not there or not readable.
        var metadata: DubboMetadata?
    }

    let name: String
    /// Called when something has changed.
    let onChange: () -> Void
    /// The node that lists the instances.
    private(set) var list: ZooKeeperNode?
    private let tree: ZooKeeperTree
    private let settings: ZooKeeperSettings
    private var entries: [String: (node: ZooKeeperNode, entry: Entry)] = [:]
    private var hashes: [String: Int] = [:]
    private var revisions: [String: Revision] = [:]

    init(_ name: String, tree: ZooKeeperTree, settings: ZooKeeperSettings, onChange: @escaping () -> Void) {
        self.name = name
        self.tree = tree
        self.settings = settings
        self.onChange = onChange
        // A name that no node can have has no instances.
        guard ZooKeeperPath.isValid("/" + name) else { return }
        list = tree.watch("\(settings.services)/\(name)", .children) { [weak self] _, content in
            if case .children(let names) = content { self?.take(Set(names)) } else { self?.take([]) }
        } onFailure: { [weak self] _, _ in
            self?.onChange()
        }
    }

    /// Why nothing is known; nil while it is being found out, and when something is known.
    var failure: String? {
        if case .failed(let reason) = list?.state { return reason }
        return nil
    }

    /// Everything has been read, or cannot be.
    var isKnown: Bool {
        guard let list else { return true }
        guard list.state != .waiting else { return false }
        return entries.values.allSatisfy { entry in
            if case .waiting = entry.entry { return false }
            return true
        } && revisions.values.allSatisfy { $0.node.state != .waiting }
    }

    /// Hosts that speak HTTP.
    func httpHosts() -> DubboApplication.Providers {
        var found = DubboApplication.Providers()
        for (_, entry) in entries.values {
            switch entry {
            case .waiting, .none: continue
            case .unreadable: found.unused[.unreadable, default: 0] += 1
            case .instance(let instance, _):
                found.add(instance.httpHost)
            }
        }
        return found
    }

    /// Adds the revisions that only instances can tell about.
    ///
    /// - Parameter known: as in `providers`.
    func addWishes(_ wishes: inout DubboWishes, except known: Set<HostPort>) {
        for (_, entry) in entries.values {
            guard case .instance(let instance, let dubbo?) = entry, instance.isEnabled, let revision = dubbo.revision,
                revisions[revision]?.metadata == nil, !dubbo.listens(at: known)
            else { continue }
            wishes.add(name, dubbo)
        }
    }

    /// Providers of a Dubbo interface, by instance.
    ///
    /// - Parameters:
    ///   - offers: what instances have told.
    ///   - known: where providers listen that are known otherwise; an instance that does is left out as a whole.
    func providers(
        of interface: String, _ offers: DubboOffers, except known: Set<HostPort>
    ) -> DubboApplication.Providers {
        var found = DubboApplication.Providers()
        for (_, entry) in entries.values {
            guard case .instance(let instance, let dubbo?) = entry else { continue }
            if dubbo.listens(at: known) { continue }
            guard instance.isEnabled else {
                found.unused[.disabled, default: 0] += 1
                continue
            }
            let revision = dubbo.revision
            // It says that it offers nothing.
            if revision == nil && instance.metadata["dubbo.metadata.revision"] == "0" { continue }
            let stored = revision.flatMap { revisions[$0]?.metadata }
            found.add(offers.providers(dubbo, of: interface, stored: stored))
        }
        return found
    }

    /// Forgets everything.
    func stop() {
        if let list { tree.forget(list) }
        list = nil
        for (node, _) in entries.values { tree.forget(node) }
        for revision in revisions.values { tree.forget(revision.node) }
        entries.removeAll()
        hashes.removeAll()
        revisions.removeAll()
    }

    private func take(_ names: Set<String>) {
        for (name, entry) in entries where !names.contains(name) {
            tree.forget(entry.node)
            entries[name] = nil
            hashes[name] = nil
        }
        for name in names where entries[name] == nil {
            let node = tree.watch("\(settings.services)/\(self.name)/\(name)", .data) { [weak self] _, content in
                self?.take(name, content)
            } onFailure: { [weak self] _, _ in
                self?.refused(name)
            }
            entries[name] = (node, .waiting)
        }
        updateRevisions()
        onChange()
    }

    private func take(_ name: String, _ content: ZooKeeperNode.Content) {
        guard entries[name] != nil else { return }
        guard case .data(let bytes) = content else { return set(name, .none) }
        let hash = bytes.hashValue
        if hashes.updateValue(hash, forKey: name) == hash { return }
        guard let instance = CuratorInstance(bytes) else { return set(name, .unreadable) }
        set(name, .instance(instance, instance.dubbo))
    }

    /// The server does not let it be read; what is known of it stays.
    private func refused(_ name: String) {
        if case .instance = entries[name]?.entry { return }
        set(name, .unreadable)
    }

    private func set(_ name: String, _ entry: Entry) {
        if case .instance = entry {} else { hashes[name] = nil }
        let before = entries[name]?.entry.storedRevision
        entries[name]?.entry = entry
        if before != entry.storedRevision { updateRevisions() }
        onChange()
    }

    /// Reads what is offered in revisions that are new, forgets those that are gone.
    private func updateRevisions() {
        var wanted: Set<String> = []
        for (_, entry) in entries.values {
            if let revision = entry.storedRevision { wanted.insert(revision) }
        }
        for (revision, known) in revisions where !wanted.contains(revision) {
            tree.forget(known.node)
            revisions[revision] = nil
        }
        for revision in wanted where revisions[revision] == nil && ZooKeeperPath.isValid(name: revision) {
            let path = "\(settings.root)/metadata/\(name)/\(revision)"
            let node = tree.watch(path, .data) { [weak self] _, content in
                guard let self, case .data(let bytes) = content else {
                    self?.onChange()
                    return
                }
                revisions[revision]?.metadata = DubboMetadata(bytes)
                onChange()
            } onFailure: { [weak self] _, _ in
                self?.onChange()
            }
            revisions[revision] = Revision(node: node, metadata: nil)
        }
    }
}

/// The applications in use, each once.
final class ZooKeeperApplications {
    private let tree: ZooKeeperTree
    private let settings: ZooKeeperSettings
    private var applications: [String: (application: ZooKeeperApplication, users: [ServiceKey: Int])] = [:]
    /// Called with the services that use an application when it has changed.
    var onChange: ([ServiceKey]) -> Void = { _ in }

    init(tree: ZooKeeperTree, settings: ZooKeeperSettings) {
        self.tree = tree
        self.settings = settings
    }

    /// The application, until it is released as often as it was retained.
    func retain(_ name: String, for service: ServiceKey) -> ZooKeeperApplication {
        if let known = applications[name] {
            applications[name]?.users[service, default: 0] += 1
            return known.application
        }
        let application = ZooKeeperApplication(name, tree: tree, settings: settings) { [weak self] in
            guard let self, let users = applications[name]?.users.keys else { return }
            onChange(Array(users))
        }
        applications[name] = (application, [service: 1])
        return application
    }

    /// Takes one `retain` back.
    func release(_ name: String, for service: ServiceKey) {
        guard let count = applications[name]?.users[service] else { return }
        applications[name]?.users[service] = count > 1 ? count - 1 : nil
        guard applications[name]?.users.isEmpty == true else { return }
        applications.removeValue(forKey: name)?.application.stop()
    }

    /// Forgets all.
    func stop() {
        for (application, _) in applications.values { application.stop() }
        applications.removeAll()
    }
}
