// The content of texts and binary values that a reader has checked.
extension Hessian2 {
    /// The text of the string value at `start`, in whatever pieces it is written.
    static func text(_ bytes: [UInt8], _ start: Int) -> String {
        var decoder = UnitDecoder()
        var at = start
        var isLast = false
        while !isLast {
            let (units, from) = textPiece(bytes, &at, &isLast)
            at = from
            if decoder.isIdle, let end = plainEnd(bytes, from, units) {
                decoder.output += bytes[from..<end]
                at = end
            } else {
                decoder.take(units, bytes, &at)
            }
        }
        return decoder.finish()
    }

    /// The content of the binary value at `start`.
    static func binary(_ bytes: [UInt8], _ start: Int) -> [UInt8] {
        var content: [UInt8] = []
        var at = start
        while true {
            let code = bytes[at]
            let count: Int
            switch code {
            case 0x20...0x2f: (count, at) = (Int(code) - 0x20, at + 1)
            case 0x34...0x37: (count, at) = ((Int(code) - 0x34) << 8 | Int(bytes[at + 1]), at + 2)
            default: (count, at) = (Int(bytes[at + 1]) << 8 | Int(bytes[at + 2]), at + 3)
            }
            content += bytes[at..<at + count]
            at += count
            if code != 0x41 { return content }
        }
    }

    /// Whether every character of the string value between `start` and `end` is well formed.
    static func isText(_ bytes: [UInt8], _ start: Int, _ end: Int) -> Bool {
        var at = start
        var isLast = false
        while !isLast {
            let (units, from) = textPiece(bytes, &at, &isLast)
            at = from
            if let next = plainEnd(bytes, from, units) {
                at = next
                continue
            }
            var left = units
            while left > 0 {
                guard let character = UnitDecoder.character(bytes, at, end) else { return false }
                at += character.length
                left -= character.units
            }
        }
        return true
    }

    /// Length and place of the text in the piece at `at`.
    private static func textPiece(_ bytes: [UInt8], _ at: inout Int, _ isLast: inout Bool) -> (units: Int, from: Int) {
        let code = bytes[at]
        isLast = code != 0x52
        switch code {
        case 0x00...0x1f: return (Int(code), at + 1)
        case 0x30...0x33: return (Int(code - 0x30) << 8 | Int(bytes[at + 1]), at + 2)
        default: return (Int(bytes[at + 1]) << 8 | Int(bytes[at + 2]), at + 3)
        }
    }

    /// Where the text ends when it is ASCII, of which a unit takes a byte.
    private static func plainEnd(_ bytes: [UInt8], _ from: Int, _ units: Int) -> Int? {
        guard from + units <= bytes.count else { return nil }
        for index in from..<from + units where bytes[index] >= 0x80 { return nil }
        return from + units
    }
}

/// Turns UTF-16 units, each written as one to three bytes, into UTF-8.
private struct UnitDecoder {
    var output: [UInt8] = []
    /// The first half of a character whose second half has not come yet.
    private var half: UInt32?

    /// No half of a character waits.
    var isIdle: Bool { half == nil }

    /// Takes text of so many units that is known to be well formed.
    mutating func take(_ count: Int, _ bytes: [UInt8], _ at: inout Int) {
        var left = count
        while left > 0, let character = Self.character(bytes, at, bytes.count) {
            at += character.length
            left -= character.units
            take(character.value)
        }
    }

    mutating func finish() -> String {
        if half != nil { append(0xfffd) }
        half = nil
        return String(decoding: output, as: UTF8.self)
    }

    private mutating func take(_ unit: UInt32) {
        if let first = half {
            half = nil
            if 0xdc00...0xdfff ~= unit { return append(0x10000 + (first - 0xd800) << 10 + (unit - 0xdc00)) }
            append(0xfffd)
        }
        switch unit {
        case 0xd800...0xdbff: half = unit
        case 0xdc00...0xdfff: append(0xfffd)
        default: append(unit)
        }
    }

    private mutating func append(_ value: UInt32) {
        if value < 0x80 { return output.append(UInt8(value)) }
        // Not a half: `take` has joined those.
        output += Array(String(Character(Unicode.Scalar(value) ?? "\u{fffd}")).utf8)
    }

    /// The unit at `at`, or the two of a sequence of four bytes, which some write; nil where there is none.
    static func character(_ bytes: [UInt8], _ at: Int, _ end: Int) -> (value: UInt32, length: Int, units: Int)? {
        guard at < end else { return nil }
        let lead = bytes[at]
        let (length, mask): (Int, UInt8) =
            switch lead {
            case 0..<0x80: (1, 0x7f)
            case 0xc0..<0xe0: (2, 0x1f)
            case 0xe0..<0xf0: (3, 0x0f)
            case 0xf0..<0xf8: (4, 0x07)
            default: (0, 0)
            }
        guard length > 0, length <= end - at else { return nil }
        var value = UInt32(lead & mask)
        for index in at + 1..<at + length {
            guard bytes[index] & 0xc0 == 0x80 else { return nil }
            value = value << 6 | UInt32(bytes[index] & 0x3f)
        }
        guard length < 4 || 0x10000...0x10ffff ~= value else { return nil }
        return (value, length, length == 4 ? 2 : 1)
    }
}
