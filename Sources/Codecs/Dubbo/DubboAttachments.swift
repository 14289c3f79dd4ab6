extension Dubbo {
    /// Keeps an attachment for `attachment` and takes over those that say what is called. Later ones win, as in a Java map.
    @inline(__always)
    static func noteAttachment(
        _ attachment: Attachment, _ body: UnsafePointer<UInt8>, _ serialization: Serialization,
        _ scratch: inout Scratch, _ invocation: inout Invocation
    ) {
        if !scratch.keep(attachment, body) { invocation.attachmentsOverflow = true }
        let key = Int(attachment.key.start)
        switch attachment.key.count {
        case 4 where BigEndian.halfWord(body, key) == 0x6874_6170:  // path
            if attachment.isText { invocation.path = attachment.text }
        case 5 where BigEndian.halfWord(body, key) == 0x756f_7267 && body[key &+ 4] == 0x70:  // group
            if attachment.isText { invocation.group = attachment.text }
        case 7:
            noteSevenLetters(attachment, body, serialization, &invocation)
        case 9 where BigEndian.word(body, key) == 0x6361_6672_6574_6e69 && body[key &+ 8] == 0x65:  // interface
            if attachment.isText { invocation.interface = attachment.text }
        case 3 where body[key] == 0x5f && body[key &+ 1] | 0x20 == 0x74 && body[key &+ 2] | 0x20 == 0x6f:  // _TO, _to
            invocation.countdown = milliseconds(attachment, body, serialization)
        default:
            break
        }
    }

    @inline(__always)
    private static func noteSevenLetters(
        _ attachment: Attachment, _ body: UnsafePointer<UInt8>, _ serialization: Serialization,
        _ invocation: inout Invocation
    ) {
        let key = Int(attachment.key.start)
        let letters = (BigEndian.halfWord(body, key), BigEndian.halfWord(body, key &+ 3))
        if letters == (0x7372_6576, 0x6e6f_6973) {  // version
            let isText = attachment.isText
            if isText { invocation.version = attachment.text }
            invocation.versionAttachmentField = isText ? attachment.field : .none
            // The closing quote.
            if isText && serialization == .fastjson { invocation.versionAttachmentField.count &+= 1 }
        } else if letters == (0x656d_6974, 0x7475_6f65) {  // timeout
            invocation.timeout = milliseconds(attachment, body, serialization)
        }
    }

    /// A duration written as a number or as decimal text; 0 when it is neither, not positive, or beyond an int.
    private static func milliseconds(
        _ attachment: Attachment, _ body: UnsafePointer<UInt8>, _ serialization: Serialization
    ) -> Int32 {
        let end = Int(attachment.end)
        var at = Int(attachment.textStart)
        if !attachment.isText {
            at = Int(attachment.fieldStart)
            if serialization != .fastjson {
                let isHessian = serialization == .hessian2
                let number = isHessian ? Hessian2.number(body, at, end) : JSONB.number(body, at, end)
                guard let number, number > 0 else { return 0 }
                return Int32(exactly: number) ?? 0
            }
        }
        // Text, or a JSON number, which looks the same.
        if end &- at > 10 { return 0 }
        var value: Int64 = 0
        while at < end {
            let digit = body[at] &- 0x30
            if digit > 9 { return 0 }
            value = value &* 10 &+ Int64(digit)
            at &+= 1
        }
        return Int32(exactly: value) ?? 0
    }

    /// The text of an attachment of the body that was last read with `scratch`.
    ///
    /// - Parameters:
    ///   - name: Its key in lower case; keys are compared without regard to the case of ASCII letters.
    ///   - count: Bytes of the key.
    ///   - body: The same body.
    /// - Returns: The text of the last attachment of that name, which is the one Java keeps; nil when there is none, or when
    ///   that one is not a string in one piece.
    public static func attachment(
        named name: UnsafePointer<UInt8>, count: Int, in body: UnsafePointer<UInt8>, _ scratch: borrowing Scratch
    ) -> ByteRange? {
        if count == 0 || scratch.keyKinds & Scratch.kind(name, count) == 0 { return nil }
        var entry = scratch.attachments + scratch.attachmentCount
        while entry != scratch.attachments {
            entry -= 1
            if Int(entry.pointee.key.count) == count,
                equalsIgnoringCase(body + Int(entry.pointee.key.start), name, count)
            {
                return entry.pointee.isText ? entry.pointee.text : nil
            }
        }
        return nil
    }

    /// As `attachment(named:count:in:_:)`, for a name known when this is compiled.
    @inlinable
    public static func attachment(
        named name: StaticString, in body: UnsafePointer<UInt8>, _ scratch: borrowing Scratch
    ) -> ByteRange? {
        attachment(named: name.utf8Start, count: name.utf8CodeUnitCount, in: body, scratch)
    }

    /// `lower` is in lower case already.
    static func equalsIgnoringCase(
        _ bytes: UnsafePointer<UInt8>, _ lower: UnsafePointer<UInt8>, _ count: Int
    ) -> Bool {
        var at = 0
        while at < count {
            if count &- at >= 8 {
                let difference = BigEndian.word(bytes, at) ^ BigEndian.word(lower, at)
                if difference == 0 {
                    at &+= 8
                    continue
                }
                if difference & ~0x2020_2020_2020_2020 != 0 { return false }
            }
            let byte = bytes[at]
            let folded = byte >= 0x41 && byte <= 0x5a ? byte | 0x20 : byte
            if folded != lower[at] { return false }
            at &+= 1
        }
        return true
    }
}
