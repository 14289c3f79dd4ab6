/// Dubbo's frames.
struct DubboWire: Wire {
    let lane = 0

    func variant(_ lane: Int) -> DubboWire { self }

    private static let requestFlags: UInt8 = 0xc2
    private static let oneWayFlags: UInt8 = 0x82
    private static let eventFlags: UInt8 = 0xa2
    private static let heartbeatFlags: UInt8 = 0xe2
    private static let answerFlags: UInt8 = 0x02
    private static let heartbeatAnswerFlags: UInt8 = 0x22

    let exhausted = 100
    let failed = 40
    let success = 20

    func workersID(record: Int64, use: Int64) -> Int64 { use << 32 | record }

    private static func frame(_ flags: UInt8, _ status: Int = 0, _ id: Int64, _ body: [UInt8]) -> [UInt8] {
        var bytes: [UInt8] = [0xda, 0xbb, flags, UInt8(status)]
        bytes.reserveCapacity(16 + body.count)
        for shift in stride(from: 56, through: 0, by: -8) {
            bytes.append(UInt8(truncatingIfNeeded: id >> Int64(shift)))
        }
        for shift in stride(from: 24, through: 0, by: -8) {
            bytes.append(UInt8(truncatingIfNeeded: body.count >> shift))
        }
        return bytes + body
    }

    func next(_ bytes: inout ByteQueue, isBad: inout Bool) -> Frame? {
        if bytes.count >= 2 && (bytes[0] != 0xda || bytes[1] != 0xbb) { isBad = true }
        guard !isBad, bytes.count >= 16 else { return nil }
        var id: Int64 = 0
        for index in 4..<12 { id = id << 8 | Int64(bytes[index]) }
        var length = 0
        for index in 12..<16 { length = length << 8 | Int(bytes[index]) }
        guard bytes.count >= 16 + length else { return nil }
        let (flags, status) = (bytes[2], Int(bytes[3]))
        let body = Array(bytes.take(16 + length).dropFirst(16))
        return Frame(meaning: Self.meaning(flags, status, body), id: id, body: body)
    }

    private static func meaning(_ flags: UInt8, _ status: Int, _ body: [UInt8]) -> Frame.Meaning {
        let (isRequest, isTwoWay, isEvent) = (flags & 0x80 != 0, flags & 0x40 != 0, flags & 0x20 != 0)
        if !isRequest { return isEvent ? .heartbeatAnswer : .answer(status: status) }
        if !isEvent { return isTwoWay ? .request : .oneWay }
        if isTwoWay { return .heartbeat }
        return body == text("R") ? .readonly : .other
    }

    // MARK: Writing

    func request(_ plan: RequestPlan, number: Int, service: String, id: Int64) -> [UInt8] {
        var attachments = [("path", service), ("interface", service)]
        if plan.version > 0 { attachments.append(("x-version", Listing.versions[plan.version])) }
        if plan.user > 0 { attachments.append((RequestPlan.stickyName, "\(plan.user)")) }
        if plan.timeoutMilliseconds > 0 { attachments.append(("timeout", "\(plan.timeoutMilliseconds)")) }
        let argument = Self.text("token:\(number);size:\(plan.bodySize);", filler: Frame.requestFiller, plan.bodySize)
        var body =
            Self.text("2.0.2") + Self.text(service) + Self.text("0.0.0") + Self.text("say\(number)")
            + Self.text("Ljava/lang/String;")
        body += argument + [0x48] + attachments.flatMap { Self.text($0.0) + Self.text($0.1) } + [0x5a]
        return Self.frame(plan.isOneWay ? Self.oneWayFlags : Self.requestFlags, 0, id, body)
    }

    func answer(number: Int, host: Int, size: Int, id: Int64) -> [UInt8] {
        let value = Self.text("token:\(number);host:\(host);size:\(size);", filler: Frame.answerFiller, size)
        return Self.frame(Self.answerFlags, 20, id, [0x94] + value + [0x48, 0x5a])
    }

    func error(_ status: Int, number: Int, host: Int, id: Int64) -> [UInt8] {
        Self.frame(Self.answerFlags, status, id, Self.text("token:\(number);host:\(host);"))
    }

    func heartbeat(id: Int64) -> [UInt8] { Self.frame(Self.heartbeatFlags, 0, id, [0x4e]) }
    func heartbeatAnswer(id: Int64) -> [UInt8] { Self.frame(Self.heartbeatAnswerFlags, 20, id, [0x4e]) }
    func readonly(_ isReadonly: Bool) -> [UInt8]? {
        Self.frame(Self.eventFlags, 0, 7, Self.text(isReadonly ? "R" : "W"))
    }

    func callback(id: Int64) -> [UInt8] {
        var plan = RequestPlan()
        plan.bodySize = 10
        return request(plan, number: 0, service: "demo.Callback", id: id)
    }

    func meaning(ofError status: Int) -> Int {
        switch status {
        case 30, 31: 504
        case 40: 400
        case 50: 502
        default: 503
        }
    }

    /// A string in Hessian2, in chunks where it is long, with so many letters behind it.
    private static func text(_ text: String, filler: UInt8 = 0, _ count: Int = 0) -> [UInt8] {
        var result: [UInt8] = []
        var rest = (Array(text.utf8) + [UInt8](repeating: filler, count: count))[...]
        while rest.count > 0x8000 {
            result += [0x52, 0x80, 0x00] + rest.prefix(0x8000)
            rest = rest.dropFirst(0x8000)
        }
        switch rest.count {
        case 0..<32: result.append(UInt8(rest.count))
        case 32..<1024: result += [0x30 + UInt8(rest.count >> 8), UInt8(rest.count & 0xff)]
        default: result += [0x53, UInt8(rest.count >> 8), UInt8(rest.count & 0xff)]
        }
        return result + rest
    }
}
