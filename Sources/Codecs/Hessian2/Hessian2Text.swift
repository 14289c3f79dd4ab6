import CLinux

extension Hessian2 {
    /// How far ahead of a short text bytes are looked at.
    static let lookahead = 512

    /// Moves past text of `units` UTF-16 units, which is what Hessian lengths count; -1 when it is truncated or wrong.
    ///
    /// Nearly all text is ASCII, where units are bytes. That is checked for many values at once: the bytes from `at` to `plain`
    /// are known to be ASCII. `plain` may lie before `at` and then says nothing.
    @inline(__always)
    static func skipUnits(
        _ units: Int, _ bytes: UnsafePointer<UInt8>, _ at: Int, _ end: Int, _ plain: inout Int
    ) -> Int {
        let next = at &+ units
        return next <= plain ? next : skipUnitsSlowly(units, bytes, at, end, &plain)
    }

    /// The general case, led by first bytes as the Java decoder is, and tolerant of 4-byte sequences (2 units), which it is not.
    @inline(never)
    private static func skipUnitsSlowly(
        _ count: Int, _ bytes: UnsafePointer<UInt8>, _ start: Int, _ end: Int, _ plain: inout Int
    ) -> Int {
        // A unit takes a byte at least.
        if count > end &- start { return -1 }
        let wanted = start &+ count
        let limit = Swift.min(end, Swift.max(wanted, start &+ lookahead))
        plain = asciiEnd(bytes, Swift.max(start, plain), limit, end)
        if wanted <= plain { return wanted }

        var at = plain
        var units = wanted &- plain
        while units > 0 {
            while units >= 32 && end &- at >= 32 && clinux_high_bits_32(bytes + at) == 0 {
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

    /// The first byte at or after `start` that is not ASCII; `limit` or somewhat beyond when there is none before it.
    @inline(__always)
    static func asciiEnd(_ bytes: UnsafePointer<UInt8>, _ start: Int, _ limit: Int, _ end: Int) -> Int {
        var at = start
        let last = Swift.min(limit, end &- 31)
        while at < last {
            let bits = clinux_high_bits_32(bytes + at)
            if bits != 0 { return at &+ bits.trailingZeroBitCount }
            at &+= 32
        }
        if at >= limit { return at }
        if end >= 32 {
            // The last bytes are looked at together with those before them.
            let bits = clinux_high_bits_32(bytes + (end &- 32)) &>> UInt32(truncatingIfNeeded: 32 &- (end &- at))
            return bits == 0 ? end : at &+ bits.trailingZeroBitCount
        }
        while at < limit && bytes[at] < 0x80 { at &+= 1 }
        return at
    }

    /// What stands where a string may stand.
    enum PlainText {
        /// A string in one piece; its text begins here and ends where the value does.
        case text(start: Int)
        /// Another value; the place has not moved.
        case other
        /// A truncated or wrong string, or the end of the bytes.
        case malformed
    }

    /// Moves `at` past a string in one piece. `plain` is as in `skipUnits`.
    @inline(__always)
    static func readPlainText(
        _ bytes: UnsafePointer<UInt8>, _ at: inout Int, _ end: Int, _ plain: inout Int
    ) -> PlainText {
        if at < plain {
            let byte = bytes[at]
            let start = at &+ 1
            let next = start &+ Int(byte)
            if byte < 0x20 && next <= plain {
                at = next
                return .text(start: start)
            }
        }
        let (start, next) = readPlainTextSlowly(bytes, at, end, &plain)
        if next < 0 { return .malformed }
        at = next
        return start < 0 ? .other : .text(start: start)
    }

    /// Where the text begins, negative when it is another value, and where it ends, negative when it is malformed.
    @inline(never)
    private static func readPlainTextSlowly(
        _ bytes: UnsafePointer<UInt8>, _ at: Int, _ end: Int, _ plain: inout Int
    ) -> (start: Int, next: Int) {
        if at >= end { return (-1, -1) }
        let byte = bytes[at]
        if byte < 0x20 { return (at &+ 1, skipUnits(Int(byte), bytes, at &+ 1, end, &plain)) }
        if byte & 0xfc == 0x30 {
            if end &- at < 2 { return (-1, -1) }
            let units = Int(byte & 0x03) << 8 | Int(bytes[at &+ 1])
            return (at &+ 2, skipUnits(units, bytes, at &+ 2, end, &plain))
        }
        return byte == 0x53 ? readPiece(bytes, at, end, &plain) : (-1, at)
    }

    /// A piece of text with a 16-bit length.
    private static func readPiece(
        _ bytes: UnsafePointer<UInt8>, _ at: Int, _ end: Int, _ plain: inout Int
    ) -> (start: Int, next: Int) {
        if end &- at < 3 { return (-1, -1) }
        return (at &+ 3, skipUnits(BigEndian.load16(bytes, at &+ 1), bytes, at &+ 3, end, &plain))
    }

    /// The text of the string at the beginning of `bytes`, the first piece when it is in several; nil when there is none.
    static func firstText(_ bytes: UnsafePointer<UInt8>, _ end: Int) -> ByteRange? {
        var plain = 0
        let isPiece = end > 0 && bytes[0] == firstPiece
        let (start, next) = isPiece ? readPiece(bytes, 0, end, &plain) : readPlainTextSlowly(bytes, 0, end, &plain)
        return start < 0 || next < 0 ? nil : ByteRange(start: start, count: next &- start)
    }

    // MARK: Several pieces

    /// Writes the string in several pieces at `at` as one in one piece, which is never longer, and moves `at` past it.
    ///
    /// - Returns: bytes written; 0 when it is truncated or wrong, or longer than one piece can be.
    static func writeJoined(
        _ bytes: UnsafePointer<UInt8>, _ at: inout Int, _ end: Int, _ out: UnsafeMutablePointer<UInt8>
    ) -> Int {
        let start = at
        guard let units = joinPieces(bytes, &at, end, into: nil), units <= 0xffff else { return 0 }
        let head = writeTextHead(units, out)
        at = start
        let text = out + head
        var size = 0
        _ = joinPieces(bytes, &at, end) { piece, count in
            (text + size).update(from: piece, count: count)
            size &+= count
        }
        return head &+ size
    }

    /// Moves past a string in several pieces, which `into` gets one after the other; returns its length in units.
    private static func joinPieces(
        _ bytes: UnsafePointer<UInt8>, _ at: inout Int, _ end: Int, into take: ((UnsafePointer<UInt8>, Int) -> Void)?
    ) -> Int? {
        var units = 0
        while at < end {
            var plain = at
            let isLast = bytes[at] != firstPiece
            let (start, next) =
                isLast ? readPlainTextSlowly(bytes, at, end, &plain) : readPiece(bytes, at, end, &plain)
            if start < 0 || next < 0 { return nil }
            units &+= pieceUnits(bytes, at)
            take?(bytes + start, next &- start)
            at = next
            if isLast { return units }
        }
        return nil
    }

    /// The length that stands before the piece at `at`.
    private static func pieceUnits(_ bytes: UnsafePointer<UInt8>, _ at: Int) -> Int {
        switch bytes[at] {
        case 0..<0x20: Int(bytes[at])
        case 0x30...0x33: Int(bytes[at] & 0x03) << 8 | Int(bytes[at &+ 1])
        default: BigEndian.load16(bytes, at &+ 1)
        }
    }

    // MARK: Writing

    /// Bytes that `writeText` may need for `count` bytes of UTF-8.
    static func textBound(_ count: Int) -> Int { 3 &+ count &+ count / 2 &+ 1 }

    /// Writes a string value and returns its size.
    ///
    /// `text` is UTF-8 of at most 65535 bytes. Characters outside the BMP become two 3-byte sequences, the only form Java's
    /// decoder takes; bytes that are not UTF-8 become `?`.
    static func writeText(_ text: UnsafePointer<UInt8>, _ count: Int, _ out: UnsafeMutablePointer<UInt8>) -> Int {
        let at = writeTextHead(countUnits(text, count), out)
        return at &+ writeCharacters(text, count, out + at)
    }

    /// Writes text without a length and returns its size, in bytes; see `writeText`.
    static func writeCharacters(
        _ text: UnsafePointer<UInt8>, _ count: Int, _ out: UnsafeMutablePointer<UInt8>
    ) -> Int {
        var at = 0
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

    /// Writes what stands before a text of `units` and returns its size.
    private static func writeTextHead(_ units: Int, _ out: UnsafeMutablePointer<UInt8>) -> Int {
        if units < 32 {
            out[0] = UInt8(truncatingIfNeeded: units)
            return 1
        }
        if units < 1024 {
            out[0] = UInt8(truncatingIfNeeded: 0x30 &+ units >> 8)
            out[1] = UInt8(truncatingIfNeeded: units)
            return 2
        }
        out[0] = 0x53
        BigEndian.store(UInt16(truncatingIfNeeded: units), out, 1)
        return 3
    }

    /// UTF-16 units of a text, as `writeCharacters` writes it.
    static func countUnits(_ text: UnsafePointer<UInt8>, _ count: Int) -> Int {
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
