// Longest input: 512
import Codecs

/// Used from input to input, as a worker does: nothing of one may be seen in the next.
nonisolated(unsafe) private var scratch = Hessian2.Scratch()

/// Skips a Hessian2 value in two ways: as the codec does, and by a plain recursive reader. Both must agree.
@_cdecl("LLVMFuzzerTestOneInput")
public func fuzz(_ input: UnsafePointer<UInt8>, _ count: Int) -> Int32 {
    scratch.beginMessage()
    var at = 0
    let skipped = Hessian2.skipValue(input, count: count, at: &at, &scratch)
    require(skipped ? at > 0 && at <= count : at == 0, "went too far")
    var reader = Reader(bytes: UnsafeBufferPointer(start: input, count: count))
    do {
        try reader.value()
        require(skipped && at == reader.at, "a right value was refused, or ends elsewhere")
    } catch {
        require(!skipped, "a wrong value was taken")
    }
    return 0
}

private struct Wrong: Error {}

/// The rules of the Hessian 2 specification and of the Java reader, written down once more without regard to speed.
private struct Reader {
    let bytes: UnsafeBufferPointer<UInt8>
    var at = 0
    var classes: [Int] = []

    mutating func byte() throws -> Int {
        guard at < bytes.count else { throw Wrong() }
        defer { at += 1 }
        return Int(bytes[at])
    }

    mutating func number(_ size: Int) throws -> Int {
        var value = 0
        for _ in 0..<size { value = value << 8 | (try byte()) }
        return value
    }

    mutating func skip(_ count: Int) throws {
        guard count <= bytes.count - at else { throw Wrong() }
        at += count
    }

    mutating func value() throws { try value(code: byte()) }

    mutating func value(code: Int) throws {
        switch code {
        case 0x00...0x1f, 0x30...0x33, 0x52, 0x53: try text(code)
        case 0x20...0x2f, 0x34...0x37, 0x41, 0x42: try binary(code)
        case 0x38...0x3f, 0x5e, 0xd0...0xd7: try skip(2)
        case 0x43: try classDefinition()
        case 0x44, 0x4a, 0x4c: try skip(8)
        case 0x46, 0x4e, 0x54, 0x5b, 0x5c, 0x80...0xbf, 0xd8...0xef: break
        case 0x48: try entries()
        case 0x49, 0x4b, 0x59, 0x5f: try skip(4)
        case 0x4d:
            try type()
            try entries()
        case 0x4f: try object(count())
        case 0x51: _ = try count()
        case 0x55:
            try type()
            while try !isEnd() { try value() }
        case 0x56:
            try type()
            try values(count())
        case 0x57: while try !isEnd() { try value() }
        case 0x58: try values(count())
        case 0x5d, 0xc0...0xcf, 0xf0...0xff: try skip(1)
        case 0x60...0x6f: try object(code - 0x60)
        case 0x70...0x77:
            try type()
            try values(code - 0x70)
        case 0x78...0x7f: try values(code - 0x78)
        default: throw Wrong()
        }
    }

    mutating func isEnd() throws -> Bool {
        guard at < bytes.count else { throw Wrong() }
        guard bytes[at] == 0x5a else { return false }
        at += 1
        return true
    }

    mutating func entries() throws {
        while try !isEnd() {
            try value()
            try value()
        }
    }

    mutating func values(_ count: Int) throws {
        guard count <= bytes.count - at else { throw Wrong() }
        for _ in 0..<count { try value() }
    }

    mutating func object(_ index: Int) throws {
        guard index < classes.count else { throw Wrong() }
        try values(classes[index])
    }

    mutating func classDefinition() throws {
        try text(byte())
        let fields = try count()
        for _ in 0..<fields { try text(byte()) }
        classes.append(fields)
        try value()
    }

    mutating func count() throws -> Int {
        let code = try byte()
        let value =
            switch code {
            case 0x80...0xbf: code - 0x90
            case 0xc0...0xcf: (code - 0xc8) << 8 + (try number(1))
            case 0xd0...0xd7: (code - 0xd4) << 16 + (try number(2))
            case 0x49: Int(Int32(truncatingIfNeeded: try number(4)))
            default: -1
            }
        guard value >= 0 else { throw Wrong() }
        return value
    }

    mutating func type() throws {
        guard at < bytes.count else { throw Wrong() }
        switch bytes[at] {
        case 0x00...0x1f, 0x30...0x33, 0x52, 0x53: try text(byte())
        default: _ = try count()
        }
    }

    mutating func text(_ code: Int) throws {
        switch code {
        case 0x00...0x1f: try characters(code)
        case 0x30...0x33: try characters((code - 0x30) << 8 + number(1))
        case 0x53: try characters(number(2))
        case 0x52:
            try characters(number(2))
            try text(byte())
        default: throw Wrong()
        }
    }

    mutating func characters(_ units: Int) throws {
        var units = units
        while units > 0 {
            units -= 1
            switch try byte() {
            case 0x00...0x7f: break
            case 0xc0...0xdf: try skip(1)
            case 0xe0...0xef: try skip(2)
            case 0xf0...0xf7 where units > 0:
                units -= 1
                try skip(3)
            default: throw Wrong()
            }
        }
    }

    mutating func binary(_ code: Int) throws {
        switch code {
        case 0x20...0x2f: try skip(code - 0x20)
        case 0x34...0x37: try skip((code - 0x34) << 8 + number(1))
        case 0x42: try skip(number(2))
        case 0x41:
            try skip(number(2))
            try binary(byte())
        default: throw Wrong()
        }
    }
}
