/// A request to a registry.
public struct HTTPRequest: Sendable {
    /// `GET`, `POST`, ...
    public var method: String
    /// An absolute `http` or `https` URL, already percent-encoded.
    public var url: String
    /// Further headers, in order. Names and values must not contain line ends; such headers are refused.
    public var headers: [(name: String, value: String)]
    /// The body; nil sends none.
    public var body: [UInt8]?
    /// Longest time for name lookup and connect.
    public var connectTimeout: Duration
    /// Longest time for the whole exchange, counted from when it is sent: waiting for a free connection does not count.
    public var timeout: Duration
    /// Largest answer body in bytes that is taken; a larger one is an error.
    public var maximumBody: Int
    /// Offers to take the answer compressed. The body is unpacked; its limit counts what was unpacked.
    public var acceptsGzip = false
    /// It is sent once: a connection that breaks before an answer, after it was used for others, ends the exchange with
    /// `.dropped`. Otherwise the request is sent again over another connection.
    public var isSentOnce = false

    /// A request.
    public init(
        _ method: String = "GET", _ url: String, headers: [(name: String, value: String)] = [], body: [UInt8]? = nil,
        connectTimeout: Duration = .seconds(2), timeout: Duration = .seconds(5), maximumBody: Int = 64 << 20
    ) {
        self.method = method
        self.url = url
        self.headers = headers
        self.body = body
        self.connectTimeout = connectTimeout
        self.timeout = timeout
        self.maximumBody = maximumBody
    }
}

/// A complete answer. Every status is an answer; redirects are not followed.
public struct HTTPResponse: Sendable {
    /// 100 to 599.
    public let status: Int
    /// The header lines as received, without the status line.
    let head: [UInt8]
    /// The body, transfer coding removed.
    public let body: [UInt8]

    /// The first value of a header, without the blanks around it; nil when it is absent.
    public func header(_ name: String) -> String? {
        let wanted = name.lowercased()
        for line in head.split(separator: UInt8(ascii: "\n")) {
            guard let colon = line.firstIndex(of: UInt8(ascii: ":")),
                String(decoding: line[..<colon], as: UTF8.self).lowercased() == wanted
            else { continue }
            return String(decoding: line[(colon + 1)...], as: UTF8.self)
                .split(whereSeparator: \.isWhitespace).joined(separator: " ")
        }
        return nil
    }

    /// The body as text; bytes that are not UTF-8 become U+FFFD.
    public var text: String { String(decoding: body, as: UTF8.self) }
}

/// Why there is no answer.
public enum HTTPError: Error, Hashable, Sendable, CustomStringConvertible {
    /// The request cannot be sent as it stands.
    case invalidRequest(String)
    /// The host's name has no address.
    case unresolved(String)
    /// No connection could be made.
    case notConnected(String)
    /// The answer was not complete in time.
    case timedOut(Duration)
    /// The answer's body is larger than this many bytes.
    case tooLarge(Int)
    /// The connection broke, or what came is not HTTP.
    case broken(String)
    /// A connection that had been used for others broke before the answer began. Only for requests that are sent once.
    case dropped
    /// Too many requests wait already.
    case overloaded

    /// Nothing of the request can have arrived.
    var isUnreachable: Bool {
        switch self {
        case .invalidRequest, .unresolved, .notConnected, .overloaded: true
        case .timedOut, .tooLarge, .broken, .dropped: false
        }
    }

    /// One line for the log.
    public var description: String {
        switch self {
        case .invalidRequest(let reason): "invalid request: \(reason)"
        case .unresolved(let reason): "name lookup failed: \(reason)"
        case .notConnected(let reason): "cannot connect: \(reason)"
        case .timedOut(let limit): "no complete answer within \(limit)"
        case .tooLarge(let limit): "the answer is larger than \(limit) bytes"
        case .broken(let reason): "broken answer: \(reason)"
        case .dropped: "the connection was closed instead of an answer"
        case .overloaded: "too many requests wait"
        }
    }
}

/// Text in URLs and forms.
public enum PercentEncoding {
    /// Encodes everything but RFC 3986's unreserved characters; right in paths, queries and forms.
    public static func encode(_ text: String) -> String {
        var bytes: [UInt8] = []
        for byte in text.utf8 {
            if isUnreserved(byte) {
                bytes.append(byte)
            } else {
                bytes.append(UInt8(ascii: "%"))
                bytes.append(digit(byte >> 4))
                bytes.append(digit(byte & 15))
            }
        }
        return String(decoding: bytes, as: UTF8.self)
    }

    /// Decodes `%XX`; nil when an escape is incomplete or the result is not UTF-8.
    public static func decode(_ text: some StringProtocol) -> String? {
        var bytes: [UInt8] = []
        var rest = Array(text.utf8)[...]
        while let byte = rest.popFirst() {
            guard byte == UInt8(ascii: "%") else {
                bytes.append(byte)
                continue
            }
            guard let high = rest.popFirst().flatMap(value), let low = rest.popFirst().flatMap(value) else {
                return nil
            }
            bytes.append(high << 4 | low)
        }
        return String(validating: bytes, as: UTF8.self)
    }

    /// `a=1&b=2` of a query or form body, encoded, in order.
    public static func form(_ parameters: [(String, String)]) -> String {
        parameters.map { "\(encode($0.0))=\(encode($0.1))" }.joined(separator: "&")
    }

    private static func isUnreserved(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
            UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "."), UInt8(ascii: "_"),
            UInt8(ascii: "~"):
            true
        default: false
        }
    }

    private static func digit(_ value: UInt8) -> UInt8 { value < 10 ? 0x30 + value : 0x41 + value - 10 }

    private static func value(_ digit: UInt8) -> UInt8? {
        switch digit {
        case 0x30...0x39: digit - 0x30
        case 0x41...0x46: digit - 0x41 + 10
        case 0x61...0x66: digit - 0x61 + 10
        default: nil
        }
    }
}
