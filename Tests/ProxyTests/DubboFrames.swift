import Configuration

/// A Dubbo frame as tests write and read it, on purpose without the codec under test.
struct DubboFrame: PeerFrame {
    var flags: UInt8
    var status: UInt8 = 0
    var id: Int64
    var body: [UInt8]

    static let heartbeatRequest: UInt8 = 0xe2
    static let heartbeatAnswer: UInt8 = 0x22
    static let event: UInt8 = 0xa2
    static let request: UInt8 = 0xc2
    static let oneWay: UInt8 = 0x82
    static let answer: UInt8 = 0x02

    static var listener: ListenerProtocol { .dubbo }

    var bytes: [UInt8] { Self.head(flags: flags, status: status, id: id, length: UInt32(body.count)) + body }

    static func head(flags: UInt8, status: UInt8 = 0, id: Int64, length: UInt32) -> [UInt8] {
        var bytes: [UInt8] = [0xda, 0xbb, flags, status]
        for shift in stride(from: 56, through: 0, by: -8) {
            bytes.append(UInt8(truncatingIfNeeded: id >> Int64(shift)))
        }
        for shift in stride(from: 24, through: 0, by: -8) {
            bytes.append(UInt8(truncatingIfNeeded: length >> UInt32(shift)))
        }
        return bytes
    }

    /// An answer of status 20 with a string as its value.
    static func value(_ text: String, id: Int64) -> DubboFrame {
        DubboFrame(
            flags: answer, status: 20, id: id, body: [0x94] + Hessian.text(text) + Hessian.map([("dubbo", "2.0.2")]))
    }

    /// An answer of another status.
    static func error(_ status: UInt8, _ text: String, id: Int64) -> DubboFrame {
        DubboFrame(flags: answer, status: status, id: id, body: Hessian.text(text))
    }

    /// The string in the body of an answer: the value, or the error.
    var text: String {
        var reader = HessianReader(bytes: body, at: status == 20 ? 1 : 0)
        return reader.text()
    }

    /// The body's bytes as Latin-1, for looking for words in them.
    var words: String { String(body.map { Character(UnicodeScalar($0)) }) }

    /// What a request calls.
    var call: DubboCall {
        var reader = HessianReader(bytes: body, at: 0)
        var call = DubboCall(id: id, isTwoWay: flags & 0x40 != 0)
        _ = reader.text()
        call.interface = reader.text()
        call.version = reader.text()
        call.method = reader.text()
        _ = reader.text()
        call.argument = reader.text()
        call.attachments = reader.map()
        return call
    }
}

extension DubboFrame {
    init(_ call: DubboCall) { self = call.frame }

    init?(reading read: (Int) -> [UInt8]?) {
        guard let head = read(16), let body = read(head[12..<16].reduce(0) { $0 << 8 | Int($1) }) else { return nil }
        let id = head[4..<12].reduce(Int64(0)) { $0 << 8 | Int64($1) }
        self.init(flags: head[2], status: head[3], id: id, body: body)
    }

    var request: DubboCall? { flags & 0xa0 == 0x80 ? call : nil }

    func echo(_ name: String) -> DubboFrame? {
        if flags == Self.heartbeatRequest {
            return DubboFrame(flags: Self.heartbeatAnswer, status: 20, id: id, body: body)
        }
        return flags & 0xc0 == 0xc0 ? .value(name + "|" + call.argument, id: id) : nil
    }
}

/// A call with one string argument.
struct DubboCall: PeerCall {
    var interface = "demo.Echo"
    /// Body field 2 and the attachment `path`, where they are not the interface.
    var service: String?
    var path: String?
    var version = "0.0.0"
    var method = "say"
    var argument = "hi"
    var attachments: [(name: String, value: String)] = []
    var id: Int64
    var isTwoWay = true

    func attachment(_ name: String) -> String? { attachments.last { $0.name == name }?.value }

    var frame: DubboFrame {
        var body =
            Hessian.text("2.0.2") + Hessian.text(service ?? interface) + Hessian.text(version) + Hessian.text(method)
        body += Hessian.text("Ljava/lang/String;") + Hessian.text(argument)
        body += Hessian.map([("path", path ?? interface), ("interface", interface)] + attachments)
        return DubboFrame(flags: isTwoWay ? DubboFrame.request : DubboFrame.oneWay, id: id, body: body)
    }
}

/// The part of Hessian2 that these tests need; text is ASCII.
enum Hessian {
    static func text(_ text: String) -> [UInt8] {
        let bytes = Array(text.utf8)
        var result: [UInt8] = []
        var rest = bytes[...]
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

    static func map(_ entries: [(name: String, value: String)]) -> [UInt8] {
        [0x48] + entries.flatMap { text($0.name) + text($0.value) } + [0x5a]
    }
}

/// Reads what `Hessian` writes. Gives empty texts for anything else.
struct HessianReader {
    let bytes: [UInt8]
    var at: Int

    mutating func text() -> String {
        var result: [UInt8] = []
        while at < bytes.count {
            let code = bytes[at]
            at += 1
            let (count, isLast) = length(code)
            guard count >= 0, at + count <= bytes.count else { return "" }
            result += bytes[at..<at + count]
            at += count
            if isLast { break }
        }
        return String(decoding: result, as: UTF8.self)
    }

    private mutating func length(_ code: UInt8) -> (count: Int, isLast: Bool) {
        switch code {
        case 0..<32: return (Int(code), true)
        case 0x30...0x33 where at < bytes.count:
            at += 1
            return (Int(code - 0x30) << 8 | Int(bytes[at - 1]), true)
        case 0x52, 0x53:
            guard at + 2 <= bytes.count else { return (-1, true) }
            at += 2
            return (Int(bytes[at - 2]) << 8 | Int(bytes[at - 1]), code == 0x53)
        default: return (-1, true)
        }
    }

    mutating func map() -> [(name: String, value: String)] {
        var entries: [(String, String)] = []
        guard at < bytes.count, bytes[at] == 0x48 else { return [] }
        at += 1
        while at < bytes.count, bytes[at] != 0x5a { entries.append((text(), text())) }
        return entries
    }
}
