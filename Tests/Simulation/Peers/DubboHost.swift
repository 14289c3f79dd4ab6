/// A connection of a Dubbo host: all calls of a worker come over it and are answered when it pleases.
final class DubboHostConnection: Peer, HostConnection {
    let host: Host
    /// Calls that are not answered.
    private var held: [Request] = []
    private var later: [(time: Int64, frame: [UInt8], request: Request)] = []

    init(_ socket: VirtualSocket, _ host: Host, _ world: World) {
        self.host = host
        super.init(socket, world)
    }

    var isIdle: Bool { held.isEmpty && later.isEmpty && output.isEmpty && incoming.isEmpty }

    override func received() {
        var isBad = false
        while !isClosed, let frame = DubboFrame.next(&incoming, isBad: &isBad) { handle(frame) }
        if isBad { world.fail("malformed request", "not a frame", nil) }
    }

    private func handle(_ frame: DubboFrame) {
        if !frame.isRequest { return }
        if frame.isEvent {
            if frame.isTwoWay {
                put(DubboFrame(flags: DubboFrame.heartbeatAnswer, status: 20, id: frame.id, body: [0x4e]).bytes)
            }
            return
        }
        guard let number = frame.number(after: "token:"), let request = world.request(number) else {
            return world.fail("malformed request", "no token", nil)
        }
        if frame.count(of: 0x61) < request.plan.bodySize {
            return world.fail("damaged request", "less than \(request.plan.bodySize) bytes", request)
        }
        request.wholeAt.append(host.number)
        let reaction = world.see(request, at: host)
        if frame.isTwoWay { react(request, reaction, frame.id) }
    }

    private func react(_ request: Request, _ reaction: Reaction, _ id: Int64) {
        switch reaction {
        case .answer(let plan): answer(request, plan, id)
        case .status(let status): put(error(request, UInt8(status), id))
        case .exhausted: put(error(request, 100, id))
        case .silent, .upgrade, .early: hold(request)
        case .stall:
            put(Array(value(request, id).prefix(25)))
            put(.pause(until: .max))
            hold(request)
        case .cut(let asReset):
            host.spoil(.broken)
            put(Array(value(request, id).prefix(25)))
            put(asReset ? .reset : .close)
        case .reset:
            host.spoil(.broken)
            close(asReset: true)
        case .hangUp:
            host.spoil(.broken)
            close()
        case .garbage:
            host.spoil(.broken)
            put("HTTP/1.1 400 Bad Request\r\n\r\n")
        case .wrongID:
            put(value(request, id &+ 12345))
            put(value(request, id))
        case .twice:
            put(value(request, id))
            put(value(request, id))
        }
    }

    private func value(_ request: Request, _ id: Int64, size: Int = 20) -> [UInt8] {
        let body = DubboFrame.value(number: request.number, host: host.number, size: size)
        return DubboFrame(flags: DubboFrame.answer, status: 20, id: id, body: body).bytes
    }

    private func error(_ request: Request, _ status: UInt8, _ id: Int64) -> [UInt8] {
        let body = DubboFrame.text("token:\(request.number);host:\(host.number);")
        return DubboFrame(flags: DubboFrame.answer, status: status, id: id, body: body).bytes
    }

    private func answer(_ request: Request, _ plan: AnswerPlan, _ id: Int64) {
        let frame = value(request, id, size: plan.size)
        if plan.delayMilliseconds > 0 {
            request.holders += 1
            later.append((world.kernel.now + Int64(plan.delayMilliseconds) * 1_000_000, frame, request))
        } else if plan.isBroken {
            put(Array(frame.prefix(frame.count / 2)))
            request.holders += 1
            put(.pause(until: world.kernel.now + 3_000_000))
            put(.mark { request.holders -= 1 })
            put(Array(frame.dropFirst(frame.count / 2)))
        } else {
            put(frame)
        }
        if plan.closes {
            // As a host that stops: the calls in flight are answered, then the connection goes.
            host.spoil(.broken)
            put(.close)
        }
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

    // MARK: Events

    func sendEvent(_ text: String) {
        put(DubboFrame(flags: DubboFrame.event, id: 7, body: DubboFrame.text(text)).bytes)
    }

    func sendHeartbeat() { put(DubboFrame(flags: DubboFrame.heartbeatRequest, id: 9, body: [0x4e]).bytes) }
}
