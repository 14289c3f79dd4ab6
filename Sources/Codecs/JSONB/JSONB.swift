/// JSONB, the binary JSON of fastjson2: strings, numbers and skipping of values without building them.
///
/// Not to be confused with PostgreSQL's. Codes follow `com.alibaba.fastjson2.JSONB.Constants`.
enum JSONB {
    static let objectEnd: UInt8 = 0xa5
    static let object: UInt8 = 0xa6
    static let typed: UInt8 = 0x92
    static let null: UInt8 = 0xaf
    static let symbol: UInt8 = 0x7f

    // What is still to come in the container being read: a number of values, or one of these.
    private static let objectKey: Int32 = -2
    private static let objectValue: Int32 = -3

    /// Skips one value and returns the place after it, or -1 when it is truncated, of an unknown code or nested too deep.
    ///
    /// - Parameters:
    ///   - stack: Memory for `depth` levels.
    static func skip(
        _ bytes: UnsafePointer<UInt8>, _ start: Int, _ end: Int, _ stack: UnsafeMutablePointer<Int32>, depth limit: Int
    ) -> Int {
        var at = start
        var depth = 0
        var pending: Int32 = 1
        while true {
            let before = pending
            if pending > 0 {
                pending &-= 1
            } else if pending == 0 {
                if depth == 0 { return at }
                depth &-= 1
                pending = stack[depth]
                continue
            }
            if at >= end { return -1 }
            if before < 0 {
                if bytes[at] == objectEnd {
                    if before == objectValue { return -1 }
                    at &+= 1
                    depth &-= 1
                    pending = stack[depth]
                    continue
                }
                pending = objectKey &+ objectValue &- before
            }
            let content = skipHead(bytes, &at, end)
            if content == wrong { return -1 }
            if content == 0 { continue }
            if Int(content) > end &- at || depth == limit { return -1 }
            stack[depth] = pending
            depth &+= 1
            pending = content
        }
    }

    private static let wrong = Int32.min

    /// Moves past a value, or past the beginning of one that holds others; returns how many those are, `objectKey` for an
    /// object, or `wrong`.
    private static func skipHead(_ bytes: UnsafePointer<UInt8>, _ at: inout Int, _ end: Int) -> Int32 {
        let code = bytes[at]
        at &+= 1
        var size = 0
        var content: Int32 = 0
        switch code {
        case 0x00...0x2f, 0xd8...0xff, 0xaf...0xb3: break  // small int and long, null, false, true, 0.0, 1.0
        case 0x30...0x3f, 0xc8...0xd7, 0xbd: size = 1  // int, long, byte
        case 0x40...0x47, 0xc0...0xc7, 0xbc: size = 2  // int, long, short
        case 0x48, 0xa9, 0xac, 0xad, 0xb7, 0xbf: size = 4  // int, date, seconds, minutes, float, long
        case 0xab, 0xb5, 0xbe: size = 8  // milliseconds, double, long
        case 0x49...0x78: size = Int(code) &- 0x49  // Latin-1
        case 0x79...0x7e, 0x91, 0xbb:  // longer strings, binary, big integer
            size = readLength(bytes, &at, end)
        case symbol:
            at = skipName(bytes, at, end)
        case typed:
            at = skipName(bytes, at, end)
            content = 1
        case 0x90, 0x93, 0xb4, 0xb6, 0xb8, 0xba: content = 1  // char, reference, double, float, decimal, big integer
        case 0xae, 0xb9: content = 2  // seconds and nanoseconds, scale and digits
        case 0xa7: (size, content) = (3, 1)  // time, nanoseconds
        case 0xa8: (size, content) = (7, 1)  // date and time, nanoseconds
        case 0xaa: (size, content) = (7, 2)  // the same with a zone
        case 0x94...0xa3: content = Int32(code) &- 0x94
        case 0xa4: content = Int32(truncatingIfNeeded: readLength(bytes, &at, end))
        case object: content = objectKey
        default: return wrong  // a5
        }
        if at < 0 || size < 0 || size > end &- at || content < objectKey || content == -1 { return wrong }
        at &+= size
        return content
    }

    /// The name of a type or symbol: its text and the number it gets, or the number of one named before.
    static func skipName(_ bytes: UnsafePointer<UInt8>, _ start: Int, _ end: Int) -> Int {
        var at = start
        if at >= end { return -1 }
        if bytes[at] >= 0x49 && bytes[at] <= 0x7e {
            if skipHead(bytes, &at, end) != 0 { return -1 }
        }
        return integer(bytes, &at, end) == nil ? -1 : at
    }

    /// A length: 0 ..< 2^31, or -1.
    static func readLength(_ bytes: UnsafePointer<UInt8>, _ at: inout Int, _ end: Int) -> Int {
        guard let value = integer(bytes, &at, end), value >= 0 else { return -1 }
        return value
    }

    private static func integer(_ bytes: UnsafePointer<UInt8>, _ at: inout Int, _ end: Int) -> Int? {
        if at >= end { return nil }
        let code = Int(bytes[at])
        let left = end &- at &- 1
        switch code {
        case 0x00...0x2f:
            at &+= 1
            return code
        case 0xf0...0xff:
            at &+= 1
            return code &- 0x100
        case 0x30...0x3f where left >= 1:
            at &+= 2
            return ((code &- 0x38) << 8) &+ Int(bytes[at &- 1])
        case 0x40...0x47 where left >= 2:
            at &+= 3
            return ((code &- 0x44) << 16) &+ BigEndian.load16(bytes, at &- 2)
        case 0x48 where left >= 4:
            at &+= 5
            return BigEndian.loadInt32(bytes, at &- 4)
        default:
            return nil
        }
    }

    /// The value of an int or long of any size at `at`; nil when it is neither or truncated.
    static func number(_ bytes: UnsafePointer<UInt8>, _ at: Int, _ end: Int) -> Int64? {
        if at >= end { return nil }
        var place = at
        if let value = integer(bytes, &place, end) { return Int64(value) }
        let code = Int64(bytes[at])
        let left = end &- at &- 1
        switch code {
        case 0xd8...0xef: return code &- 0xe0
        case 0xc8...0xd7 where left >= 1: return ((code &- 0xd0) << 8) &+ Int64(bytes[at &+ 1])
        case 0xc0...0xc7 where left >= 2: return ((code &- 0xc4) << 16) &+ Int64(BigEndian.load16(bytes, at &+ 1))
        case 0xbd where left >= 1: return Int64(Int8(bitPattern: bytes[at &+ 1]))
        case 0xbc where left >= 2: return Int64(Int16(truncatingIfNeeded: BigEndian.load16(bytes, at &+ 1)))
        case 0xbf where left >= 4: return Int64(BigEndian.loadInt32(bytes, at &+ 1))
        case 0xbe where left >= 8: return BigEndian.loadInt64(bytes, at &+ 1)
        default: return nil
        }
    }

    /// Moves past a string in an 8-bit encoding and returns where its text begins; -1 when something else stands there (`at`
    /// has not moved), -2 when it is truncated.
    static func readPlainText(_ bytes: UnsafePointer<UInt8>, _ at: inout Int, _ end: Int) -> Int {
        if at >= end { return -2 }
        let code = bytes[at]
        var start = at &+ 1
        let size: Int
        if code >= 0x49 && code <= 0x78 {
            size = Int(code) &- 0x49
        } else if code == 0x79 || code == 0x7a {
            size = readLength(bytes, &start, end)
        } else {
            return -1
        }
        if size < 0 || size > end &- start { return -2 }
        at = start &+ size
        return start
    }

    /// As `readPlainText`, for a key: also one that is made a symbol here.
    static func readKey(_ bytes: UnsafePointer<UInt8>, _ at: inout Int, _ end: Int) -> ByteRange? {
        var place = at
        let isSymbol = place < end && bytes[place] == symbol
        if isSymbol { place &+= 1 }
        let start = readPlainText(bytes, &place, end)
        if start < 0 { return nil }
        let key = ByteRange(start: start, count: place &- start)
        if isSymbol && integer(bytes, &place, end) == nil { return nil }
        at = place
        return key
    }

    // MARK: Other encodings

    private static let latin1: UInt8 = 0x79
    private static let utf8: UInt8 = 0x7a
    /// UTF-16 with a mark of its order, little-endian, big-endian.
    private static let utf16: ClosedRange<UInt8> = 0x7b...0x7d

    static func isASCII(_ bytes: UnsafePointer<UInt8>, _ range: ByteRange, _ count: Int) -> Bool {
        Hessian2.asciiEnd(bytes, Int(range.start), range.end, count) >= range.end
    }

    /// Whether a text stands at `start`, or its definition as a symbol, that is Latin-1 with other characters than ASCII's, or UTF-16.
    static func isUnusualText(_ bytes: UnsafePointer<UInt8>, _ start: Int, _ end: Int) -> Bool {
        let at = start < end && bytes[start] == symbol ? start &+ 1 : start
        if at >= end { return false }
        let code = bytes[at]
        if code == utf8 { return false }
        if utf16.contains(code) { return true }
        var next = at
        let text = readPlainText(bytes, &next, end)
        return text >= 0 && !isASCII(bytes, ByteRange(start: text, count: next &- text), end)
    }

    /// Writes the text of another encoding at `at` in UTF-8, and moves `at` past it.
    ///
    /// - Returns: bytes written, at most `plainBound` of those read; 0 when it is truncated.
    static func writePlain(
        _ bytes: UnsafePointer<UInt8>, _ at: inout Int, _ end: Int, _ out: UnsafeMutablePointer<UInt8>
    ) -> Int {
        var start = at &+ 1
        let code = bytes[at]
        let size = code < latin1 ? Int(code) &- 0x49 : readLength(bytes, &start, end)
        if size < 0 || size > end &- start { return 0 }
        at = start &+ size
        var text = decode(UnsafeBufferPointer(start: bytes + start, count: size), code)
        return text.withUTF8 { utf8 in
            guard let base = utf8.baseAddress else {
                out[0] = 0x49
                return 1
            }
            return writeText(base, utf8.count, out)
        }
    }

    private static func decode(_ bytes: UnsafeBufferPointer<UInt8>, _ code: UInt8) -> String {
        if code <= latin1 { return String(String.UnicodeScalarView(bytes.map { Unicode.Scalar($0) })) }
        var isLittle = code == 0x7c
        var from = 0
        if code == utf16.lowerBound && bytes.count >= 2 {
            isLittle = bytes[0] == 0xff && bytes[1] == 0xfe
            if isLittle || bytes[0] == 0xfe && bytes[1] == 0xff { from = 2 }
        }
        let units = stride(from: from, to: bytes.count - 1, by: 2).map { at in
            let (first, second) = (UInt16(bytes[at]), UInt16(bytes[at + 1]))
            return isLittle ? second << 8 | first : first << 8 | second
        }
        return String(decoding: units, as: UTF16.self)
    }

    // MARK: Writing

    /// Bytes that `writeText` may need for `count` bytes of UTF-8.
    static func textBound(_ count: Int) -> Int { count &+ 6 }

    /// Writes a string and returns its size. Bytes that are not UTF-8 become `?`.
    static func writeText(_ text: UnsafePointer<UInt8>, _ count: Int, _ out: UnsafeMutablePointer<UInt8>) -> Int {
        var isASCII = true
        for at in 0..<count where text[at] >= 0x80 { isASCII = false }
        var at = 1
        if isASCII && count <= 47 {
            out[0] = 0x49 &+ UInt8(truncatingIfNeeded: count)
        } else {
            out[0] = isASCII ? 0x79 : 0x7a
            out[1] = 0x48
            BigEndian.store(UInt32(truncatingIfNeeded: count), out, 2)
            at = 6
        }
        var from = 0
        while from < count {
            let length = Hessian2.sequenceLength(text, from, count)
            let kept = Swift.max(length, 1)
            for offset in 0..<kept { out[at &+ offset] = length == 0 ? 0x3f : text[from &+ offset] }
            at &+= kept
            from &+= kept
        }
        return at
    }
}
