/// A client of a multiplexed protocol: many requests in flight, answered in any order.
final class FramedClient: Peer, Client {
    private let wire: any Wire
    /// Its requests go to one application, which it can reach in another way.
    private let isInbound: Bool
    private var calls: [Int64: Request] = [:]
    private var inOrder: [Request] = []
    private var unsent: [Request] = []
    /// Heartbeats that were sent and not answered.
    private var pings: Set<Int64> = []
    private var nextID: Int64 = 0
    private var hasAborted = false
    /// It closes, and waits for no answer any more.
    private var hasLeft = false
    private var isLast = false
    /// It was told to send no new requests.
    private(set) var sawReadonly = false

    init(_ socket: VirtualSocket, _ world: World, _ wire: any Wire, isInbound: Bool) {
        self.wire = wire
        self.isInbound = isInbound
        super.init(socket, world)
    }

    var waiting: [Request] { inOrder }

    private func takeID() -> Int64 {
        defer { nextID += 1 }
        return nextID
    }

    func send(_ request: Request) {
        guard !isClosed, !isLast else { return world.drop(request) }
        let plan = request.plan
        let id = takeID()
        let bytes = wire.request(
            plan, number: request.number, service: world.plan.services[plan.service].name, id: id)
        unsent.append(request)
        calls[id] = request
        if plan.holding == .head {
            // Within its head, or behind that.
            let begin = request.number % 2 == 0 ? 7 : bytes.count / 2
            put(Array(bytes.prefix(begin)))
            put(.hold)
            put(Array(bytes.dropFirst(begin)))
        } else {
            put(bytes)
        }
        put(.mark { [unowned self] in sent(request, id) })
    }

    private func sent(_ request: Request, _ id: Int64) {
        unsent.removeAll { $0 === request }
        request.isSent = true
        // One that is too long is answered before all of it is there.
        if !request.isOpen { return }
        request.headSentAt = world.now
        request.headDoneAt = world.now
        world.begin(request)
        if request.plan.isOneWay || hasLeft {
            calls[id] = nil
            return world.end(request, .given)
        }
        inOrder.append(request)
        if hasAborted { request.isDoomed = true }
    }

    // MARK: Reading

    override func received() {
        var isBad = false
        while !isClosed, let frame = wire.next(&incoming, isBad: &isBad) { handle(frame) }
        if isBad { world.fail("malformed answer", "not a frame", inOrder.first) }
    }

    private func handle(_ frame: Frame) {
        switch frame.meaning {
        case .answer(let status): if !hasLeft { handleAnswer(frame, status) }
        case .heartbeatAnswer:
            if pings.remove(frame.id) == nil && !hasLeft {
                world.fail("answer without request", "to a heartbeat", nil)
            }
        case .readonly:
            sawReadonly = true
            if !isInbound { world.fail("readonly", "is told to a client that has no other address", nil) }
            if world.drainedAt == nil { world.fail("readonly", "is told though nobody goes", nil) }
        case .request, .oneWay: world.fail("request to a client", "id \(frame.id)", nil)
        case .heartbeat, .other: break
        }
    }

    private func handleAnswer(_ frame: Frame, _ status: Int) {
        guard let request = calls.removeValue(forKey: frame.id), request.isSent || request.plan.isTooLong else {
            return world.fail("answer without request", "id \(frame.id), status \(status)", nil)
        }
        inOrder.removeAll { $0 === request }
        world.begin(request)
        world.answerBegins(request)
        request.rawStatus = status
        guard let host = frame.number(after: "host:") else {
            // Said by Dubbo's errors only.
            if frame.contains("can be opened from here") && world.kernel.failedAt < request.headSentAt ?? 0 {
                return world.fail("error without a cause", "nothing was short", request)
            }
            return world.end(request, .answered(status: wire.meaning(ofError: status), host: nil))
        }
        let number = frame.number(after: "token:")
        if number != request.number { world.judgeForeign(request, of: number, by: host) }
        if let size = frame.number(after: "size:"), frame.count(of: Frame.answerFiller) < size {
            return world.fail("damaged answer", "less than \(size) bytes", request)
        }
        world.end(request, .answered(status: status, host: host))
    }

    /// It holds the rest of a frame back.
    var isWithinFrame: Bool {
        guard case .hold? = output.first else { return false }
        return inOrder.isEmpty && !isPaused
    }

    var owesNothing: Bool { output.isEmpty || isWithinFrame || isAtEnd }

    // MARK: Ends

    override func ended(asReset: Bool) {
        let isDrained = world.drainedAt != nil && !world.ending.isStopped && !world.isShortOfDescriptors
        if isInbound, wire.readonly(true) != nil, !sawReadonly, !isLast, !wasGivenUp, !asReset, isDrained {
            world.fail("readonly", "is not told to a client that could go elsewhere", nil)
        }
        if isEndedWithoutReason && !asReset { world.fail("closed", "a client of frames, and nothing was wrong", nil) }
        for request in inOrder { world.end(request, hasAborted ? .given : .unanswered) }
        forget()
        isLast = true
        dropOutput()
        put(.close)
    }

    /// Nobody goes, and the client has neither asked for the end nor held anything back for long.
    private var isEndedWithoutReason: Bool {
        if isLast || hasAborted || wasGivenUp || wasPaused || endIsDueSince != nil || world.drainedAt != nil {
            return false
        }
        if case .hold? = output.first { return false }
        return true
    }

    private func forget() {
        for request in unsent { world.drop(request) }
        unsent = []
        inOrder = []
        calls = [:]
    }

    func halfClose() {
        isLast = true
        put(.end)
    }

    func leaveNow(asReset: Bool) {
        for request in inOrder { world.end(request, .given) }
        inOrder = []
        calls = [:]
        isLast = true
        hasLeft = true
        // What it has sent before counts, also in front of a reset.
        put(asReset ? .reset : .close)
    }

    override func closed() {
        for request in inOrder { world.end(request, .given) }
        forget()
    }

    /// All is quiet: heartbeats are answered at once.
    var isPingOpen: Bool { !pings.isEmpty && !isPaused && !isClosed && !hasAborted && output.isEmpty }

    func sendPing() {
        guard !isLast, !isClosed else { return }
        let id = takeID()
        put(wire.heartbeat(id: id))
        pings.insert(id)
    }

    func sendGarbage() {
        guard !isLast, !isClosed else { return }
        hasAborted = true
        isLast = true
        for request in inOrder + unsent { request.isDoomed = true }
        put("GET / HTTP/1.1\r\nHost: shop\r\n\r\n")
    }
}
