import Runtime

/// A node that is kept known: its children or its data.
final class ZooKeeperNode {
    /// What is watched of it.
    enum Kind {
        case children, data
    }

    /// What a read has found.
    enum Content {
        /// There is no such node.
        case missing
        case children(JuteNames)
        case data([UInt8])

        fileprivate var count: Int64 {
            if case .children(let names) = self { Int64(names.count) } else { 0 }
        }
    }

    /// How a read has ended.
    enum Reading {
        case good
        /// The server does not let it be read, or nobody wants it any more: nothing better will come.
        case impossible
        /// The connection was lost.
        case lost
    }

    /// What is known of it.
    enum State: Equatable {
        /// It was not read yet.
        case waiting
        /// It could not be read, and never has been.
        case failed(String)
        /// It has been read.
        case known
    }

    /// Absolute, without the chroot.
    let path: String
    let kind: Kind
    fileprivate(set) var state = State.waiting
    /// Known, and there is no such node.
    fileprivate(set) var isMissing = false

    fileprivate let id: UInt64
    fileprivate let onRead: (ZooKeeperNode, Content) -> Void
    fileprivate let onFailure: (ZooKeeperNode, String) -> Void
    fileprivate var isReading = false
    /// Something has happened since the read under way was sent.
    fileprivate var isStale = false
    fileprivate var isForgotten = false
    /// There is a watch at the server.
    fileprivate var isWatched = false
    /// How long its last change kept the loop busy, and until when; both in nanoseconds.
    fileprivate var busyTime: Int64 = 0
    fileprivate var busyUntil: Int64 = 0
    fileprivate var timer: EventLoop.Timer?
    /// Called once after the next whole read.
    fileprivate var onceRead: [(Reading) -> Void] = []

    fileprivate init(
        id: UInt64, path: String, kind: Kind, onRead: @escaping (ZooKeeperNode, Content) -> Void,
        onFailure: @escaping (ZooKeeperNode, String) -> Void
    ) {
        self.id = id
        self.path = path
        self.kind = kind
        self.onRead = onRead
        self.onFailure = onFailure
    }
}

/// Keeps nodes known: reads each with a watch, again whenever the watch has fired and after every reconnect.
///
/// A change is read at once. Further ones while the read is under way, or shortly after one that made much work, are read
/// together. A node that does not exist is waited for.
final class ZooKeeperTree {
    private let client: ZooKeeperClient
    private let loop: EventLoop
    private let chroot: String
    private var nodes: [UInt64: ZooKeeperNode] = [:]
    private var nextID: UInt64 = 1
    private var rereading: SlicedWork?

    /// A busy node takes at most one part in this many of the loop's time.
    private static let rest: Int64 = 4
    private static let timePerName: Int64 = 200

    init(client: ZooKeeperClient, loop: EventLoop, chroot: String) {
        self.client = client
        self.loop = loop
        self.chroot = chroot
        client.onWatch = { [weak self] in self?.fired($0) }
    }

    /// Begins to keep a node known.
    ///
    /// - Parameters:
    ///   - onRead: called with what every read has found, also when it is as before.
    ///   - onFailure: called when the server refuses to let it be read; what is known stays.
    func watch(
        _ path: String, _ kind: ZooKeeperNode.Kind, onRead: @escaping (ZooKeeperNode, ZooKeeperNode.Content) -> Void,
        onFailure: @escaping (ZooKeeperNode, String) -> Void
    ) -> ZooKeeperNode {
        let node = ZooKeeperNode(id: nextID, path: path, kind: kind, onRead: onRead, onFailure: onFailure)
        nextID += 1
        nodes[node.id] = node
        client.retain(chroot + path)
        read(node, isUrgent: false)
        return node
    }

    /// Ends that.
    func forget(_ node: ZooKeeperNode) {
        guard nodes.removeValue(forKey: node.id) != nil else { return }
        node.isForgotten = true
        client.release(chroot + node.path)
        loop.cancel(node.timer)
        if node.isWatched { takeWatchBack(node) }
        complete(node, .impossible)
    }

    /// Reads a node now. `completion` is called once, with how a read begun after this has ended.
    func refresh(_ node: ZooKeeperNode, completion: @escaping (ZooKeeperNode.Reading) -> Void) {
        guard !node.isForgotten else { return completion(.impossible) }
        node.onceRead.append(completion)
        loop.cancel(node.timer)
        node.timer = nil
        read(node, isUrgent: true)
    }

    /// Reads everything: watches are gone with the connection.
    func readAll() {
        // Nothing of the former connection counts, also where its turn comes later.
        for node in nodes.values { node.isWatched = false }
        let all = Array(nodes.values)
        var position = 0
        rereading?.cancel()
        rereading = SlicedWork(loop: loop) { [weak self] in
            guard let self, position < all.count else { return false }
            let node = all[position]
            position += 1
            if node.isForgotten { return true }
            loop.cancel(node.timer)
            node.timer = nil
            read(node, isUrgent: false)
            return true
        }
    }

    /// Forgets everything; nothing is called any more.
    func stop() {
        rereading?.cancel()
        for node in nodes.values {
            node.isForgotten = true
            loop.cancel(node.timer)
        }
        nodes.removeAll()
    }

    private func fired(_ id: UInt64) {
        guard let node = nodes[id] else { return }
        node.isWatched = false
        guard node.timer == nil else { return }
        let now = Clock.nanoseconds
        let due = node.busyUntil + node.busyTime * Self.rest
        guard due > now else { return read(node, isUrgent: true) }
        node.timer = loop.schedule(after: .nanoseconds(due - now)) { [weak self, weak node] in
            guard let self, let node else { return }
            node.timer = nil
            read(node, isUrgent: true)
        }
    }

    private func read(_ node: ZooKeeperNode, isUrgent: Bool) {
        guard client.isReady else {
            // After the reconnect everything is read.
            return finish(node, .lost)
        }
        guard !node.isReading else {
            node.isStale = true
            return
        }
        node.isReading = true
        node.isStale = false
        let path = chroot + node.path
        let request: ZooKeeperRequest =
            node.kind == .children ? .children(path, watch: node.id) : .data(path, watch: node.id)
        client.send(request, isUrgent: isUrgent) { [weak self] in self?.take($0, node, isUrgent) }
    }

    private func take(_ result: Result<ZooKeeperReply, ZooKeeperError>, _ node: ZooKeeperNode, _ isUrgent: Bool) {
        switch result {
        case .success(.children(let names)): found(.children(names), node)
        case .success(.data(let bytes)): found(.data(bytes), node)
        case .failure(.noNode):
            // Only this leaves a watch where there is nothing.
            client.send(.exists(chroot + node.path, watch: node.id), isUrgent: isUrgent) { [weak self] in
                self?.takeExistence($0, node, isUrgent)
            }
        case .success, .failure: failed(result, node)
        }
    }

    private func takeExistence(
        _ result: Result<ZooKeeperReply, ZooKeeperError>, _ node: ZooKeeperNode, _ isUrgent: Bool
    ) {
        switch result {
        case .failure(.noNode): found(.missing, node)
        case .success:
            // It has come meanwhile.
            node.isReading = false
            if node.isForgotten { return takeWatchBack(node) }
            read(node, isUrgent: isUrgent)
        case .failure: failed(result, node)
        }
    }

    private func found(_ content: ZooKeeperNode.Content, _ node: ZooKeeperNode) {
        node.isReading = false
        guard !node.isForgotten else { return takeWatchBack(node) }
        node.isWatched = true
        node.state = .known
        if case .missing = content { node.isMissing = true } else { node.isMissing = false }
        let started = Clock.nanoseconds
        node.onRead(node, content)
        node.busyUntil = Clock.nanoseconds
        // Reading the answer is not measured; it goes with the size.
        node.busyTime = node.busyUntil - started + content.count * Self.timePerName
        finish(node, .good)
    }

    private func failed(_ result: Result<ZooKeeperReply, ZooKeeperError>, _ node: ZooKeeperNode) {
        node.isReading = false
        guard !node.isForgotten else { return }
        guard case .failure(.lost) = result else {
            let reason = "\(node.path): \(Self.text(result))"
            client.health.failed(reason, isAway: false)
            if node.state != .known { node.state = .failed(reason) }
            node.onFailure(node, reason)
            retryLater(node)
            return finish(node, .impossible)
        }
        finish(node, .lost)
    }

    private static func text(_ result: Result<ZooKeeperReply, ZooKeeperError>) -> String {
        if case .failure(let error) = result { "\(error)" } else { "an answer to something else" }
    }

    /// Nothing would tell when reading becomes allowed.
    private func retryLater(_ node: ZooKeeperNode) {
        guard node.timer == nil else { return }
        node.timer = loop.schedule(after: Duration.seconds(10).jittered) { [weak self, weak node] in
            guard let self, let node else { return }
            node.timer = nil
            read(node, isUrgent: false)
        }
    }

    private func finish(_ node: ZooKeeperNode, _ reading: ZooKeeperNode.Reading) {
        if node.isStale {
            node.isStale = false
            // Who waits for a read waits for this one: it may have asked after the last one was sent.
            return read(node, isUrgent: true)
        }
        complete(node, reading)
    }

    private func complete(_ node: ZooKeeperNode, _ reading: ZooKeeperNode.Reading) {
        let waiting = node.onceRead
        node.onceRead = []
        for completion in waiting { completion(reading) }
    }

    private func takeWatchBack(_ node: ZooKeeperNode) {
        let path = chroot + node.path
        // All watches of the path would go.
        guard client.isReady, !client.isUsed(path) else { return }
        let isChildren = node.kind == .children && !node.isMissing
        client.send(.forget(path, isChildren: isChildren), isUrgent: false) { _ in }
    }
}
