extension Dubbo {
    /// Bytes that `writePlainTexts` may need for a frame of `frameCount`.
    public static func plainBound(frameCount: Int) -> Int { 4 &* frameCount &+ 64 }

    /// Writes a request anew with the texts that decide about it (its five fields, names and values of attachments) in the form that
    /// `parseInvocation` reads: in one piece, ASCII or UTF-8. Everything else stays as it was, byte for byte, but for the lengths.
    ///
    /// - Parameters:
    ///   - scratch: holds nothing of use afterwards.
    ///   - out: `plainBound` bytes that do not overlap `frame`.
    /// - Returns: size of the new frame; 0 when the body is truncated or wrong, or its serialization has no such forms.
    public static func writePlainTexts(
        frame: UnsafePointer<UInt8>, count: Int, _ scratch: inout Scratch, into out: UnsafeMutablePointer<UInt8>
    ) -> Int {
        let size: Int
        switch Serialization(id: frame[2]) {
        case .hessian2: size = writePlainHessian2(frame + headSize, count &- headSize, &scratch, out + headSize)
        case .fastjson2: size = writePlainFastjson2(frame + headSize, count &- headSize, &scratch, out + headSize)
        default: return 0
        }
        if size < 0 || size >= 0x8000_0000 { return 0 }
        out.update(from: frame, count: headSize)
        BigEndian.store(UInt32(truncatingIfNeeded: size), out, 12)
        return headSize &+ size
    }

    // MARK: Hessian2

    private static func writePlainHessian2(
        _ body: UnsafePointer<UInt8>, _ end: Int, _ scratch: inout Scratch, _ out: UnsafeMutablePointer<UInt8>
    ) -> Int {
        scratch.hessian.beginMessage()
        var (at, size) = (0, 0)
        var types = 0
        for _ in 0..<5 {
            types = size
            if !copyHessian(1, body, &at, end, &scratch, out, &size) { return -1 }
        }
        var (text, plain) = (types, types)
        var field = ByteRange.none
        switch Hessian2.readPlainText(out, &text, size, &plain) {
        case .text(let start): field = ByteRange(start: start, count: text &- start)
        case .other where out[types] == Hessian2.null: break
        default: return -1
        }
        let arguments = argumentCount(out, field, size)
        if arguments < 0 { return -1 }
        if arguments > 0 {
            var next = at
            let argumentsEnd = Hessian2.skip(arguments, body, at, end, &scratch.hessian, &next)
            if argumentsEnd < 0 { return -1 }
            copy(body, &at, upTo: argumentsEnd, out, &size)
        }
        if at < end && (body[at] == 0x48 || body[at] == 0x4d) {
            var next = at
            let entries = body[at] == 0x48 ? at &+ 1 : Hessian2.skipType(body, at &+ 1, end, &next)
            if entries < 0 { return -1 }
            copy(body, &at, upTo: entries, out, &size)
            while at < end && body[at] != Hessian2.endMark {
                if !copyHessian(2, body, &at, end, &scratch, out, &size) { return -1 }
            }
        }
        copy(body, &at, upTo: end, out, &size)
        return size
    }

    /// Copies values; those that are text in several pieces become text in one, where that is long enough for them.
    private static func copyHessian(
        _ values: Int, _ body: UnsafePointer<UInt8>, _ at: inout Int, _ end: Int, _ scratch: inout Scratch,
        _ out: UnsafeMutablePointer<UInt8>, _ size: inout Int
    ) -> Bool {
        for _ in 0..<values {
            if at >= end { return false }
            var next = at
            if body[at] == Hessian2.firstPiece {
                let written = Hessian2.writeJoined(body, &next, end, out + size)
                size &+= written
                if written > 0 {
                    at = next
                    continue
                }
            }
            next = at
            let valueEnd = Hessian2.skip(1, body, at, end, &scratch.hessian, &next)
            if valueEnd < 0 { return false }
            copy(body, &at, upTo: valueEnd, out, &size)
        }
        return true
    }

    private static func copy(
        _ body: UnsafePointer<UInt8>, _ at: inout Int, upTo end: Int, _ out: UnsafeMutablePointer<UInt8>,
        _ size: inout Int
    ) {
        (out + size).update(from: body + at, count: end &- at)
        size &+= end &- at
        at = end
    }

    // MARK: fastjson2

    private static func writePlainFastjson2(
        _ body: UnsafePointer<UInt8>, _ end: Int, _ scratch: inout Scratch, _ out: UnsafeMutablePointer<UInt8>
    ) -> Int {
        var (at, size) = (0, 0)
        var types = ByteRange.none
        for _ in 0..<5 {
            var content = at &+ 4
            let last = elementEnd(body, &at, end)
            if last < 0 { return -1 }
            let start = size &+ 4
            size = start
            if !copyJSONB(body, &content, last, &scratch, out, &size) || content != last { return -1 }
            BigEndian.store(UInt32(truncatingIfNeeded: size &- start), out, start &- 4)
            var text = start
            let textStart = JSONB.readPlainText(out, &text, size)
            types = textStart < 0 ? .none : ByteRange(start: textStart, count: text &- textStart)
        }
        let arguments = argumentCount(out, types, size)
        if arguments < 0 { return -1 }
        for _ in 0..<arguments {
            var element = at
            if elementEnd(body, &at, end) < 0 { return -1 }
            copy(body, &element, upTo: at, out, &size)
        }
        if at == end { return size }
        var content = at &+ 4
        let last = elementEnd(body, &at, end)
        if last < 0 { return -1 }
        let start = size &+ 4
        size = start
        var entries = content
        if body[entries] == JSONB.typed { entries = JSONB.skipName(body, entries &+ 1, last) }
        if entries < 0 { return -1 }
        if entries < last && body[entries] == JSONB.object {
            copy(body, &content, upTo: entries &+ 1, out, &size)
            while content < last && body[content] != JSONB.objectEnd {
                if !copyJSONB(body, &content, last, &scratch, out, &size) { return -1 }
            }
        }
        copy(body, &content, upTo: last, out, &size)
        BigEndian.store(UInt32(truncatingIfNeeded: size &- start), out, start &- 4)
        copy(body, &at, upTo: end, out, &size)
        return size
    }

    /// Copies a value; text of another encoding, a symbol's too, becomes UTF-8.
    private static func copyJSONB(
        _ body: UnsafePointer<UInt8>, _ at: inout Int, _ end: Int, _ scratch: inout Scratch,
        _ out: UnsafeMutablePointer<UInt8>, _ size: inout Int
    ) -> Bool {
        if at >= end { return false }
        let valueEnd = JSONB.skip(body, at, end, scratch.hessian.stack, depth: Hessian2.Scratch.maximumDepth)
        if valueEnd < 0 { return false }
        if JSONB.isUnusualText(body, at, valueEnd) {
            if body[at] == JSONB.symbol { copy(body, &at, upTo: at &+ 1, out, &size) }
            let written = JSONB.writePlain(body, &at, valueEnd, out + size)
            if written == 0 { return false }
            size &+= written
        }
        copy(body, &at, upTo: valueEnd, out, &size)
        return true
    }
}
