import Runtime

/// Asks the agents of one Consul registry: which agent, how many queries at a time.
///
/// Queries that answer at once and those that hang until something changes wait in lines of their own: the latter must not
/// keep a first answer waiting. Everything about services is the registry's.
final class ConsulClient {
    /// A query that waits or is under way.
    final class Ticket {
        fileprivate let service: String
        fileprivate let isHanging: Bool
        fileprivate let index: UInt64?
        fileprivate let agent: Int?
        fileprivate let era: UInt64
        fileprivate let skip: Int
        fileprivate var completion: ((Outcome) -> Void)?
        fileprivate var call: HTTPClient.Call?
        fileprivate var usedAgent = 0
        fileprivate var turn: ServerPool.Turn?
        fileprivate var sentAt: Int64 = 0
        /// For how long it may hang; nil: it was sent without an index.
        fileprivate var wait: Duration?

        fileprivate init(
            _ service: String, after index: UInt64?, at agent: Int?, era: UInt64, skip: Int,
            completion: @escaping (Outcome) -> Void
        ) {
            self.service = service
            self.index = index
            isHanging = index != nil
            self.agent = agent
            self.era = era
            self.skip = skip
            self.completion = completion
        }
    }

    /// What has come of a query.
    enum Outcome {
        /// An answer with status 200.
        case answer(HTTPResponse, ConsulExchange)
        /// The agent cannot be reached or cannot serve. Ask again at once: the client waits for an agent.
        case away(String)
        /// A hanging query was cut off. Something between may do that after a while, so it tells nothing yet.
        case cut(String)
        /// This query was refused. Ask again later.
        case refused(String)
    }

    /// Queries under way at one time that answer at once.
    static let mostReads = 8
    /// A query that hung for so long and then broke was answered by nobody's fault.
    private static let hungLong = Duration.seconds(1)

    let health: RegistryHealth
    /// Called when no agent can be asked: whoever waits for a first answer should be told.
    var onUnavailable: (String) -> Void = { _ in }
    /// When what the agents say became doubtful last; monotonic nanoseconds.
    private(set) var unsteadyAt: Int64?
    /// Grows whenever indices that are remembered become worthless.
    private(set) var era: UInt64 = 0
    /// How many services are watched: decides for how long one may hang. Each new one may be asked for at once.
    var watched = 0 {
        didSet { rate.grant(watched - oldValue) }
    }

    private let settings: ConsulSettings
    private let loop: EventLoop
    private let logger: Logger
    private let http: HTTPClient
    private var pool: ServerPool
    private var first = Fifo<Ticket>()
    private var reads = Fifo<Ticket>()
    private var hangs = Fifo<Ticket>()
    private var readsUnderWay = 0
    private var hangsUnderWay = 0
    private var underWay: [ObjectIdentifier: Ticket] = [:]
    private var limit: ConsulLimit
    /// Holds all queries together to so many a second, whatever agents answer.
    private var rate = RateLimit(interval: .milliseconds(5), burst: 200)
    private var lastSuccess: [Int64]
    private var wakeUp: EventLoop.Timer?
    private var isPumpDue = false
    private var isStopped = false

    init(_ settings: ConsulSettings, url: String, http: HTTPClient, context: DiscoveryContext) {
        self.settings = settings
        self.http = http
        loop = context.loop
        logger = context.logger
        health = RegistryHealth(url: url, logger: context.logger)
        pool = ServerPool(count: settings.agents.count, backoff: settings.agentBackoff)
        limit = ConsulLimit(most: settings.mostBlocking)
        lastSuccess = Array(repeating: 0, count: settings.agents.count)
    }

    /// Asks about a service; `completion` is called once, on the loop, unless the ticket is cancelled.
    ///
    /// - Parameters:
    ///   - index: what the answer must be newer than; it is left out when another agent than `agent` is asked. Nil answers
    ///     at once.
    ///   - isUrgent: goes before queries that are not: somebody waits for this service's first answer.
    ///   - skip: how many agents to pass over because they refused this query.
    func ask(
        _ service: String, after index: UInt64? = nil, at agent: Int? = nil, isUrgent: Bool = false,
        skip: Int = 0,
        completion: @escaping (Outcome) -> Void
    ) -> Ticket {
        let ticket = Ticket(
            service, after: index, at: agent, era: era, skip: skip, completion: completion)
        if ticket.isHanging {
            hangs.append(ticket)
        } else if isUrgent {
            first.append(ticket)
        } else {
            reads.append(ticket)
        }
        schedulePump()
        return ticket
    }

    /// Forgets a query.
    func cancel(_ ticket: Ticket) {
        guard ticket.completion != nil else { return }
        ticket.completion = nil
        guard let call = ticket.call else { return }  // It waits and is passed over when its turn comes.
        http.cancel(call)
        ended(ticket)
        schedulePump()
    }

    /// Consul has gone back in time: what it lists may be less than there is.
    func becameUnsteady() { unsteadyAt = Clock.nanoseconds }

    /// Forgets everything.
    func stop() {
        isStopped = true
        loop.cancel(wakeUp)
        (first, reads, hangs) = (Fifo(), Fifo(), Fifo())
        http.close()
    }

    /// For how long a query may hang: less when there are more services than connections, so that all get their turn.
    var wait: Duration {
        let most = max(1, limit.current(now: Clock.nanoseconds))
        guard watched > most else { return settings.wait }
        return min(settings.wait, max(settings.shortestWait, settings.round * most / watched))
    }

    private func schedulePump() {
        guard !isPumpDue, !isStopped else { return }
        isPumpDue = true
        loop.schedule(after: .zero) { [weak self] in self?.pump() }
    }

    private func pump() {
        isPumpDue = false
        while !isStopped {
            Self.skipCancelled(&first)
            Self.skipCancelled(&reads)
            Self.skipCancelled(&hangs)
            let now = Clock.nanoseconds
            let mayRead = readsUnderWay < Self.mostReads
            let mayHang = hangsUnderWay < limit.current(now: now)
            guard
                let ticket = (mayRead ? first.front ?? reads.front : nil) ?? (mayHang ? hangs.front : nil)
            else { return }
            let delay = rate.delay(now: now)
            guard delay <= .zero else { return wake(after: delay) }
            switch pool.choose(now: now, skip: ticket.skip) {
            case .wait(let time): return wake(after: time)
            case .use(let turn):
                if ticket.isHanging {
                    _ = hangs.popFirst()
                } else {
                    _ = first.isEmpty ? reads.popFirst() : first.popFirst()
                }
                rate.use(now: now)
                send(ticket, turn, now: now)
            }
        }
    }

    private func wake(after time: Duration) {
        loop.cancel(wakeUp)
        wakeUp = loop.schedule(after: time) { [weak self] in self?.pump() }
    }

    private static func skipCancelled(_ line: inout Fifo<Ticket>) {
        while let ticket = line.front, ticket.completion == nil { _ = line.popFirst() }
    }

    private func send(_ ticket: Ticket, _ turn: ServerPool.Turn, now: Int64) {
        let agent = turn.server
        var query = ConsulQuery(service: ticket.service)
        if let index = ticket.index, ticket.agent == agent, ticket.era == era {
            query.after = (index, wait)
        }
        (ticket.usedAgent, ticket.turn) = (agent, turn)
        ticket.wait = query.after?.wait
        ticket.sentAt = now
        underWay[ObjectIdentifier(ticket)] = ticket
        if ticket.isHanging { hangsUnderWay += 1 } else { readsUnderWay += 1 }
        var request = HTTPRequest(
            "GET", settings.agents[agent] + query.target(settings), headers: Self.headers(settings),
            timeout: query.timeout(settings), maximumBody: settings.largestAnswer)
        // Sent again by the HTTP client it would hang with an index that may be worthless now.
        request.isSentOnce = query.after != nil
        ticket.call = http.send(request) { [weak self] result in
            self?.take(result, ticket)
            self?.schedulePump()
        }
    }

    static func headers(_ settings: ConsulSettings) -> [(name: String, value: String)] {
        // In the query the token would stand in access logs.
        settings.token.isEmpty ? [] : [("X-Consul-Token", settings.token)]
    }

    private func ended(_ ticket: Ticket) {
        (ticket.call, ticket.turn) = (nil, nil)
        underWay[ObjectIdentifier(ticket)] = nil
        if ticket.isHanging { hangsUnderWay -= 1 } else { readsUnderWay -= 1 }
    }

    private func take(_ result: Result<HTTPResponse, HTTPError>, _ ticket: Ticket) {
        ended(ticket)
        switch result {
        case .failure(let error): takeError(error, ticket)
        case .success(let response):
            switch ConsulTrouble(response, hiding: settings.token) {
            case nil:
                let now = Clock.nanoseconds
                lastSuccess[ticket.usedAgent] = now
                if pool.succeeded(ticket.usedAgent) { unsteadyAt = now }
                let exchange = ConsulExchange(
                    agent: ticket.usedAgent, wait: ticket.wait, time: .nanoseconds(now - ticket.sentAt))
                complete(ticket, .answer(response, exchange))
            // Something between may answer for an agent that takes too long. What is asked at once tells whether it is away.
            case .away(let reason) where hasHungLong(ticket): complete(ticket, .cut(reason))
            case .away(let reason): takeAway(ticket, reason)
            case .refused(let reason): refuse(ticket, reason)
            case .tooMany(let reason):
                reduceLimit(reason)
                refuse(ticket, reason)
            }
        }
    }

    private func hasHungLong(_ ticket: Ticket) -> Bool {
        ticket.wait != nil && Clock.nanoseconds - ticket.sentAt >= Self.hungLong.nanoseconds
    }

    private func takeError(_ error: HTTPError, _ ticket: Ticket) {
        switch error {
        case .invalidRequest, .tooLarge, .overloaded: refuse(ticket, "\(error)")
        case .dropped: complete(ticket, .cut("\(error)"))
        case .broken where hasHungLong(ticket): complete(ticket, .cut("\(error)"))
        case .timedOut, .broken:
            // Others got their answers meanwhile: it is this query, not the agent.
            let isAlive = lastSuccess[ticket.usedAgent] > ticket.sentAt
            if isAlive { refuse(ticket, "\(error)") } else { takeAway(ticket, "\(error)") }
        case .unresolved, .notConnected: takeAway(ticket, "\(error)")
        }
    }

    private func takeAway(_ ticket: Ticket, _ reason: String) {
        let now = Clock.nanoseconds
        let agent = ticket.usedAgent
        pool.failed(agent, sentAt: ticket.sentAt, now: now)
        unsteadyAt = now
        era &+= 1
        let isLast = pool.isAway(now: now)
        health.failed("\(settings.agents[agent]): \(reason)", isAway: isLast)
        if isLast { onUnavailable(reason) }
        complete(ticket, .away(reason))
        // What still hangs there would learn of nothing until its time is over.
        for other in underWay.values where other.usedAgent == agent && other.wait != nil {
            if let call = other.call { http.cancel(call) }
            ended(other)
            complete(other, .cut(reason))
        }
    }

    private func reduceLimit(_ reason: String) {
        let now = Clock.nanoseconds
        guard limit.reduce(now: now) else { return }
        logger.log(
            .warning, "registry.too_many_queries",
            ["url": health.url, "reason": reason, "queries": "\(limit.current(now: now))"], limit: 2,
            limitKey: health.url)
    }

    /// The query is refused, the agent is not to blame.
    private func refuse(_ ticket: Ticket, _ reason: String) {
        complete(ticket, .refused(reason))
    }

    private func complete(_ ticket: Ticket, _ outcome: Outcome) {
        let completion = ticket.completion
        ticket.completion = nil
        completion?(outcome)
    }
}
