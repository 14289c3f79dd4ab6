/// A frame of SOFABolt, version 1: fixed bytes, class name, header map, content.
struct BoltFrame: Equatable {
    static let largestContent = 16 << 20
    static let hessian: UInt8 = 1
    static let requestClass = "com.alipay.sofa.rpc.core.request.SofaRequest"
    static let responseClass = "com.alipay.sofa.rpc.core.response.SofaResponse"

    /// Names in header maps.
    enum Name {
        static let service = "service"
        static let targetService = "sofa_head_target_service"
        static let method = "sofa_head_method_name"
        static let responseError = "sofa_head_response_error"
    }

    /// What a frame is.
    enum Kind: UInt8 {
        case response = 0
        case request = 1
        case oneWay = 2
    }

    /// What a frame is for.
    enum Command {
        static let heartbeat: UInt16 = 0
        static let request: UInt16 = 1
        static let response: UInt16 = 2
    }

    /// Statuses of an answer.
    enum Status {
        static let success: UInt16 = 0
        static let serverException: UInt16 = 2
        static let deserializationException: UInt16 = 18
    }

    /// An entry of the header map.
    struct Pair: Equatable {
        var key: String
        var value: String
    }

    var kind: Kind
    var command: UInt16
    var identifier: UInt32
    var codec = Self.hessian
    /// Of requests, in milliseconds; -1 is none.
    var timeout: Int32 = -1
    /// Of responses.
    var status = Status.success
    var className = ""
    var header: [Pair] = []
    var content: [UInt8] = []

    /// The value of a key; the last one counts.
    func value(_ key: String) -> String? { header.last { $0.key == key }?.value }

    /// The frame of a call.
    init(request identifier: UInt32, timeout: Int32, header: [Pair], content: [UInt8]) {
        (kind, command, self.identifier, self.timeout) = (.request, Command.request, identifier, timeout)
        (className, self.header, self.content) = (Self.requestClass, header, content)
    }

    /// The answer to a call, or to a heartbeat.
    init(answer request: BoltFrame, status: UInt16 = Status.success) {
        let isHeartbeat = request.command == Command.heartbeat
        (kind, command) = (.response, isHeartbeat ? Command.heartbeat : Command.response)
        (identifier, codec, self.status) = (request.identifier, request.codec, status)
    }

    private init(kind: Kind, command: UInt16, identifier: UInt32) {
        (self.kind, self.command, self.identifier) = (kind, command, identifier)
    }

    // MARK: Bytes

    /// Takes a frame out of `input` once it is complete; nil until then.
    static func take(from input: inout [UInt8]) throws -> BoltFrame? {
        guard let first = input.first else { return nil }
        guard first == 1 else { throw HessianError(description: "not a frame of Bolt 1") }
        guard input.count >= 22 || input.count >= 20 && input[1] == 0 else { return nil }
        guard let kind = Kind(rawValue: input[1]) else {
            throw HessianError(description: "a frame of type \(input[1])")
        }
        var frame = BoltFrame(
            kind: kind, command: UInt16(number(input, 2, 2)), identifier: UInt32(number(input, 5, 4)))
        frame.codec = input[9]
        let fixed = kind == .response ? 20 : 22
        if kind == .response {
            frame.status = UInt16(number(input, 10, 2))
        } else {
            frame.timeout = Int32(truncatingIfNeeded: number(input, 10, 4))
        }
        let lengths = [number(input, fixed - 8, 2), number(input, fixed - 6, 2), number(input, fixed - 4, 4)]
        guard lengths[1] <= 0x7fff, lengths[2] <= largestContent else {
            throw HessianError(description: "a frame with parts of \(lengths) bytes")
        }
        let total = fixed + lengths.reduce(0, +)
        guard input.count >= total else { return nil }
        var start = fixed
        let parts = lengths.map { length in
            defer { start += length }
            return input[start..<start + length]
        }
        frame.className = String(decoding: parts[0], as: UTF8.self)
        frame.header = try pairs(parts[1])
        frame.content = Array(parts[2])
        input.removeFirst(total)
        return frame
    }

    /// The frame as it is sent.
    var bytes: [UInt8] {
        var map: [UInt8] = []
        for pair in header {
            for text in [pair.key, pair.value] {
                Self.append(text.utf8.count, 4, to: &map)
                map += text.utf8
            }
        }
        var result: [UInt8] = [1, kind.rawValue]
        Self.append(Int(command), 2, to: &result)
        result.append(1)
        Self.append(Int(identifier), 4, to: &result)
        result.append(codec)
        if kind == .response {
            Self.append(Int(status), 2, to: &result)
        } else {
            Self.append(Int(timeout), 4, to: &result)
        }
        Self.append(className.utf8.count, 2, to: &result)
        Self.append(map.count, 2, to: &result)
        Self.append(content.count, 4, to: &result)
        return result + className.utf8 + map + content
    }

    private static func pairs(_ bytes: ArraySlice<UInt8>) throws -> [Pair] {
        var rest = bytes
        func text() throws -> String? {
            guard rest.count >= 4 else { throw HessianError(description: "a header map that is cut off") }
            let length = Int32(truncatingIfNeeded: number(Array(rest.prefix(4)), 0, 4))
            rest = rest.dropFirst(4)
            if length == -1 { return nil }
            guard length >= 0, rest.count >= Int(length) else {
                throw HessianError(description: "a header map that is cut off")
            }
            defer { rest = rest.dropFirst(Int(length)) }
            return String(decoding: rest.prefix(Int(length)), as: UTF8.self)
        }
        var pairs: [Pair] = []
        while !rest.isEmpty {
            let (key, value) = (try text(), try text())
            if let key, let value { pairs.append(Pair(key: key, value: value)) }
        }
        return pairs
    }

    private static func number(_ bytes: [UInt8], _ start: Int, _ count: Int) -> Int {
        bytes[start..<start + count].reduce(0) { $0 << 8 | Int($1) }
    }

    private static func append(_ number: Int, _ count: Int, to bytes: inout [UInt8]) {
        for shift in stride(from: 8 * (count - 1), through: 0, by: -8) {
            bytes.append(UInt8(truncatingIfNeeded: number >> shift))
        }
    }
}
