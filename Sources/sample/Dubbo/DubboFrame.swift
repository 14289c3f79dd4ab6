/// A frame of the Dubbo protocol: 16 bytes of header and a body.
struct DubboFrame {
    static let headerSize = 16
    static let largestBody = 16 << 20
    static let hessian2: UInt8 = 2

    /// Statuses of an answer.
    enum Status {
        static let ok: UInt8 = 20
        static let badRequest: UInt8 = 40
        static let serviceError: UInt8 = 70
    }

    var isRequest: Bool
    var isTwoWay: Bool
    var isEvent: Bool
    var serialization: UInt8
    /// Of answers; 0 in requests.
    var status: UInt8
    var identifier: Int64
    var body: [UInt8]

    /// A request.
    init(request identifier: Int64, isTwoWay: Bool = true, isEvent: Bool = false, body: [UInt8]) {
        (isRequest, self.isTwoWay, self.isEvent) = (true, isTwoWay, isEvent)
        (serialization, status, self.identifier, self.body) = (Self.hessian2, 0, identifier, body)
    }

    /// The answer to a request.
    init(answer request: DubboFrame, status: UInt8, serialization: UInt8 = Self.hessian2, body: [UInt8]) {
        (isRequest, isTwoWay, isEvent) = (false, false, request.isEvent)
        (self.serialization, self.status, identifier, self.body) = (serialization, status, request.identifier, body)
    }

    /// An answer other than OK: its body is one string.
    init(answer request: DubboFrame, status: UInt8, text: String) {
        var writer = HessianWriter()
        writer.write(text)
        self.init(answer: request, status: status, body: writer.bytes)
    }

    /// Takes a frame out of `input` once it is complete; nil until then.
    static func take(from input: inout [UInt8]) throws -> DubboFrame? {
        guard input.count >= 2 else { return nil }
        guard input[0] == 0xda, input[1] == 0xbb else { throw HessianError(description: "not a Dubbo frame") }
        guard input.count >= headerSize else { return nil }
        let length = Int(number(input[12..<16]))
        guard length <= largestBody else { throw HessianError(description: "a frame of \(length) bytes") }
        guard input.count >= headerSize + length else { return nil }
        var frame = DubboFrame(
            request: Int64(bitPattern: number(input[4..<12])), isTwoWay: input[2] & 0x40 != 0,
            isEvent: input[2] & 0x20 != 0, body: Array(input[headerSize..<headerSize + length]))
        frame.isRequest = input[2] & 0x80 != 0
        frame.serialization = input[2] & 0x1f
        frame.status = input[3]
        input.removeFirst(headerSize + length)
        return frame
    }

    /// The frame as it is sent.
    var bytes: [UInt8] {
        var flags = serialization
        if isRequest { flags |= 0x80 }
        if isTwoWay { flags |= 0x40 }
        if isEvent { flags |= 0x20 }
        var result: [UInt8] = [0xda, 0xbb, flags, status]
        let identifier = UInt64(bitPattern: identifier)
        for shift in stride(from: 56, through: 0, by: -8) {
            result.append(UInt8(truncatingIfNeeded: identifier >> shift))
        }
        for shift in stride(from: 24, through: 0, by: -8) {
            result.append(UInt8(truncatingIfNeeded: body.count >> shift))
        }
        return result + body
    }

    private static func number(_ bytes: ArraySlice<UInt8>) -> UInt64 { bytes.reduce(0) { $0 << 8 | UInt64($1) } }
}

/// The body of a request.
struct DubboInvocation {
    var protocolVersion = "2.0.2"
    var path: String
    /// As in the body: `0.0.0` where the service has none.
    var version: String
    var method: String
    /// JVM descriptor of the argument types.
    var types: String
    var arguments: [HessianValue]
    var attachments: [String: String]
    /// The bytes of the first argument, as they came.
    var firstArgumentBytes: [UInt8] = []

    /// A call of a method with one string, as a Java consumer sends it.
    init(path: String, version: String, group: String, method: String, argument: String, attachments: [String: String])
    {
        self.path = path
        self.version = version.isEmpty ? "0.0.0" : version
        self.method = method
        types = "Ljava/lang/String;"
        arguments = [.string(argument)]
        var all = ["path": path, "interface": path, "version": self.version]
        if !group.isEmpty { all["group"] = group }
        self.attachments = all.merging(attachments) { $1 }
    }

    /// Reads the body of a request in hessian2.
    init(parsing body: [UInt8]) throws {
        var reader = HessianReader(body)
        protocolVersion = try reader.string()
        path = try reader.string()
        version = try reader.string()
        method = try reader.string()
        types = try reader.string()
        arguments = []
        for index in 0..<(try Self.countTypes(types)) {
            let start = reader.position
            arguments.append(try reader.value())
            if index == 0 { firstArgumentBytes = Array(body[start..<reader.position]) }
        }
        attachments = reader.isAtEnd ? [:] : try reader.value().strings
    }

    /// The body as it is sent.
    var body: [UInt8] {
        var writer = HessianWriter()
        for text in [protocolVersion, path, version, method, types] { writer.write(text) }
        for argument in arguments { writer.write(argument) }
        writer.write(attachments)
        return writer.bytes
    }

    /// How many types a descriptor holds: `Ljava/lang/String;[[I` holds two.
    static func countTypes(_ descriptor: String) throws -> Int {
        var count = 0
        var rest = descriptor.utf8[...]
        while let first = rest.popFirst() {
            switch first {
            case UInt8(ascii: "["): continue
            case UInt8(ascii: "L"):
                guard let end = rest.firstIndex(of: UInt8(ascii: ";")) else {
                    throw HessianError(description: "bad types: \(descriptor)")
                }
                rest = rest[rest.index(after: end)...]
            case _ where "VZBCDFIJS".utf8.contains(first): break
            default: throw HessianError(description: "bad types: \(descriptor)")
            }
            count += 1
        }
        return count
    }
}

/// The body of an answer with status OK.
enum DubboResult {
    /// A result: flag, value, and attachments where the caller's protocol version has them.
    static func body(_ written: [UInt8], isNull: Bool = false, isException: Bool = false, with attachments: Bool)
        -> [UInt8]
    {
        var writer = HessianWriter()
        let kind: Int32 = isException ? 0 : isNull ? 2 : 1
        writer.write(.int(attachments ? kind + 3 : kind))
        if !isNull { writer.append(written: written) }
        if attachments { writer.write(["dubbo": "2.0.2"]) }
        return writer.bytes
    }

    /// Whether answers to a caller of that protocol version carry attachments: from 2.0.2 to 2.0.99, as in Java.
    static func hasAttachments(_ protocolVersion: String) -> Bool {
        let parts = protocolVersion.split(separator: ".").map { Int($0) }
        guard parts.count == 3, parts[0] == 2, parts[1] == 0, let last = parts[2] else { return false }
        return (2...99).contains(last)
    }

    /// Reads the body of an answer; an exception is thrown as its type and text.
    static func read(_ body: [UInt8]) throws -> (value: HessianValue, attachments: [String: String]) {
        var reader = HessianReader(body)
        guard let flag = try reader.value().number, (0...5).contains(flag) else {
            throw HessianError(description: "an answer without a flag")
        }
        let value = flag == 2 || flag == 5 ? HessianValue.null : try reader.value()
        let attachments = flag >= 3 ? try reader.value().strings : [:]
        guard flag == 0 || flag == 3 else { return (value, attachments) }
        guard case .object(let type, let fields) = value else {
            throw HessianError(description: "an exception that is no object")
        }
        let text = fields.first { $0.key == .string("detailMessage") }?.value.text ?? ""
        throw HessianError(description: "\(type): \(text)")
    }
}
