/// Reads values as SOFA RPC writes them: a draft of Hessian 2 in which lists, objects and long strings look different from the
/// final version that Dubbo uses.
struct SofaReader {
    private let bytes: [UInt8]
    /// The next byte.
    private(set) var position = 0
    private var classes: [(name: String, fields: [String])] = []
    private var depth = 0

    init(_ bytes: [UInt8]) { self.bytes = bytes }

    var isAtEnd: Bool { position >= bytes.count }

    mutating func value() throws -> HessianValue {
        depth += 1
        defer { depth -= 1 }
        if depth > 200 { throw HessianError(description: "nested too deeply") }
        let code = try byte()
        switch code {
        case 0x00...0x1f, 0x53, 0x73: return .string(try text(code))
        case 0x20...0x2f, 0x42, 0x62: return .binary(try binary(code))
        case 0x4e: return .null
        case 0x46: return .bool(false)
        case 0x54: return .bool(true)
        case 0x4d: return .map(try map())
        case 0x56: return .list(try list())
        case 0x4f:
            try classDefinition()
            return try value()
        case 0x6f: return try object()
        case 0x4a: return .reference(try integer(1) & 0xff)
        case 0x4b: return .reference(try integer(2) & 0xffff)
        case 0x52: return .reference(try integer(4))
        case 0x64: return .date(Int64(try integer(8)))
        default: return try number(code)
        }
    }

    private mutating func number(_ code: UInt8) throws -> HessianValue {
        switch code {
        case 0x80...0xbf: return .int(Int32(code) - 0x90)
        case 0xc0...0xcf: return .int((Int32(code) - 0xc8) << 8 + Int32(try byte()))
        case 0xd0...0xd7: return .int((Int32(code) - 0xd4) << 16 + Int32(try integer(2) & 0xffff))
        case 0x49: return .int(Int32(try integer(4)))
        case 0xd8...0xef: return .long(Int64(code) - 0xe0)
        case 0xf0...0xff: return .long((Int64(code) - 0xf8) << 8 + Int64(try byte()))
        case 0x38...0x3f: return .long((Int64(code) - 0x3c) << 16 + Int64(try integer(2) & 0xffff))
        case 0x77: return .long(Int64(try integer(4)))
        case 0x4c: return .long(Int64(try integer(8)))
        case 0x67: return .double(0)
        case 0x68: return .double(1)
        case 0x69: return .double(Double(try integer(1)))
        case 0x6a: return .double(Double(try integer(2)))
        case 0x6b: return .double(Double(Float(bitPattern: UInt32(truncatingIfNeeded: try integer(4)))))
        case 0x44: return .double(Double(bitPattern: UInt64(bitPattern: Int64(try integer(8)))))
        default: throw HessianError(description: "unknown code \(code) before byte \(position)")
        }
    }

    // MARK: Bytes

    private mutating func byte() throws -> UInt8 {
        guard position < bytes.count else { throw HessianError(description: "the bytes end too early") }
        defer { position += 1 }
        return bytes[position]
    }

    /// A signed number of so many bytes.
    private mutating func integer(_ size: Int) throws -> Int {
        var number = Int(Int8(bitPattern: try byte()))
        for _ in 1..<size { number = number << 8 | Int(try byte()) }
        return number
    }

    private mutating func count() throws -> Int {
        guard case .int(let count) = try number(try byte()), count >= 0 else {
            throw HessianError(description: "a count was expected before byte \(position)")
        }
        return Int(count)
    }

    private mutating func take(_ count: Int) throws -> ArraySlice<UInt8> {
        guard count <= bytes.count - position else { throw HessianError(description: "the bytes end too early") }
        defer { position += count }
        return bytes[position..<position + count]
    }

    // MARK: Texts

    private mutating func text(_ code: UInt8) throws -> String {
        var units: [UInt16] = []
        var code = code
        while code == 0x73 {
            try append(try integer(2) & 0xffff, to: &units)
            code = try byte()
        }
        guard code <= 0x1f || code == 0x53 else { throw HessianError(description: "a text without an end") }
        try append(code == 0x53 ? try integer(2) & 0xffff : Int(code), to: &units)
        return String(decoding: units, as: UTF16.self)
    }

    /// Units of UTF-16, each encoded for itself: a character beyond 16 bits is a pair of three bytes each.
    private mutating func append(_ count: Int, to units: inout [UInt16]) throws {
        for _ in 0..<count {
            let first = try byte()
            switch first {
            case 0x00...0x7f: units.append(UInt16(first))
            case 0xc0...0xdf: units.append(UInt16(first & 0x1f) << 6 | UInt16(try byte() & 0x3f))
            case 0xe0...0xef:
                units.append(
                    UInt16(first & 0x0f) << 12 | UInt16(try byte() & 0x3f) << 6 | UInt16(try byte() & 0x3f))
            default: throw HessianError(description: "a broken character before byte \(position)")
            }
        }
    }

    private mutating func binary(_ code: UInt8) throws -> [UInt8] {
        var content: [UInt8] = []
        var code = code
        while code == 0x62 {
            content += try take(try integer(2) & 0xffff)
            code = try byte()
        }
        guard 0x20...0x2f ~= code || code == 0x42 else { throw HessianError(description: "a binary without an end") }
        return content + (try take(code == 0x42 ? try integer(2) & 0xffff : Int(code) - 0x20))
    }

    // MARK: Containers

    /// A type's name where one stands here; of no interest.
    private mutating func skipType() throws {
        guard position < bytes.count else { return }
        switch bytes[position] {
        case 0x74:
            position += 1
            _ = try take(try integer(2) & 0xffff)
        case 0x54, 0x75:
            position += 1
            _ = try count()
        default: break
        }
    }

    private mutating func list() throws -> [HessianValue] {
        try skipType()
        if position < bytes.count {
            switch bytes[position] {
            case 0x6c:
                position += 1
                _ = try integer(4)
            case 0x6e:
                position += 1
                _ = try byte()
            default: break
            }
        }
        var values: [HessianValue] = []
        while try !isEnd() { values.append(try value()) }
        return values
    }

    private mutating func map() throws -> [HessianValue.Pair] {
        try skipType()
        var pairs: [HessianValue.Pair] = []
        while try !isEnd() { pairs.append(HessianValue.Pair(key: try value(), value: try value())) }
        return pairs
    }

    /// Whether a container ends here.
    private mutating func isEnd() throws -> Bool {
        guard position < bytes.count else { throw HessianError(description: "the bytes end too early") }
        guard bytes[position] == 0x7a else { return false }
        position += 1
        return true
    }

    private mutating func classDefinition() throws {
        let name = String(decoding: try take(try count()), as: UTF8.self)
        var fields: [String] = []
        for _ in 0..<(try count()) {
            guard let field = try value().text else { throw HessianError(description: "a field without a name") }
            fields.append(field)
        }
        classes.append((name, fields))
    }

    private mutating func object() throws -> HessianValue {
        let index = try count()
        guard index < classes.count else { throw HessianError(description: "an object of an unknown class") }
        let (name, fields) = classes[index]
        return .object(
            type: name,
            fields: try fields.map { HessianValue.Pair(key: .string($0), value: try value()) })
    }
}

extension HessianValue {
    /// A field of an object.
    func field(_ name: String) -> HessianValue? {
        guard case .object(_, let fields) = self else { return nil }
        return fields.first { $0.key == .string(name) }?.value
    }
}
