extension Hessian2 {
    private static let highBits: UInt64 = 0x8080_8080_8080_8080

    /// Moves past text of `units` UTF-16 units, which is what Hessian lengths count; -1 when it is truncated or wrong.
    ///
    /// Nearly all text is ASCII, where units are bytes: that is checked eight bytes at a time.
    @inline(__always)
    static func skipUnits(_ units: Int, _ bytes: UnsafePointer<UInt8>, _ at: Int, _ end: Int) -> Int {
        // A unit takes a byte at least.
        let room = end &- at
        if units > room { return -1 }
        if units < 8 {
            if room >= 8 {
                let mask = highBits & ((1 &<< UInt64(truncatingIfNeeded: units &* 8)) &- 1)
                if BigEndian.word(bytes, at) & mask == 0 { return at &+ units }
            }
        } else if units <= 64 {
            var bits = BigEndian.word(bytes, at &+ units &- 8)
            var offset = 0
            while offset < units &- 8 {
                bits |= BigEndian.word(bytes, at &+ offset)
                offset &+= 8
            }
            if bits & highBits == 0 { return at &+ units }
        }
        return skipUnitsSlowly(units, bytes, at, end)
    }

    /// The general case, led by first bytes as the Java decoder is, and tolerant of 4-byte sequences (2 units), which it is not.
    @inline(never)
    private static func skipUnitsSlowly(_ units: Int, _ bytes: UnsafePointer<UInt8>, _ start: Int, _ end: Int) -> Int {
        var at = start
        var units = units
        while units > 0 {
            while units >= 32 && end &- at >= 32 {
                let bits =
                    (BigEndian.word(bytes, at) | BigEndian.word(bytes, at &+ 8))
                    | (BigEndian.word(bytes, at &+ 16) | BigEndian.word(bytes, at &+ 24))
                if bits & highBits != 0 { break }
                at &+= 32
                units &-= 32
            }
            // Some characters one by one, then try again.
            var turns = 32
            while units > 0 && turns > 0 {
                turns &-= 1
                if at >= end { return -1 }
                let byte = bytes[at]
                units &-= 1
                if byte < 0x80 {
                    at &+= 1
                } else if byte >= 0xe0 && byte < 0xf0 {
                    at &+= 3
                } else if byte >= 0xc0 && byte < 0xe0 {
                    at &+= 2
                } else if byte >= 0xf0 && byte < 0xf8 {
                    if units == 0 { return -1 }
                    at &+= 4
                    units &-= 1
                } else {
                    return -1
                }
            }
        }
        return at > end ? -1 : at
    }

    /// Where a plain string value ends and its text begins.
    ///
    /// `textStart` is -1 when the value is not a string in one piece (`at` has not moved), -2 when it is truncated or wrong.
    @inline(__always)
    static func readPlainText(_ bytes: UnsafePointer<UInt8>, _ at: inout Int, _ end: Int) -> Int {
        if at >= end { return -2 }
        let byte = bytes[at]
        let start: Int
        let next: Int
        if byte < 0x20 {
            start = at &+ 1
            next = skipUnits(Int(byte), bytes, start, end)
        } else {
            let (offset, units) = longTextHead(byte, bytes, at, end)
            if offset < 0 { return offset }
            start = at &+ offset
            next = skipUnits(units, bytes, start, end)
        }
        if next < 0 { return -2 }
        at = next
        return start
    }

    /// Size of the head and units of a string of 32 or more; (-1, 0) for another value, (-2, 0) for a truncated one.
    @inline(never)
    private static func longTextHead(
        _ byte: UInt8, _ bytes: UnsafePointer<UInt8>, _ at: Int, _ end: Int, piecesCode pieces: UInt8 = 0x53
    ) -> (Int, Int) {
        if byte >= 0x30 && byte <= 0x33 {
            if end &- at < 2 { return (-2, 0) }
            return (2, (Int(byte) &- 0x30) << 8 | Int(bytes[at &+ 1]))
        }
        if byte == 0x53 || byte == pieces {
            if end &- at < 3 { return (-2, 0) }
            return (3, BigEndian.load16(bytes, at &+ 1))
        }
        return (-1, 0)
    }

    /// As `readPlainText`, but reads the first piece of a string in several.
    static func readFirstPiece(_ bytes: UnsafePointer<UInt8>, _ at: inout Int, _ end: Int) -> Int {
        if at >= end { return -2 }
        if bytes[at] != 0x52 { return readPlainText(bytes, &at, end) }
        let (offset, units) = longTextHead(0x52, bytes, at, end, piecesCode: 0x52)
        if offset < 0 { return offset }
        let start = at &+ offset
        let next = skipUnits(units, bytes, start, end)
        if next < 0 { return -2 }
        at = next
        return start
    }

    // MARK: Writing

    /// Bytes that `writeText` may need for `count` bytes of UTF-8.
    static func textBound(_ count: Int) -> Int { 3 &+ count &+ count / 2 &+ 1 }

    /// Writes a string value and returns its size.
    ///
    /// `text` is UTF-8 of at most 65535 bytes. Characters outside the BMP become two 3-byte sequences, the only form Java's
    /// decoder takes; bytes that are not UTF-8 become `?`.
    static func writeText(_ text: UnsafePointer<UInt8>, _ count: Int, _ out: UnsafeMutablePointer<UInt8>) -> Int {
        let units = countUnits(text, count)
        var at: Int
        if units < 32 {
            out[0] = UInt8(truncatingIfNeeded: units)
            at = 1
        } else if units < 1024 {
            out[0] = UInt8(truncatingIfNeeded: 0x30 &+ units >> 8)
            out[1] = UInt8(truncatingIfNeeded: units)
            at = 2
        } else {
            out[0] = 0x53
            BigEndian.store(UInt16(truncatingIfNeeded: units), out, 1)
            at = 3
        }
        var from = 0
        while from < count {
            let length = sequenceLength(text, from, count)
            switch length {
            case 0:
                out[at] = 0x3f
                at &+= 1
                from &+= 1
            case 4:
                writeSurrogates(text, from, out, at)
                at &+= 6
                from &+= 4
            default:
                for offset in 0..<length { out[at &+ offset] = text[from &+ offset] }
                at &+= length
                from &+= length
            }
        }
        return at
    }

    private static func countUnits(_ text: UnsafePointer<UInt8>, _ count: Int) -> Int {
        var units = 0
        var from = 0
        while from < count {
            let length = sequenceLength(text, from, count)
            units &+= length == 4 ? 2 : 1
            from &+= length == 0 ? 1 : length
        }
        return units
    }

    /// Bytes of the UTF-8 (or CESU-8) sequence at `at`; 0 when it is not one.
    static func sequenceLength(_ text: UnsafePointer<UInt8>, _ at: Int, _ count: Int) -> Int {
        let length: Int
        switch text[at] {
        case 0..<0x80: return 1
        case 0xc2..<0xe0: length = 2
        case 0xe0..<0xf0: length = 3
        case 0xf0..<0xf5: length = 4
        default: return 0
        }
        if count &- at < length { return 0 }
        for offset in 1..<length where text[at &+ offset] & 0xc0 != 0x80 { return 0 }
        // Four bytes can hold more, and less, than U+10000 ... U+10FFFF.
        if text[at] == 0xf0 && text[at &+ 1] < 0x90 || text[at] == 0xf4 && text[at &+ 1] >= 0x90 { return 0 }
        return length
    }

    private static func writeSurrogates(
        _ text: UnsafePointer<UInt8>, _ from: Int, _ out: UnsafeMutablePointer<UInt8>, _ at: Int
    ) {
        let scalar =
            UInt32(text[from] & 0x07) << 18 | UInt32(text[from &+ 1] & 0x3f) << 12
            | UInt32(text[from &+ 2] & 0x3f) << 6 | UInt32(text[from &+ 3] & 0x3f)
        let offset = scalar &- 0x10000
        let pair = (0xd800 &+ (offset >> 10) & 0x3ff, 0xdc00 &+ offset & 0x3ff)
        for (place, unit) in [(at, pair.0), (at &+ 3, pair.1)] {
            out[place] = UInt8(truncatingIfNeeded: 0xe0 | unit >> 12)
            out[place &+ 1] = UInt8(truncatingIfNeeded: 0x80 | unit >> 6 & 0x3f)
            out[place &+ 2] = UInt8(truncatingIfNeeded: 0x80 | unit & 0x3f)
        }
    }

    /// Writes an int in its shortest form and returns its size, at most 5.
    static func writeInt(_ value: Int32, _ out: UnsafeMutablePointer<UInt8>) -> Int {
        if value >= -16 && value <= 47 {
            out[0] = UInt8(truncatingIfNeeded: 0x90 &+ value)
            return 1
        }
        out[0] = 0x49
        BigEndian.store(value, out, 1)
        return 5
    }
}
