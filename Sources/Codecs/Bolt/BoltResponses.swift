extension Bolt {
    /// What a response brings.
    public enum ResponseKind: Sendable {
        /// A result. Those of programs without SOFA RPC are taken for one unseen.
        case value
        /// A SOFA result that is null, or of a void method.
        case null
        /// The called method threw: the host is well.
        case exception
        /// The server's RPC layer could not call anything; see `refusesService`.
        case failure
        /// A response of another status than `success`, or one that says that it is an error in a form that is not understood.
        case unknown
    }

    /// Tells results from exceptions and errors, which have the same status. Nothing but the beginning of the content is
    /// looked at.
    ///
    /// - Parameters:
    ///   - frame: A whole frame.
    ///   - head: Its head.
    public static func responseKind(_ frame: UnsafePointer<UInt8>, _ head: FrameHead) -> ResponseKind {
        if head.status != Status.success { return .unknown }
        let isMarked = head.headerLength > 0 && isMarkedAsError(frame, head)
        switch head.codec {
        case Codec.hessian:
            // The fields decide, whatever the header says; it is sent with exceptions and errors alike.
            guard let fields = responseFields(frame, head) else { return isMarked ? .unknown : .value }
            if frame[fields] == 0x54 { return .failure }
            if isMarked { return .exception }
            return frame[fields &+ 1] == Hessian2.null && frame[fields &+ 2] == Hessian2.null ? .null : .value
        case Codec.json, Codec.protobuf:
            if !isMarked { return .value }
            return hasErrorCode(frame, head) ? .failure : .exception
        default:
            return isMarked ? .unknown : .value
        }
    }

    /// Whether a SOFA server says that it does not have the service, so that the call was certainly not executed and may be
    /// sent to another host. Recognized by its text, `RPC-020100010: RPC cannot find service: [NAME] `.
    ///
    /// - Parameters:
    ///   - frame: A whole frame.
    ///   - head: Its head.
    ///   - interface: Interface of the service that was called. With JSON and Protobuf an exception of the application is written
    ///     like the server's own errors: it may say the same of a service that the application has called itself.
    ///   - count: Bytes of the interface.
    public static func refusesService(
        _ frame: UnsafePointer<UInt8>, _ head: FrameHead, of interface: UnsafePointer<UInt8>, count: Int
    ) -> Bool {
        guard responseKind(frame, head) == .failure, let text = errorText(frame, head),
            hasPrefix(frame, text, "RPC-020100010")
        else { return false }
        return head.codec == Codec.hessian || names(frame, text, interface, count)
    }

    /// Whether the first name in brackets is a service of the interface.
    private static func names(
        _ frame: UnsafePointer<UInt8>, _ text: ByteRange, _ interface: UnsafePointer<UInt8>, _ count: Int
    ) -> Bool {
        var at = Int(text.start)
        while at < text.end && frame[at] != 0x5b { at &+= 1 }
        at &+= 1
        guard count < text.end &- at, equals(frame + at, interface, count) else { return false }
        return frame[at &+ count] == 0x3a || frame[at &+ count] == 0x5d
    }

    /// The text of a response that is a failure of the server's RPC layer, or with JSON and Protobuf an exception; nil when it
    /// is none or not understood. With JSON it is as it was sent, escaped, without its quotes.
    public static func errorText(_ frame: UnsafePointer<UInt8>, _ head: FrameHead) -> ByteRange? {
        let content = head.contentRange
        switch head.codec {
        case Codec.hessian:
            guard let fields = responseFields(frame, head), frame[fields] == 0x54,
                let text = Hessian2.firstText(frame + fields + 1, content.end &- fields &- 1)
            else { return nil }
            return ByteRange(start: fields &+ 1 &+ Int(text.start), count: Int(text.count))
        case Codec.json, Codec.protobuf:
            return isMarkedAsError(frame, head) ? bareText(frame, head) : nil
        default:
            return nil
        }
    }

    private static func isMarkedAsError(_ frame: UnsafePointer<UInt8>, _ head: FrameHead) -> Bool {
        guard let value = headerValue(named: HeaderName.responseError, in: frame, head) else { return false }
        return equals(frame, value, "true")
    }

    /// The server's own errors begin with a code; an exception's message is taken for one of them when it does so too.
    private static func hasErrorCode(_ frame: UnsafePointer<UInt8>, _ head: FrameHead) -> Bool {
        hasPrefix(frame, bareText(frame, head), "RPC-02")
    }

    /// Content that is text: bare, or in quotes with JSON.
    private static func bareText(_ frame: UnsafePointer<UInt8>, _ head: FrameHead) -> ByteRange {
        let content = head.contentRange
        if head.codec != Codec.json { return content }
        let isQuoted = content.count >= 2 && frame[Int(content.start)] == 0x22 && frame[content.end &- 1] == 0x22
        return isQuoted ? ByteRange(start: Int(content.start) &+ 1, count: Int(content.count) &- 2) : content
    }

    /// The definition of SofaResponse with which Hessian content begins: its name, the names of its four fields, and the mark
    /// of an object of it. What follows are the fields.
    private static let definitionEnd: StaticString =
        "\u{07}isError\u{08}errorMsg\u{0b}appResponse\u{0d}responseProps\u{6f}"

    /// Class definition, length of the name (46), number of fields (4), first definition (0).
    private static let definitionCodes: (start: UInt8, name: UInt8, fields: UInt8, index: UInt8) =
        (0x4f, 0xbe, 0x94, 0x90)

    static func writeResponseDefinition(_ out: UnsafeMutablePointer<UInt8>, _ at: inout Int) {
        out[at] = definitionCodes.start
        out[at &+ 1] = definitionCodes.name
        at &+= 2
        write(responseClass, out, &at)
        out[at] = definitionCodes.fields
        at &+= 1
        write(definitionEnd, out, &at)
        out[at] = definitionCodes.index
        at &+= 1
    }

    /// Where the fields of a SofaResponse in Hessian begin, four bytes of which are there at least; nil when the content is
    /// something else.
    private static func responseFields(_ frame: UnsafePointer<UInt8>, _ head: FrameHead) -> Int? {
        let nameSize = responseClass.utf8CodeUnitCount
        let endSize = definitionEnd.utf8CodeUnitCount
        let size = 2 &+ nameSize &+ 1 &+ endSize &+ 1
        if head.contentLength < size &+ 4 { return nil }
        let content = frame + Int(head.contentRange.start)
        guard content[0] == definitionCodes.start, content[1] == definitionCodes.name,
            content[2 &+ nameSize] == definitionCodes.fields, content[size &- 1] == definitionCodes.index,
            equals(content + 2, responseClass.utf8Start, nameSize),
            equals(content + (3 &+ nameSize), definitionEnd.utf8Start, endSize)
        else { return nil }
        return Int(head.contentRange.start) &+ size
    }
}
