import Runtime

/// One connection to a Nacos server's gRPC port: set up, kept alive, and watched.
///
/// The server takes one TCP connection for one client: calls and the stream for its own requests share it, and what was
/// subscribed or registered over it is gone with it. It connects once; whoever wants another makes a new one.
final class NacosConnection {
    /// Times that tests shorten.
    struct Timing: Equatable {
        /// For connecting and for each step of the set-up.
        var setUp: Duration = .seconds(3)
        /// For the answer to a call.
        var call: Duration = .seconds(5)
        /// Between two health checks.
        var health: Duration = .seconds(5)
        /// For the answer to a health check.
        var healthAnswer: Duration = .seconds(3)
        /// Unanswered health checks after which the connection is given up.
        var healthTries = 3
    }

    /// What is wanted of its user.
    struct Handlers {
        /// It can be used now.
        var ready: () -> Void
        /// It is of no use any more. Once; everything that waits for an answer is told after this.
        var closed: (NacosPushFailure) -> Void
        /// A request of the server that has been answered already.
        var request: (NacosMessage) -> Void
        /// The server asks to connect anew, or says that it goes away.
        var leave: (String) -> Void
        /// The server has answered a health check.
        var alive: () -> Void
    }

    private struct Call {
        let completion: (Result<NacosMessage, NacosPushFailure>) -> Void
        let timer: EventLoop.Timer
    }

    private enum State { case connecting, checking, settingUp, ready, closed }

    /// What the server has said that it can do; empty before it is ready.
    private(set) var abilities: Set<String> = []
    var isReady: Bool { state == .ready }

    private let loop: EventLoop
    private let timing: Timing
    private let handlers: Handlers
    private var connection: GRPCConnection?
    private var state = State.connecting
    private var stream: Int32?
    private var calls: [Int32: Call] = [:]
    private var stepTimer: EventLoop.Timer?
    private var healthTimer: EventLoop.Timer?
    private var unanswered = 0

    /// Servers take 10 MiB by default and send what is needed.
    private static let largestMessage = 16 << 20
    private static let callPath = "/Request/request"
    private static let streamPath = "/BiRequestStream/requestBiStream"
    /// Answers on the stream that the server does not take; then it does not read any more.
    private static let largestBacklog = 4 << 20

    /// Starts to connect.
    ///
    /// - Throws: `SystemError` when there is no socket.
    init(
        to address: SocketAddress, authority: String, loop: EventLoop, timing: Timing, handlers: Handlers
    ) throws {
        self.loop = loop
        self.timing = timing
        self.handlers = handlers
        connection = try GRPCConnection(
            to: address, authority: authority, largestMessage: Self.largestMessage, loop: loop
        ) { [weak self] in self?.take($0) }
        expectStep("connecting")
    }

    /// Calls the server; `completion` is called once, not from within, unless the connection is closed by `close`.
    func call(
        _ type: String, _ json: NacosJSON, headers: [(name: String, value: String)] = [], timeout: Duration? = nil,
        completion: @escaping (Result<NacosMessage, NacosPushFailure>) -> Void
    ) {
        let payload = NacosPayload.encode(type, json.text, headers: headers)
        guard let stream = connection?.open(Self.callPath, payload, isLast: true) else {
            let failure = NacosPushFailure(kind: .away, description: "the connection is closed")
            loop.schedule(after: .zero) { completion(.failure(failure)) }
            return
        }
        let limit = timeout ?? timing.call
        let timer = loop.schedule(after: limit) { [weak self] in
            self?.connection?.cancel(stream)
            self?.finish(
                stream, .failure(NacosPushFailure(kind: .away, description: "no answer to \(type) within \(limit)")))
        }
        calls[stream] = Call(completion: completion, timer: timer)
    }

    /// Closes it. Nothing is told any more, neither to the handlers nor to calls.
    func close() {
        release()
        for call in calls.values { loop.cancel(call.timer) }
        calls.removeAll()
    }

    /// Closes it, another has taken its place. Calls that wait for an answer are told, the handlers are not.
    func retire() {
        release()
        failCalls("another connection took its place")
    }

    // MARK: Events

    private func take(_ event: GRPCConnection.Event) {
        switch event {
        case .connected: check()
        case .message(let stream, let bytes): takeMessage(stream, bytes)
        case .ended(let stream, let end):
            if stream == self.stream {
                fail(.away, "the stream has ended: \(end)")
            } else {
                finish(stream, .failure(NacosPushFailure(kind: .away, description: end.description)))
            }
        case .goingAway(let reason):
            if state == .ready { handlers.leave(reason) } else { fail(.away, reason) }
        case .closed(let end): fail(.away, end.description)
        }
    }

    private func takeMessage(_ stream: Int32, _ bytes: [UInt8]) {
        guard let content = try? NacosPayload.decode(bytes), let message = NacosMessage(content) else {
            let failure = NacosPushFailure(kind: .away, description: "the server sends what is no message of Nacos")
            if stream == self.stream { return fail(failure.kind, failure.description) }
            return finish(stream, .failure(failure))
        }
        if stream == self.stream {
            takeRequest(message)
        } else if let failure = message.failure {
            finish(stream, .failure(failure))
            if failure.kind == .unregistered { fail(failure.kind, failure.description) }
        } else {
            unanswered = 0
            finish(stream, .success(message))
        }
    }

    private func takeRequest(_ message: NacosMessage) {
        switch message.type {
        case "SetupAckRequest":
            abilities = Self.abilities(message.body)
            if state == .settingUp { becomeReady() }
        case "ClientDetectionRequest": answer(message)
        case "ConnectResetRequest":
            answer(message)
            handlers.leave("the server asks to connect anew")
        case _ where message.type.hasSuffix("Request"):
            answer(message)
            handlers.request(message)
        default: break
        }
    }

    private func answer(_ message: NacosMessage) {
        guard let stream, let connection else { return }
        let type = message.type.dropLast("Request".count) + "Response"
        let json: NacosJSON = .object([
            ("resultCode", 200), ("errorCode", 0), ("requestId", .string(message.requestID)),
        ])
        connection.send(NacosPayload.encode(String(type), json.text), on: stream)
        if connection.backlog(of: stream) > Self.largestBacklog { fail(.away, "the server takes no answers") }
    }

    private static func abilities(_ body: [UInt8]) -> Set<String> {
        guard let table = JSONText.object(body)?["abilityTable"], let members = JSONText.members(body, in: table) else {
            return []
        }
        return Set(
            members.filter { body[$0.value].elementsEqual("true".utf8) }
                .map { String(decoding: body[$0.key], as: UTF8.self) })
    }

    private func finish(_ stream: Int32, _ result: Result<NacosMessage, NacosPushFailure>) {
        guard let call = calls.removeValue(forKey: stream) else { return }
        loop.cancel(call.timer)
        call.completion(result)
    }

    // MARK: Life

    private func check() {
        state = .checking
        expectStep("the server check")
        call("ServerCheckRequest", .object([]), timeout: timing.setUp) { [weak self] result in
            switch result {
            case .failure(let failure): self?.fail(failure.kind, "server check: \(failure)")
            case .success(let message):
                let tells = JSONText.object(message.body)?["supportAbilityNegotiation"]
                    .map { message.body[$0].elementsEqual("true".utf8) }
                self?.setUp(isAcknowledged: tells == true)
            }
        }
    }

    private func setUp(isAcknowledged: Bool) {
        guard state == .checking else { return }
        let json: NacosJSON = .object([
            ("clientVersion", "Greymesh:v1"), ("labels", .object([("source", "sdk"), ("module", "naming")])),
            ("abilityTable", .object([])),
        ])
        let payload = NacosPayload.encode("ConnectionSetupRequest", json.text)
        stream = connection?.open(Self.streamPath, payload, isLast: false)
        guard stream != nil else { return fail(.away, "no stream could be opened") }
        state = .settingUp
        expectStep("the set-up")
        if !isAcknowledged {
            // Servers before 2.4 say nothing when they are done.
            loop.schedule(after: .milliseconds(100)) { [weak self] in
                if self?.state == .settingUp { self?.becomeReady() }
            }
        }
    }

    private func becomeReady() {
        state = .ready
        loop.cancel(stepTimer)
        scheduleHealthCheck(after: timing.health)
        handlers.ready()
    }

    private func expectStep(_ step: String) {
        loop.cancel(stepTimer)
        let limit = timing.setUp
        stepTimer = loop.schedule(after: limit) { [weak self] in self?.fail(.away, "\(step) took more than \(limit)") }
    }

    private func scheduleHealthCheck(after time: Duration) {
        healthTimer = loop.schedule(after: time) { [weak self] in self?.checkHealth() }
    }

    private func checkHealth() {
        guard state == .ready else { return }
        call("HealthCheckRequest", .object([]), timeout: timing.healthAnswer) { [weak self] result in
            guard let self, state == .ready else { return }
            if case .success = result {
                handlers.alive()
                return scheduleHealthCheck(after: timing.health)
            }
            unanswered += 1
            if unanswered >= timing.healthTries {
                return fail(.away, "\(unanswered) health checks were not answered")
            }
            checkHealth()
        }
    }

    private func fail(_ kind: NacosPushFailure.Kind, _ reason: String) {
        guard state != .closed else { return }
        release()
        let failure = NacosPushFailure(kind: kind, description: reason)
        handlers.closed(failure)
        failCalls(reason)
    }

    private func failCalls(_ reason: String) {
        let waiting = calls
        calls.removeAll()
        for call in waiting.values {
            loop.cancel(call.timer)
            call.completion(.failure(NacosPushFailure(kind: .away, description: reason)))
        }
    }

    private func release() {
        state = .closed
        loop.cancel(stepTimer)
        loop.cancel(healthTimer)
        connection?.close()
        connection = nil
    }
}
