/// Writes values as SOFA RPC does; see `SofaReader`.
struct SofaWriter {
    private(set) var bytes: [UInt8] = []
    private var classes = 0

    /// A string in chunks of at most 32768 units, none of which splits a pair of surrogates.
    mutating func write(_ text: String) {
        var rest = Array(text.utf16)[...]
        while rest.count > 0x8000 {
            let splitsPair = UTF16.isLeadSurrogate(rest[rest.startIndex + 0x7fff])
            write(chunk: rest.prefix(splitsPair ? 0x7fff : 0x8000), code: 0x73)
            rest = rest.dropFirst(splitsPair ? 0x7fff : 0x8000)
        }
        if rest.count <= 0x1f {
            bytes.append(UInt8(rest.count))
            write(units: rest)
        } else {
            write(chunk: rest, code: 0x53)
        }
    }

    mutating func writeNull() { bytes.append(0x4e) }

    mutating func write(_ flag: Bool) { bytes.append(flag ? 0x54 : 0x46) }

    mutating func write(_ map: [(key: String, value: String)]) {
        bytes.append(0x4d)
        for (key, value) in map {
            write(key)
            write(value)
        }
        bytes.append(0x7a)
    }

    /// A list of strings, as Java's arrays are written.
    mutating func write(array texts: [String]) {
        bytes += [0x56, 0x74, 0, 7] + Array("[string".utf8) + [0x6e, UInt8(texts.count)]
        for text in texts { write(text) }
        bytes.append(0x7a)
    }

    /// Defines a class of which an object begins; its fields follow.
    mutating func begin(_ name: String, _ fields: [String]) {
        bytes.append(0x4f)
        write(count: name.utf8.count)
        bytes += name.utf8
        write(count: fields.count)
        for field in fields { write(field) }
        bytes.append(0x6f)
        write(count: classes)
        classes += 1
    }

    /// Up to 2047.
    private mutating func write(count: Int) {
        bytes += count < 48 ? [UInt8(0x90 + count)] : [UInt8(0xc8 + count >> 8), UInt8(count & 0xff)]
    }

    private mutating func write(chunk: ArraySlice<UInt16>, code: UInt8) {
        bytes += [code, UInt8(chunk.count >> 8), UInt8(chunk.count & 0xff)]
        write(units: chunk)
    }

    private mutating func write(units: ArraySlice<UInt16>) {
        for unit in units {
            switch unit {
            case 0x00...0x7f: bytes.append(UInt8(unit))
            case 0x80...0x7ff: bytes += [0xc0 | UInt8(unit >> 6), 0x80 | UInt8(unit & 0x3f)]
            default:
                bytes += [0xe0 | UInt8(unit >> 12), 0x80 | UInt8(unit >> 6 & 0x3f), 0x80 | UInt8(unit & 0x3f)]
            }
        }
    }
}
