/// A Dubbo frame as the simulation's peers write and read it; on purpose without the codec under test.
struct DubboFrame {
    var flags: UInt8
    var status: UInt8 = 0
    var id: Int64
    var body: [UInt8]

    static let heartbeatRequest: UInt8 = 0xe2
    static let event: UInt8 = 0xa2
    static let request: UInt8 = 0xc2
    static let oneWay: UInt8 = 0x82
    static let answer: UInt8 = 0x02
    static let heartbeatAnswer: UInt8 = 0x22

    var isRequest: Bool { flags & 0x80 != 0 }
    var isTwoWay: Bool { flags & 0x40 != 0 }
    var isEvent: Bool { flags & 0x20 != 0 }

    var bytes: [UInt8] {
        var bytes: [UInt8] = [0xda, 0xbb, flags, status]
        for shift in stride(from: 56, through: 0, by: -8) {
            bytes.append(UInt8(truncatingIfNeeded: id >> Int64(shift)))
        }
        for shift in stride(from: 24, through: 0, by: -8) {
            bytes.append(UInt8(truncatingIfNeeded: body.count >> shift))
        }
        return bytes + body
    }

    /// The next whole frame; nil when there is none, and `isBad` when these are no frames.
    static func next(_ bytes: inout ByteQueue, isBad: inout Bool) -> DubboFrame? {
        if bytes.count >= 2 && (bytes[0] != 0xda || bytes[1] != 0xbb) { isBad = true }
        guard !isBad, bytes.count >= 16 else { return nil }
        var id: Int64 = 0
        for index in 4..<12 { id = id << 8 | Int64(bytes[index]) }
        var length = 0
        for index in 12..<16 { length = length << 8 | Int(bytes[index]) }
        guard bytes.count >= 16 + length else { return nil }
        let whole = bytes.take(16 + length)
        return DubboFrame(flags: whole[2], status: whole[3], id: id, body: Array(whole[16...]))
    }

    /// The number behind a word like `token:` in the body.
    func number(after word: StaticString) -> Int? {
        let count = word.utf8CodeUnitCount
        var at = 0
        while at + count < body.count {
            if body[at] == word.utf8Start[0] && (1..<count).allSatisfy({ body[at + $0] == word.utf8Start[$0] }) {
                let digits = body[(at + count)...].prefix { $0 >= 0x30 && $0 <= 0x39 }
                return Int(String(decoding: digits, as: UTF8.self))
            }
            at += 1
        }
        return nil
    }

    // MARK: Bodies

    static func call(_ plan: RequestPlan, number: Int, interface: String) -> [UInt8] {
        var attachments = [("path", interface), ("interface", interface)]
        if plan.version > 0 { attachments.append(("x-version", Listing.versions[plan.version])) }
        if plan.timeoutMilliseconds > 0 { attachments.append(("timeout", "\(plan.timeoutMilliseconds)")) }
        let argument = text("token:\(number);size:\(plan.bodySize);", filler: 0x61, plan.bodySize)
        return text("2.0.2") + text(interface) + text("0.0.0") + text("say") + text("Ljava/lang/String;") + argument
            + [0x48] + attachments.flatMap { text($0.0) + text($0.1) } + [0x5a]
    }

    static func value(number: Int, host: Int, size: Int) -> [UInt8] {
        [0x94] + text("token:\(number);host:\(host);size:\(size);", filler: 0x62, size) + [0x48, 0x5a]
    }

    /// Letters of the filler in the body.
    func count(of letter: UInt8) -> Int { body.reduce(0) { $0 + ($1 == letter ? 1 : 0) } }

    /// A string in Hessian2, in chunks where it is long, with so many letters behind it.
    static func text(_ text: String, filler: UInt8 = 0, _ count: Int = 0) -> [UInt8] {
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
