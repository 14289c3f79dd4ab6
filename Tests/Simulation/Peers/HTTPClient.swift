import Runtime

/// A client of the HTTP listener. Its requests are answered in their order.
final class HTTPClient: Peer, Client {
    private(set) var requests: [Request] = []
    private var reader = HTTPReader()
    private var head: HTTPReader.Head?
    private var body: [UInt8] = []
    private var tunnel: Request?
    /// It has announced that no further request comes, or has been told.
    private(set) var isLast = false

    func send(_ request: Request) {
        guard !isClosed, !isLast else { return world.drop(request) }
        let plan = request.plan
        if plan.closes || plan.isVersion10 || plan.wantsUpgrade { isLast = true }
        requests.append(request)
        putHead(request)
        var content = Request.pattern(request.number, plan.bodySize, salt: Request.requestSalt)[...]
        if plan.holding == .body {
            if !plan.expectsContinue { put(frame(content.prefix(plan.bodySize / 3), plan, isEnd: false)) }
            if !plan.expectsContinue { content = content.dropFirst(plan.bodySize / 3) }
            put(.hold)
        }
        put(frame(content, plan, isEnd: true))
        put(.mark { request.isSent = true })
    }

    private func putHead(_ request: Request) {
        let head = Array(makeHead(request).utf8)
        let begin = request.plan.holding == .head ? 5 + request.number % (head.count - 6) : head.count
        put(Array(head.prefix(begin)))
        put(.mark { [unowned self] in self.begin(request, hasHead: true) })
        if request.plan.holding == .head {
            put(.hold)
            put(Array(head.dropFirst(begin)))
        }
        put(.mark { [unowned self] in request.headDoneAt = world.now })
    }

    private func makeHead(_ request: Request) -> String {
        let plan = request.plan
        var path = "/\(request.number)"
        var host = world.plan.services[plan.service].name
        switch plan.target {
        case .name: break
        case .alias: host = World.alias
        case .path(let stranger):
            host = "stranger\(stranger)"
            path = World.path + path
        }
        var head =
            "\(plan.method) \(path) HTTP/1.\(plan.isVersion10 ? 0 : 1)\r\nHost: \(host)\r\nx-token: \(request.number)\r\n"
        if plan.version > 0 { head += "x-version: \(Listing.versions[plan.version])\r\n" }
        if plan.user > 0 { head += "\(RequestPlan.stickyName): \(plan.user)\r\n" }
        if plan.closes { head += "Connection: close\r\n" }
        if plan.wantsUpgrade { head += "Connection: upgrade\r\nUpgrade: bytes\r\n" }
        if plan.expectsContinue { head += "Expect: 100-continue\r\n" }
        switch plan.framing {
        case .none: break
        case .length: head += "Content-Length: \(plan.bodySize)\r\n"
        case .chunked: head += "Transfer-Encoding: chunked\r\n"
        }
        return head + "\r\n"
    }

    private func frame(_ content: ArraySlice<UInt8>, _ plan: RequestPlan, isEnd: Bool) -> [UInt8] {
        switch plan.framing {
        case .none: return []
        case .length: return Array(content)
        case .chunked:
            var bytes: [UInt8] = []
            var rest = content
            while !rest.isEmpty {
                let piece = rest.prefix(9000)
                bytes += Array((String(piece.count, radix: 16) + "\r\n").utf8) + piece + Array("\r\n".utf8)
                rest = rest.dropFirst(piece.count)
            }
            return isEnd ? bytes + Array("0\r\n\r\n".utf8) : bytes
        }
    }

    /// A request is in flight from when its head is sent and the one before it is answered.
    private func begin(_ request: Request, hasHead: Bool) {
        if hasHead {
            sentHeads += 1
            request.headSentAt = world.now
        }
        guard let index = requests.firstIndex(where: { $0 === request }), index < sentHeads, index == 0 else { return }
        world.begin(request)
    }

    private var sentHeads = 0

    private func finishFirst(_ outcome: Request.Outcome) {
        guard let first = requests.first else { return }
        requests.removeFirst()
        sentHeads -= 1
        world.end(first, outcome)
        if let next = requests.first, sentHeads > 0 { begin(next, hasHead: false) }
    }

    /// An idle client may be closed after so long, or a little less.
    private static let idleTime: Int64 = 290_000_000_000

    var waiting: [Request] { tunnel.map { [$0] } ?? Array(requests.prefix(sentHeads > 0 ? 1 : 0)) }

    // MARK: Reading

    override func received() {
        if tunnel != nil { return receiveTunnel() }
        while !isClosed, let event = reader.next(&incoming) {
            switch event {
            case .head(let head): beginAnswer(head)
            case .body(let bytes): body += bytes
            case .end: finishAnswer()
            case .bad(let text): return world.fail("malformed answer", text, requests.first)
            }
            if tunnel != nil { return receiveTunnel() }
        }
    }

    private func beginAnswer(_ head: HTTPReader.Head) {
        if hasAborted && requests.isEmpty { return dropOutput() }
        guard let request = requests.first, sentHeads > 0 else {
            return world.fail("answer without request", head.first.joined(separator: " "), nil)
        }
        self.head = head
        body = []
        let status = Int(head.first[1]) ?? 0
        if status == 101 { return beginTunnel(request, by: head.field("x-host").flatMap { Int($0) }) }
        if status == 100 { release() }
        if status < 200 { return reader.expectBody(head, isResponse: true, isBare: true) }
        world.answerBegins(request)
        let isBare = request.plan.method == "HEAD" || status == 204 || status == 304
        reader.expectBody(head, isResponse: true, isBare: isBare)
    }

    private func finishAnswer() {
        guard let head, let request = requests.first, let status = Int(head.first[1]), status >= 200 else { return }
        self.head = nil
        check(request, head)
        let host = head.field("x-host").flatMap { Int($0) }
        let closes = head.field("connection")?.lowercased() == "close"
        if closes {
            if host != nil && isToldWithoutReason(request) { world.fail("closed", "nothing was wrong", request) }
            isLast = true
        }
        // What it has not sent is not wanted any more.
        if !request.isSent && closes { dropOutput() }
        finish(status, by: host)
        if closes || isLast && requests.isEmpty { leave() }
    }

    /// It is told that its connection ends though nobody goes and nothing of this request is a reason.
    private func isToldWithoutReason(_ request: Request) -> Bool {
        guard case .answer(let answer)? = request.seen.last?.reaction, request.isSent, !world.isLiedTo(request) else {
            return false
        }
        let plan = request.plan
        return !plan.closes && !plan.isVersion10 && !plan.wantsUpgrade && !answer.closes
            && answer.framing != .untilClose && !hasEnded && !isLast && !request.isDoomed && world.drainedAt == nil
    }

    private func finish(_ status: Int, by host: Int?) {
        requests.first?.rawStatus = status
        finishFirst(.answered(status: status, host: host))
    }

    private func check(_ request: Request, _ head: HTTPReader.Head) {
        guard head.field("x-host") != nil else { return }
        if head.number != request.number {
            return world.judgeForeign(request, of: head.number, by: head.field("x-host").flatMap { Int($0) })
        }
        guard let size = head.field("x-size").flatMap({ Int($0) }), request.plan.method != "HEAD" else { return }
        if body != Request.pattern(request.number, size, salt: Request.answerSalt) && !world.isLiedTo(request) {
            world.fail("damaged answer", "\(body.count) of \(size) bytes", request)
        }
    }

    /// Nothing more comes: the client ends too.
    private func leave() {
        for request in requests { world.drop(request) }
        requests = []
        sentHeads = 0
        if !isStubborn { put(.close) }
    }

    override func ended(asReset: Bool) {
        if let tunnel {
            tunnel.tunnel.clientSawEnd = true
            if asReset { tunnel.tunnel.isCleanAtClient = false }
            return checkTunnel()
        }
        let isIdle = requests.isEmpty && !isLast && !hasAborted && !wasPaused && world.drainedAt == nil
        if isIdle && world.now - activeAt < Self.idleTime {
            world.fail("closed", "a client between requests, and nothing was wrong", nil)
        }
        var isExcused = hasAborted
        if reader.isWithin, let request = requests.first, let head {
            isExcused = true
            if reader.endsWithConnection && !asReset {
                reader.finish()
                check(request, head)
                let status = Int(head.first[1]) ?? 0
                finish(status, by: head.field("x-host").flatMap { Int($0) })
            } else {
                finishFirst(.cut)
            }
        }
        if !isExcused && !incoming.isEmpty && !requests.isEmpty {
            isExcused = true
            finishFirst(.cut)
        }
        // What it has not begun to send is nobody's fault.
        for (place, request) in requests.enumerated() {
            if isExcused || place >= sentHeads { world.drop(request) } else { world.end(request, .unanswered) }
        }
        requests = []
        sentHeads = 0
        isLast = true
        dropOutput()
        if !isStubborn { put(.close) }
    }

    /// A head's deadline is one of its request.
    var isWithinFrame: Bool { false }

    var owesNothing: Bool { output.isEmpty || isAtEnd }

    // MARK: Trouble

    private var hasAborted = false
    /// Does not end its side when the other one has.
    private var isStubborn = false

    private var hasEnded = false

    func halfClose() {
        hasEnded = true
        isLast = true
        put(.end)
    }

    func leaveNow(asReset: Bool) {
        for request in requests + (tunnel.map { [$0] } ?? []) { world.end(request, .given) }
        requests = []
        tunnel = nil
        sentHeads = 0
        close(asReset: asReset)
    }

    func sendPing() {}

    func sendGarbage() {
        guard !isLast, !isClosed else { return }
        isLast = true
        hasAborted = true
        isStubborn = true
        for request in requests { request.isDoomed = true }
        put("GET / HTTP/1.1\r\nbad header\r\n\r\n")
        put(.pause(until: .max))
    }

    // MARK: Tunnels

    private func beginTunnel(_ request: Request, by host: Int?) {
        if !request.plan.wantsUpgrade { return world.fail("tunnel nobody asked for", "", request) }
        world.answerBegins(request)
        tunnel = request
        request.tunnel.host = host ?? -1
        if hasEnded { return }
        request.tunnel.clientSize = 10 + request.number % 3 * 3000
        put(Request.pattern(request.number, request.tunnel.clientSize, salt: Request.requestSalt))
        put(.end)
    }

    private func receiveTunnel() {
        guard let tunnel else { return }
        let bytes = incoming.take(incoming.count)
        let from = tunnel.tunnel.atClient
        let expected = Request.pattern(tunnel.number, from + bytes.count, salt: Request.answerSalt)[from...]
        if bytes[...] != expected { world.fail("damaged tunnel", "towards the client", tunnel) }
        tunnel.tunnel.atClient += bytes.count
    }

    private func checkTunnel() {
        guard let tunnel else { return }
        self.tunnel = nil
        requests = []
        world.endTunnel(tunnel)
        if !isStubborn { put(.close) }
    }
}
