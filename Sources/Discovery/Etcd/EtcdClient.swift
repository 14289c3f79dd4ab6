import Runtime

/// Sends requests to the member of an etcd cluster that is used now, with a token where there is a login.
///
/// Which member that is decides the watcher.
final class EtcdClient {
    /// A request that waits or is under way.
    final class Ticket {
        fileprivate let path: String
        fileprivate let body: String
        fileprivate let timeout: Duration
        /// A stream for etcd: it answers in lines.
        fileprivate var isStream: Bool { path == EtcdClient.keepAlive }
        fileprivate var completion: ((Result<EtcdText, EtcdFailure>) -> Void)?
        fileprivate var call: HTTPClient.Call?
        /// Waits for its time.
        fileprivate var timer: EventLoop.Timer?
        fileprivate var isFree: Bool
        fileprivate var logins = 0

        fileprivate init(
            _ path: String, _ body: String, _ timeout: Duration, isFree: Bool,
            completion: @escaping (Result<EtcdText, EtcdFailure>) -> Void
        ) {
            self.path = path
            self.body = body
            self.timeout = timeout
            self.isFree = isFree
            self.completion = completion
        }
    }

    static let keepAlive = "/v3/lease/keepalive"

    /// The member in use.
    var server = 0 {
        didSet { if server != oldValue { abandonLogin() } }
    }
    private let settings: EtcdSettings
    private let context: DiscoveryContext
    private var session: EtcdSession
    private var login: HTTPClient.Call?
    private var waiting: [Ticket] = []
    private var isStopped = false
    /// Holds requests to a rate, whatever members answer.
    private var rate = RateLimit(interval: .milliseconds(50), burst: 100)

    init(_ settings: EtcdSettings, context: DiscoveryContext) {
        self.settings = settings
        self.context = context
        session = EtcdSession(settings.credentials)
    }

    /// The address of the member in use.
    var address: String { settings.servers[server] }

    /// Sends a request; `completion` is called once, never from within, unless the ticket is cancelled.
    ///
    /// - Parameter isFree: it is not held to the rate, because its sender sees to that.
    @discardableResult
    func post(
        _ path: String, _ body: String, timeout: Duration? = nil, isFree: Bool = false,
        completion: @escaping (Result<EtcdText, EtcdFailure>) -> Void
    ) -> Ticket {
        let ticket = Ticket(path, body, timeout ?? settings.timeout, isFree: isFree, completion: completion)
        send(ticket)
        return ticket
    }

    /// Opens a watch on the member in use.
    func stream(
        _ path: String, _ body: String, take: @escaping ([UInt8]) -> Void,
        completion: @escaping (Result<HTTPResponse, HTTPError>) -> Void
    ) -> HTTPClient.Call {
        // A member that has lost the others says so only when asked to.
        let headers = headers(session.token) + [(name: "Grpc-Metadata-hasleader", value: "true")]
        let request = HTTPRequest(
            "POST", address + path, headers: headers, body: Array(body.utf8), maximumBody: 65_536)
        return context.http.stream(request, idleTimeout: settings.idle, take: take, completion: completion)
    }

    /// The token is good no more: the next request logs in.
    func forgetToken() { session.reject(session.token) }

    /// Forgets a request.
    func cancel(_ ticket: Ticket) {
        ticket.completion = nil
        if let call = ticket.call { context.http.cancel(call) }
        context.loop.cancel(ticket.timer)
        (ticket.call, ticket.timer) = (nil, nil)
    }

    func stop() {
        isStopped = true
        abandonLogin()
        for ticket in waiting { ticket.completion = nil }
        waiting.removeAll()
    }

    private func headers(_ token: String?) -> [(name: String, value: String)] {
        token.map { [(name: "Authorization", value: $0)] } ?? []
    }

    private func send(_ ticket: Ticket) {
        switch session.need(now: Clock.nanoseconds) {
        case .nothing: schedule(ticket)
        case .waiting: waiting.append(ticket)
        case .login:
            waiting.append(ticket)
            logIn()
        case .refused(let reason):
            context.loop.schedule(after: .zero) { [self] in
                complete(ticket, .failure(EtcdFailure(.unauthorized, reason)))
            }
        }
    }

    private func schedule(_ ticket: Ticket) {
        let delay = ticket.isFree ? .zero : rate.take(now: Clock.nanoseconds)
        // Once: a request that is repeated after a login is held to the rate.
        ticket.isFree = false
        guard delay > .zero else { return transmit(ticket) }
        ticket.timer = context.loop.schedule(after: delay) { [weak self] in self?.transmit(ticket) }
    }

    private func transmit(_ ticket: Ticket) {
        guard !isStopped else { return }
        let token = session.token
        let request = HTTPRequest(
            "POST", address + ticket.path, headers: headers(token), body: Array(ticket.body.utf8),
            timeout: ticket.timeout, maximumBody: settings.largestAnswer)
        ticket.call = context.http.send(request) { [weak self] result in
            ticket.call = nil
            self?.take(result, ticket, token)
        }
    }

    private func take(_ result: Result<HTTPResponse, HTTPError>, _ ticket: Ticket, _ token: String?) {
        switch result {
        case .failure(let error): complete(ticket, .failure(EtcdFailure(error)))
        case .success(let response) where response.status == 200:
            // A call that is a stream for etcd answers in lines; the array makes them one text.
            let body = ticket.isStream ? EtcdText.wrap(lines: response.body) : response.body
            guard let text = EtcdText(body) else {
                return complete(ticket, .failure(EtcdFailure(.away, "the answer is not etcd's")))
            }
            complete(ticket, .success(text))
        case .success(let response):
            let failure = EtcdFailure(response)
            guard failure.kind == .unauthorized, ticket.completion != nil else {
                return complete(ticket, .failure(failure))
            }
            guard session.hasCredentials else {
                let reason = "the cluster wants a login: put USER:PASSWORD@ into the address"
                return complete(ticket, .failure(EtcdFailure(.unauthorized, reason)))
            }
            session.reject(token)
            guard ticket.logins < 2 else { return complete(ticket, .failure(failure)) }
            ticket.logins += 1
            send(ticket)
        }
    }

    private func complete(_ ticket: Ticket, _ result: Result<EtcdText, EtcdFailure>) {
        let completion = ticket.completion
        ticket.completion = nil
        completion?(result)
    }

    private func logIn() {
        let request = HTTPRequest(
            "POST", address + "/v3/auth/authenticate", body: Array(session.begin().utf8), timeout: settings.timeout,
            maximumBody: 1 << 20)
        login = context.http.send(request) { [weak self] in self?.takeLogin($0) }
    }

    private func takeLogin(_ result: Result<HTTPResponse, HTTPError>) {
        login = nil
        let tickets = waiting
        waiting.removeAll()
        switch result {
        case .failure(let error): fail(tickets, EtcdFailure(.away, "login: \(error)"))
        case .success(let response) where response.status >= 500:
            fail(tickets, EtcdFailure(EtcdFailure(response).kind, "login: status \(response.status)"))
        case .success(let response):
            if let refusal = session.finish(response, now: Clock.nanoseconds) {
                for ticket in tickets { complete(ticket, .failure(EtcdFailure(.unauthorized, refusal))) }
            } else {
                for ticket in tickets where ticket.completion != nil { send(ticket) }
            }
        }
    }

    private func fail(_ tickets: [Ticket], _ failure: EtcdFailure) {
        session.abandon()
        for ticket in tickets { complete(ticket, .failure(failure)) }
    }

    private func abandonLogin() {
        guard let login else { return }
        context.http.cancel(login)
        self.login = nil
        let tickets = waiting
        waiting.removeAll()
        context.loop.schedule(after: .zero) { [self] in
            for ticket in tickets { complete(ticket, .failure(EtcdFailure(.away, "another member was taken"))) }
        }
        session.abandon()
    }
}
