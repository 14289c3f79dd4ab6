import Configuration

/// The variants of Bolt, which are kept apart on connections to hosts.
enum BoltVariant: UInt8, CaseIterable, Sendable {
    case first
    case second
    case withChecksums

    var head: [UInt8] { self == .first ? [1] : [2, rawValue] }
}

/// A Bolt frame as tests write and read it, on purpose without the codec under test.
struct BoltFrame: PeerFrame {
    static let response: UInt8 = 0
    static let twoWay: UInt8 = 1
    static let oneWay: UInt8 = 2
    static let requestClass = "com.alipay.sofa.rpc.core.request.SofaRequest"
    static let responseClass = "com.alipay.sofa.rpc.core.response.SofaResponse"

    var variant = BoltVariant.first
    var type: UInt8
    var command: UInt16
    /// What Java calls the version of the serialization; 1 in all its frames.
    var unused: UInt8 = 1
    var id: UInt32
    var codec: UInt8 = 1
    /// Nil: as the variant has it.
    var hasChecksum: Bool?
    var timeout: Int32 = 0
    var status: UInt16 = 0
    var className = ""
    var header: [UInt8] = []
    var content: [UInt8] = []
    /// What was read had the checksum that it should have.
    var isChecksumRight = true

    static var listener: ListenerProtocol { .bolt }

    static func heartbeat(_ variant: BoltVariant = .first, id: UInt32) -> BoltFrame {
        BoltFrame(variant: variant, type: twoWay, command: 0, id: id, hasChecksum: false, timeout: -1)
    }

    static let goaway = BoltFrame(type: twoWay, command: 100, id: 0)

    private var isChecked: Bool { variant == .withChecksums && hasChecksum ?? true }
    var isHeartbeat: Bool { command == 0 }
    var text: String { String(decoding: content, as: UTF8.self) }

    var bytes: [UInt8] {
        var bytes = variant.head + [type] + Self.big(command) + [unused] + Self.big(id) + [codec]
        if variant != .first { bytes.append(isChecked ? 1 : 0) }
        bytes += type == Self.response ? Self.big(status) : Self.big(timeout)
        bytes += Self.big(UInt16(className.utf8.count)) + Self.big(UInt16(header.count))
        bytes += Self.big(UInt32(content.count)) + Array(className.utf8) + header + content
        return isChecked ? bytes + Self.big(Self.checksum(bytes)) : bytes
    }

    init(
        variant: BoltVariant = .first, type: UInt8, command: UInt16, id: UInt32, codec: UInt8 = 1,
        hasChecksum: Bool? = nil, timeout: Int32 = 0
    ) {
        self.variant = variant
        self.type = type
        self.command = command
        self.id = id
        self.codec = codec
        self.hasChecksum = hasChecksum
        self.timeout = timeout
    }

    init?(reading read: (Int) -> [UInt8]?) {
        guard var raw = read(1), raw[0] == 1 || raw[0] == 2 else { return nil }
        func next(_ count: Int) -> UInt32? {
            guard let part = read(count) else { return nil }
            raw += part
            return part.reduce(0) { $0 << 8 | UInt32($1) }
        }
        func bytes(_ count: UInt32) -> [UInt8]? {
            guard let part = read(Int(count)) else { return nil }
            raw += part
            return part
        }
        var variant = BoltVariant.first
        if raw[0] == 2 {
            guard let inner = next(1), let found = BoltVariant(rawValue: UInt8(inner)) else { return nil }
            variant = found
        }
        guard let type = next(1), let command = next(2), let unused = next(1), let id = next(4), let codec = next(1)
        else { return nil }
        self.init(
            variant: variant, type: UInt8(type), command: UInt16(command), id: id, codec: UInt8(codec))
        self.unused = UInt8(unused)
        hasChecksum = false
        if variant != .first { hasChecksum = next(1) == 1 }
        guard let field = next(type == 0 ? 2 : 4) else { return nil }
        if type == 0 { status = UInt16(field) } else { timeout = Int32(bitPattern: field) }
        guard let sizes = (next(2), next(2), next(4)) as? (UInt32, UInt32, UInt32), let name = bytes(sizes.0),
            let header = bytes(sizes.1), let content = bytes(sizes.2)
        else { return nil }
        className = String(decoding: name, as: UTF8.self)
        self.header = header
        self.content = content
        if isChecked {
            let sum = Self.checksum(raw)
            isChecksumRight = next(4) == sum
        }
    }

    private static func big<Number: FixedWidthInteger>(_ number: Number) -> [UInt8] {
        withUnsafeBytes(of: number.bigEndian) { Array($0) }
    }

    private static let sums = (0..<256 as Range<UInt32>).map { byte in
        (0..<8).reduce(byte) { sum, _ in sum & 1 == 0 ? sum >> 1 : sum >> 1 ^ 0xedb8_8320 }
    }

    private static func checksum(_ bytes: [UInt8]) -> UInt32 {
        // Without optimisation `reduce` takes a second for what some tests send.
        var sum = ~UInt32(0)
        bytes.withUnsafeBufferPointer { bytes in
            sums.withUnsafeBufferPointer { sums in
                var index = 0
                while index < bytes.count {
                    sum = sums[Int((sum ^ UInt32(bytes[index])) & 0xff)] ^ sum >> 8
                    index += 1
                }
            }
        }
        return ~sum
    }

    // MARK: Header maps

    static func map(_ pairs: [(key: String, value: String)]) -> [UInt8] {
        pairs.flatMap { pair in
            [pair.key, pair.value].flatMap { big(Int32($0.utf8.count)) + Array($0.utf8) }
        }
    }

    /// The pairs of the header map.
    var pairs: [(key: String, value: String)] {
        var (texts, at): ([String], Int) = ([], 0)
        while at + 4 <= header.count {
            let count = header[at..<at + 4].reduce(0) { $0 << 8 | Int($1) }
            guard at + 4 + count <= header.count else { return [] }
            texts.append(String(decoding: header[at + 4..<at + 4 + count], as: UTF8.self))
            at += 4 + count
        }
        return stride(from: 0, to: texts.count - 1, by: 2).map { (texts[$0], texts[$0 + 1]) }
    }
}

/// A call of SOFA RPC. Its content is the argument alone, which no proxy looks at.
struct BoltCall: PeerCall {
    var service = "demo.Echo:1.0"
    var argument = "hi"
    var headers: [(key: String, value: String)] = []
    var variant = BoltVariant.first
    var codec: UInt8 = 1
    var timeout: Int32 = -1
    var className = BoltFrame.requestClass
    var id: UInt32
    var isTwoWay = true
    /// As hosts read it.
    var isChecksumRight = true
}

extension BoltFrame {
    init(_ call: BoltCall) {
        self.init(
            variant: call.variant, type: call.isTwoWay ? Self.twoWay : Self.oneWay, command: 1, id: call.id,
            codec: call.codec, timeout: call.timeout)
        className = call.className
        header = Self.map(
            [("sofa_head_target_service", call.service), ("service", call.service), ("sofa_head_method_name", "say")]
                + call.headers)
        content = Array(call.argument.utf8)
    }

    var request: BoltCall? {
        guard command == 1, type != Self.response else { return nil }
        var call = BoltCall(id: id)
        call.service = pairs.last { $0.key == "service" }?.value ?? ""
        call.argument = text
        call.headers = pairs
        call.variant = variant
        call.codec = codec
        call.timeout = timeout
        call.className = className
        call.isTwoWay = type == Self.twoWay
        call.isChecksumRight = isChecksumRight
        return call
    }

    /// An answer to this request.
    func answer(_ text: String, status: UInt16 = 0) -> BoltFrame {
        var answer = BoltFrame(
            variant: variant, type: Self.response, command: isHeartbeat ? 0 : 2, id: id, codec: codec)
        answer.hasChecksum = hasChecksum
        answer.status = status
        if status == 0 && !isHeartbeat { answer.className = Self.responseClass }
        answer.content = Array(text.utf8)
        return answer
    }

    /// An error of the server's RPC layer, or with JSON and Protobuf perhaps an exception.
    func failure(_ text: String) -> BoltFrame {
        var answer = answer("")
        answer.header = Self.map([("sofa_head_response_error", "true")])
        switch codec {
        case 1:
            let size = UInt16(text.utf8.count)
            answer.content = [0x4f, 0xbe] + Array(Self.responseClass.utf8) + [0x94]
            for name in ["isError", "errorMsg", "appResponse", "responseProps"] {
                answer.content += [UInt8(name.utf8.count)] + Array(name.utf8)
            }
            answer.content += [0x6f, 0x90, 0x54, 0x53] + Self.big(size) + Array(text.utf8) + Array("NN".utf8)
        case 12: answer.content = Array("\"\(text)\"".utf8)
        default: answer.content = Array(text.utf8)
        }
        return answer
    }

    func echo(_ name: String) -> BoltFrame? {
        if type == Self.response { return nil }
        if isHeartbeat { return answer("") }
        return command == 1 && type == Self.twoWay ? answer(name + "|" + text) : nil
    }
}

typealias BoltHost = FrameHost<BoltFrame>
typealias BoltMesh = FramedMesh<BoltFrame>
