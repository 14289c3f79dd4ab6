import Configuration
import Runtime

/// A session with a ZooKeeper: kept over lost connections and from server to server, begun anew when it has expired.
///
/// Watches do not outlive a connection: after every `onReady` all that is watched must be read again.
final class ZooKeeperClient {
    /// Requests can be sent. True: the session is a new one, and what lived as long as the old one is gone.
    var onReady: (_ isNewSession: Bool) -> Void = { _ in }
    /// No server can be used. Said after every round of attempts.
    var onAway: (String) -> Void = { _ in }
    /// A watch has fired.
    var onWatch: (UInt64) -> Void = { _ in }
    let health: RegistryHealth
    /// When what is listed became doubtful last: a new session after trouble.
    private(set) var unsteadyAt: Int64?
    private(set) var isReady = false
    /// The session's number; 0 for none.
    var sessionNumber: Int64 { session?.number ?? 0 }

    private typealias Completion = ZooKeeperDialogue.Completion

    private let settings: ZooKeeperSettings
    private let context: DiscoveryContext
    private let servers: [HostPort]
    private var connection: ZooKeeperConnection?
    private var session: ZooKeeperSession?
    private var next = 0
    private var failedInRound = 0
    private var wasAway = false
    private var openedAt: Int64 = 0
    private var backoff: Backoff
    private var timer: EventLoop.Timer?
    private var observer: UInt64?
    private var isStarted = false
    private var isWaitingForNames = false
    private var first = Fifo<(ZooKeeperRequest, Completion)>()
    private var later = Fifo<(ZooKeeperRequest, Completion)>()
    private var underWay = 0
    /// How many want each path watched: a server takes the watches of all of them back at once.
    private var users: [String: Int] = [:]

    /// Requests sent and not yet answered, at most: enough to keep a server busy, few enough for an urgent one not to wait.
    static let mostUnderWay = 64

    init(_ settings: ZooKeeperSettings, url: String, context: DiscoveryContext) {
        self.settings = settings
        self.context = context
        // Each process begins elsewhere, or all would be at one server.
        servers = settings.servers.shuffled()
        backoff = settings.backoff
        health = RegistryHealth(url: url, logger: context.logger)
    }

    /// Connects, if that has not begun.
    func start() {
        guard !isStarted else { return }
        isStarted = true
        for server in names { context.resolver.retain(server) }
        observer = context.resolver.observe { [weak self] _ in self?.nameChanged() }
        context.loop.schedule(after: .zero) { [weak self] in self?.connect() }
    }

    /// Ends the session. Nothing is called any more.
    func stop() {
        guard isStarted else { return }
        isStarted = false
        isReady = false
        context.loop.cancel(timer)
        if let observer { context.resolver.unobserve(observer) }
        for server in names { context.resolver.release(server) }
        (first, later) = (Fifo(), Fifo())
        connection?.close()
        connection = nil
    }

    /// Sends a request. `completion` is called once, unless the client is stopped: with `.lost` when there is no connection,
    /// or it has gone meanwhile.
    ///
    /// - Parameter isUrgent: goes before those that are not.
    func send(
        _ request: ZooKeeperRequest, isUrgent: Bool,
        completion: @escaping ZooKeeperDialogue.Completion
    ) {
        guard isReady else {
            context.loop.schedule(after: .zero) { completion(.failure(.lost)) }
            return
        }
        if isUrgent { first.append((request, completion)) } else { later.append((request, completion)) }
        pump()
    }

    /// Somebody wants a path watched, until it is released as often as it was retained.
    func retain(_ path: String) { users[path, default: 0] += 1 }

    /// Takes one `retain` back.
    func release(_ path: String) {
        let others = users[path, default: 1] - 1
        users[path] = others > 0 ? others : nil
    }

    /// Somebody wants a path watched.
    func isUsed(_ path: String) -> Bool { users[path] != nil }

    private func pump() {
        guard isReady, let connection else { return }
        while underWay < Self.mostUnderWay, let (request, completion) = first.popFirst() ?? later.popFirst() {
            underWay += 1
            connection.send(request) { [weak self] result in
                guard let self, isStarted else { return }
                underWay -= 1
                completion(result)
                pump()
            }
        }
    }

    private var names: [String] { servers.map(\.host).filter { SocketAddress(ip: $0, port: 0) == nil } }

    /// All addresses of all servers.
    private func addresses() -> (known: [SocketAddress], isPending: Bool, failure: String?) {
        var known: [SocketAddress] = []
        var isPending = false
        var failure: String?
        for server in servers {
            if let address = SocketAddress(ip: server.host, port: server.port) {
                known.append(address)
                continue
            }
            switch context.resolver.answer(server.host) {
            case .pending: isPending = true
            case .addresses(let found): known += found.map { $0.with(port: server.port) }
            case .failed(let reason): failure = "\(server.host): \(reason)"
            }
        }
        return (known, isPending, failure)
    }

    private func nameChanged() {
        guard isWaitingForNames, connection == nil else { return }
        context.loop.cancel(timer)
        connect()
    }

    private func connect() {
        guard isStarted, connection == nil else { return }
        let (known, isPending, failure) = addresses()
        isWaitingForNames = known.isEmpty
        guard !known.isEmpty else {
            if !isPending { fail(failure ?? "no address", servers: 1) }
            return
        }
        let address = known[next % known.count]
        let connection = ZooKeeperConnection(
            loop: context.loop, resuming: session, sessionTimeout: settings.sessionTimeout,
            credentials: settings.credentials)
        self.connection = connection
        connection.onOpen = { [weak self] in self?.opened($0) }
        connection.onEnd = { [weak self] in self?.ended($0, address, servers: known.count) }
        connection.onWatch = { [weak self] in self?.onWatch($0) }
        connection.onMessage = { [weak self] in self?.health.succeeded() }
        connection.open(address, limit: settings.connectTimeout)
    }

    private func opened(_ session: ZooKeeperSession) {
        let isNew = self.session?.number != session.number
        self.session = session
        openedAt = Clock.nanoseconds
        if isNew && wasAway { unsteadyAt = Clock.nanoseconds }
        wasAway = false
        isReady = true
        underWay = 0
        onReady(isNew)
    }

    private func ended(_ end: ZooKeeperConnection.End, _ address: SocketAddress, servers: Int) {
        // One that is lost right after its beginning, again and again, is no success.
        if isReady && Clock.nanoseconds - openedAt >= backoff.cap.nanoseconds {
            failedInRound = 0
            backoff.succeeded()
        }
        isReady = false
        connection = nil
        next = (next + 1) % max(1, servers)
        switch end {
        case .lost(let reason): fail("\(address): \(reason)", servers: servers)
        case .expired:
            session = nil
            wasAway = true
            // The server is well: it is asked for a new session at once.
            next = (next + servers - 1) % max(1, servers)
            health.failed("\(address): the session has expired", isAway: false)
            context.logger.log(
                .warning, "registry.session_expired", ["url": health.url], limit: 10, limitKey: health.url)
            failWaiting()
            connectLater(.zero)
        }
    }

    /// - Parameter servers: how many there are to be tried in a round.
    private func fail(_ reason: String, servers: Int) {
        failedInRound += 1
        let isRoundOver = failedInRound >= servers
        if isRoundOver { (failedInRound, wasAway) = (0, true) }
        health.failed(reason, isAway: isRoundOver)
        failWaiting()
        if isRoundOver { onAway(reason) }
        connectLater(isRoundOver ? backoff.failed() : .zero)
    }

    private func failWaiting() {
        while let (_, completion) = first.popFirst() ?? later.popFirst() { completion(.failure(.lost)) }
    }

    private func connectLater(_ delay: Duration) {
        context.loop.cancel(timer)
        timer = context.loop.schedule(after: delay) { [weak self] in self?.connect() }
    }
}
