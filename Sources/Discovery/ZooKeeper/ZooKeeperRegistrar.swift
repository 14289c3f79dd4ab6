import Runtime

/// Keeps applications registered as nodes that live as long as the session.
///
/// A node is watched: it is made again when somebody has deleted it, and with all others when the session has expired. One of
/// that name from an older session would vanish with that session, so it is replaced.
final class ZooKeeperRegistrar {
    private final class Entry {
        var registration: Registration
        /// Milliseconds since 1970.
        let startedAt: Int64
        let id: String
        let watch: UInt64
        var path: String
        var data: [UInt8]
        /// What was written last.
        var written: [UInt8]?
        /// Nodes of former content that are to be deleted when the present one is there.
        var former: Set<String> = []
        var isWorking = false
        /// Something has happened since work began.
        var isStale = false
        var isConfirmed = false
        var failure: String?
        var backoff = Backoff(first: .milliseconds(500), cap: .seconds(10))
        var timer: EventLoop.Timer?
        /// To be deleted; called with the outcome.
        var deregistered: ((String?) -> Void)?

        init(_ registration: Registration, startedAt: Int64, id: String, watch: UInt64) {
            self.registration = registration
            self.startedAt = startedAt
            self.id = id
            self.watch = watch
            (path, data) = ("", [])
        }
    }

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
    /// Nodes of this session that nobody wants any more, and that could not be deleted while the registry was away.
    private var leftover: Set<String> = []

    init(
        client: ZooKeeperClient, settings: ZooKeeperSettings, context: DiscoveryContext, reports: RegistryReports
    ) {
        self.client = client
        self.settings = settings
        self.context = context
        self.reports = reports
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
            entry = Entry(
                registration, startedAt: Clock.wallNanoseconds / 1_000_000, id: Self.newID(), watch: nextWatch)
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
        context.loop.cancel(entry.timer)
        entry.deregistered = completion
        if client.isReady {
            work(entry)
        } else {
            let reason = client.sessionNumber == 0 ? nil : "the registry is away; the entry ends with the session"
            leftover.formUnion(entry.former.union([entry.path]))
            context.loop.schedule(after: .zero) { [weak self] in self?.finish(entry, reason) }
        }
    }

    /// The session is there, again or anew.
    func sessionReady(isNew: Bool) {
        if isNew { leftover.removeAll() }
        for path in leftover {
            client.send(.delete(path), isUrgent: true) { [weak self] result in
                if result.isDone { self?.leftover.remove(path) }
            }
        }
        for entry in entries.values {
            if isNew { entry.isConfirmed = false }
            context.loop.cancel(entry.timer)
            work(entry)
        }
    }

    func stop() {
        for entry in watches.values {
            context.loop.cancel(entry.timer)
            entry.deregistered = nil
        }
        entries.removeAll()
        watches.removeAll()
    }

    private func fired(_ watch: UInt64) {
        guard let entry = watches[watch], entry.deregistered == nil else { return }
        work(entry)
    }

    /// Fills in where and how the entry stands.
    private func write(_ entry: Entry) {
        let registration = entry.registration
        let name = registration.service.name
        let before = entry.path
        switch registration.service.kind {
        case .dubbo:
            let url = registration.dubboURL(startedAt: entry.startedAt)
            entry.path =
                "\(settings.chroot)\(settings.root)/\(PercentEncoding.encode(name))/providers/\(PercentEncoding.encode(url))"
            // Dubbo writes the registrant's address; nobody reads it.
            entry.data = Array(registration.host.utf8)
        case .http:
            entry.path = "\(settings.chroot)\(settings.services)/\(name)/\(entry.id)"
            entry.data = instance(entry).springData(registeredAt: entry.startedAt)
        case .bolt:
            let url = registration.sofaURL(startedAt: entry.startedAt)
            entry.path = "\(settings.chroot)/sofa-rpc/\(name)/providers/\(PercentEncoding.encode(url))"
            entry.data = [1]
        }
        entry.former.remove(entry.path)
        guard before != entry.path else { return }
        client.retain(entry.path)
        if before.isEmpty { return }
        client.release(before)
        entry.former.insert(before)
    }

    private func instance(_ entry: Entry) -> CuratorInstance {
        let registration = entry.registration
        var metadata = registration.metadata
        metadata["instance_status"] = metadata["instance_status"] ?? "UP"
        if registration.weight != 1 { metadata["weight"] = registration.springWeight }
        return CuratorInstance(
            name: registration.service.name, id: entry.id, host: registration.host, port: registration.port,
            metadata: metadata)
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
        if entry.deregistered != nil { return remove(entry) }
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

    private func create(_ entry: Entry) {
        let data = entry.data
        let request = ZooKeeperRequest.create(
            entry.path, data: data, isEphemeral: true, isOwnerOnly: !settings.credentials.isEmpty)
        client.send(request, isUrgent: true) { [weak self] result in
            guard let self else { return }
            switch result {
            case .success:
                entry.written = data
                removeFormer(entry, isWatched: false)
            case .failure(.noNode): createParents(entry, Self.parents(entry.path)[...])
            case .failure(.nodeExists): again(entry)
            case .failure(let error): failed(entry, error)
            }
        }
    }

    private func createParents(_ entry: Entry, _ paths: ArraySlice<String>) {
        guard let path = paths.first else { return create(entry) }
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

    private func remove(_ entry: Entry) {
        let paths = entry.former.union([entry.path])
        var left = paths.count
        var failure: ZooKeeperError?
        for path in paths {
            client.send(.delete(path), isUrgent: true) { [weak self] result in
                if !result.isDone {
                    if case .failure(let error) = result { failure = error }
                    self?.leftover.insert(path)
                }
                left -= 1
                if left == 0 { self?.finish(entry, failure?.description) }
            }
        }
    }

    private func finish(_ entry: Entry, _ reason: String?) {
        entry.isWorking = false
        guard watches[entry.watch] === entry || entry.deregistered != nil else { return }
        if watches.removeValue(forKey: entry.watch) != nil { client.release(entry.path) }
        let completion = entry.deregistered
        entry.deregistered = nil
        completion?(reason)
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
        entry.timer = context.loop.schedule(after: entry.backoff.failed()) { [weak self] in self?.work(entry) }
    }

    private func failed(_ entry: Entry, _ error: ZooKeeperError) {
        // After the reconnect everything is looked at.
        if error == .lost {
            entry.isWorking = false
            if entry.deregistered != nil { remove(entry) }
            return
        }
        done(entry, "\(error)")
    }

    private func done(_ entry: Entry, _ failure: String?) {
        entry.isWorking = false
        guard entry.deregistered == nil else { return work(entry) }
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

    private static func newID() -> String {
        var bytes = (0..<16).map { _ in UInt8.random(in: 0...255) }
        bytes[6] = bytes[6] & 0x0f | 0x40
        bytes[8] = bytes[8] & 0x3f | 0x80
        let digits = bytes.map { String(UInt16($0) | 0x100, radix: 16).dropFirst() }.joined()
        var text = ""
        for (index, digit) in digits.enumerated() {
            if [8, 12, 16, 20].contains(index) { text += "-" }
            text.append(digit)
        }
        return text
    }
}

extension Result<ZooKeeperReply, ZooKeeperError> {
    /// There is no such node any more.
    fileprivate var isDone: Bool {
        switch self {
        case .success, .failure(.noNode): true
        case .failure: false
        }
    }
}

extension Registration {
    /// Spring Cloud's weight is an integer, and 1 is normal; a fraction is kept for those who can read it.
    fileprivate var springWeight: String {
        weight == weight.rounded() && abs(weight) < 1_000_000 ? String(Int(weight)) : String(weight)
    }

    /// The URL by which SOFA RPC's consumers know a provider.
    fileprivate func sofaURL(startedAt: Int64) -> String {
        var parameters = metadata.filter { !$0.key.isEmpty && !$0.value.isEmpty }
        parameters["appName"] = parameters.removeValue(forKey: "application") ?? service.name
        parameters["uniqueId"] = group
        if !interfaceVersion.isEmpty { parameters[SofaProvider.interfaceVersion] = interfaceVersion }
        parameters["interface"] = service.name
        parameters["startTime"] = String(startedAt)
        parameters["weight"] = String(dubboWeight)
        parameters["protocol"] = "bolt"
        parameters["serialization"] = parameters["serialization"] ?? "hessian2"
        let query = parameters.sorted { $0.key < $1.key }.map { "\($0.key)=\($0.value)" }.joined(separator: "&")
        return "bolt://\(host):\(port)?version=1.0&\(query)"
    }
}
