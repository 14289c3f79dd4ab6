import Runtime

/// Speaks to the servers of an HTTP registry about registrations: the one that was good last, then the others.
final class RegistrationCalls {
    /// Nothing was answered, and why.
    struct Unanswered: Error, Equatable {
        let reason: String
        /// Nothing can have arrived.
        var isUnreachable = false
    }

    private let servers: [String]
    private let headers: [(name: String, value: String)]
    private let context: DiscoveryContext
    private let timeout: Duration
    private var pool: ServerPool
    /// What is under way, each with the turn of its server.
    private var calls: [UInt64: (call: HTTPClient.Call, turn: ServerPool.Turn?)] = [:]
    private var nextNumber: UInt64 = 0
    private var lastError = "no server can be asked"

    init(
        servers: [String], headers: [(name: String, value: String)], timeout: Duration, backoff: Backoff,
        context: DiscoveryContext
    ) {
        self.servers = servers
        self.headers = headers
        self.timeout = timeout
        self.context = context
        pool = ServerPool(count: servers.count, backoff: backoff)
    }

    /// Sends a request; a server that cannot be reached or says that it is away is left for the next.
    ///
    /// - Parameters:
    ///   - only: the index of the one server that is meant; nil: any.
    ///   - onSend: called with the index of each server that it goes to, before it can have arrived there.
    func send(
        _ method: String, _ path: String, json: String? = nil, only: Int? = nil,
        onSend: @escaping (Int) -> Void = { _ in },
        completion: @escaping (Result<(response: HTTPResponse, server: Int), Unanswered>) -> Void
    ) {
        send(
            method, path, json: json, only: only, left: only == nil ? servers.count : 1, onSend: onSend,
            completion: completion)
    }

    /// Ends everything; no completion is called any more.
    func stop() {
        for (call, _) in calls.values { context.http.cancel(call) }
        calls.removeAll()
    }

    private func send(
        _ method: String, _ path: String, json: String?, only: Int?, left: Int, onSend: @escaping (Int) -> Void,
        completion: @escaping (Result<(response: HTTPResponse, server: Int), Unanswered>) -> Void
    ) {
        let now = Clock.nanoseconds
        var server = only ?? 0
        var turn: ServerPool.Turn?
        if only == nil {
            guard left > 0, case .use(let chosen) = pool.choose(now: now) else {
                return later { [lastError] in completion(.failure(Unanswered(reason: lastError))) }
            }
            (server, turn) = (chosen.server, chosen)
        }
        var request = HTTPRequest(method, servers[server] + path, headers: headers, timeout: timeout)
        request.maximumBody = 1 << 20
        if let json {
            request.body = Array(json.utf8)
            request.headers.append(("Content-Type", "application/json"))
        }
        nextNumber += 1
        let number = nextNumber
        onSend(server)
        let call = context.http.send(request) { [weak self] result in
            guard let self else { return }
            calls[number] = nil
            let reason: String
            var isUnreachable = false
            switch result {
            case .success(let response) where ![502, 503, 504].contains(response.status):
                _ = pool.succeeded(server)
                return completion(.success((response, server)))
            case .success(let response): reason = Excerpt.words(response)
            case .failure(let error):
                reason = "\(error)"
                isUnreachable = error.isUnreachable
            }
            pool.failed(server, sentAt: now, now: Clock.nanoseconds)
            lastError = "\(servers[server]): \(reason)"
            guard only == nil else {
                return completion(.failure(Unanswered(reason: lastError, isUnreachable: isUnreachable)))
            }
            send(method, path, json: json, only: nil, left: left - 1, onSend: onSend, completion: completion)
        }
        calls[number] = (call, turn)
    }

    private func later(_ action: @escaping () -> Void) {
        context.loop.schedule(after: .zero, action)
    }
}
