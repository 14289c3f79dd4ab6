/// An answer to a request.
public struct Response {
    /// Where the body comes from.
    public enum Body {
        /// All of it.
        case bytes([UInt8])
        /// The closure gets a writer once the head is on its way, and may keep it to write more later.
        case stream((BodyWriter) -> Void)
    }

    /// 200 to 599.
    public var status: Int
    /// Without framing and connection fields: the server adds those.
    public var headers: [HeaderField]
    /// Not sent in answers to HEAD and with 204 and 304.
    public var body: Body
    /// Ends the connection behind this answer.
    public var closesConnection: Bool

    /// An answer with any body.
    public init(status: Int = 200, headers: [HeaderField] = [], body: Body = .bytes([]), closesConnection: Bool = false)
    {
        self.status = status
        self.headers = headers
        self.body = body
        self.closesConnection = closesConnection
    }

    /// An answer of text.
    public static func text(
        _ text: String, status: Int = 200, contentType: String = "text/plain; charset=utf-8"
    ) -> Response {
        Response(status: status, headers: [HeaderField("Content-Type", contentType)], body: .bytes(Array(text.utf8)))
    }

    /// An answer of JSON that is written already.
    public static func json(_ text: String, status: Int = 200) -> Response {
        .text(text, status: status, contentType: "application/json;charset=UTF-8")
    }

    /// What RFC 9110 calls a status; empty for numbers it does not know.
    public static func reason(of status: Int) -> String { reasons[status] ?? "" }

    private static let reasons = [
        100: "Continue", 101: "Switching Protocols", 200: "OK", 201: "Created", 202: "Accepted", 204: "No Content",
        206: "Partial Content", 301: "Moved Permanently", 302: "Found", 303: "See Other", 304: "Not Modified",
        307: "Temporary Redirect", 308: "Permanent Redirect", 400: "Bad Request", 401: "Unauthorized",
        403: "Forbidden", 404: "Not Found", 405: "Method Not Allowed", 408: "Request Timeout", 409: "Conflict",
        410: "Gone", 411: "Length Required", 413: "Content Too Large", 414: "URI Too Long",
        415: "Unsupported Media Type", 417: "Expectation Failed", 422: "Unprocessable Content",
        429: "Too Many Requests",
        431: "Request Header Fields Too Large", 500: "Internal Server Error", 501: "Not Implemented",
        502: "Bad Gateway", 503: "Service Unavailable", 504: "Gateway Timeout", 505: "HTTP Version Not Supported",
    ]
}

/// Writes a body piece by piece. Lives on the server's loop; calls after the end, or after the peer has gone, do nothing.
public final class BodyWriter {
    private weak var connection: Connection?
    private let isChunked: Bool
    private let isDiscarded: Bool
    private var isFinished = false

    init(_ connection: Connection, isChunked: Bool, isDiscarded: Bool) {
        self.connection = connection
        self.isChunked = isChunked
        self.isDiscarded = isDiscarded
    }

    /// False once the body is finished or the peer has gone: time to stop producing.
    public var isOpen: Bool { !isFinished && connection != nil && connection?.isOpen == true }

    /// Bytes that wait for a slow reader; a producer of much should pause while there are many.
    public var pendingBytes: Int { connection?.pendingBytes ?? 0 }

    /// Sends a piece; nothing when it is empty.
    public func write(_ bytes: [UInt8]) {
        guard isOpen, !isDiscarded, !bytes.isEmpty else { return }
        if isChunked {
            connection?.send(Array("\(String(bytes.count, radix: 16))\r\n".utf8) + bytes + [0x0d, 0x0a])
        } else {
            connection?.send(bytes)
        }
    }

    /// Ends the body.
    public func finish() {
        guard isOpen else { return }
        isFinished = true
        if isChunked && !isDiscarded { connection?.send(Array("0\r\n\r\n".utf8)) }
        connection?.responseEnded()
    }

    /// Cuts the connection, so that the peer sees an unfinished body.
    public func abort() {
        isFinished = true
        connection?.close()
    }
}
