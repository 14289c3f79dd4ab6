import Runtime

/// Asks the servers of one Nacos registry: which server, which API, with which token, how many at a time.
///
/// Questions wait in order while no server can be asked. Everything about hosts is the registry's.
final class NacosClient {
    /// A question that waits or is under way.
    final class Ticket {
        fileprivate let question: NacosQuestion
        fileprivate let skip: Int
        fileprivate let isUrgent: Bool
        fileprivate var completion: ((Result<[UInt8], NacosFailure>) -> Void)?
        fileprivate var call: HTTPClient.Call?
        /// A server may have seen it.
        fileprivate(set) var isSent = false
        /// A server is asked just now.
        var isUnderWay: Bool { call != nil }
        fileprivate var server = 0
        fileprivate var turn: ServerPool.Turn?
        fileprivate var api = NacosAPI.v1
        fileprivate var switches = 0
        fileprivate var logins = 0

        fileprivate init(
            _ question: NacosQuestion, isUrgent: Bool, skip: Int,
            completion: @escaping (Result<[UInt8], NacosFailure>) -> Void
        ) {
            self.question = question
            self.isUrgent = isUrgent
            self.skip = skip
            self.completion = completion
        }
    }

    /// Questions under way at one time.
    static let mostUnderWay = 8

    let health: RegistryHealth
    /// Called when no server can be asked: whoever waits for a first answer should be told.
    var onUnavailable: (String) -> Void = { _ in }
    /// Called when a server that was away has answered.
    var onReturn: () -> Void = {}
    private(set) var api = NacosAPI.v1
    /// When a server was last found away, another was taken, or one came back; monotonic nanoseconds.
    private(set) var unsteadyAt: Int64?

    private let settings: NacosSettings
    private let context: DiscoveryContext
    private var pool: ServerPool
    private var session: NacosSession
    private var first = Fifo<Ticket>()
    private var later = Fifo<Ticket>()
    private var authorizing = Fifo<(String?) -> Void>()
    private var underWay = 0
    private var lastSuccess: [Int64]
    /// Which kinds of questions each server said last that it is away for, and when.
    private var awayFor: [[NacosQuestion.Kind: Int64]]
    /// A question that goes first has found a server away: others have a turn before the next of them.
    private var isOthersTurn = false
    private var reportedAPI = NacosAPI.v1
    private var wakeUp: EventLoop.Timer?
    private var login: HTTPClient.Call?
    private var isStopped = false
    private var isPumpDue = false

    init(_ settings: NacosSettings, url: String, context: DiscoveryContext) {
        self.settings = settings
        self.context = context
        health = RegistryHealth(url: url, logger: context.logger)
        pool = ServerPool(count: settings.servers.count, backoff: settings.serverBackoff)
        session = NacosSession(settings.credentials)
        lastSuccess = Array(repeating: 0, count: settings.servers.count)
        awayFor = Array(repeating: [:], count: settings.servers.count)
    }

    /// Asks a question; `completion` is called once, on the loop, unless the ticket is cancelled.
    ///
    /// - Parameters:
    ///   - isUrgent: goes before questions that are not: somebody waits for this service's first answer.
    ///   - skip: how many servers to pass over because they answered this question badly.
    func ask(
        _ question: NacosQuestion, isUrgent: Bool, skip: Int = 0,
        completion: @escaping (Result<[UInt8], NacosFailure>) -> Void
    ) -> Ticket {
        let ticket = Ticket(question, isUrgent: isUrgent, skip: skip, completion: completion)
        if isUrgent { first.append(ticket) } else { later.append(ticket) }
        schedulePump()
        return ticket
    }

    private func schedulePump() {
        guard !isPumpDue else { return }
        isPumpDue = true
        context.loop.schedule(after: .zero) { [weak self] in self?.pump() }
    }

    /// Forgets a question.
    func cancel(_ ticket: Ticket) {
        guard ticket.completion != nil else { return }
        ticket.completion = nil
        guard let call = ticket.call else { return }  // It waits and is passed over when its turn comes.
        ticket.call = nil
        context.http.cancel(call)
        ticket.turn = nil
        underWay -= 1
        pump()
    }

    /// Calls `action` with the token to use, at once or after a login; with nil where none is needed, or none can be had.
    func authorize(_ action: @escaping (String?) -> Void) {
        if authorizing.isEmpty, session.need(now: Clock.nanoseconds) == .nothing { return action(session.token) }
        authorizing.append(action)
        schedulePump()
    }

    /// A server refused this token.
    func reject(_ token: String) { session.reject(token) }

    /// Why there is no token though there are credentials, or that there should be.
    var refusal: String {
        session.refusal ?? "the server wants a login: put USER:PASSWORD@ into the address"
    }

    /// Forgets everything.
    func stop() {
        isStopped = true
        authorizing = Fifo()
        context.loop.cancel(wakeUp)
        if let login { context.http.cancel(login) }
        (first, later) = (Fifo(), Fifo())
    }

    private func pump() {
        isPumpDue = false
        while !isStopped, underWay < Self.mostUnderWay {
            while let ticket = first.front, ticket.completion == nil { _ = first.popFirst() }
            while let ticket = later.front, ticket.completion == nil { _ = later.popFirst() }
            guard !first.isEmpty || !later.isEmpty || !authorizing.isEmpty else { return }
            let now = Clock.nanoseconds
            switch session.need(now: now) {
            case .nothing: break
            case .waiting: return
            case .pause(let time): return wake(after: time)
            case .login:
                guard logIn(now: now) else { return }
                continue
            }
            if let action = authorizing.popFirst() {
                action(session.token)
                continue
            }
            let isLater = first.isEmpty || isOthersTurn && !later.isEmpty
            guard let ticket = isLater ? later.front : first.front else { return }
            switch pool.choose(now: now, skip: ticket.skip) {
            case .wait(let time): return wake(after: time)
            case .use(let turn):
                _ = isLater ? later.popFirst() : first.popFirst()
                send(ticket, turn, now: now)
            }
        }
    }

    private func wake(after time: Duration) {
        context.loop.cancel(wakeUp)
        wakeUp = context.loop.schedule(after: time) { [weak self] in self?.pump() }
    }

    private func send(_ ticket: Ticket, _ turn: ServerPool.Turn, now: Int64) {
        let token = session.token
        // The header every version takes. In the query the token would stand in access logs.
        let headers = token.map { [(name: "Authorization", value: "Bearer \($0)")] } ?? []
        (ticket.server, ticket.turn, ticket.api) = (turn.server, turn, api)
        underWay += 1
        ticket.isSent = true
        let target = ticket.question.target(api, settings)
        let request = HTTPRequest(
            ticket.question.method(api), settings.servers[turn.server] + target, headers: headers,
            timeout: settings.timeout, maximumBody: settings.largestAnswer)
        ticket.call = context.http.send(request) { [weak self] result in
            self?.take(result, ticket, token: token, sentAt: now)
            self?.pump()
        }
    }

    private func take(_ result: Result<HTTPResponse, HTTPError>, _ ticket: Ticket, token: String?, sentAt: Int64) {
        underWay -= 1
        (ticket.call, ticket.turn) = (nil, nil)
        switch result {
        case .failure(let error): takeError(error, ticket, sentAt: sentAt)
        case .success(let response):
            switch response.status {
            case 200: succeed(ticket, response.body)
            case 403: refuseToken(ticket, response, token)
            case 404 where ticket.question.isConfig: succeed(ticket, [])
            case 404, 410, 501: switchAPI(ticket, response)
            case 502, 503, 504: takeUnavailable(ticket, Excerpt.words(response), sentAt: sentAt)
            default: refuse(ticket, Excerpt.words(response))
            }
        }
    }

    private func succeed(_ ticket: Ticket, _ body: [UInt8]) {
        let now = Clock.nanoseconds
        lastSuccess[ticket.server] = now
        awayFor[ticket.server][ticket.question.kind] = nil
        isOthersTurn = false
        if pool.succeeded(ticket.server) {
            unsteadyAt = now
            onReturn()
        }
        if ticket.switches > 0 && ticket.api != reportedAPI {
            reportedAPI = ticket.api
            context.logger.log(.info, "registry.api_changed", ["url": health.url, "api": "\(ticket.api)"])
        }
        complete(ticket, .success(body))
    }

    private func takeError(_ error: HTTPError, _ ticket: Ticket, sentAt: Int64) {
        switch error {
        case .invalidRequest, .tooLarge, .overloaded: refuse(ticket, "\(error)")
        case .timedOut, .broken, .dropped:
            // Others got their answers meanwhile: it is this question, not the server.
            if lastSuccess[ticket.server] > sentAt { refuse(ticket, "\(error)") } else { fallthrough }
        case .unresolved, .notConnected: takeAway(ticket, "\(error)", sentAt: sentAt)
        }
    }

    /// The server says that it is away. Where it has answered others since it said so to the last question of this kind, it is the
    /// kind: a gateway may know no way for it. That must not hold the others up.
    private func takeUnavailable(_ ticket: Ticket, _ reason: String, sentAt: Int64) {
        let kind = ticket.question.kind
        if let since = awayFor[ticket.server][kind], lastSuccess[ticket.server] > since {
            return refuse(ticket, reason)
        }
        awayFor[ticket.server][kind] = Clock.nanoseconds
        takeAway(ticket, reason, sentAt: sentAt)
    }

    /// The server is away; another is asked, or the same one later.
    private func takeAway(_ ticket: Ticket, _ reason: String, sentAt: Int64) {
        lose(ticket.server, reason, sentAt: sentAt)
        isOthersTurn = ticket.isUrgent
        complete(ticket, .failure(NacosFailure(kind: .away, description: reason)))
    }

    private func lose(_ server: Int, _ reason: String, sentAt: Int64) {
        let now = Clock.nanoseconds
        pool.failed(server, sentAt: sentAt, now: now)
        unsteadyAt = now
        let isLast = pool.isAway(now: now)
        health.failed("\(settings.servers[server]): \(reason)", isAway: isLast)
        if isLast { onUnavailable(reason) }
    }

    /// The question is refused, the server is not to blame.
    private func refuse(_ ticket: Ticket, _ reason: String) {
        complete(ticket, .failure(NacosFailure(kind: .refused, description: reason)))
    }

    private func refuseToken(_ ticket: Ticket, _ response: HTTPResponse, _ token: String?) {
        guard let token else {
            return refuse(ticket, refusal)
        }
        let isForbidden = response.text.contains("authorization failed")
        guard ticket.logins == 0, !isForbidden else { return refuse(ticket, Excerpt.words(response)) }
        session.reject(token)
        ticket.logins += 1
        first.append(ticket)
    }

    private func switchAPI(_ ticket: Ticket, _ response: HTTPResponse) {
        guard ticket.question.isInBothAPIs else {
            return complete(ticket, .failure(NacosFailure(kind: .unsupported, description: Excerpt.words(response))))
        }
        guard ticket.switches == 0 else {
            let reason = "neither the v1 nor the v3 API is at \(settings.servers[ticket.server]), wrong path?"
            return refuse(ticket, "\(reason) (\(Excerpt.words(response)))")
        }
        ticket.switches += 1
        first.append(ticket)
        // Another question that was under way at the same time may have switched already.
        guard api == ticket.api else { return }
        api = api == .v1 ? .v3 : .v1
    }

    private func complete(_ ticket: Ticket, _ result: Result<[UInt8], NacosFailure>) {
        let completion = ticket.completion
        ticket.completion = nil
        completion?(result)
    }

    /// Begins a login; false when no server can be asked.
    private func logIn(now: Int64) -> Bool {
        let turn: ServerPool.Turn
        switch pool.choose(now: now) {
        case .use(let chosen): turn = chosen
        case .wait(let time):
            wake(after: time)
            return false
        }
        let request = session.begin(settings.servers[turn.server])
        login = context.http.send(request) { [weak self] result in
            self?.takeLogin(result, turn.server, sentAt: now)
            self?.pump()
        }
        return true
    }

    private func takeLogin(_ result: Result<HTTPResponse, HTTPError>, _ server: Int, sentAt: Int64) {
        login = nil
        let now = Clock.nanoseconds
        switch result {
        case .failure(let error):
            session.abandon(now: now)
            lose(server, "login: \(error)", sentAt: sentAt)
        case .success(let response) where [502, 503, 504].contains(response.status):
            session.abandon(now: now)
            lose(server, "login: " + Excerpt.words(response), sentAt: sentAt)
        case .success(let response):
            guard let refusal = session.finish(response, now: now) else { return }
            health.failed("\(settings.servers[server]): \(refusal)", isAway: false)
        }
    }
}
