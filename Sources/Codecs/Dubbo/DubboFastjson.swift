extension Dubbo {
    /// fastjson 1 (2.x with `serialization=fastjson`): every field is JSON text on a line of its own.
    ///
    /// Text with escapes is not looked into: as a field it makes the body malformed, as an attachment it is not found.
    static func parseFastjson(
        _ body: UnsafePointer<UInt8>, _ count: Int, _ scratch: inout Scratch, _ invocation: inout Invocation
    ) -> Bool {
        var at = 0
        guard readLineText(body, &at, count, &invocation.protocolVersion),
            readLineText(body, &at, count, &invocation.bodyService)
        else { return false }
        let versionStart = at
        guard readLineText(body, &at, count, &invocation.bodyVersion) else { return false }
        invocation.bodyVersionField = ByteRange(start: versionStart, count: at &- versionStart)
        guard readLineText(body, &at, count, &invocation.method), readLineText(body, &at, count, &invocation.types)
        else { return false }
        let arguments = beginArguments(body, count, at: at, &invocation)
        if arguments < 0 { return false }
        if isGeneric(body, invocation) {
            var first = at
            _ = readLineText(body, &first, count, &invocation.genericMethod)
        }
        for _ in 0..<arguments {
            if at == count { return false }
            at = lineEnd(body, at, count).next
        }
        if !readLineAttachments(body, at, count, &scratch, &invocation) { return false }
        if invocation.interface.isEmpty { invocation.interface = invocation.path }
        return true
    }

    /// The end of the line at `at` and the beginning of the next. The last line may lack its end.
    private static func lineEnd(_ body: UnsafePointer<UInt8>, _ at: Int, _ count: Int) -> (text: Int, next: Int) {
        var end = at
        while end < count && body[end] != 0x0a { end &+= 1 }
        let next = Swift.min(end &+ 1, count)
        return (end > at && body[end &- 1] == 0x0d ? end &- 1 : end, next)
    }

    /// A line that is a JSON string without escapes, or null.
    private static func readLineText(
        _ body: UnsafePointer<UInt8>, _ at: inout Int, _ count: Int, _ field: inout ByteRange
    ) -> Bool {
        if at == count { return false }
        let start = at
        let (end, next) = lineEnd(body, at, count)
        at = next
        if equals(body, ByteRange(start: start, count: end &- start), "null") { return true }
        if end &- start < 2 || body[start] != 0x22 || body[end &- 1] != 0x22 { return false }
        for place in start &+ 1..<end &- 1 where body[place] == 0x22 || body[place] == 0x5c { return false }
        field = ByteRange(start: start &+ 1, count: end &- start &- 2)
        return true
    }

    /// A flat view of the JSON object on the attachments' line.
    private static func readLineAttachments(
        _ body: UnsafePointer<UInt8>, _ start: Int, _ count: Int, _ scratch: inout Scratch,
        _ invocation: inout Invocation
    ) -> Bool {
        invocation.attachments = ByteRange(start: start, count: 0)
        if start == count {
            invocation.attachmentForm = .missing
            return true
        }
        let (end, next) = lineEnd(body, start, count)
        invocation.attachments = ByteRange(start: start, count: next &- start)
        if equals(body, ByteRange(start: start, count: end &- start), "null") {
            invocation.attachmentForm = .null
            return true
        }
        invocation.attachmentForm = .untypedMap
        var at = start
        if at == end || body[at] != 0x7b { return false }
        at &+= 1
        while true {
            if at == end { return false }
            if body[at] == 0x7d { break }
            if invocation.attachmentCount > 0 {
                if body[at] != 0x2c { return false }
                at &+= 1
            }
            if !readMember(body, &at, end, &scratch, &invocation) { return false }
            invocation.attachmentCount &+= 1
        }
        invocation.attachmentsEndMark = Int32(truncatingIfNeeded: at)
        return at &+ 1 == end
    }

    /// `"key":value`
    private static func readMember(
        _ body: UnsafePointer<UInt8>, _ at: inout Int, _ end: Int, _ scratch: inout Scratch,
        _ invocation: inout Invocation
    ) -> Bool {
        let keyStart = at &+ 1
        guard let keyIsPlain = skipJSONString(body, &at, end) else { return false }
        let key = ByteRange(start: keyStart, count: at &- keyStart &- 1)
        if at == end || body[at] != 0x3a { return false }
        at &+= 1
        let valueStart = at
        var isText = false
        if at < end && body[at] == 0x22 {
            guard let isPlain = skipJSONString(body, &at, end) else { return false }
            isText = isPlain
        } else if !skipJSONValue(body, &at, end) {
            return false
        }
        if !keyIsPlain { return true }
        var entry = Attachment(key: key, fieldStart: valueStart, textStart: -1, end: at)
        if isText { entry = Attachment(key: key, fieldStart: valueStart, textStart: valueStart &+ 1, end: at &- 1) }
        noteAttachment(entry, body, .fastjson, &scratch, &invocation)
        return true
    }

    /// Moves past a string and tells whether it has no escapes; nil when it is none or does not end.
    private static func skipJSONString(_ body: UnsafePointer<UInt8>, _ at: inout Int, _ end: Int) -> Bool? {
        if at >= end || body[at] != 0x22 { return nil }
        var isPlain = true
        at &+= 1
        while at < end {
            let byte = body[at]
            at &+= 1
            if byte == 0x22 { return isPlain }
            if byte == 0x5c {
                isPlain = false
                at &+= 1
            }
        }
        return nil
    }

    /// Moves past a value that is not a string, up to the comma or brace after it.
    private static func skipJSONValue(_ body: UnsafePointer<UInt8>, _ at: inout Int, _ end: Int) -> Bool {
        let start = at
        var depth = 0
        while at < end {
            switch body[at] {
            case 0x22:
                if skipJSONString(body, &at, end) == nil { return false }
                continue
            case 0x7b, 0x5b: depth &+= 1
            case 0x7d, 0x5d:
                if depth == 0 { return at > start && body[at] == 0x7d }
                depth &-= 1
            case 0x2c where depth == 0: return at > start
            default: break
            }
            at &+= 1
        }
        return false
    }

    /// Whether text can stand in a JSON string as it is.
    static func isPlainJSON(_ text: UnsafePointer<UInt8>, _ count: Int) -> Bool {
        for at in 0..<count where text[at] < 0x20 || text[at] == 0x22 || text[at] == 0x5c { return false }
        return true
    }
}
