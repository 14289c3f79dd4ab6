import Codecs
import Testing

/// What must be refused, because two programs could read it differently or because it is no HTTP at all.
@Suite struct HTTP1MalformedRequestTests {
    struct Bad: Sendable, CustomTestStringConvertible {
        var head: String
        var error: HTTP1.HeadError
        var testDescription: String { head.debugDescription }

        init(_ head: String, _ error: HTTP1.HeadError) {
            self.head = head
            self.error = error
        }

        /// A request with these lines behind Host.
        static func lines(_ lines: String, _ error: HTTP1.HeadError) -> Bad {
            Bad("POST / HTTP/1.1\r\nHost: a\r\n\(lines)\r\n\r\n", error)
        }
    }

    @Test(arguments: [
        Bad("GET / HTTP/1.1 \r\nHost: a\r\n\r\n", .badRequestLine),
        Bad("GET / HTTP/1.1\r\r\nHost: a\r\n\r\n", .bareCarriageReturn),
        Bad("GET /\r\n\r\n", .badRequestLine),
        Bad("GET / x\r\n\r\n", .badRequestLine),
        Bad("GET / http/1.1\r\nHost: a\r\n\r\n", .badRequestLine),
        Bad("GET / HTTP/1.10\r\nHost: a\r\n\r\n", .badRequestLine),
        Bad("GET / HTTP/1,1\r\nHost: a\r\n\r\n", .badRequestLine),
        Bad("GET / HTTP/0.9\r\nHost: a\r\n\r\n", .unsupportedVersion),
        Bad("GET / HTTP/2.0\r\nHost: a\r\n\r\n", .unsupportedVersion),
        Bad("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", .unsupportedVersion),
        Bad("GET / HTTP/1.1\nHost: a\n\n", .bareLineFeed),
        Bad("GET /\n\n", .bareLineFeed),
        Bad("GET\n\n", .bareLineFeed),
        Bad("GET  / HTTP/1.1\r\nHost: a\r\n\r\n", .badTarget),
        Bad("GET /a b HTTP/1.1\r\nHost: a\r\n\r\n", .badRequestLine),
        Bad("GET /a\tb HTTP/1.1\r\nHost: a\r\n\r\n", .badTarget),
        Bad("GET /a\u{7f} HTTP/1.1\r\nHost: a\r\n\r\n", .badTarget),
        Bad("GET /a\0 HTTP/1.1\r\nHost: a\r\n\r\n", .badTarget),
        Bad("GET /a#b HTTP/1.1\r\nHost: a\r\n\r\n", .badTarget),
        Bad("GET /a?b#c HTTP/1.1\r\nHost: a\r\n\r\n", .badTarget),
        Bad("GET * HTTP/1.1\r\nHost: a\r\n\r\n", .badTarget),
        Bad("OPTIONS *x HTTP/1.1\r\nHost: a\r\n\r\n", .badTarget),
        Bad("GET a/b HTTP/1.1\r\nHost: a\r\n\r\n", .badTarget),
        Bad("GET a:80 HTTP/1.1\r\nHost: a\r\n\r\n", .badTarget),
        Bad("GET ftp://a/ HTTP/1.1\r\nHost: a\r\n\r\n", .badTarget),
        Bad("GET http:///x HTTP/1.1\r\nHost: a\r\n\r\n", .badTarget),
        Bad("GET http:// HTTP/1.1\r\nHost: a\r\n\r\n", .badTarget),
        Bad("GET http://:80/ HTTP/1.1\r\nHost: a\r\n\r\n", .badTarget),
        Bad("GET http://user@a/ HTTP/1.1\r\nHost: a\r\n\r\n", .badTarget),
        Bad("CONNECT / HTTP/1.1\r\nHost: a\r\n\r\n", .badTarget),
        Bad("CONNECT a HTTP/1.1\r\nHost: a\r\n\r\n", .badTarget),
        Bad("CONNECT a: HTTP/1.1\r\nHost: a\r\n\r\n", .badTarget),
        Bad(" GET / HTTP/1.1\r\nHost: a\r\n\r\n", .badMethod),
        Bad("G(T / HTTP/1.1\r\nHost: a\r\n\r\n", .badMethod),
        Bad("GET\t/ HTTP/1.1\r\nHost: a\r\n\r\n", .badMethod),
        Bad("\u{16}\u{3}\u{1}\u{2}\0\u{1}", .badMethod),
        Bad("\rGET / HTTP/1.1\r\nHost: a\r\n\r\n", .bareCarriageReturn),
        Bad("\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", .bareLineFeed),
    ])
    func requestLines(_ bad: Bad) { expectRefused(bad) }

    @Test(arguments: [
        Bad("GET / HTTP/1.1\r\n\r\n", .missingHost),
        Bad("GET http://a/ HTTP/1.1\r\n\r\n", .missingHost),
        Bad.lines("Host: a", .duplicateHost),
        Bad("GET / HTTP/1.1\r\nHost: a b\r\n\r\n", .badHost),
        Bad("GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", .badHost),
        Bad("GET / HTTP/1.1\r\nHost: a@b\r\n\r\n", .badHost),
        Bad("GET / HTTP/1.1\r\nHost: a:b\r\n\r\n", .badHost),
        Bad("GET / HTTP/1.1\r\nHost: a:65536\r\n\r\n", .badHost),
        Bad("GET / HTTP/1.1\r\nHost: a:000080\r\n\r\n", .badHost),
        Bad("GET / HTTP/1.1\r\nHost: :80\r\n\r\n", .badHost),
        Bad("GET / HTTP/1.1\r\nHost: [::1\r\n\r\n", .badHost),
        Bad("GET / HTTP/1.1\r\nHost: []\r\n\r\n", .badHost),
        Bad("GET / HTTP/1.1\r\nHost: [::1]x\r\n\r\n", .badHost),
        Bad("GET / HTTP/1.1\r\nHost: \u{e4}\r\n\r\n", .badHost),
        Bad("GET http://a/ HTTP/1.1\r\nHost: a b\r\n\r\n", .badHost),
        Bad("GET / HTTP/1.0\r\nHost: a b\r\n\r\n", .badHost),
    ])
    func hosts(_ bad: Bad) { expectRefused(bad) }

    @Test(arguments: [
        Bad.lines("A : b", .spaceBeforeColon),
        Bad.lines("A\t: b", .spaceBeforeColon),
        Bad.lines("A: b\r\n c", .foldedField),
        Bad.lines("A: b\r\n\tc", .foldedField),
        Bad("GET / HTTP/1.1\r\n Host: a\r\n\r\n", .foldedField),
        Bad.lines("A: b\rc", .bareCarriageReturn),
        Bad.lines("A: b\nB: c", .bareLineFeed),
        Bad.lines("A: b\r\nB\nC: d", .bareLineFeed),
        Bad.lines("A: \u{1}", .badFieldValue),
        Bad.lines("A: b\0c", .badFieldValue),
        Bad.lines("A: \tb\u{1f}", .badFieldValue),
        Bad.lines("A: b\u{7f}", .badFieldValue),
        Bad.lines(": b", .badFieldName),
        Bad.lines("A\u{0}: b", .badFieldName),
        Bad.lines("A(: b", .badFieldName),
        Bad.lines("A/B: b", .badFieldName),
        Bad.lines("A\u{e4}: b", .badFieldName),
        Bad.lines("no colon", .spaceBeforeColon),
        Bad.lines("nocolon", .badFieldName),
        Bad("GET / HTTP/1.1\r\nHost: a\r\n\rX: y\r\n\r\n", .bareCarriageReturn),
        Bad("GET / HTTP/1.1\r\nHost: a\r\n\n", .bareLineFeed),
        Bad.lines("Connection: " + (0...64).map { "n\($0)" }.joined(separator: ","), .tooManyConnectionOptions),
        Bad.lines((1...256).map { "F\($0): x" }.joined(separator: "\r\n"), .tooManyFields),
    ])
    func fields(_ bad: Bad) { expectRefused(bad) }

    @Test(arguments: [
        Bad.lines("Content-Length: 5\r\nTransfer-Encoding: chunked", .lengthAndTransferEncoding),
        Bad.lines("Transfer-Encoding: chunked\r\nContent-Length: 5", .lengthAndTransferEncoding),
        Bad.lines("Content-Length: 0\r\nTransfer-Encoding: identity", .lengthAndTransferEncoding),
        Bad.lines("Content-Length: 5\r\nContent-Length: 6", .duplicateContentLength),
        Bad.lines("Content-Length: 5\r\ncontent-length: 5", .duplicateContentLength),
        Bad.lines("Content-Length: 5, 5", .badContentLength),
        Bad.lines("Content-Length: 5,6", .badContentLength),
        Bad.lines("Content-Length:", .badContentLength),
        Bad.lines("Content-Length: +5", .badContentLength),
        Bad.lines("Content-Length: -5", .badContentLength),
        Bad.lines("Content-Length: 0x5", .badContentLength),
        Bad.lines("Content-Length: 5 5", .badContentLength),
        Bad.lines("Content-Length: 5.0", .badContentLength),
        Bad.lines("Content-Length: \"5\"", .badContentLength),
        Bad.lines("Content-Length: 9223372036854775808", .badContentLength),
        Bad.lines("Content-Length: 18446744073709551616", .badContentLength),
        Bad.lines("Content-Length: 99999999999999999999999999", .badContentLength),
        Bad.lines("Transfer-Encoding: chunked, chunked", .badTransferEncoding),
        Bad.lines("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked", .badTransferEncoding),
        Bad.lines("Transfer-Encoding: chunked\r\nTransfer-Encoding: identity", .badTransferEncoding),
        Bad.lines("Transfer-Encoding: identity", .badTransferEncoding),
        Bad.lines("Transfer-Encoding: xchunked", .badTransferEncoding),
        Bad.lines("Transfer-Encoding: chunked, gzip", .badTransferEncoding),
        Bad.lines("Transfer-Encoding: chunked;q=1", .badTransferEncoding),
        Bad.lines("Transfer-Encoding: ,chunked", .badTransferEncoding),
        Bad.lines("Transfer-Encoding: \"chunked\"", .badTransferEncoding),
        Bad.lines("Transfer-Encoding:", .badTransferEncoding),
        Bad.lines("Transfer-Encoding: \u{b}chunked", .badFieldValue),
        Bad.lines("Transfer-Encoding : chunked", .spaceBeforeColon),
        Bad.lines("Transfer-Encoding: gzip, chunked", .unsupportedTransferEncoding),
        Bad("POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n", .transferEncodingInOldVersion),
    ])
    func framing(_ bad: Bad) { expectRefused(bad) }

    /// Checks the answer for a head in one piece, and that its arrival in single bytes comes to the same in the end.
    private func expectRefused(_ bad: Bad) {
        let message = Array(bad.head.utf8)
        #expect(parseRequest(message).result == .invalid(bad.error))
        let slow = parseRequest(message, ends: Array(1...message.count))
        #expect(slow.result == .invalid(bad.error) || slow.result == .incomplete && !bad.head.hasSuffix("\n"))
    }

    @Test func limitsAreExact() {
        let head =
            "GET /\(String(repeating: "x", count: 100)) HTTP/1.1\r\nHost: a\r\nA: \(String(repeating: "y", count: 100))\r\n\r\n"
        let size = head.utf8.count
        #expect(parseRequest(head, limit: size).result == .complete)
        #expect(parseRequest(head, limit: size - 1).result == .invalid(.headTooLarge))
        #expect(parseRequest(head, limit: 100).result == .invalid(.targetTooLong))
        #expect(parseRequest(head, limit: 0).result == .invalid(.targetTooLong))
        #expect(parseRequest(String(head.prefix(50)), limit: 50).result == .invalid(.targetTooLong))
        #expect(parseRequest(String(head.prefix(50)), limit: 51).result == .incomplete)
        #expect(HTTP1.HeadError.targetTooLong.status == 414)
        #expect(HTTP1.HeadError.headTooLarge.status == 431)
    }

    @Test func largestHeadIsTaken() {
        let lines = (1...255).map { "Field-\($0): \(String(repeating: "v", count: 230))\r\n" }.joined()
        let start = "GET / HTTP/1.1\r\nHost: a\r\n\(lines)"
        let filler = 65536 - start.utf8.count - 4
        let head = "GET /\(String(repeating: "p", count: filler))" + start.dropFirst(5) + "\r\n"
        #expect(head.utf8.count == 65534)
        let parsed = parseRequest(head)
        #expect(parsed.result == .complete)
        #expect(parsed.names.count == 256)
    }

    @Test func everyErrorHasAStatusAndAText() {
        for error in HTTP1.HeadError.allCases {
            #expect([400, 414, 431, 501, 505].contains(error.status))
            #expect(error.text.utf8CodeUnitCount > 5)
        }
    }
}
