/// Writes Hessian 2 values one after the other, as Java's writer does.
struct HessianWriter {
    private(set) var bytes: [UInt8] = []
    private var classCount = 0

    mutating func write(_ value: HessianValue) {
        switch value {
        case .null: bytes.append(0x4e)
        case .bool(let flag): bytes.append(flag ? 0x54 : 0x46)
        case .int(let number): write(int: number)
        case .long(let number): write(long: number)
        case .double(let number):
            bytes.append(0x44)
            append(number.bitPattern, size: 8)
        case .date(let milliseconds):
            bytes.append(0x4a)
            append(UInt64(bitPattern: milliseconds), size: 8)
        case .string(let text): write(text)
        case .binary(let content): write(binary: content)
        case .list(let values):
            if values.count < 8 {
                bytes.append(0x78 + UInt8(values.count))
            } else {
                bytes.append(0x58)
                write(int: Int32(clamping: values.count))
            }
            for value in values { write(value) }
        case .map(let pairs):
            bytes.append(0x48)
            for pair in pairs {
                write(pair.key)
                write(pair.value)
            }
            bytes.append(0x5a)
        case .object(let type, let fields): write(object: type, fields)
        case .reference(let number):
            bytes.append(0x51)
            write(int: Int32(clamping: number))
        }
    }

    /// A string in chunks of at most 32768 units, none of which splits a pair of surrogates.
    mutating func write(_ text: String) {
        var rest = Array(text.utf16)[...]
        while rest.count > 0x8000 {
            let splitsPair = UTF16.isLeadSurrogate(rest[rest.startIndex + 0x7fff])
            let chunk = rest.prefix(splitsPair ? 0x7fff : 0x8000)
            bytes.append(0x52)
            append(UInt64(chunk.count), size: 2)
            write(units: chunk)
            rest = rest.dropFirst(chunk.count)
        }
        switch rest.count {
        case 0...0x1f: bytes.append(UInt8(rest.count))
        case 0x20...0x3ff: bytes += [0x30 + UInt8(rest.count >> 8), UInt8(rest.count & 0xff)]
        default:
            bytes.append(0x53)
            append(UInt64(rest.count), size: 2)
        }
        write(units: rest)
    }

    /// A map of strings, sorted by key.
    mutating func write(_ strings: [String: String]) {
        let pairs = strings.sorted { $0.key < $1.key }
        write(.map(pairs.map { HessianValue.Pair(key: .string($0.key), value: .string($0.value)) }))
    }

    /// Adds bytes that are written already.
    mutating func append(written: some Sequence<UInt8>) { bytes += written }

    private mutating func write(units: ArraySlice<UInt16>) {
        for unit in units {
            switch unit {
            case 0..<0x80: bytes.append(UInt8(unit))
            case 0x80..<0x800: bytes += [0xc0 | UInt8(unit >> 6), 0x80 | UInt8(unit & 0x3f)]
            default:
                bytes += [0xe0 | UInt8(unit >> 12), 0x80 | UInt8(unit >> 6 & 0x3f), 0x80 | UInt8(unit & 0x3f)]
            }
        }
    }

    private mutating func write(int number: Int32) {
        switch number {
        case -0x10...0x2f: bytes.append(UInt8(0x90 + number))
        case -0x800...0x7ff: bytes += [UInt8(0xc8 + number >> 8), UInt8(truncatingIfNeeded: number)]
        case -0x40000...0x3ffff:
            bytes.append(UInt8(0xd4 + number >> 16))
            append(UInt64(truncatingIfNeeded: number), size: 2)
        default:
            bytes.append(0x49)
            append(UInt64(truncatingIfNeeded: number), size: 4)
        }
    }

    private mutating func write(long number: Int64) {
        switch number {
        case -8...15: bytes.append(UInt8(0xe0 + number))
        case -0x800...0x7ff: bytes += [UInt8(0xf8 + number >> 8), UInt8(truncatingIfNeeded: number)]
        case -0x40000...0x3ffff:
            bytes.append(UInt8(0x3c + number >> 16))
            append(UInt64(truncatingIfNeeded: number), size: 2)
        case Int64(Int32.min)...Int64(Int32.max):
            bytes.append(0x59)
            append(UInt64(truncatingIfNeeded: number), size: 4)
        default:
            bytes.append(0x4c)
            append(UInt64(bitPattern: number), size: 8)
        }
    }

    private mutating func write(binary content: [UInt8]) {
        var rest = content[...]
        while rest.count > 0xffff {
            bytes += [0x41, 0xff, 0xff]
            bytes += rest.prefix(0xffff)
            rest = rest.dropFirst(0xffff)
        }
        if rest.count < 16 {
            bytes.append(0x20 + UInt8(rest.count))
        } else {
            bytes.append(0x42)
            append(UInt64(rest.count), size: 2)
        }
        bytes += rest
    }

    /// An object, with a class definition of its own.
    private mutating func write(object type: String, _ fields: [HessianValue.Pair]) {
        bytes.append(0x43)
        write(type)
        write(int: Int32(clamping: fields.count))
        for field in fields { write(field.key) }
        if classCount < 16 {
            bytes.append(0x60 + UInt8(classCount))
        } else {
            bytes.append(0x4f)
            write(int: Int32(clamping: classCount))
        }
        classCount += 1
        for field in fields { write(field.value) }
    }

    private mutating func append(_ value: UInt64, size: Int) {
        for index in (0..<size).reversed() { bytes.append(UInt8(truncatingIfNeeded: value >> UInt64(8 * index))) }
    }
}
