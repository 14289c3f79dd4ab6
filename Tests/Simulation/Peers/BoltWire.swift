/// SOFABolt's frames as SOFA RPC writes them. Lanes: version 1, version 2, version 2 with checksums.
struct BoltWire: Wire {
    let lane: Int

    func variant(_ lane: Int) -> BoltWire { BoltWire(lane: lane) }

    private static let json: UInt8 = 12
    private static let requestClass = Array("com.alipay.sofa.rpc.core.request.SofaRequest".utf8)
    private static let answerClass = Array("com.alipay.sofa.rpc.core.response.SofaResponse".utf8)
    private static let goaway = 100

    let exhausted = 4
    let failed = 2
    let success = 0

    func workersID(record: Int64, use: Int64) -> Int64 { use << 18 | record }

    // MARK: Frames

    private static func number(_ value: Int, _ bytes: Int) -> [UInt8] {
        stride(from: 8 * (bytes - 1), through: 0, by: -8).map { UInt8(truncatingIfNeeded: value >> $0) }
    }

    /// - Parameter middle: timeout of a request, status of an answer.
    private func frame(
        type: UInt8, command: Int, _ id: Int64, _ middle: [UInt8], _ name: [UInt8] = [], _ header: [UInt8] = [],
        _ content: [UInt8] = []
    ) -> [UInt8] {
        var bytes: [UInt8] = lane == 0 ? [1, type] : [2, lane == 1 ? 1 : 2, type]
        bytes += Self.number(command, 2) + [1] + Self.number(Int(truncatingIfNeeded: id), 4) + [Self.json]
        if lane > 0 { bytes.append(lane == 2 ? 1 : 0) }
        bytes += middle + Self.number(name.count, 2) + Self.number(header.count, 2) + Self.number(content.count, 4)
        bytes += name + header + content
        return lane == 2 ? bytes + Self.number(Self.checksum(bytes), 4) : bytes
    }

    func next(_ bytes: inout ByteQueue, isBad: inout Bool) -> Frame? {
        if bytes.count >= 1 && bytes[0] != 1 && bytes[0] != 2 { isBad = true }
        guard !isBad, bytes.count >= 20 else { return nil }
        let shift = Int(bytes[0]) - 1
        let isRequest = bytes[1 + shift] != 0
        let size = 20 + 2 * shift + (isRequest ? 2 : 0)
        guard bytes.count >= size else { return nil }
        func value(_ from: Int, _ count: Int) -> Int { (0..<count).reduce(0) { $0 << 8 | Int(bytes[from + $1]) } }
        let (name, header, content) = (value(size - 8, 2), value(size - 6, 2), value(size - 4, 4))
        let lane = shift == 0 ? 0 : bytes[1] == 2 ? 2 : 1
        // Heartbeats go without.
        let hasSum = lane == 2 && bytes[11] & 1 == 1
        let whole = size + name + header + content + (hasSum ? 4 : 0)
        guard bytes.count >= whole else { return nil }
        let (type, command, id) = (bytes[1 + shift], value(2 + shift, 2), Int64(value(5 + shift, 4)))
        let status = isRequest ? 0 : value(10 + 2 * shift, 2)
        let frame = bytes.take(whole)
        if hasSum {
            let sum = frame.suffix(4).reduce(0) { $0 << 8 | Int($1) }
            if sum != Self.checksum(frame.dropLast(4)) { isBad = true }
        }
        return Frame(
            meaning: meaning(type, command, status), id: id, body: Array(frame[(size + name + header)...]), lane: lane)
    }

    private func meaning(_ type: UInt8, _ command: Int, _ status: Int) -> Frame.Meaning {
        switch (command, type) {
        case (0, 0): .heartbeatAnswer
        case (0, _): .heartbeat
        case (_, 0): .answer(status: status)
        case (1, 1): .request
        case (1, _): .oneWay
        case (Self.goaway, _): .readonly
        default: .other
        }
    }

    private static func checksum(_ bytes: some Sequence<UInt8>) -> Int {
        Int(~bytes.reduce(~UInt32(0)) { sum, byte in table[Int((sum ^ UInt32(byte)) & 0xff)] ^ sum >> 8 })
    }

    private static let table: [UInt32] = (0..<256).map { byte in
        (0..<8).reduce(UInt32(byte)) { sum, _ in sum & 1 == 0 ? sum >> 1 : sum >> 1 ^ 0xedb8_8320 }
    }

    // MARK: Writing

    func request(_ plan: RequestPlan, number: Int, service: String, id: Int64) -> [UInt8] {
        var pairs = [("service", "\(service):1.0"), ("sofa_head_target_service", "\(service):1.0")]
        pairs.append(("sofa_head_method_name", "say\(number)"))
        if plan.version > 0 { pairs.append(("x-version", Listing.versions[plan.version])) }
        if plan.user > 0 { pairs.append((RequestPlan.stickyName, "\(plan.user)")) }
        let header = pairs.flatMap { Self.text($0.0) + Self.text($0.1) }
        let timeout = plan.timeoutMilliseconds > 0 ? plan.timeoutMilliseconds : -1
        return frame(
            type: plan.isOneWay ? 2 : 1, command: 1, id, Self.number(timeout, 4), Self.requestClass, header,
            Self.content("token:\(number);size:\(plan.bodySize);", Frame.requestFiller, plan.bodySize))
    }

    private static func text(_ text: String) -> [UInt8] { number(text.utf8.count, 4) + Array(text.utf8) }

    private static func content(_ text: String, _ filler: UInt8, _ count: Int) -> [UInt8] {
        [0x22] + Array(text.utf8) + [UInt8](repeating: filler, count: count) + [0x22]
    }

    func answer(number: Int, host: Int, size: Int, id: Int64) -> [UInt8] {
        let content = Self.content("token:\(number);host:\(host);size:\(size);", Frame.answerFiller, size)
        return frame(type: 0, command: 2, id, Self.number(success, 2), Self.answerClass, [], content)
    }

    func error(_ status: Int, number: Int, host: Int, id: Int64) -> [UInt8] {
        let content = Self.content("token:\(number);host:\(host);", Frame.answerFiller, 0)
        return frame(type: 0, command: 2, id, Self.number(status, 2), [], [], content)
    }

    func heartbeat(id: Int64) -> [UInt8] { frame(type: 1, command: 0, id, Self.number(-1, 4)) }
    func heartbeatAnswer(id: Int64) -> [UInt8] { frame(type: 0, command: 0, id, [0, 0]) }

    /// Only for proxies, and there is no way back from it.
    func readonly(_ isReadonly: Bool) -> [UInt8]? {
        isReadonly && lane == 0 ? frame(type: 1, command: Self.goaway, 9, Self.number(0, 4)) : nil
    }

    func callback(id: Int64) -> [UInt8] {
        var plan = RequestPlan()
        plan.bodySize = 10
        return request(plan, number: 0, service: "demo.Callback", id: id)
    }

    func meaning(ofError status: Int) -> Int {
        switch status {
        case 7: 504
        case 9: 400
        case 5: 502
        default: 503
        }
    }
}
