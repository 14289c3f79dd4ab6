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
    /// A list that has come while one was being read. That one is read to its end, or quick changes would never be seen.
    private var next: JuteNames?
    /// Between two lists, so that the first is told.
    private static let pause = Duration.milliseconds(50)

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

    /// `entries` are those of the last list that was begun.
    var isKnown: Bool { list.state != .waiting && work?.isDone != false }

    private func take(_ names: JuteNames) {
        guard work?.isDone != false else {
            next = names
            return
        }
        next = nil
        var parsed: [Int: Entry] = [:]
        parsed.reserveCapacity(names.count)
        var left = names.makeIterator()
        // Thousands of names take longer than the loop may be kept busy.
        let work = SlicedWork(loop: loop) { [weak self] in
            guard let self else { return false }
            for _ in 0..<Self.namesPerStep {
                guard let name = left.next() else { return finish(parsed) }
                let hash = name.hashValue
                parsed[hash] = entries[hash] ?? parse(name)
            }
            return true
        }
        self.work = work
    }

    private func finish(_ parsed: [Int: Entry]) -> Bool {
        entries = parsed
        loop.schedule(after: .zero) { [weak self] in
            guard let self else { return }
            onChange()
            if next != nil { loop.schedule(after: Self.pause) { [weak self] in self?.takeNext() } }
        }
        return false
    }

    private func takeNext() {
        guard let names = next else { return }
        next = nil
        take(names)
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
    private let loop: EventLoop
    private var work: SlicedWork?
    /// A list that has come while one was being read.
    private var next: JuteNames?

    /// - Parameters:
    ///   - service: the service of a name; nil where it is of no interest.
    ///   - onChange: called with the services whose names have changed, nil for all.
    init(
        _ path: String, tree: ZooKeeperTree, loop: EventLoop, service: @escaping (String) -> String?,
        onChange: @escaping (Set<String>?) -> Void
    ) {
        self.path = path
        self.loop = loop
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
            if let self, byService == nil, work?.isDone != false { take([]) }
        }
    }

    /// Forgets them.
    func stop() {
        if let node { tree.forget(node) }
        node = nil
        work?.cancel()
        (byService, next) = (nil, nil)
    }

    /// Takes a list in pieces: there can be as many names as there are services. A newer one is taken behind it.
    private func take(_ names: JuteNames) {
        guard work?.isDone != false else {
            next = names
            return
        }
        let known = byService ?? [:]
        var found: [String: [String]] = [:]
        var changed: Set<String> = []
        var new = names.makeIterator()
        var old = known.makeIterator()
        var kept: Dictionary<String, [String]>.Iterator?
        work = SlicedWork(loop: loop) { [weak self] in
            guard let self else { return false }
            if let name = new.next() {
                if let service = service(name) { Self.insert(name, &found[service, default: []]) }
            } else if let (service, _) = old.next() {
                if found[service] == nil { changed.insert(service) }
            } else {
                kept = kept ?? found.makeIterator()
                guard let (service, names) = kept?.next() else {
                    finish(found, changed)
                    return false
                }
                if known[service] != names { changed.insert(service) }
            }
            return true
        }
    }

    private func finish(_ found: [String: [String]], _ changed: Set<String>) {
        let isFirst = byService == nil
        byService = found
        if isFirst { onChange(nil) } else if !changed.isEmpty { onChange(changed) }
        guard let names = next else { return }
        next = nil
        loop.schedule(after: .zero) { [weak self] in if self?.node != nil { self?.take(names) } }
    }

    private static func insert(_ name: String, _ names: inout [String]) {
        names.insert(name, at: names.firstIndex { $0 > name } ?? names.endIndex)
    }
}
