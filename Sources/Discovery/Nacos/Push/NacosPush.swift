import Runtime

/// Keeps a push connection to one of a registry's servers: finds a server, connects again with growing waits, takes a new
/// connection before an old one is given up where the server asks for it, and puts the login's token into calls.
final class NacosPush {
    /// A connection can be used that has nothing subscribed or registered yet. The one before, where there was one, still
    /// serves for a while or is lost already.
    var onReady: () -> Void = {}
    /// There is no connection any more.
    var onLost: () -> Void = {}
    /// The server has sent a request; it has been answered.
    var onRequest: (NacosMessage) -> Void = { _ in }

    /// Calls can be made.
    var isReady: Bool { current != nil }
    /// What the server can do.
    var abilities: Set<String> { current?.abilities ?? [] }
    /// When a connection was lost or came back last; monotonic nanoseconds.
    private(set) var unsteadyAt: Int64?
    /// Counts connections that became ready.
    private(set) var epoch = 0

    private let settings: NacosSettings
    private let context: DiscoveryContext
    private let client: NacosClient
    private var pool: ServerPool
    private var current: NacosConnection?
    private var currentServer = 0
    /// Which attempt has become `current`.
    private var currentNumber = 0
    /// The connection that is being made.
    private var next: NacosConnection?
    private var nextTurn: ServerPool.Turn?
    private var retired: [NacosConnection] = []
    private var timer: EventLoop.Timer?
    private var attempts = 0
    private var hasSaidUnavailable = false
    private var observer: UInt64?
    private var isStopped = false

    /// How long a connection that was replaced still serves, until everything is subscribed and registered over the new one.
    private static let overlap = Duration.seconds(3)

    init(client: NacosClient, settings: NacosSettings, context: DiscoveryContext) {
        self.client = client
        self.settings = settings
        self.context = context
        pool = ServerPool(count: settings.pushServers.count, backoff: settings.pushBackoff)
    }

    /// Starts to connect; nothing happens where there is no server that could push.
    func start() {
        if let reason = settings.whyNoPush { sayUnavailable(reason) }
        guard !settings.pushServers.isEmpty, !isStopped else { return }
        for host in names { context.resolver.retain(host) }
        observer = context.resolver.observe { [weak self] name in
            guard let self, names.contains(name), current == nil, next == nil else { return }
            connect()
        }
        context.loop.schedule(after: .zero) { [weak self] in self?.connect() }
    }

    /// Ends all work.
    func stop() {
        guard !isStopped else { return }
        isStopped = true
        context.loop.cancel(timer)
        for connection in [current, next].compactMap({ $0 }) + retired { connection.close() }
        (current, next, retired) = (nil, nil, [])
        guard let observer else { return }
        context.resolver.unobserve(observer)
        for host in names { context.resolver.release(host) }
    }

    /// A server of the registry has come back: its gRPC port may have as well.
    func hurry() {
        guard current == nil, next == nil, !isStopped, !settings.pushServers.isEmpty else { return }
        pool = ServerPool(count: settings.pushServers.count, backoff: backoff)
        connect(after: .milliseconds(500) * Double.random(in: 0...1))
    }

    /// Calls the server; `completion` is called once, never from within, unless everything is stopped before.
    func call(
        _ type: String, _ json: NacosJSON, isRepeated: Bool = false,
        completion: @escaping (Result<NacosMessage, NacosPushFailure>) -> Void
    ) {
        let connection = current
        client.authorize { [weak self] token in
            guard let self, !isStopped else { return }
            guard let connection, connection.isReady else {
                context.loop.schedule(after: .zero) {
                    completion(.failure(NacosPushFailure(kind: .away, description: "there is no push connection")))
                }
                return
            }
            let headers = token.map { [(name: "accessToken", value: $0)] } ?? []
            connection.call(type, json, headers: headers) { [weak self] result in
                guard let self, case .failure(let failure) = result, failure.kind == .login else {
                    return completion(result)
                }
                guard let token, !isRepeated else {
                    let words = token == nil ? client.refusal : failure.description
                    return completion(.failure(NacosPushFailure(kind: .refused, description: words)))
                }
                client.reject(token)
                call(type, json, isRepeated: true, completion: completion)
            }
        }
    }

    // MARK: Connecting

    private var names: Set<String> {
        Set(settings.pushServers.map(\.host).filter { SocketAddress(ip: $0, port: 0) == nil })
    }

    private var backoff: Backoff { epoch > 0 ? settings.pushReturnBackoff : settings.pushBackoff }

    private func connect(after time: Duration) {
        context.loop.cancel(timer)
        timer = context.loop.schedule(after: time) { [weak self] in self?.connect() }
    }

    private func connect() {
        guard next == nil, !isStopped else { return }
        context.loop.cancel(timer)
        let now = Clock.nanoseconds
        let index: Int
        switch pool.choose(now: now) {
        case .wait(let time): return connect(after: time)
        case .use(let turn): (index, nextTurn) = (turn.server, turn)
        }
        let server = settings.pushServers[index]
        switch address(of: server) {
        case .success(let address):
            attempts += 1
            do {
                next = try NacosConnection(
                    to: address, authority: server.description, loop: context.loop, timing: settings.pushTiming,
                    handlers: handlers(index, startedAt: now))
            } catch {
                failed(index, "\(error)", startedAt: now)
            }
        case .failure(let failure):
            if failure.kind == .starting {
                // The name is being looked up; the resolver tells.
                nextTurn = nil
            } else {
                failed(index, failure.description, startedAt: now)
            }
        }
    }

    private func address(of server: HostPort) -> Result<SocketAddress, NacosPushFailure> {
        if let address = SocketAddress(ip: server.host, port: server.port) { return .success(address) }
        switch context.resolver.answer(server.host) {
        case .pending: return .failure(NacosPushFailure(kind: .starting, description: "the name is looked up"))
        case .failed(let reason): return .failure(NacosPushFailure(kind: .away, description: reason))
        case .addresses(let addresses):
            return .success(addresses[attempts % addresses.count].with(port: server.port))
        }
    }

    private func handlers(_ index: Int, startedAt: Int64) -> NacosConnection.Handlers {
        // The connection these belong to: it may have been made, be in use, or be on its way out.
        let number = attempts
        return NacosConnection.Handlers(
            ready: { [weak self] in self?.ready(index) },
            closed: { [weak self] in self?.closed(number, index, $0, startedAt: startedAt) },
            request: { [weak self] in self?.onRequest($0) },
            leave: { [weak self] in self?.leave(number, $0) },
            alive: { [weak self] in self?.client.health.succeeded() })
    }

    private func ready(_ index: Int) {
        guard let connection = next else { return }
        _ = pool.succeeded(index)
        if let old = current {
            retired.append(old)
            context.loop.schedule(after: Self.overlap) { [weak self] in
                old.retire()
                self?.retired.removeAll { $0 === old }
            }
        }
        if epoch > 0 || current != nil { unsteadyAt = Clock.nanoseconds }
        (current, next) = (connection, nil)
        (currentNumber, currentServer) = (attempts, index)
        epoch += 1
        if epoch == 1 { pool = ServerPool(count: settings.pushServers.count, backoff: backoff) }
        hasSaidUnavailable = false
        client.health.succeeded()
        context.logger.log(
            .info, "registry.push_connected",
            ["url": client.health.url, "server": settings.pushServers[index].description], limit: 10,
            limitKey: client.health.url)
        onReady()
    }

    private func closed(_ number: Int, _ index: Int, _ failure: NacosPushFailure, startedAt: Int64) {
        guard !isStopped else { return }
        if current != nil && number == currentNumber {
            current = nil
            unsteadyAt = Clock.nanoseconds
            let reason = "\(settings.pushServers[index]): \(failure)"
            client.health.failed("push: \(reason)", isAway: false)
            context.logger.log(
                .warning, "registry.push_lost",
                ["url": client.health.url, "reason": reason, "consequence": "its services are polled"], limit: 10,
                limitKey: client.health.url)
            pool.failed(index, sentAt: startedAt, now: Clock.nanoseconds)
            onLost()
            if next == nil { connect() }
        } else if next != nil && number == attempts {
            next = nil
            failed(index, failure.description, startedAt: startedAt)
        }
    }

    private func failed(_ index: Int, _ reason: String, startedAt: Int64) {
        pool.failed(index, sentAt: startedAt, now: Clock.nanoseconds)
        if epoch == 0 && !hasSaidUnavailable && settings.pushServers.count <= attempts {
            hasSaidUnavailable = true
            sayUnavailable("\(settings.pushServers[index]): \(reason)")
        }
        connect()
    }

    private func sayUnavailable(_ reason: String) {
        context.logger.log(
            .info, "registry.push_unavailable",
            ["url": client.health.url, "reason": reason, "consequence": "its services are polled"])
    }

    /// The server wants to be left: another connection is made first.
    private func leave(_ number: Int, _ reason: String) {
        guard !isStopped, current != nil, number == currentNumber, next == nil else { return }
        context.logger.log(
            .info, "registry.push_moves", ["url": client.health.url, "reason": reason], limit: 10,
            limitKey: client.health.url)
        // Another server, where there is one.
        pool.leave(currentServer)
        connect()
    }
}
