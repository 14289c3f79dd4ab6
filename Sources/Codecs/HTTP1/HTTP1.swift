/// HTTP/1.1 messages (RFC 9110 and RFC 9112) as a proxy needs them: where things are in the bytes, how long the body is,
/// and the same head written again for the next hop. Nothing here reads, writes or allocates.
public enum HTTP1 {
    /// What parsing a head came to.
    public enum HeadResult: Equatable, Sendable {
        /// The whole head is there and valid.
        case complete
        /// More bytes are needed; nothing wrong was seen yet.
        case incomplete
        /// Not a head that may be forwarded. Answer and close: the rest of the connection cannot be framed.
        case invalid(HeadError)
    }

    /// How far the search for the end of a head has come. One for each connection, reset for each head.
    ///
    /// It keeps a head that arrives in many small pieces from being parsed again with each of them.
    public struct ScanState: Sendable {
        /// Bytes that were searched already, 0 for a new head.
        public var scanned: Int32 = 0

        /// The state for a new head.
        @inline(__always)
        public init() {}
    }

    /// How the end of a body is found (RFC 9112, section 6.3).
    public enum BodyFraming: Equatable, Sendable {
        /// There is no body.
        case none
        /// A number of bytes, at most `Int64.max`.
        case length(UInt64)
        /// The chunked transfer coding.
        case chunked
        /// Everything until the connection ends; responses only.
        case untilClose
    }

    /// Request methods. Methods are case-sensitive; `other` covers the rest, see `RequestHead.methodName`.
    public enum Method: UInt8, Sendable {
        /// None of the methods below.
        case other
        /// GET
        case get
        /// HEAD
        case head
        /// POST
        case post
        /// PUT
        case put
        /// DELETE
        case delete
        /// OPTIONS
        case options
        /// PATCH
        case patch
        /// CONNECT
        case connect
        /// TRACE
        case trace

        /// Whether sending the request twice means the same as once (RFC 9110, section 9.2.2).
        public var isIdempotent: Bool {
            switch self {
            case .get, .head, .put, .delete, .options, .trace: true
            case .other, .post, .patch, .connect: false
            }
        }
    }

    /// Most field lines that a head may have.
    public static let maximumFields = 256

    /// Most names that the Connection fields of a message may carry.
    static let maximumConnectionOptions = 64

    /// Most empty lines before a request line (RFC 9112, section 2.2, asks for at least one).
    static let maximumEmptyLines = 4

    /// Why the internal steps of a parser end early.
    enum Stop: Error {
        case incomplete
        case invalid(HeadError)
    }
}

extension UInt8 {
    static let tab: UInt8 = 0x09
    static let lineFeed: UInt8 = 0x0A
    static let carriageReturn: UInt8 = 0x0D
    static let space: UInt8 = 0x20
    static let comma: UInt8 = 0x2C
    static let colon: UInt8 = 0x3A

    /// Whether this may stand in a token (RFC 9110, section 5.6.2).
    @inline(__always)
    var isToken: Bool {
        // One bit for each of the first 128 bytes.
        let low: UInt64 = 0x03FF_6CFA_0000_0000
        let high: UInt64 = 0x57FF_FFFF_C7FF_FFFE
        return self < 128 && ((self < 64 ? low : high) >> UInt64(self & 63)) & 1 == 1
    }

    /// Whether this is a space or a tab.
    @inline(__always)
    var isBlank: Bool { self == .space || self == .tab }

    /// Whether this is a decimal digit.
    @inline(__always)
    var isDigit: Bool { self &- 0x30 < 10 }

    /// Whether this is an ASCII letter.
    @inline(__always)
    var isLetter: Bool { (self | 0x20) &- 0x61 < 26 }
}
