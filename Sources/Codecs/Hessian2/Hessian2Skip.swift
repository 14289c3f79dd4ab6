extension Hessian2 {
    /// Moves `at` past one value.
    ///
    /// - Parameters:
    ///   - bytes: The message.
    ///   - count: Its length, below 2^31.
    ///   - at: Where the value begins, 0 ... count; unchanged when the value is malformed.
    ///   - scratch: Holds the classes defined earlier in the same message; see `Scratch.beginMessage`.
    /// - Returns: False for a reserved code, a truncated or wrong value, and one nested deeper than `Scratch.maximumDepth`.
    public static func skipValue(
        _ bytes: UnsafePointer<UInt8>, count: Int, at: inout Int, _ scratch: inout Scratch
    ) -> Bool {
        var plain = at
        let next = skip(1, bytes, at, count, &scratch, &plain)
        if next < 0 { return false }
        at = next
        return true
    }

    // What is still to come in the container being read: a number of values, or one of these.
    private static let untilEnd: Int32 = -1
    private static let mapKey: Int32 = -2
    private static let mapValue: Int32 = -3

    /// Skips `values` values from `start` and returns the place after them, or -1.
    ///
    /// Every turn of the loop consumes a byte or leaves a container, so the time is linear in the bytes whatever lengths they
    /// claim. Back-references are not followed. `plain` is as in `skipUnits`.
    static func skip(
        _ values: Int, _ bytes: UnsafePointer<UInt8>, _ start: Int, _ end: Int, _ scratch: inout Scratch,
        _ plain: inout Int
    ) -> Int {
        let stack = scratch.stack
        let codes = scratch.codes
        var at = start
        var depth = 0
        var pending = Int32(truncatingIfNeeded: values)
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
            let byte = bytes[at]
            if before < 0 {
                if byte == endMark {
                    if before == mapValue { return -1 }
                    at &+= 1
                    depth &-= 1
                    pending = stack[depth]
                    continue
                }
                if before != untilEnd { pending = mapKey &+ mapValue &- before }
            }
            at &+= 1
            if byte < 0x20 {
                // The most frequent value, a short text.
                at = skipUnits(Int(byte), bytes, at, end, &plain)
                if at < 0 { return -1 }
                continue
            }
            let code = codes[Int(byte)]
            let content: Int32
            switch code.kind {
            case .fixed:
                at &+= Int(code.operand)
                if at > end { return -1 }
                continue
            case .text, .textMedium, .textFinal, .textChunk:
                at = skipLongText(code, bytes, at, end, &plain)
                if at < 0 { return -1 }
                continue
            case .bytesMedium, .bytesFinal, .bytesChunk:
                at = skipLongBinary(code, bytes, at, end)
                if at < 0 { return -1 }
                continue
            case .classDefinition:
                at = defineClass(bytes, at, end, &scratch, &plain)
                // The instance follows and is the value that was asked for.
                if at < 0 || at >= end || bytes[at] == endMark { return -1 }
                pending = before
                continue
            case .reference:
                if readCount(bytes, &at, end) < 0 { return -1 }
                continue
            case .object:
                if Int(code.operand) >= scratch.classCount { return -1 }
                content = scratch.classes[Int(code.operand)]
            case .objectLong:
                let index = readCount(bytes, &at, end)
                if index < 0 || index >= scratch.classCount { return -1 }
                content = scratch.classes[index]
            case .map:
                content = mapKey
            case .typedMap:
                at = skipType(bytes, at, end, &plain)
                content = mapKey
            case .openList:
                content = untilEnd
            case .openTypedList:
                at = skipType(bytes, at, end, &plain)
                content = untilEnd
            case .list:
                content = Int32(code.operand)
            case .typedList:
                at = skipType(bytes, at, end, &plain)
                content = Int32(code.operand)
            case .listLong:
                content = Int32(truncatingIfNeeded: readCount(bytes, &at, end))
                if content < 0 { return -1 }
            case .typedListLong:
                at = skipType(bytes, at, end, &plain)
                if at < 0 { return -1 }
                content = Int32(truncatingIfNeeded: readCount(bytes, &at, end))
                if content < 0 { return -1 }
            case .invalid:
                return -1
            }
            // Each value takes a byte at least, so a count above what is left is refused at once.
            if at < 0 || Int(content) > end &- at || depth == Scratch.maximumDepth { return -1 }
            stack[depth] = pending
            depth &+= 1
            pending = content
        }
    }

    /// The rest of a text after its code when the length does not stand in the code; pieces are followed to the last one.
    @inline(never)
    private static func skipLongText(
        _ first: Code, _ bytes: UnsafePointer<UInt8>, _ start: Int, _ end: Int, _ plain: inout Int
    ) -> Int {
        var code = first
        var at = start
        while true {
            let units: Int
            switch code.kind {
            case .text:
                units = Int(code.operand)
            case .textMedium:
                if at >= end { return -1 }
                units = Int(code.operand) << 8 | Int(bytes[at])
                at &+= 1
            case .textFinal, .textChunk:
                if end &- at < 2 { return -1 }
                units = BigEndian.load16(bytes, at)
                at &+= 2
            default:
                return -1
            }
            at = skipUnits(units, bytes, at, end, &plain)
            if at < 0 || code.kind != .textChunk { return at }
            if at >= end { return -1 }
            code = Code(bytes[at])
            at &+= 1
        }
    }

    @inline(never)
    static func skipLongBinary(
        _ first: Code, _ bytes: UnsafePointer<UInt8>, _ start: Int, _ end: Int
    ) -> Int {
        var code = first
        var at = start
        while true {
            switch code.kind {
            case .bytesMedium:
                if at >= end { return -1 }
                at &+= 1 &+ (Int(code.operand) << 8 | Int(bytes[at]))
                return at > end ? -1 : at
            case .bytesFinal, .bytesChunk:
                if end &- at < 2 { return -1 }
                at &+= 2 &+ BigEndian.load16(bytes, at)
                if at > end { return -1 }
                if code.kind == .bytesFinal { return at }
            default:
                return -1
            }
            // After a piece: another one, or the short form.
            if at >= end { return -1 }
            let byte = bytes[at]
            at &+= 1
            if byte >= 0x20 && byte <= 0x2f {
                at &+= Int(byte) &- 0x20
                return at > end ? -1 : at
            }
            code = Code(byte)
        }
    }

    /// Name, number of fields, names of the fields: all that is kept is the number.
    @inline(never)
    private static func defineClass(
        _ bytes: UnsafePointer<UInt8>, _ start: Int, _ end: Int, _ scratch: inout Scratch, _ plain: inout Int
    ) -> Int {
        var at = skipString(bytes, start, end, &plain)
        if at < 0 { return -1 }
        let fields = readCount(bytes, &at, end)
        if fields < 0 || fields > end &- at || scratch.classCount == Scratch.maximumClasses { return -1 }
        for _ in 0..<fields {
            at = skipString(bytes, at, end, &plain)
            if at < 0 { return -1 }
        }
        scratch.classes[scratch.classCount] = Int32(truncatingIfNeeded: fields)
        scratch.classCount &+= 1
        return at
    }

    /// A string value of any form; -1 when something else stands there.
    static func skipString(
        _ bytes: UnsafePointer<UInt8>, _ at: Int, _ end: Int, _ plain: inout Int
    ) -> Int {
        if at < 0 || at >= end { return -1 }
        let code = Code(bytes[at])
        switch code.kind {
        case .text: return skipUnits(Int(code.operand), bytes, at &+ 1, end, &plain)
        case .textMedium, .textFinal, .textChunk: return skipLongText(code, bytes, at &+ 1, end, &plain)
        default: return -1
        }
    }

    /// The type of a list or map: a name, or the number of a name met before.
    static func skipType(
        _ bytes: UnsafePointer<UInt8>, _ at: Int, _ end: Int, _ plain: inout Int
    ) -> Int {
        if at >= end { return -1 }
        var at = at
        switch Code(bytes[at]).kind {
        case .text, .textMedium, .textFinal, .textChunk: return skipString(bytes, at, end, &plain)
        default: return readCount(bytes, &at, end) < 0 ? -1 : at
        }
    }

    /// Reads an int that counts something: 0 ..< 2^31, or -1 when it is negative, truncated or not an int.
    static func readCount(_ bytes: UnsafePointer<UInt8>, _ at: inout Int, _ end: Int) -> Int {
        if at < 0 || at >= end { return -1 }
        let byte = bytes[at]
        let value: Int
        switch byte {
        case 0x80...0xbf:
            value = Int(byte) &- 0x90
            at &+= 1
        case 0xc0...0xcf:
            if end &- at < 2 { return -1 }
            value = ((Int(byte) &- 0xc8) << 8) &+ Int(bytes[at &+ 1])
            at &+= 2
        case 0xd0...0xd7:
            if end &- at < 3 { return -1 }
            value = ((Int(byte) &- 0xd4) << 16) &+ BigEndian.load16(bytes, at &+ 1)
            at &+= 3
        case 0x49:
            if end &- at < 5 { return -1 }
            value = BigEndian.loadInt32(bytes, at &+ 1)
            at &+= 5
        default:
            return -1
        }
        return value < 0 ? -1 : value
    }

    /// The value of an int or long at `at`; nil when it is neither or truncated.
    static func number(_ bytes: UnsafePointer<UInt8>, _ at: Int, _ end: Int) -> Int64? {
        if at >= end { return nil }
        let byte = Int64(bytes[at])
        let left = end &- at &- 1
        switch byte {
        case 0x80...0xbf: return byte &- 0x90
        case 0xd8...0xef: return byte &- 0xe0
        case 0xc0...0xcf where left >= 1: return ((byte &- 0xc8) << 8) &+ Int64(bytes[at &+ 1])
        case 0xf0...0xff where left >= 1: return ((byte &- 0xf8) << 8) &+ Int64(bytes[at &+ 1])
        case 0xd0...0xd7 where left >= 2: return ((byte &- 0xd4) << 16) &+ Int64(BigEndian.load16(bytes, at &+ 1))
        case 0x38...0x3f where left >= 2: return ((byte &- 0x3c) << 16) &+ Int64(BigEndian.load16(bytes, at &+ 1))
        case 0x49 where left >= 4, 0x59 where left >= 4: return Int64(BigEndian.loadInt32(bytes, at &+ 1))
        case 0x4c where left >= 8: return BigEndian.loadInt64(bytes, at &+ 1)
        default: return nil
        }
    }
}
