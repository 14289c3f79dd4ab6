extension HTTP1 {
    /// The answer to `Expect: 100-continue`.
    public static let continueLine: StaticString = "HTTP/1.1 100 Continue\r\n\r\n"

    /// Most bytes that `writeAnswer` can need.
    @inline(__always)
    public static func answerBound(text: UnsafeBufferPointer<UInt8>, extraLines: UnsafeBufferPointer<UInt8>) -> Int {
        text.count &+ extraLines.count &+ 416
    }

    /// Writes a whole response made by the proxy: a line of plain text, or nothing where the status has no content.
    ///
    /// - Parameters:
    ///   - status: from 200 to 599.
    ///   - text: the body; a line end is added.
    ///   - isHead: whether this answers HEAD, so that the body stays out.
    ///   - connection: the Connection field.
    ///   - error: value of X-Greymesh-Error, up to 32 bytes; none where it is empty.
    ///   - attempts: value of X-Greymesh-Attempts; 0 and 1 are not told.
    ///   - retryAfter: seconds for Retry-After, up to ten digits; 0 is not told.
    ///   - extraLines: field lines to add, each with its line end; may be empty.
    ///   - output: where to write.
    ///   - capacity: room there, at least `answerBound`.
    /// - Returns: bytes written; 0 if `capacity` is too small.
    public static func writeAnswer(
        status: Int, text: UnsafeBufferPointer<UInt8>, isHead: Bool = false, connection: ConnectionWord,
        error: StaticString = "", attempts: Int = 0, retryAfter: Int = 0,
        extraLines: UnsafeBufferPointer<UInt8> = UnsafeBufferPointer(start: nil, count: 0),
        into output: UnsafeMutablePointer<UInt8>, capacity: Int
    ) -> Int {
        guard capacity >= answerBound(text: text, extraLines: extraLines) else { return 0 }
        var out = Output(output)
        out.put("HTTP/1.1 ")
        out.put(decimal: UInt64(max(0, status)))
        out.put(.space)
        out.put(reason(status))
        // RFC 9110, sections 8.6 and 15.3.6.
        let hasContent = status != 204 && status != 205 && status != 304
        if hasContent {
            out.put("\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: ")
            out.put(decimal: UInt64(text.count) &+ 1)
        } else if status == 205 {
            out.put("\r\nContent-Length: 0")
        }
        switch connection {
        case .omitted: out.put("\r\n")
        case .close: out.put("\r\nConnection: close\r\n")
        case .keepAlive: out.put("\r\nConnection: keep-alive\r\n")
        }
        if error.utf8CodeUnitCount > 0 {
            out.put("X-Greymesh-Error: ")
            out.put(error)
            out.put("\r\n")
        }
        if attempts > 1 { putAttempts(attempts, &out) }
        if retryAfter > 0 {
            out.put("Retry-After: ")
            out.put(decimal: UInt64(retryAfter))
            out.put("\r\n")
        }
        out.put(extraLines)
        out.put("\r\n")
        if !isHead && hasContent {
            out.put(text)
            out.put("\n")
        }
        return out.count
    }

    /// The reason phrase of a status that a proxy answers itself (RFC 9110, section 15).
    public static func reason(_ status: Int) -> StaticString {
        switch status {
        case 200: "OK"
        case 400: "Bad Request"
        case 403: "Forbidden"
        case 404: "Not Found"
        case 405: "Method Not Allowed"
        case 408: "Request Timeout"
        case 413: "Content Too Large"
        case 414: "URI Too Long"
        case 417: "Expectation Failed"
        case 421: "Misdirected Request"
        case 426: "Upgrade Required"
        case 429: "Too Many Requests"
        case 431: "Request Header Fields Too Large"
        case 500: "Internal Server Error"
        case 501: "Not Implemented"
        case 502: "Bad Gateway"
        case 503: "Service Unavailable"
        case 504: "Gateway Timeout"
        case 505: "HTTP Version Not Supported"
        case 508: "Loop Detected"
        default: "Error"
        }
    }
}
