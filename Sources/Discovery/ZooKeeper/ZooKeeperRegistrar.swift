import Runtime

/// Keeps applications registered as nodes that live as long as the session.
///
/// A node is watched: it is made again when somebody has deleted it, and with all others when the session has expired. One of
/// that name from an older session would vanish with that session, so it is replaced.
final class ZooKeeperRegistrar {
    private typealias Entry = ZooKeeperEntry

    /// How many are to be registered.
    var count: Int { entries.count }
    /// How many of them are.
    var confirmed: Int { entries.values.count { $0.isConfirmed } }

    private let client: ZooKeeperClient
    private let settings: ZooKeeperSettings
    private let context: DiscoveryContext
    private let reports: RegistryReports
    private var entries: [Registration.Identity: Entry] = [:]
    private var watches: [UInt64: Entry] = [:]
    /// Watches of nodes that are read have numbers below this.
    private var nextWatch: UInt64 = 1 << 48
    /// Nodes of this session that nobody wants any more, and that could not be deleted.
    private let leftover: ZooKeeperLeftover

    init(
        client: ZooKeeperClient, settings: ZooKeeperSettings, context: DiscoveryContext, reports: RegistryReports
    ) {
        self.client = client
        self.settings = settings
        self.context = context
        self.reports = reports
        leftover = ZooKeeperLeftover(client: client, loop: context.loop)
    }

    /// Takes the registrar's watches out of the client's; all others are the tree's.
    func onWatch(_ client: ZooKeeperClient, otherwise: ZooKeeperTree) {
        let rest = client.onWatch
        client.onWatch = { [weak self] watch in
            if watch < 1 << 48 { rest(watch) } else { self?.fired(watch) }
        }
    }

    func register(_ registration: Registration) {
        let entry: Entry
        if let known = entries[registration.identity] {
            guard known.registration != registration else { return }
            entry = known
            entry.registration = registration
        } else {
            entry = Entry(registration, startedAt: Clock.wallNanoseconds / 1_000_000, watch: nextWatch)
            nextWatch += 1
            entries[registration.identity] = entry
            watches[entry.watch] = entry
        }
        write(entry)
        work(entry)
    }

    func deregister(_ identity: Registration.Identity, completion: @escaping (String?) -> Void) {
        guard let entry = entries.removeValue(forKey: identity) else {
            context.loop.schedule(after: .zero) { completion(nil) }
            return
        }
        entry.isConfirmed = false
        let withdrawal = Withdrawal(lifetime: settings.sessionTimeout)
        withdrawal.tell(completion)
        entry.withdrawal = withdrawal
        if entry.isWorking { return }  // Its end sees to it.
        context.loop.cancel(entry.timer)
        entry.timer = context.loop.schedule(after: .zero) { [weak self] in self?.remove(entry) }
    }

    /// The session is there, again or anew.
    func sessionReady(isNew: Bool) {
        leftover.sessionReady(isNew: isNew)
        for entry in entries.values {
            if isNew { entry.isConfirmed = false }
            context.loop.cancel(entry.timer)
            work(entry)
        }
    }

    func stop() {
        for entry in watches.values {
            context.loop.cancel(entry.timer)
            entry.withdrawal = nil
        }
        leftover.stop()
        entries.removeAll()
        watches.removeAll()
    }

    private func fired(_ watch: UInt64) {
        guard let entry = watches[watch], entry.withdrawal == nil else { return }
        work(entry)
    }

    /// Takes over what an entry has become.
    private func write(_ entry: Entry) {
        let before = entry.path
        entry.compose(settings)
        leftover.keep(entry.path)
        guard before != entry.path else { return }
        client.retain(entry.path)
        if before.isEmpty { return }
        client.release(before)
        entry.former.insert(before)
    }

    /// Brings the server to what is wanted, from the beginning; one thing at a time for an entry.
    private func work(_ entry: Entry) {
        context.loop.cancel(entry.timer)
        entry.timer = nil
        guard client.isReady else { return }
        guard !entry.isWorking else {
            entry.isStale = true
            return
        }
        entry.isWorking = true
        entry.isStale = false
        let path = entry.path
        guard ZooKeeperPath.isValid(path) else { return done(entry, "\(entry.registration.service) is no node's name") }
        client.send(.exists(path, watch: entry.watch), isUrgent: true) { [weak self] result in
            guard let self else { return }
            switch result {
            case .success(.exists(let owner)) where owner == client.sessionNumber: refill(entry)
            case .success:
                // From an older session, or made by hand: it is not ours to keep.
                send(.delete(path), entry) { self.create(entry) }
            case .failure(.noNode): create(entry)
            case .failure(let error): failed(entry, error)
            }
        }
    }

    /// It is there; its data may be old.
    private func refill(_ entry: Entry) {
        let data = entry.data
        guard entry.registration.service.kind == .http, entry.written != data else { return removeFormer(entry) }
        send(.set(entry.path, data: data), entry) {
            entry.written = data
            self.removeFormer(entry, isWatched: false)
        }
    }

    /// - Parameter hasParents: those above it were there a moment ago.
    private func create(_ entry: Entry, hasParents: Bool = false) {
        let data = entry.data
        let request = ZooKeeperRequest.create(
            entry.path, data: data, isEphemeral: true, isOwnerOnly: !settings.credentials.isEmpty)
        client.send(request, isUrgent: true) { [weak self] result in
            guard let self else { return }
            switch result {
            case .success:
                entry.written = data
                removeFormer(entry, isWatched: false)
            case .failure(.noNode) where !hasParents: createParents(entry, Self.parents(entry.path)[...])
            case .failure(.noNode): again(entry)
            case .failure(.nodeExists): again(entry)
            case .failure(let error): failed(entry, error)
            }
        }
    }

    private func createParents(_ entry: Entry, _ paths: ArraySlice<String>) {
        guard let path = paths.first else { return create(entry, hasParents: true) }
        let request = ZooKeeperRequest.create(
            path, data: [], isEphemeral: false, isOwnerOnly: !settings.credentials.isEmpty)
        client.send(request, isUrgent: true) { [weak self] result in
            switch result {
            case .success, .failure(.nodeExists): self?.createParents(entry, paths.dropFirst())
            // Above, only others may make nodes: what is missing below shows it.
            case .failure(.notAllowed) where paths.count > 1: self?.createParents(entry, paths.dropFirst())
            case .failure(let error): self?.failed(entry, error)
            }
        }
    }

    private static func parents(_ path: String) -> [String] {
        var found: [String] = []
        var end = path.lastIndex(of: "/") ?? path.startIndex
        while end > path.startIndex {
            found.append(String(path[..<end]))
            end = path[..<end].lastIndex(of: "/") ?? path.startIndex
        }
        return found.reversed()
    }

    /// - Parameter isWatched: false where the watch has fired by what was done here.
    private func removeFormer(_ entry: Entry, isWatched: Bool = true) {
        if let former = entry.former.first {
            return send(.delete(former), entry, isFine: { $0 == .noNode }) {
                entry.former.remove(former)
                self.removeFormer(entry, isWatched: isWatched)
            }
        }
        guard !isWatched else { return done(entry, nil) }
        client.send(.exists(entry.path, watch: entry.watch), isUrgent: true) { [weak self] result in
            guard let self else { return }
            switch result {
            case .success: done(entry, nil)
            case .failure(.noNode): again(entry)
            case .failure(let error): failed(entry, error)
            }
        }
    }

    /// Takes it out, again and again for a while; what is left then is deleted some time.
    private func remove(_ entry: Entry) {
        context.loop.cancel(entry.timer)
        guard client.isReady else {
            let reason = client.sessionNumber == 0 ? nil : "the registry is away; the entry ends with the session"
            return leave(entry, entry.paths, reason)
        }
        var left = entry.paths.count
        var refused: Set<String> = []
        var failure: ZooKeeperError?
        for path in entry.paths {
            client.send(.delete(path), isUrgent: true) { [weak self] result in
                if case .failure(let error) = result, error != .noNode {
                    failure = error
                    refused.insert(path)
                }
                left -= 1
                if left == 0 { self?.removed(entry, refused, failure) }
            }
        }
    }

    private func removed(_ entry: Entry, _ refused: Set<String>, _ failure: ZooKeeperError?) {
        guard let failure else { return leave(entry, [], nil) }
        guard failure != .lost, let pause = entry.withdrawal?.failed("\(failure)") else {
            return leave(entry, refused, "\(failure)")
        }
        entry.timer = context.loop.schedule(after: pause) { [weak self] in self?.remove(entry) }
    }

    private func leave(_ entry: Entry, _ paths: Set<String>, _ reason: String?) {
        leftover.add(paths)
        if watches.removeValue(forKey: entry.watch) != nil { client.release(entry.path) }
        let withdrawal = entry.withdrawal
        entry.withdrawal = nil
        withdrawal?.end(reason)
    }

    /// Sends a step; the next one follows when it went well.
    private func send(
        _ request: ZooKeeperRequest, _ entry: Entry, isFine: @escaping (ZooKeeperError) -> Bool = { _ in false },
        then next: @escaping () -> Void
    ) {
        client.send(request, isUrgent: true) { [weak self] result in
            switch result {
            case .success: next()
            case .failure(let error) where isFine(error): next()
            case .failure(.noNode): self?.again(entry)
            case .failure(let error): self?.failed(entry, error)
            }
        }
    }

    /// Somebody else was quicker: what is there is looked at anew.
    private func again(_ entry: Entry) {
        entry.isWorking = false
        if entry.withdrawal != nil { return remove(entry) }
        entry.timer = context.loop.schedule(after: entry.backoff.failed()) { [weak self] in self?.work(entry) }
    }

    private func failed(_ entry: Entry, _ error: ZooKeeperError) {
        guard error == .lost else { return done(entry, "\(error)") }
        // After the reconnect everything is looked at.
        entry.isWorking = false
        if entry.withdrawal != nil { remove(entry) }
    }

    private func done(_ entry: Entry, _ failure: String?) {
        entry.isWorking = false
        if entry.withdrawal != nil { return remove(entry) }
        let isNews = failure != entry.failure || entry.isConfirmed != (failure == nil)
        entry.isConfirmed = failure == nil
        entry.failure = failure
        if failure == nil {
            entry.backoff.succeeded()
        } else {
            entry.timer = context.loop.schedule(after: entry.backoff.failed()) { [weak self] in self?.work(entry) }
        }
        // Its own writing is among what has happened; looking once more is cheap.
        if entry.isStale { work(entry) }
        if isNews { reports.registration(entry.registration.identity, failure) }
    }
}
