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
    /// Only for requests in Hessian2: a result must be in the request's serialization.
    ///
    /// - Parameters:
    ///   - id: The request's.
    ///   - code: See `RpcExceptionCode`. 2.7 consumers show it, 3.x ones the text only.
    ///   - text: The message, as in `writeError`.
    ///   - out: `errorBound` bytes.
    /// - Returns: Size of the frame.
    public static func writeRpcException(
        id: Int64, code: Int32, text: UnsafePointer<UInt8>, count: Int, into out: UnsafeMutablePointer<UInt8>
    ) -> Int {
        var at = headSize
        // Result flag 3: exception with attachments. Class of two fields, instance of it.
        write(0x93, out, &at)
        write("C\u{30}\u{21}org.apache.dubbo.rpc.RpcException", out, &at)
        write(0x92, out, &at)
        write("\u{04}code\u{0d}detailMessage\u{60}", out, &at)
        at &+= Hessian2.writeInt(code, out + at)
        at &+= Hessian2.writeText(text, cut(text, count), out + at)
        write("H\u{05}dubbo\u{05}2.0.2Z", out, &at)
        return finish(FrameHead(flags: 0x02, status: Status.ok, id: id, bodyLength: at &- headSize), out)
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
    private static func cut(_ text: UnsafePointer<UInt8>, _ count: Int) -> Int {
        if count <= maximumErrorText { return Swift.max(count, 0) }
        var end = maximumErrorText
        while end > maximumErrorText - 4 && text[end] & 0xc0 == 0x80 { end &-= 1 }
        return end
    }
}
