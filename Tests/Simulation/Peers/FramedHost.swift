/// A connection of a host of a multiplexed protocol: all requests of a worker come over it and are answered when it pleases.
final class FramedHostConnection: Peer, HostConnection {
    let host: Host
    private var wire: any Wire
    private var wasHeard = false
    /// Since when it is within a frame and does not go on.
    private(set) var stalledAt: Int64?
    /// Nobody can read what comes after what it has sent.
    private var isGarbled = false
    /// Requests that are not answered.
    private var held: [Request] = []
    private var later: [(time: Int64, frame: [UInt8], request: Request)] = []

    init(_ socket: VirtualSocket, _ host: Host, _ world: World, _ wire: any Wire) {
        self.host = host
        self.wire = wire
        super.init(socket, world)
        // What comes after it has closed is lost, and nobody can know that before.
        socket.clock = { [unowned world] in world.now }
        socket.missed = { [weak host] in host?.spoil(.broken) }
    }

    var isIdle: Bool { held.isEmpty && later.isEmpty && output.isEmpty && incoming.isEmpty }

    override func received() {
        var isBad = false
        while !isClosed {
            let offset = readCount - incoming.count
            guard let frame = wire.next(&incoming, isBad: &isBad) else { break }
            handle(frame, came: socket.arrival(of: offset) ?? world.now)
        }
        if isBad { world.fail("malformed request", "not a frame", nil) }
    }

    private func handle(_ frame: Frame, came time: Int64) {
        switch frame.meaning {
        case .heartbeat:
            hear(frame)
            put(wire.heartbeatAnswer(id: frame.id))
        case .request, .oneWay:
            hear(frame)
            handleRequest(frame, came: time)
        case .answer, .heartbeatAnswer, .readonly, .other: break
        }
    }

    /// It speaks as it is spoken to, and only one variant on a connection.
    private func hear(_ frame: Frame) {
        if wasHeard && frame.lane != wire.lane { world.fail("malformed request", "two variants on a connection", nil) }
        wasHeard = true
        wire = wire.variant(frame.lane)
    }

    private func handleRequest(_ frame: Frame, came time: Int64) {
        guard let number = frame.number(after: "token:"), let asked = world.request(number) else {
            return world.fail("malformed request", "no token", nil)
        }
        let request = world.incoming(asked, id: frame.id, at: host)
        if frame.count(of: Frame.requestFiller) < request.plan.bodySize {
            return world.fail("damaged request", "less than \(request.plan.bodySize) bytes", request)
        }
        request.wholeAt.append(host.number)
        if !request.isCopy { world.checkInTime(request, sentAt: time) }
        let reaction = world.see(request, at: host)
        if frame.meaning == .request { react(request, reaction, frame.id) }
    }

    private func react(_ request: Request, _ reaction: Reaction, _ id: Int64) {
        switch reaction {
        case .stall, .cut, .garbage: isGarbled = true
        default: break
        }
        switch reaction {
        case .answer(let plan): answer(request, plan, id)
        case .status:
            put(wire.error(wire.failed, number: request.number, host: host.number, id: id))
            markDelivered(request)
        case .exhausted: put(wire.error(wire.exhausted, number: request.number, host: host.number, id: id))
        case .silent, .upgrade, .early: hold(request)
        case .stall:
            put(Array(value(request, id).prefix(25)))
            put(.mark { [unowned self] in stalledAt = world.now })
            put(.pause(until: .max))
            hold(request)
        case .cut(let asReset):
            host.spoil(.broken)
            put(Array(value(request, id).prefix(25)))
            put(asReset ? .reset : .close)
        case .reset, .hangUp:
            host.spoil(.broken)
            if case .reset = reaction { close(asReset: true) } else { close() }
        case .garbage:
            host.spoil(.broken)
            put("HTTP/1.1 400 Bad Request\r\n\r\n")
        case .wrongID:
            put(value(request, id &+ 12345))
            put(value(request, id))
        case .twice:
            put(value(request, id))
            put(value(request, id))
        case .oversized: put(value(request, id, size: Plan.bodyLimit + 10_000))
        }
    }

    private func value(_ request: Request, _ id: Int64, size: Int = 20) -> [UInt8] {
        wire.answer(number: request.number, host: host.number, size: size, id: id)
    }

    private func answer(_ request: Request, _ plan: AnswerPlan, _ id: Int64) {
        let frame = value(request, id, size: plan.size)
        if plan.delayMilliseconds > 0 {
            request.holders += 1
            later.append((world.kernel.now + Int64(plan.delayMilliseconds) * 1_000_000, frame, request))
            return
        } else if plan.isBroken {
            put(Array(frame.prefix(frame.count / 2)))
            request.holders += 1
            put(.pause(until: world.kernel.now + 3_000_000))
            put(.mark { request.holders -= 1 })
            put(Array(frame.dropFirst(frame.count / 2)))
        } else {
            put(frame)
        }
        markDelivered(request)
        if plan.closes {
            // As a host that stops: the calls in flight are answered, then the connection goes.
            host.spoil(.broken)
            put(plan.resets ? .reset : .close)
        }
    }

    private func markDelivered(_ request: Request) {
        if isGarbled { return }
        put(.mark { [unowned self] in request.deliver(world, unread: socket.unreadByPeer) })
    }

    private func hold(_ request: Request) {
        host.spoil(.broken)
        held.append(request)
        request.holders += 1
    }

    override var timer: Int64? { later.map(\.time).min() }

    override func tick() {
        let due = later.filter { $0.time <= world.kernel.now }
        later.removeAll { $0.time <= world.kernel.now }
        for (_, frame, request) in due {
            put(frame)
            markDelivered(request)
            request.holders -= 1
        }
    }

    override func ended(asReset: Bool) {
        if asReset || later.isEmpty { close() } else { put(.close) }
    }

    override func closed() {
        for request in held + later.map(\.request) { request.holders -= 1 }
        held = []
        later = []
    }

    // MARK: What nobody asked for

    func sendReadonly(_ isReadonly: Bool) {
        if let frame = wire.readonly(isReadonly) { put(frame) }
    }

    func sendHeartbeat() { put(wire.heartbeat(id: 9)) }

    func chatter(_ kind: Chatter) {
        host.spoil(.lying)
        switch kind {
        case .answer:
            // Ids of requests that this or another host has, as the worker numbers them.
            for record in Int64(0)..<4 {
                for use in Int64(0)..<3 { put(foreign(wire.workersID(record: record, use: use), size: 5)) }
            }
        case .request: put(wire.callback(id: 77))
        case .oversized: put(foreign(wire.workersID(record: 0, use: 1), size: Plan.bodyLimit + 10_000))
        }
    }

    private func foreign(_ id: Int64, size: Int) -> [UInt8] {
        wire.answer(number: 0, host: host.number, size: size, id: id)
    }
}
