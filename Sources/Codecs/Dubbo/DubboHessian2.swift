extension Dubbo {
    /// Five strings, as many arguments as the fifth has types, the attachments.
    static func parseHessian2(
        _ body: UnsafePointer<UInt8>, _ count: Int, _ scratch: inout Scratch, _ invocation: inout Invocation
    ) -> Bool {
        scratch.hessian.beginMessage()
        var at = 0
        var plain = Hessian2.asciiEnd(body, 0, Swift.min(count, Hessian2.lookahead), count)
        guard readHessianField(body, &at, count, &plain, &invocation.protocolVersion),
            readHessianField(body, &at, count, &plain, &invocation.bodyService)
        else { return false }
        let versionStart = at
        guard readHessianField(body, &at, count, &plain, &invocation.bodyVersion) else { return false }
        invocation.bodyVersionField = ByteRange(start: versionStart, count: at &- versionStart)
        guard readHessianField(body, &at, count, &plain, &invocation.method),
            readHessianField(body, &at, count, &plain, &invocation.types)
        else { return false }
        let arguments = beginArguments(body, count, at: at, &invocation)
        if arguments < 0 { return false }
        if isGeneric(body, invocation) {
            var first = at
            if case .text(let start) = Hessian2.readPlainText(body, &first, count, &plain) {
                invocation.genericMethod = ByteRange(start: start, count: first &- start)
            }
        }
        if arguments > 0 { at = Hessian2.skip(arguments, body, at, count, &scratch.hessian, &plain) }
        if at < 0 || !readHessianAttachments(body, at, count, &plain, &scratch, &invocation) { return false }
        if invocation.interface.isEmpty { invocation.interface = invocation.path }
        return true
    }

    /// A string in one piece, or null.
    @inline(__always)
    private static func readHessianField(
        _ body: UnsafePointer<UInt8>, _ at: inout Int, _ end: Int, _ plain: inout Int, _ field: inout ByteRange
    ) -> Bool {
        switch Hessian2.readPlainText(body, &at, end, &plain) {
        case .text(let start):
            field = ByteRange(start: start, count: at &- start)
            return true
        case .other:
            if body[at] != Hessian2.null { return false }
            at &+= 1
            return true
        case .malformed:
            return false
        }
    }

    private static func readHessianAttachments(
        _ body: UnsafePointer<UInt8>, _ start: Int, _ end: Int, _ plain: inout Int, _ scratch: inout Scratch,
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
            at = Hessian2.skipType(body, at &+ 1, end, &plain)
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
            if !readHessianEntry(body, &at, end, &plain, &scratch, &invocation) { return false }
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
        _ body: UnsafePointer<UInt8>, _ at: inout Int, _ end: Int, _ plain: inout Int, _ scratch: inout Scratch,
        _ invocation: inout Invocation
    ) -> Bool {
        let keyStart: Int
        switch Hessian2.readPlainText(body, &at, end, &plain) {
        case .text(let start): keyStart = start
        case .other:
            // Not a key that can be asked for.
            if body[at] == Hessian2.firstPiece { invocation.hasUnusualTexts = true }
            at = Hessian2.skip(2, body, at, end, &scratch.hessian, &plain)
            return at >= 0
        case .malformed: return false
        }
        let key = ByteRange(start: keyStart, count: at &- keyStart)
        let valueStart = at
        let textStart: Int
        switch Hessian2.readPlainText(body, &at, end, &plain) {
        case .text(let start): textStart = start
        case .other:
            textStart = -1
            if body[at] == Hessian2.firstPiece { invocation.hasUnusualTexts = true }
            at = Hessian2.skip(1, body, at, end, &scratch.hessian, &plain)
            if at < 0 { return false }
        case .malformed: return false
        }
        noteAttachment(
            Attachment(key: key, fieldStart: valueStart, textStart: textStart, end: at), body, .hessian2, &scratch,
            &invocation)
        return true
    }
}
