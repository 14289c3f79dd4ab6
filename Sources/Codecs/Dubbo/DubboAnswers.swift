extension Dubbo {
    /// Longest text that `writeError` and `writeRpcException` send, in bytes of UTF-8; what is beyond is cut.
    public static let maximumErrorText = 4096
    /// Bytes that `writeError` and `writeRpcException` may need.
    public static let errorBound = headSize + 160 + Hessian2.textBound(maximumErrorText)

    /// Writes an error response, in Hessian2: consumers read errors in the response's serialization, whatever they asked in.
    ///
    /// A 3.x consumer sends the request again (`retries`, 2 unless configured) for every status but `ok`.
    ///
    /// - Parameters:
    ///   - status: Any but `Status.ok`.
    ///   - id: The request's.
    ///   - text: UTF-8 that ends up in the consumer's exception; bytes that are not UTF-8 become `?`.
    ///   - out: `errorBound` bytes.
    /// - Returns: Size of the frame.
    public static func writeError(
        status: UInt8, id: Int64, text: UnsafePointer<UInt8>, count: Int, into out: UnsafeMutablePointer<UInt8>
    ) -> Int {
        let length = Hessian2.writeText(text, cut(text, count), out + headSize)
        return finish(FrameHead(flags: 0x02, status: status, id: id, bodyLength: length), out)
    }

    /// Writes a response that makes the call fail without the consumer trying again: `org.apache.dubbo.rpc.RpcException` as
    /// the result.
    ///
    /// - Parameters:
    ///   - id: The request's.
    ///   - code: See `RpcExceptionCode`. 2.7 consumers show it, 3.x ones the text only.
    ///   - text: The message, as in `writeError`.
    ///   - serialization: The request's, in which a result must be.
    ///   - out: `errorBound` bytes.
    /// - Returns: Size of the frame; 0 for serializations other than Hessian2 and fastjson2: send an error instead.
    public static func writeRpcException(
        id: Int64, code: Int32, text: UnsafePointer<UInt8>, count: Int, serialization: Serialization = .hessian2,
        into out: UnsafeMutablePointer<UInt8>
    ) -> Int {
        var at = headSize
        switch serialization {
        case .hessian2: writeHessianException(code, text, cut(text, count), out, &at)
        case .fastjson2: writeFastjson2Exception(code, text, cut(text, count), out, &at)
        default: return 0
        }
        return finish(
            FrameHead(flags: serialization.id, status: Status.ok, id: id, bodyLength: at &- headSize), out)
    }

    /// Result flag 3 (exception with attachments), definition of a class of two fields, instance of it, attachments.
    private static func writeHessianException(
        _ code: Int32, _ text: UnsafePointer<UInt8>, _ count: Int, _ out: UnsafeMutablePointer<UInt8>, _ at: inout Int
    ) {
        write(0x93, out, &at)
        write("C\u{30}\u{21}org.apache.dubbo.rpc.RpcException", out, &at)
        write(0x92, out, &at)
        write("\u{04}code\u{0d}detailMessage\u{60}", out, &at)
        at &+= Hessian2.writeInt(code, out + at)
        at &+= Hessian2.writeText(text, count, out + at)
        write("H\u{05}dubbo\u{05}2.0.2Z", out, &at)
    }

    /// The same as three elements: a byte, a typed object, a map.
    private static func writeFastjson2Exception(
        _ code: Int32, _ text: UnsafePointer<UInt8>, _ count: Int, _ out: UnsafeMutablePointer<UInt8>, _ at: inout Int
    ) {
        BigEndian.store(UInt32(2), out, at)
        at &+= 4
        write(0xbd, out, &at)
        write(3, out, &at)

        let start = at &+ 4
        at = start
        write(JSONB.typed, out, &at)
        write("\u{6a}org.apache.dubbo.rpc.RpcException\u{00}", out, &at)
        write(JSONB.object, out, &at)
        write("\u{4d}code\u{48}", out, &at)
        BigEndian.store(code, out, at)
        at &+= 4
        write("\u{56}detailMessage", out, &at)
        at &+= JSONB.writeText(text, count, out + at)
        write(JSONB.objectEnd, out, &at)
        BigEndian.store(UInt32(truncatingIfNeeded: at &- start), out, start &- 4)

        BigEndian.store(UInt32(14), out, at)
        at &+= 4
        write(JSONB.object, out, &at)
        write("\u{4e}dubbo\u{4e}2.0.2", out, &at)
        write(JSONB.objectEnd, out, &at)
    }

    /// Writes the answer to a heartbeat request: the same id, serialization and body.
    ///
    /// - Parameters:
    ///   - request: The whole frame, head included.
    ///   - out: `count` bytes; may be `request` itself.
    /// - Returns: Size of the frame, `count`.
    public static func writeHeartbeatAnswer(
        request: UnsafePointer<UInt8>, count: Int, into out: UnsafeMutablePointer<UInt8>
    ) -> Int {
        let flags = 0x20 | request[2] & 0x1f
        if UnsafePointer(out) != request { out.update(from: request, count: count) }
        out[2] = flags
        out[3] = Status.ok
        return count
    }

    /// Size of what `writeHeartbeatRequest` writes.
    public static let heartbeatRequestSize = headSize + 1

    /// Writes a two-way heartbeat request in Hessian2, which every version answers.
    public static func writeHeartbeatRequest(id: Int64, into out: UnsafeMutablePointer<UInt8>) -> Int {
        out[headSize] = Hessian2.null
        return finish(FrameHead(flags: 0xe2, status: 0, id: id, bodyLength: 1), out)
    }

    /// Size of what `writeReadonlyEvent` writes.
    public static let readonlyEventSize = headSize + 2

    /// Writes the event by which a provider says that it wants no new requests on this connection, as Java providers do when
    /// they stop. It is not answered.
    public static func writeReadonlyEvent(id: Int64, into out: UnsafeMutablePointer<UInt8>) -> Int {
        out[headSize] = 1
        out[headSize + 1] = 0x52
        return finish(FrameHead(flags: 0xa2, status: 0, id: id, bodyLength: 2), out)
    }

    private static func write(_ byte: UInt8, _ out: UnsafeMutablePointer<UInt8>, _ at: inout Int) {
        out[at] = byte
        at &+= 1
    }

    private static func write(_ bytes: StaticString, _ out: UnsafeMutablePointer<UInt8>, _ at: inout Int) {
        (out + at).update(from: bytes.utf8Start, count: bytes.utf8CodeUnitCount)
        at &+= bytes.utf8CodeUnitCount
    }

    private static func finish(_ head: FrameHead, _ out: UnsafeMutablePointer<UInt8>) -> Int {
        writeHead(head, out)
        return head.frameLength
    }

    /// Where to cut a text that is too long: not within a character.
    static func cut(_ text: UnsafePointer<UInt8>, _ count: Int) -> Int {
        if count <= maximumErrorText { return Swift.max(count, 0) }
        var end = maximumErrorText
        while end > maximumErrorText - 4 && text[end] & 0xc0 == 0x80 { end &-= 1 }
        return end
    }
}
