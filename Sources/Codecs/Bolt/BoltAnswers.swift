extension Bolt {
    /// Longest text that `writeError` sends, in bytes of UTF-8; what is beyond is cut.
    public static let maximumErrorText = Dubbo.maximumErrorText
    /// Bytes that `writeError` may need. JSON may make six bytes of one.
    public static let errorBound = 512 + 6 * maximumErrorText

    /// Writes a response that has a status and nothing else. It has no checksum, like those that Java servers make without
    /// asking the application. One-way requests get none.
    ///
    /// - Parameters:
    ///   - status: One of `Status` but `success`: without content that is an error to SOFA RPC, and to plain Bolt a result.
    ///   - request: Head of the request; variant, id and codec are taken from it.
    ///   - out: `largestHeadSize` bytes.
    /// - Returns: Size of the frame.
    public static func writeStatus(
        _ status: UInt16, answering request: FrameHead, into out: UnsafeMutablePointer<UInt8>
    ) -> Int {
        writeHead(responseHead(request, status), out)
    }

    /// Writes a response that makes a SOFA consumer throw an exception with this text, and not try again.
    ///
    /// - Parameters:
    ///   - text: UTF-8; bytes that are not UTF-8 become `?`.
    ///   - request: Head of the request; variant, id and codec are taken from it.
    ///   - status: What is answered instead, without words, where the content cannot be written: in other codecs than Hessian,
    ///     JSON and Protobuf.
    ///   - out: `errorBound` bytes.
    /// - Returns: Size of the frame.
    public static func writeError(
        text: UnsafePointer<UInt8>, count: Int, answering request: FrameHead, otherwise status: UInt16,
        into out: UnsafeMutablePointer<UInt8>
    ) -> Int {
        var head = responseHead(request, Status.success)
        var at = head.headLength
        write(responseClass, out, &at)
        head.classLength = at &- head.headLength
        writeErrorHeader(out, &at)
        head.headerLength = at &- head.headLength &- head.classLength
        let contentStart = at
        let count = Dubbo.cut(text, count)
        switch request.codec {
        case Codec.hessian: writeHessianError(text, count, out, &at)
        case Codec.json: writeQuoted(text, count, out, &at)
        case Codec.protobuf: writeSanitized(text, count, out, &at)
        default: return writeStatus(status, answering: request, into: out)
        }
        head.contentLength = at &- contentStart
        writeHead(head, out)
        return head.frameLength
    }

    /// Writes the answer to a heartbeat and returns its size, at most `largestHeadSize`.
    public static func writeHeartbeatAnswer(
        request: FrameHead, into out: UnsafeMutablePointer<UInt8>
    ) -> Int {
        var head = responseHead(request, Status.success)
        head.command = Command.heartbeat
        return writeHead(head, out)
    }

    /// Writes a heartbeat as Java clients send it and returns its size, at most `largestHeadSize`. Its id is one of those of
    /// the connection's requests.
    public static func writeHeartbeatRequest(
        id: UInt32, _ variant: Variant, into out: UnsafeMutablePointer<UInt8>
    ) -> Int {
        var head = FrameHead(
            variant: variant, type: .request, command: Command.heartbeat, id: id, codec: Codec.hessian)
        head.timeout = -1
        return writeHead(head, out)
    }

    /// Writes the frame by which a proxy tells another one that it wants no new requests on this connection, and returns its
    /// size. It exists in version 1 only and is not answered. Java clients close the connection at once when they get it.
    public static func writeGoaway(id: UInt32, into out: UnsafeMutablePointer<UInt8>) -> Int {
        writeHead(
            FrameHead(variant: .version1, type: .request, command: Command.goaway, id: id, codec: Codec.hessian), out)
    }

    private static func responseHead(_ request: FrameHead, _ status: UInt16) -> FrameHead {
        var head = FrameHead(
            variant: request.variant, type: .response, command: Command.response, id: request.id, codec: request.codec)
        head.status = status
        return head
    }

    private static func writeErrorHeader(_ out: UnsafeMutablePointer<UInt8>, _ at: inout Int) {
        for text in [HeaderName.responseError, "true"] {
            BigEndian.store(UInt32(truncatingIfNeeded: text.utf8CodeUnitCount), out, at)
            at &+= 4
            write(text, out, &at)
        }
    }

    /// A SofaResponse of which `isError` is true and the rest null but for the text. Its length counts UTF-16 units.
    private static func writeHessianError(
        _ text: UnsafePointer<UInt8>, _ count: Int, _ out: UnsafeMutablePointer<UInt8>, _ at: inout Int
    ) {
        writeResponseDefinition(out, &at)
        write(0x54, out, &at)
        write(0x53, out, &at)
        BigEndian.store(UInt16(truncatingIfNeeded: Hessian2.countUnits(text, count)), out, at)
        at &+= 2
        at &+= Hessian2.writeCharacters(text, count, out + at)
        write("NN", out, &at)
    }

    private static func writeQuoted(
        _ text: UnsafePointer<UInt8>, _ count: Int, _ out: UnsafeMutablePointer<UInt8>, _ at: inout Int
    ) {
        write(0x22, out, &at)
        let start = at
        writeSanitized(text, count, out, &at)
        at = escape(out, start, at)
        write(0x22, out, &at)
    }

    /// Escapes the text between `start` and `end` for JSON, in place and from its end on; returns its new end.
    private static func escape(_ out: UnsafeMutablePointer<UInt8>, _ start: Int, _ end: Int) -> Int {
        var newEnd = end
        for at in start..<end { newEnd &+= escapedSize(out[at]) &- 1 }
        var to = newEnd
        var from = end
        while from > start {
            from &-= 1
            let byte = out[from]
            let size = escapedSize(byte)
            to &-= size
            switch size {
            case 1:
                out[to] = byte
            case 2:
                out[to] = 0x5c
                out[to &+ 1] = byte
            default:
                let digit = byte & 0x0f
                var place = to
                write("\\u00", out, &place)
                write(0x30 &+ byte >> 4, out, &place)
                write(digit < 10 ? 0x30 &+ digit : 0x57 &+ digit, out, &place)
            }
        }
        return newEnd
    }

    private static func escapedSize(_ byte: UInt8) -> Int {
        if byte < 0x20 { return 6 }
        return byte == 0x22 || byte == 0x5c ? 2 : 1
    }

    /// Copies text with `?` in the place of bytes that are not UTF-8.
    private static func writeSanitized(
        _ text: UnsafePointer<UInt8>, _ count: Int, _ out: UnsafeMutablePointer<UInt8>, _ at: inout Int
    ) {
        var from = 0
        while from < count {
            let length = Hessian2.sequenceLength(text, from, count)
            if length == 0 {
                write(0x3f, out, &at)
                from &+= 1
            } else {
                (out + at).update(from: text + from, count: length)
                at &+= length
                from &+= length
            }
        }
    }

    private static func write(_ byte: UInt8, _ out: UnsafeMutablePointer<UInt8>, _ at: inout Int) {
        out[at] = byte
        at &+= 1
    }

    static func write(_ text: StaticString, _ out: UnsafeMutablePointer<UInt8>, _ at: inout Int) {
        (out + at).update(from: text.utf8Start, count: text.utf8CodeUnitCount)
        at &+= text.utf8CodeUnitCount
    }
}
