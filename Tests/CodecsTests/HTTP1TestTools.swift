import Codecs

/// Parses text as tests see it: whole messages in, readable values out.
struct ParsedRequest: Equatable {
    var result: HTTP1.HeadResult
    var head = HTTP1.RequestHead()
    var names: [String] = []
    var values: [String] = []
    var rewritten = ""
    /// Bytes that had to be there before the result came.
    var needed = 0

    static func == (left: ParsedRequest, right: ParsedRequest) -> Bool {
        left.result == right.result && left.names == right.names && left.values == right.values
            && left.rewritten == right.rewritten && left.head.framing == right.head.framing
            && left.head.flags == right.head.flags && left.head.length == right.head.length
            && left.head.host == right.head.host && left.head.path == right.head.path
    }
}

/// What a response came to.
struct ParsedResponse: Equatable {
    var result: HTTP1.HeadResult
    var head = HTTP1.ResponseHead()
    var values: [String] = []
    var rewritten = ""

    static func == (left: ParsedResponse, right: ParsedResponse) -> Bool {
        left.result == right.result && left.values == right.values && left.rewritten == right.rewritten
            && left.head.framing == right.head.framing && left.head.flags == right.head.flags
            && left.head.status == right.head.status && left.head.length == right.head.length
    }
}

/// The same numbers in every run.
struct FixedRandom: RandomNumberGenerator {
    private var state: UInt64

    init(seed: UInt64) { state = seed }

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var mixed = state
        mixed = (mixed ^ (mixed >> 30)) &* 0xBF58_476D_1CE4_E5B9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94D0_49BB_1331_11EB
        return mixed ^ (mixed >> 31)
    }
}

/// Gives `body` a copy of the bytes that ends where its memory ends, so that reading on would be noticed under a
/// checking allocator, and begins at an odd address.
func withExactCopy<R>(_ bytes: some Collection<UInt8>, _ body: (UnsafePointer<UInt8>, Int) -> R) -> R {
    let memory = UnsafeMutablePointer<UInt8>.allocate(capacity: bytes.count + 1)
    defer { memory.deallocate() }
    for (index, byte) in bytes.enumerated() { memory[index + 1] = byte }
    return body(UnsafePointer(memory + 1), bytes.count)
}

/// Text at a place in bytes.
func text(_ bytes: some RandomAccessCollection<UInt8>, _ range: ByteRange) -> String {
    let start = bytes.index(bytes.startIndex, offsetBy: Int(range.start))
    return String(decoding: bytes[start..<bytes.index(start, offsetBy: Int(range.count))], as: UTF8.self)
}

/// Parses a request whose bytes arrive in pieces that end at `ends`, and writes it again.
func parseRequest(
    _ message: [UInt8], ends: [Int]? = nil, limit: Int = 65536, client: String = "192.0.2.7",
    secure: Bool = false, defaultHost: String = "fallback.example", extra: String = ""
) -> ParsedRequest {
    var state = HTTP1.ScanState()
    var fields = HTTP1.FieldTable()
    var head = HTTP1.RequestHead()
    var parsed = ParsedRequest(result: .incomplete)
    for end in ends ?? [message.count] {
        parsed.needed = end
        withExactCopy(message[..<end]) { bytes, count in
            parsed.result = HTTP1.parseRequestHead(
                bytes, count: count, limit: limit, state: &state, head: &head, fields: &fields)
            guard parsed.result == .complete else { return }
            parsed.head = head
            for index in 0..<fields.count {
                parsed.names.append(text(message, fields[index].name))
                parsed.values.append(text(message, fields[index].value))
            }
            parsed.rewritten = rewriteRequest(
                bytes, head, fields, client: client, secure: secure, defaultHost: defaultHost, extra: extra)
        }
        if parsed.result != .incomplete { break }
    }
    return parsed
}

/// Parses a request given as text.
func parseRequest(_ message: String, limit: Int = 65536) -> ParsedRequest {
    parseRequest(Array(message.utf8), limit: limit)
}

/// Writes a request head; also checks that the bound holds and that one byte less is refused.
func rewriteRequest(
    _ bytes: UnsafePointer<UInt8>, _ head: HTTP1.RequestHead, _ fields: borrowing HTTP1.FieldTable, client: String,
    secure: Bool = false, defaultHost: String, extra: String = "", allowsUpgrade: Bool = true
) -> String {
    let client = Array(client.utf8)
    let host = Array(defaultHost.utf8)
    let lines = Array(extra.utf8)
    return client.withUnsafeBufferPointer { client in
        host.withUnsafeBufferPointer { host in
            lines.withUnsafeBufferPointer { lines in
                let rewrite = HTTP1.RequestRewrite(
                    clientAddress: client, isSecure: secure, defaultHost: host, allowsUpgrade: allowsUpgrade,
                    extraLines: lines)
                return written(HTTP1.requestHeadBound(head, rewrite)) {
                    HTTP1.writeRequestHead(bytes, head, fields, rewrite, into: $0, capacity: $1)
                }
            }
        }
    }
}

/// Runs a writer with exactly the room it asks for.
func written(_ bound: Int, _ write: (UnsafeMutablePointer<UInt8>, Int) -> Int) -> String {
    let output = UnsafeMutablePointer<UInt8>.allocate(capacity: bound)
    defer { output.deallocate() }
    precondition(write(output, bound - 1) == 0, "too little room was not refused")
    let count = write(output, bound)
    precondition(count > 0 && count <= bound, "the bound does not hold")
    return String(decoding: UnsafeBufferPointer(start: output, count: count), as: UTF8.self)
}

/// Parses a response whose bytes arrive in pieces that end at `ends`, and writes it again.
func parseResponse(
    _ message: [UInt8], ends: [Int]? = nil, to method: HTTP1.Method = .get, limit: Int = 65536,
    connection: HTTP1.ConnectionWord = .omitted, transferEncoding: HTTP1.TransferEncodingRewrite = .kept,
    version: String = "", extra: String = ""
) -> ParsedResponse {
    var state = HTTP1.ScanState()
    var fields = HTTP1.FieldTable()
    var head = HTTP1.ResponseHead()
    var parsed = ParsedResponse(result: .incomplete)
    let version = Array(version.utf8)
    let extra = Array(extra.utf8)
    for end in ends ?? [message.count] {
        withExactCopy(message[..<end]) { bytes, count in
            parsed.result = HTTP1.parseResponseHead(
                bytes, count: count, requestMethod: method, limit: limit, state: &state, head: &head, fields: &fields)
            guard parsed.result == .complete else { return }
            parsed.head = head
            for index in 0..<fields.count { parsed.values.append(text(message, fields[index].value)) }
            parsed.rewritten = version.withUnsafeBufferPointer { version in
                extra.withUnsafeBufferPointer { extra in
                    let rewrite = HTTP1.ResponseRewrite(
                        connection: connection, transferEncoding: transferEncoding, servedVersion: version,
                        extraLines: extra)
                    return written(HTTP1.responseHeadBound(head, rewrite)) {
                        HTTP1.writeResponseHead(bytes, head, fields, rewrite, into: $0, capacity: $1)
                    }
                }
            }
        }
        if parsed.result != .incomplete { break }
    }
    return parsed
}
