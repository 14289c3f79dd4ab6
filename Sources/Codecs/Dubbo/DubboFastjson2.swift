extension Dubbo {
    /// The same fields as in Hessian2, each a 32-bit length and that many bytes of JSONB: arguments need no decoding.
    static func parseFastjson2(
        _ body: UnsafePointer<UInt8>, _ count: Int, _ scratch: inout Scratch, _ invocation: inout Invocation
    ) -> Bool {
        var at = 0
        guard readElementText(body, &at, count, &invocation.protocolVersion),
            readElementText(body, &at, count, &invocation.bodyService)
        else { return false }
        let versionStart = at
        guard readElementText(body, &at, count, &invocation.bodyVersion) else { return false }
        invocation.bodyVersionField = ByteRange(start: versionStart, count: at &- versionStart)
        guard readElementText(body, &at, count, &invocation.method),
            readElementText(body, &at, count, &invocation.types)
        else { return false }
        // The interface may be Latin-1; the method and what it takes decide nothing here.
        if !JSONB.isASCII(body, invocation.bodyService, count) || !JSONB.isASCII(body, invocation.bodyVersion, count) {
            invocation.hasUnusualTexts = true
        }
        let arguments = beginArguments(body, count, at: at, &invocation)
        if arguments < 0 { return false }
        if isGeneric(body, invocation) {
            var first = at
            // An argument that is no text stays unread here and is skipped below.
            _ = readElementText(body, &first, count, &invocation.genericMethod)
        }
        for _ in 0..<arguments {
            if elementEnd(body, &at, count) < 0 { return false }
        }
        if !readElementAttachments(body, at, count, &scratch, &invocation) { return false }
        if invocation.interface.isEmpty { invocation.interface = invocation.path }
        return true
    }

    /// Moves past an element and returns its end, which is `at` then; -1 when it is truncated. Empty ones do not exist.
    static func elementEnd(_ body: UnsafePointer<UInt8>, _ at: inout Int, _ end: Int) -> Int {
        if end &- at < 5 { return -1 }
        let length = BigEndian.load32(body, at)
        if length == 0 || length > end &- at &- 4 { return -1 }
        at &+= 4 &+ length
        return at
    }

    /// An element that is a string in an 8-bit encoding, or null.
    private static func readElementText(
        _ body: UnsafePointer<UInt8>, _ at: inout Int, _ count: Int, _ field: inout ByteRange
    ) -> Bool {
        var text = at &+ 4
        let end = elementEnd(body, &at, count)
        if end < 0 { return false }
        let start = JSONB.readPlainText(body, &text, end)
        if start < 0 { return start == -1 && body[text] == JSONB.null }
        field = ByteRange(start: start, count: text &- start)
        return true
    }

    private static func readElementAttachments(
        _ body: UnsafePointer<UInt8>, _ start: Int, _ count: Int, _ scratch: inout Scratch,
        _ invocation: inout Invocation
    ) -> Bool {
        var next = start
        if start == count {
            invocation.attachments = ByteRange(start: start, count: 0)
            invocation.attachmentForm = .missing
            return true
        }
        let end = elementEnd(body, &next, count)
        if end < 0 { return false }
        invocation.attachments = ByteRange(start: start, count: end &- start)
        var at = start &+ 4
        if body[at] == JSONB.null {
            invocation.attachmentForm = .null
            return true
        }
        invocation.attachmentForm = .untypedMap
        if body[at] == JSONB.typed {
            invocation.attachmentForm = .typedMap
            at = JSONB.skipName(body, at &+ 1, end)
        }
        if at < 0 || at >= end || body[at] != JSONB.object { return false }
        at &+= 1
        while true {
            if at >= end { return false }
            if body[at] == JSONB.objectEnd { break }
            if !readElementEntry(body, &at, end, &scratch, &invocation) { return false }
            invocation.attachmentCount &+= 1
        }
        invocation.attachmentsEndMark = Int32(truncatingIfNeeded: at)
        return true
    }

    private static func readElementEntry(
        _ body: UnsafePointer<UInt8>, _ at: inout Int, _ end: Int, _ scratch: inout Scratch,
        _ invocation: inout Invocation
    ) -> Bool {
        if JSONB.isUnusualText(body, at, end) { invocation.hasUnusualTexts = true }
        let key = JSONB.readKey(body, &at, end)
        if key == nil { at = JSONB.skip(body, at, end, scratch.hessian.stack, depth: Hessian2.Scratch.maximumDepth) }
        if at < 0 || at >= end || body[at] == JSONB.objectEnd { return false }
        let valueStart = at
        if JSONB.isUnusualText(body, at, end) { invocation.hasUnusualTexts = true }
        let text = JSONB.readPlainText(body, &at, end)
        if text < 0 {
            at = JSONB.skip(body, valueStart, end, scratch.hessian.stack, depth: Hessian2.Scratch.maximumDepth)
            if at < 0 { return false }
        }
        guard let key else { return true }
        noteAttachment(
            Attachment(key: key, fieldStart: valueStart, textStart: text, end: at), body, .fastjson2, &scratch,
            &invocation)
        return true
    }
}
