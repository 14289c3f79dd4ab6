/// A connection of an HTTP host: one request at a time, each treated as its plan says.
final class HTTPHostConnection: Peer, HostConnection {
    let host: Host
    private var reader = HTTPReader()
    private var request: Request?
    private var reaction = Reaction.silent
    private var body: [UInt8] = []
    /// Pauses of its script that are still to come, and a hold without end.
    private var holds = 0
    private var tunnel: Request?
    /// A request came before the present one.
    private var hasServed = false

    init(_ socket: VirtualSocket, _ host: Host, _ world: World) {
        self.host = host
        super.init(socket, world)
    }

    var isIdle: Bool { request == nil && tunnel == nil && output.isEmpty && incoming.isEmpty && !reader.isWithin }

    /// The request that an answer is waited for.
    var wanted: Request? { isClosed || socket.isPeerGone || request?.isCopy == true ? nil : request }

    override func received() {
        if tunnel != nil { return receiveTunnel() }
        // The next request is read when this one is answered.
        while !isClosed, tunnel == nil, output.isEmpty || request == nil || reader.isWithin,
            let event = reader.next(&incoming)
        {
            switch event {
            case .head(let head): begin(head)
            case .body(let bytes): body += bytes
            case .end: finish()
            case .bad(let text): return world.fail("malformed request", text, request)
            }
        }
    }

    private func begin(_ head: HTTPReader.Head) {
        body = []
        guard let number = head.number, var request = world.request(number) else {
            return world.fail("malformed request", "no token: \(head.fields)", nil)
        }
        if head.field("x-greymesh-mirror") != nil {
            if head.field("expect") != nil { return world.fail("a copy", "waits for its body", request) }
            request = world.copy(of: request, at: host)
        }
        if self.request != nil { return world.fail("requests on top of each other", "at host \(host.number)", request) }
        self.request = request
        reaction = world.see(request, at: host)
        if hasServed { request.staleHosts.insert(host.number) }
        hasServed = true
        reader.expectBody(head, isResponse: false, isBare: false)
        if head.field("expect") != nil { sendContinue(request) }
        switch reaction {
        case .early(let status):
            put(answerHead(request, status, "Content-Length: 0\r\nConnection: close\r\n"))
            markDelivered(request)
            host.spoil(.broken)
            endWith(.close)
        case .reset:
            host.spoil(.broken)
            close(asReset: true)
        case .hangUp:
            host.spoil(.broken)
            close()
        case .garbage:
            host.spoil(.broken)
            put("SSH-2.0-OpenSSH_9.2\r\n\r\n")
            endWith(.close)
        case .upgrade: if request.plan.framing == .none { beginTunnel(request) }
        default: break
        }
    }

    /// Most hosts ask for the body; one that does not keeps its client waiting.
    private func sendContinue(_ request: Request) {
        if request.number % 4 == 0 { return host.spoil(.broken) }
        if case .answer = reaction { put("HTTP/1.1 100 Continue\r\n\r\n") }
    }

    /// The whole request is there.
    private func finish() {
        guard let request else { return }
        if body != Request.pattern(request.number, request.plan.bodySize, salt: Request.requestSalt) {
            return world.fail("damaged request", "\(body.count) of \(request.plan.bodySize) bytes", request)
        }
        request.wholeAt.append(host.number)
        switch reaction {
        case .answer(let plan): answer(request, plan)
        case .status(let status):
            put(answerHead(request, status, "Content-Length: 0\r\n"))
            markDelivered(request)
            markDone()
        case .silent: stop()
        case .stall:
            put(answerHead(request, 200, "Content-Length: 50\r\nx-size: 50\r\n") + "begin")
            stop()
        case .cut(let asReset):
            host.spoil(.broken)
            // An answer without a length ends with the connection: a reset is all that tells that it is cut.
            let length = asReset && request.number % 2 == 0 ? "" : "Content-Length: 50\r\n"
            put(answerHead(request, 200, length + "x-size: 50\r\n") + "begin")
            endWith(asReset ? .reset : .close)
        case .upgrade: beginTunnel(request)
        case .wrongID, .twice:
            host.spoil(.lying)
            answer(request, AnswerPlan())
            if case .wrongID = reaction { put("more than it has announced") } else { answer(request, AnswerPlan()) }
        case .oversized:
            host.spoil(.broken)
            put("HTTP/1.1 200 OK\r\nx-long: \(String(repeating: "x", count: 70_000))\r\n")
            stop()
        case .exhausted: answer(request, AnswerPlan())
        case .early, .reset, .hangUp, .garbage: break
        }
    }

    private func answerHead(_ request: Request, _ status: Int, _ fields: String) -> String {
        "HTTP/1.1 \(status) As Planned\r\nx-token: \(request.number)\r\nx-host: \(host.number)\r\n\(fields)\r\n"
    }

    private func answer(_ request: Request, _ plan: AnswerPlan) {
        if plan.delayMilliseconds > 0 { wait(plan.delayMilliseconds) }
        if plan.hasInterim { put("HTTP/1.1 103 Early Hints\r\nx-hint: 1\r\n\r\n") }
        let content = Request.pattern(request.number, plan.size, salt: Request.answerSalt)
        let isHead = request.plan.method == "HEAD"
        var fields = "x-size: \(plan.size)\r\n"
        if plan.closes { fields += "Connection: close\r\n" }
        // A client of version 1.0 knows no chunks; a host would see that.
        let framing = request.plan.isVersion10 && plan.framing == .chunked ? .untilClose : plan.framing
        switch framing {
        case .length: fields += "Content-Length: \(plan.size)\r\n"
        case .chunked: fields += "Transfer-Encoding: chunked\r\n"
        case .untilClose: break
        }
        put(answerHead(request, 200, fields))
        if !isHead {
            let half = plan.isBroken ? content.count / 2 : content.count
            putBody(content[..<half], framing)
            if plan.isBroken { wait(3) }
            putBody(content[half...], framing)
            if framing == .chunked { put("0\r\n\r\n") }
        }
        if framing != .untilClose || isHead { markDelivered(request) }
        if plan.closes || framing == .untilClose && !isHead {
            let resets = plan.resets && framing != .untilClose
            if resets { host.spoil(.broken) }
            endWith(resets ? .reset : .close)
        } else {
            markDone()
        }
    }

    private func markDelivered(_ request: Request) {
        put(.mark { [unowned self] in request.deliver(world, unread: socket.unreadByPeer) })
    }

    private func putBody(_ content: ArraySlice<UInt8>, _ framing: AnswerPlan.Framing) {
        if content.isEmpty { return }
        if framing != .chunked { return put(Array(content)) }
        put(Array((String(content.count, radix: 16) + "\r\n").utf8) + content + Array("\r\n".utf8))
    }

    private func wait(_ milliseconds: Int) {
        hold()
        put(.pause(until: world.kernel.now + Int64(milliseconds) * 1_000_000))
        put(.mark { [unowned self] in letGo(1) })
    }

    private func hold() {
        holds += 1
        request?.holders += 1
    }

    /// It stops in the middle, and not for a while only.
    private func stop() {
        host.spoil(.broken)
        hold()
    }

    private func letGo(_ count: Int) {
        holds -= count
        request?.holders -= count
    }

    private func markDone() {
        put(.mark { [unowned self] in done() })
    }

    private func endWith(_ end: Output) {
        put(.mark { [unowned self] in done() })
        put(end)
    }

    private func done() {
        letGo(holds)
        request = nil
        if !incoming.isEmpty { received() }
    }

    override func ended(asReset: Bool) {
        if let tunnel {
            tunnel.tunnel.hostSides[host.number, default: .init()].sawEnd = true
            if asReset { tunnel.tunnel.hostSides[host.number, default: .init()].isClean = false }
            return put(.close)
        }
        letGo(holds)
        if request == nil || asReset { close() } else { put(.close) }
    }

    func chatter(_ kind: Chatter) {
        if request != nil || tunnel != nil || !output.isEmpty { return }
        host.spoil(.lying)
        switch kind {
        case .answer: put("HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        case .request: put("GET / HTTP/1.1\r\nHost: nobody\r\n\r\n")
        case .oversized: put("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n" + String(repeating: "y", count: 200))
        }
    }

    override func closed() {
        letGo(holds)
        if let tunnel, tunnel.tunnel.hostSides[host.number]?.sawEnd != true {
            tunnel.tunnel.hostSides[host.number, default: .init()].isClean = false
        }
        request = nil
    }

    // MARK: Tunnels

    private func beginTunnel(_ request: Request) {
        if !request.plan.wantsUpgrade { host.spoil(.broken) }
        tunnel = request
        self.request = nil
        put(answerHead(request, 101, "Connection: upgrade\r\nUpgrade: bytes\r\n"))
        request.tunnel.hostSize = 5 + request.number % 4 * 2000
        put(Request.pattern(request.number, request.tunnel.hostSize, salt: Request.answerSalt))
        put(.end)
    }

    private func receiveTunnel() {
        guard let tunnel else { return }
        let bytes = incoming.take(incoming.count)
        let from = tunnel.tunnel.hostSides[host.number]?.received ?? 0
        let expected = Request.pattern(tunnel.number, from + bytes.count, salt: Request.requestSalt)[from...]
        if tunnel.plan.wantsUpgrade && bytes[...] != expected {
            world.fail("damaged tunnel", "towards the host", tunnel)
        }
        tunnel.tunnel.hostSides[host.number, default: .init()].received += bytes.count
    }
}
