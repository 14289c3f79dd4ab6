/// Reads Hessian 2 values one after the other.
struct HessianReader {
    private let bytes: [UInt8]
    /// The next byte.
    private(set) var position = 0
    private var classes: [(name: String, fields: [String])] = []
    private var types: [String] = []
    private var depth = 0

    init(_ bytes: [UInt8], position: Int = 0) {
        self.bytes = bytes
        self.position = position
    }

    var isAtEnd: Bool { position >= bytes.count }

    /// A string, or null as an empty one.
    mutating func string() throws -> String {
        switch try value() {
        case .string(let text): return text
        case .null: return ""
        default: throw HessianError(description: "a string was expected before byte \(position)")
        }
    }

    mutating func value() throws -> HessianValue {
        depth += 1
        defer { depth -= 1 }
        if depth > 200 { throw HessianError(description: "nested too deeply") }
        let code = try byte()
        switch code {
        case 0x00...0x1f, 0x30...0x33, 0x52, 0x53: return .string(try text(code))
        case 0x20...0x2f, 0x34...0x37, 0x41, 0x42: return .binary(try binary(code))
        case 0x43:
            try classDefinition()
            return try value()
        case 0x46: return .bool(false)
        case 0x54: return .bool(true)
        case 0x48: return .map(try pairs())
        case 0x4d:
            _ = try type()
            return .map(try pairs())
        case 0x4a: return .date(try integer(8))
        case 0x4b: return .date(try integer(4) * 60_000)
        case 0x4e: return .null
        case 0x4f, 0x60...0x6f: return try object(code)
        case 0x51: return .reference(try count())
        case 0x55...0x58, 0x70...0x7f: return .list(try list(code))
        default: return try number(code)
        }
    }

    // MARK: Numbers

    private mutating func number(_ code: UInt8) throws -> HessianValue {
        switch code {
        case 0x80...0xbf: return .int(Int32(code) - 0x90)
        case 0xc0...0xcf: return .int((Int32(code) - 0xc8) << 8 + Int32(try byte()))
        case 0xd0...0xd7: return .int((Int32(code) - 0xd4) << 16 + Int32(try unsigned(2)))
        case 0x49: return .int(Int32(try integer(4)))
        case 0xd8...0xef: return .long(Int64(code) - 0xe0)
        case 0xf0...0xff: return .long((Int64(code) - 0xf8) << 8 + Int64(try byte()))
        case 0x38...0x3f: return .long((Int64(code) - 0x3c) << 16 + Int64(try unsigned(2)))
        case 0x59: return .long(try integer(4))
        case 0x4c: return .long(try integer(8))
        case 0x5b: return .double(0)
        case 0x5c: return .double(1)
        case 0x5d: return .double(Double(try integer(1)))
        case 0x5e: return .double(Double(try integer(2)))
        case 0x5f: return .double(Double(try integer(4)) * 0.001)
        case 0x44: return .double(Double(bitPattern: UInt64(bitPattern: try integer(8))))
        default: throw HessianError(description: "code \(code) at byte \(position - 1)")
        }
    }

    private mutating func byte() throws -> UInt8 {
        guard position < bytes.count else { throw HessianError(description: "cut off at byte \(position)") }
        position += 1
        return bytes[position - 1]
    }

    private mutating func unsigned(_ size: Int) throws -> Int {
        var result = 0
        for _ in 0..<size { result = result << 8 | Int(try byte()) }
        return result
    }

    private mutating func integer(_ size: Int) throws -> Int64 {
        var result: UInt64 = 0
        for _ in 0..<size { result = result << 8 | UInt64(try byte()) }
        let shift = UInt64(64 - 8 * size)
        return Int64(bitPattern: result << shift) >> Int64(shift)
    }

    /// An int that counts or numbers something: not negative, and not more than bytes could hold.
    private mutating func count() throws -> Int {
        guard case .int(let value) = try value(), value >= 0, Int(value) <= bytes.count else {
            throw HessianError(description: "a bad count before byte \(position)")
        }
        return Int(value)
    }

    // MARK: Strings and binaries

    private mutating func text(_ first: UInt8) throws -> String {
        var units: [UInt16] = []
        var code = first
        while true {
            switch code {
            case 0x00...0x1f: try characters(Int(code), into: &units)
            case 0x30...0x33: try characters(Int(code - 0x30) << 8 + Int(try byte()), into: &units)
            case 0x53: try characters(try unsigned(2), into: &units)
            case 0x52:
                try characters(try unsigned(2), into: &units)
                code = try byte()
                continue
            default: throw HessianError(description: "code \(code) in a string at byte \(position - 1)")
            }
            return String(decoding: units, as: UTF16.self)
        }
    }

    /// UTF-16 units in one to three bytes each: a character beyond them is a pair of surrogates.
    private mutating func characters(_ count: Int, into units: inout [UInt16]) throws {
        for _ in 0..<count {
            let lead = UInt16(try byte())
            switch lead {
            case 0x00...0x7f: units.append(lead)
            case 0xc0...0xdf: units.append((lead & 0x1f) << 6 | UInt16(try byte()) & 0x3f)
            case 0xe0...0xef:
                let middle = UInt16(try byte()) & 0x3f
                units.append(lead << 12 | middle << 6 | UInt16(try byte()) & 0x3f)
            default: throw HessianError(description: "bad character at byte \(position - 1)")
            }
        }
    }

    private mutating func binary(_ first: UInt8) throws -> [UInt8] {
        var result: [UInt8] = []
        var code = first
        while true {
            let size: Int
            switch code {
            case 0x20...0x2f: size = Int(code - 0x20)
            case 0x34...0x37: size = Int(code - 0x34) << 8 + Int(try byte())
            case 0x41, 0x42: size = try unsigned(2)
            default: throw HessianError(description: "code \(code) in a binary at byte \(position - 1)")
            }
            guard size <= bytes.count - position else { throw HessianError(description: "a binary is cut off") }
            result += bytes[position..<position + size]
            position += size
            if code != 0x41 { return result }
            code = try byte()
        }
    }

    // MARK: Containers

    private mutating func type() throws -> String {
        switch try value() {
        case .string(let name):
            types.append(name)
            return name
        case .int(let index) where index >= 0 && Int(index) < types.count: return types[Int(index)]
        default: throw HessianError(description: "a bad type before byte \(position)")
        }
    }

    private mutating func endFollows() throws -> Bool {
        guard position < bytes.count else { throw HessianError(description: "a container is cut off") }
        if bytes[position] != 0x5a { return false }
        position += 1
        return true
    }

    private mutating func pairs() throws -> [HessianValue.Pair] {
        var result: [HessianValue.Pair] = []
        while try !endFollows() { result.append(HessianValue.Pair(key: try value(), value: try value())) }
        return result
    }

    private mutating func list(_ code: UInt8) throws -> [HessianValue] {
        var size: Int?
        switch code {
        case 0x55: _ = try type()
        case 0x56:
            _ = try type()
            size = try count()
        case 0x57: break
        case 0x58: size = try count()
        case 0x70...0x77:
            _ = try type()
            size = Int(code - 0x70)
        default: size = Int(code - 0x78)
        }
        var result: [HessianValue] = []
        if let size {
            for _ in 0..<size { result.append(try value()) }
        } else {
            while try !endFollows() { result.append(try value()) }
        }
        return result
    }

    private mutating func classDefinition() throws {
        let name = try string()
        var fields: [String] = []
        for _ in 0..<(try count()) { fields.append(try string()) }
        classes.append((name, fields))
    }

    private mutating func object(_ code: UInt8) throws -> HessianValue {
        let index = code == 0x4f ? try count() : Int(code - 0x60)
        guard index < classes.count else { throw HessianError(description: "unknown class before byte \(position)") }
        let (name, fields) = classes[index]
        var result: [HessianValue.Pair] = []
        for field in fields { result.append(HessianValue.Pair(key: .string(field), value: try value())) }
        return .object(type: name, fields: result)
    }
}
