extension Dubbo {
    /// Five strings, as many arguments as the fifth has types, the attachments.
    static func parseHessian2(
        _ body: UnsafePointer<UInt8>, _ count: Int, _ scratch: inout Scratch, _ invocation: inout Invocation
    ) -> Bool {
        scratch.hessian.beginMessage()
        var at = 0
        guard readHessianField(body, &at, count, &invocation.protocolVersion),
            readHessianField(body, &at, count, &invocation.bodyService)
        else { return false }
        let versionStart = at
        guard readHessianField(body, &at, count, &invocation.bodyVersion) else { return false }
        invocation.bodyVersionField = ByteRange(start: versionStart, count: at &- versionStart)
        guard readHessianField(body, &at, count, &invocation.method),
            readHessianField(body, &at, count, &invocation.types)
        else { return false }
        invocation.path = invocation.bodyService
        invocation.version = invocation.bodyVersion

        let arguments = argumentCount(body, invocation.types, count)
        if arguments < 0 { return false }
        invocation.argumentsStart = Int32(truncatingIfNeeded: at)
        invocation.argumentCount = Int32(truncatingIfNeeded: arguments)
        if isGeneric(body, invocation) {
            var first = at
            let text = Hessian2.readPlainText(body, &first, count)
            if text >= 0 { invocation.genericMethod = ByteRange(start: text, count: first &- text) }
        }
        if arguments > 0 { at = Hessian2.skip(arguments, body, at, count, &scratch.hessian) }
        if at < 0 || !readHessianAttachments(body, at, count, &scratch, &invocation) { return false }
        if invocation.interface.isEmpty { invocation.interface = invocation.path }
        return true
    }

    /// A string in one piece, or null.
    @inline(__always)
    private static func readHessianField(
        _ body: UnsafePointer<UInt8>, _ at: inout Int, _ end: Int, _ field: inout ByteRange
    ) -> Bool {
        let text = Hessian2.readPlainText(body, &at, end)
        if text < 0 {
            if text != -1 || body[at] != Hessian2.null { return false }
            at &+= 1
            return true
        }
        field = ByteRange(start: text, count: at &- text)
        return true
    }

    private static func readHessianAttachments(
        _ body: UnsafePointer<UInt8>, _ start: Int, _ end: Int, _ scratch: inout Scratch,
        _ invocation: inout Invocation
    ) -> Bool {
        var at = start
        if at == end {
            invocation.attachments = ByteRange(start: at, count: 0)
            invocation.attachmentForm = .missing
            return true
        }
        switch body[at] {
        case 0x48:
            invocation.attachmentForm = .untypedMap
            at &+= 1
        case 0x4d:
            invocation.attachmentForm = .typedMap
            at = Hessian2.skipType(body, at &+ 1, end)
            if at < 0 { return false }
        case Hessian2.null:
            invocation.attachmentForm = .null
            invocation.attachments = ByteRange(start: at, count: 1)
            return true
        default:
            return false
        }
        while true {
            if at >= end { return false }
            if body[at] == Hessian2.endMark { break }
            if !readHessianEntry(body, &at, end, &scratch, &invocation) { return false }
            invocation.attachmentCount &+= 1
        }
        // Bytes after the map are tolerated: dubbo-go writes some.
        invocation.attachments = ByteRange(start: start, count: at &+ 1 &- start)
        invocation.attachmentsEndMark = Int32(truncatingIfNeeded: at)
        return true
    }

    /// One key and its value, either of which may be anything.
    @inline(__always)
    private static func readHessianEntry(
        _ body: UnsafePointer<UInt8>, _ at: inout Int, _ end: Int, _ scratch: inout Scratch,
        _ invocation: inout Invocation
    ) -> Bool {
        let keyText = Hessian2.readPlainText(body, &at, end)
        if keyText < 0 {
            if keyText != -1 { return false }
            at = Hessian2.skip(2, body, at, end, &scratch.hessian)
            // A key alone is no entry.
            return at >= 0
        }
        let key = ByteRange(start: keyText, count: at &- keyText)
        let valueStart = at
        let text = Hessian2.readPlainText(body, &at, end)
        var kind = Attachment.Kind.text
        if text < 0 {
            if text != -1 || at >= end || body[at] == Hessian2.endMark { return false }
            at = Hessian2.skip(1, body, at, end, &scratch.hessian)
            if at < 0 { return false }
            kind = .other
        }
        let textStart = text < 0 ? valueStart : text
        noteAttachment(
            Attachment(
                key: key, field: ByteRange(start: valueStart, count: at &- valueStart),
                text: ByteRange(start: textStart, count: at &- textStart), kind: kind),
            body, .hessian2, &scratch, &invocation)
        return true
    }
}
