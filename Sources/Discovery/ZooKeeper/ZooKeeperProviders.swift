import Runtime

/// The provider nodes of one interface: each node's name is a whole provider.
final class ZooKeeperProviders {
    /// What a name means.
    typealias Entry = Result<ListedHost, DropReason>

    /// The node above them.
    let list: ZooKeeperNode
    /// Nodes whose names differ, by the names' hashes: the names themselves are long.
    private(set) var entries: [Int: Entry] = [:]

    private let parse: (String) -> Entry
    private let loop: EventLoop
    private let onChange: () -> Void
    private let box: Box
    private static let namesPerStep = 16
    private var work: SlicedWork?

    /// Lets the node's callbacks reach the object, which has the node.
    private final class Box {
        weak var owner: ZooKeeperProviders?
    }

    init(
        _ path: String, tree: ZooKeeperTree, loop: EventLoop, parse: @escaping (String) -> Entry,
        onChange: @escaping () -> Void
    ) {
        self.parse = parse
        self.loop = loop
        self.onChange = onChange
        let box = Box()
        self.box = box
        list = tree.watch(path, .children) { _, content in
            if case .children(let names) = content { box.owner?.take(names) } else { box.owner?.take([]) }
        } onFailure: { _, _ in
            box.owner?.onChange()
        }
        box.owner = self
    }

    /// `entries` are those of the last read.
    var isKnown: Bool { list.state != .waiting && work?.isDone != false }

    private func take(_ names: [String]) {
        work?.cancel()
        var parsed: [Int: Entry] = [:]
        parsed.reserveCapacity(names.count)
        var position = 0
        // Thousands of names take longer than the loop may be kept busy.
        let work = SlicedWork(loop: loop) { [weak self] in
            guard let self else { return false }
            for name in names[position..<min(position + Self.namesPerStep, names.count)] {
                let hash = name.hashValue
                parsed[hash] = entries[hash] ?? parse(name)
            }
            position += Self.namesPerStep
            if position < names.count { return true }
            entries = parsed
            loop.schedule(after: .zero) { [weak self] in self?.onChange() }
            return false
        }
        self.work = work
    }
}

/// The names below one node that stands for many services, such as that with Dubbo's mappings, by service.
final class ZooKeeperNames {
    /// Nil: not known yet.
    private(set) var byService: [String: [String]]?

    private let tree: ZooKeeperTree
    private let path: String
    private let service: (String) -> String?
    private let onChange: (Set<String>?) -> Void
    private var node: ZooKeeperNode?

    /// - Parameters:
    ///   - service: the service of a name; nil where it is of no interest.
    ///   - onChange: called with the services whose names have changed, nil for all.
    init(
        _ path: String, tree: ZooKeeperTree, service: @escaping (String) -> String?,
        onChange: @escaping (Set<String>?) -> Void
    ) {
        self.path = path
        self.tree = tree
        self.service = service
        self.onChange = onChange
    }

    /// Begins to read them, if that has not begun.
    func start() {
        guard node == nil else { return }
        node = tree.watch(path, .children) { [weak self] _, content in
            if case .children(let names) = content { self?.take(names) } else { self?.take([]) }
        } onFailure: { [weak self] _, _ in
            // What cannot be read is taken for empty: there are other ways to find providers.
            if self?.byService == nil { self?.take([]) }
        }
    }

    /// Forgets them.
    func stop() {
        if let node { tree.forget(node) }
        node = nil
        byService = nil
    }

    private func take(_ names: [String]) {
        var found: [String: [String]] = [:]
        for name in names {
            if let service = service(name) { found[service, default: []].append(name) }
        }
        for (service, names) in found where names.count > 1 { found[service] = names.sorted() }
        guard let known = byService else {
            byService = found
            return onChange(nil)
        }
        var changed = Set(known.keys.lazy.filter { found[$0] == nil })
        for (service, names) in found where known[service] != names { changed.insert(service) }
        byService = found
        if !changed.isEmpty { onChange(changed) }
    }
}
