import CNgHTTP2

/// One stream of a `GRPCConnection`: what has come of its answer, and what is still to be sent.
struct GRPCStream {
    /// Sent from `sent` on.
    var outgoing: [UInt8]
    var sent = 0
    /// Nothing more will be sent.
    var isWritten: Bool
    /// nghttp2 waits to be told of more.
    var isDeferred = false

    private var incoming: GRPCMessages
    private var httpStatus = ""
    private var contentType = ""
    private var status: String?
    private var words = ""
    /// Why it is not read on.
    private(set) var problem: GRPCEnd?

    init(_ message: [UInt8], isLast: Bool, limit: Int) {
        outgoing = GRPCMessages.frame(message)
        isWritten = isLast
        incoming = GRPCMessages(limit: limit)
    }

    /// Takes a field of the head or of the trailers.
    mutating func take(_ name: UnsafeBufferPointer<UInt8>, _ value: UnsafeBufferPointer<UInt8>) {
        let text = { String(decoding: value.prefix(400), as: UTF8.self) }
        if name.elementsEqual(":status".utf8) {
            httpStatus = text()
        } else if name.elementsEqual("content-type".utf8) {
            contentType = text()
        } else if name.elementsEqual("grpc-status".utf8) {
            status = text()
        } else if name.elementsEqual("grpc-message".utf8) {
            words = text()
        }
    }

    /// Takes what has come and returns the messages that are whole now; none once there is a `problem`.
    mutating func take(_ bytes: UnsafeBufferPointer<UInt8>) -> [[UInt8]] {
        problem = problem ?? headProblem
        guard problem == nil else { return [] }
        do {
            return try incoming.append(bytes)
        } catch {
            switch error {
            case .compressed: problem = GRPCEnd(.unreadable, "a compressed message")
            case .tooLarge(let limit): problem = GRPCEnd(.tooLarge, "a message of more than \(limit) bytes")
            }
            return []
        }
    }

    /// How it has ended.
    ///
    /// - Parameter code: HTTP/2's; 0 where it was not reset.
    func end(_ code: UInt32) -> GRPCEnd {
        if let problem { return problem }
        if let status, status != "0" {
            let said = words.isEmpty ? "" : ": " + Excerpt.words(Array((PercentEncoding.decode(words) ?? words).utf8))
            return GRPCEnd(.refused, "gRPC status \(status.prefix(20))" + said)
        }
        if code != 0 { return GRPCEnd(.closed, "reset: \(String(cString: nghttp2_http2_strerror(code)))") }
        if let headProblem { return headProblem }
        if incoming.isWithin { return GRPCEnd(.unreadable, "a message that is cut off") }
        return GRPCEnd(status == nil ? .unreadable : .complete, "the server ended the stream")
    }

    /// Why what follows the head is not read: servers and proxies that do not know gRPC answer in their own way.
    private var headProblem: GRPCEnd? {
        if httpStatus != "200" && !httpStatus.isEmpty {
            return GRPCEnd(.refused, "HTTP status \(httpStatus.prefix(20))")
        }
        if contentType.hasPrefix("application/grpc") || httpStatus.isEmpty { return nil }
        return GRPCEnd(.unreadable, "no gRPC, but " + Excerpt.words(Array(contentType.utf8)))
    }
}
