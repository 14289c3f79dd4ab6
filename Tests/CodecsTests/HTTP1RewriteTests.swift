import Codecs
import Testing

@Suite struct HTTP1RewriteTests {
    /// Lines behind the request line, and those that must come out.
    private func fields(_ lines: [String], version: String = "1.1") -> [String] {
        let parsed = parseRequest("POST /p HTTP/\(version)\r\n\(lines.map { $0 + "\r\n" }.joined())\r\n")
        #expect(parsed.result == .complete)
        #expect(parsed.rewritten.hasSuffix("\r\n\r\n"))
        var result = parsed.rewritten.split(separator: "\r\n", omittingEmptySubsequences: true).map(String.init)
        #expect(result.first == "POST /p HTTP/1.1")
        result.removeFirst()
        return result
    }

    private static let added = [
        "X-Forwarded-For: 192.0.2.7", "X-Forwarded-Proto: http", "X-Forwarded-Host: a:1", "Via: 1.1 greymesh",
    ]

    @Test func endToEndFieldsStayAsTheyAre() {
        let lines = [
            "Host: a:1", "aCCept:x", "X-Empty: ", "Cookie:  a=b; c=d  ", "Transfer-Encoding: chunked", "Trailer: t",
        ]
        #expect(fields(lines) == lines + Self.added)
    }

    @Test func hopByHopFieldsAreDropped() {
        let lines = [
            "Connection: close, X-One", "Host: a:1", "X-One: 1", "Keep-Alive: timeout=5", "X-Two: 2",
            "Proxy-Connection: keep-alive", "TE: gzip", "Upgrade: websocket", "x-one: 3", "X-Three: 3",
            "Connection: x-four", "X-Four: 4",
        ]
        #expect(fields(lines) == ["Host: a:1", "X-Two: 2", "X-Three: 3"] + Self.added)
    }

    @Test func framingAndForwardingCannotBeNominated() {
        let lines = [
            "Connection: content-length, host, x-forwarded-proto, via, expect", "Host: a:1", "Content-Length: 3",
            "X-Forwarded-Proto: https", "X-Forwarded-Host: b", "Via: 1.1 x", "Expect: 100-continue",
        ]
        #expect(
            fields(lines)
                == lines.dropFirst() + ["X-Forwarded-For: 192.0.2.7", "Via: 1.1 greymesh"])
        let chunked = ["Connection: transfer-encoding", "Host: a:1", "Transfer-Encoding: chunked"]
        #expect(fields(chunked) == chunked.dropFirst() + Self.added)
    }

    @Test func clientIsAppendedToTheLastList() {
        let lines = ["Host: a:1", "X-Forwarded-For: 1.1.1.1", "x-forwarded-for:2.2.2.2 ", "After: y"]
        #expect(
            fields(lines)
                == [
                    "Host: a:1", "X-Forwarded-For: 1.1.1.1", "x-forwarded-for:2.2.2.2, 192.0.2.7", "After: y",
                ] + Self.added.dropFirst())
        #expect(
            fields(["Host: a:1", "X-Forwarded-For:"]) == ["Host: a:1", "X-Forwarded-For:192.0.2.7"]
                + Self.added.dropFirst())
        let unknown = parseRequest(Array("GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 1\r\n\r\n".utf8), client: "")
        #expect(unknown.rewritten.contains("\r\nX-Forwarded-For: 1\r\n"))
    }

    @Test func trailersAreAskedForAnew() {
        #expect(
            fields(["Host: a:1", "TE: trailers, gzip", "Connection: TE"])
                == ["Host: a:1", "TE: trailers", "Connection: TE"] + Self.added)
    }

    @Test func upgradeIsAskedForAnew() {
        let lines = ["Host: a:1", "Connection: keep-alive, Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13"]
        #expect(
            fields(lines)
                == ["Host: a:1", "Upgrade: websocket", "Sec-WebSocket-Version: 13", "Connection: upgrade"] + Self.added)
        #expect(
            fields(lines + ["TE: trailers"]).contains("Connection: upgrade, TE"))
        // HTTP/2 in a tunnel would go past every rule.
        #expect(
            fields(["Host: a:1", "Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AA"])
                == ["Host: a:1"] + Self.added)
    }

    @Test func upgradeCanBeForbidden() {
        let message = Array("GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n".utf8)
        var state = HTTP1.ScanState()
        var head = HTTP1.RequestHead()
        var fields = HTTP1.FieldTable()
        withExactCopy(message) { bytes, count in
            _ = HTTP1.parseRequestHead(bytes, count: count, limit: 999, state: &state, head: &head, fields: &fields)
            let sent = rewriteRequest(bytes, head, fields, client: "", defaultHost: "", allowsUpgrade: false)
            #expect(
                sent
                    == "GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-Proto: http\r\nX-Forwarded-Host: a\r\nVia: 1.1 greymesh\r\n\r\n"
            )
        }
    }

    @Test func oldVersionsGetAHost() {
        #expect(
            fields(["Accept: x"], version: "1.0")
                == [
                    "Host: fallback.example", "Accept: x", "X-Forwarded-For: 192.0.2.7", "X-Forwarded-Proto: http",
                    "Via: 1.0 greymesh",
                ])
        #expect(fields(["Host: a:1"], version: "1.0") == ["Host: a:1"] + Self.added.dropLast() + ["Via: 1.0 greymesh"])
    }

    /// The next hop would answer 100 to a client that does not know it.
    @Test func oldVersionsExpectNothing() {
        let lines = ["Host: a:1", "Expect: 100-continue", "Content-Length: 3"]
        #expect(!fields(lines, version: "1.0").contains("Expect: 100-continue"))
        #expect(fields(lines, version: "1.1").contains("Expect: 100-continue"))
    }

    @Test func secureClientsAndExtraLines() {
        let parsed = parseRequest(
            Array("GET / HTTP/1.1\r\nHost: a\r\n\r\n".utf8), secure: true, extra: "X-A: 1\r\nX-B: 2\r\n")
        #expect(parsed.rewritten.contains("\r\nX-Forwarded-Proto: https\r\n"))
        #expect(parsed.rewritten.contains("\r\nX-A: 1\r\nX-B: 2\r\nVia: 1.1 greymesh\r\n\r\n"))
    }
}
