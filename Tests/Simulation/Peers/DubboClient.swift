/// A Dubbo consumer: many calls in flight, answered in any order.
final class DubboClient: Peer, Client {
    private var calls: [Int64: Request] = [:]
    private var inOrder: [Request] = []
    private var nextID: Int64 = 0
    private var hasAborted = false
    /// It closes, and waits for no answer any more.
    private var hasLeft = false
    private var isLast = false

    var waiting: [Request] { inOrder }

    func send(_ request: Request) {
        guard !isClosed, !isLast else { return world.drop(request) }
        let plan = request.plan
        let id = nextID
        nextID += 1
        let interface = world.plan.services[plan.service].name
        let frame = DubboFrame(
            flags: plan.isOneWay ? DubboFrame.oneWay : DubboFrame.request, id: id,
            body: DubboFrame.call(plan, number: request.number, interface: interface))
        put(frame.bytes)
        unsent.append(request)
        put(.mark { [unowned self] in sent(request, id) })
    }

    private var unsent: [Request] = []

    private func sent(_ request: Request, _ id: Int64) {
        unsent.removeAll { $0 === request }
        request.isSent = true
        request.headSentAt = world.now
        world.begin(request)
        if request.plan.isOneWay { return world.end(request, .given) }
        calls[id] = request
        inOrder.append(request)
        if hasAborted { request.isDoomed = true }
    }

    override func received() {
        var isBad = false
        while !isClosed, let frame = DubboFrame.next(&incoming, isBad: &isBad) { handle(frame) }
        if isBad { world.fail("malformed answer", "not a frame", inOrder.first) }
    }

    private func handle(_ frame: DubboFrame) {
        if frame.isRequest || frame.isEvent || hasLeft { return }
        guard let request = calls.removeValue(forKey: frame.id) else {
            return world.fail("answer without request", "id \(frame.id), status \(frame.status)", nil)
        }
        inOrder.removeAll { $0 === request }
        world.answerBegins(request)
        let host = frame.number(after: "host:")
        if host != nil {
            if frame.number(after: "token:") != request.number {
                return world.fail("another's answer", "of \(frame.number(after: "token:") ?? -1)", request)
            }
            if let size = frame.number(after: "size:"), frame.count(of: 0x62) < size {
                return world.fail("damaged answer", "less than \(size) bytes", request)
            }
        }
        world.end(request, .answered(status: host == nil ? Self.kind(frame.status) : Int(frame.status), host: host))
    }

    /// Errors of our own by the HTTP status that means the same.
    private static func kind(_ status: UInt8) -> Int {
        switch status {
        case 30, 31: 504
        case 40: 400
        case 50: 502
        default: 503
        }
    }

    override func ended(asReset: Bool) {
        for request in inOrder { world.end(request, hasAborted ? .given : .unanswered) }
        for request in unsent { world.drop(request) }
        inOrder = []
        calls = [:]
        unsent = []
        isLast = true
        dropOutput()
        put(.close)
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
        for request in unsent { world.drop(request) }
        for request in inOrder { world.end(request, .given) }
        unsent = []
        inOrder = []
        calls = [:]
    }

    func sendGarbage() {
        guard !isLast, !isClosed else { return }
        hasAborted = true
        isLast = true
        for request in inOrder + unsent { request.isDoomed = true }
        put("GET / HTTP/1.1\r\nHost: shop\r\n\r\n")
    }
}
