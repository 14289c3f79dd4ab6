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

    /// Nobody behind this proxy should meet a version that it does not speak itself.
    @Test func laterVersionsLeaveAs11() {
        let parsed = parseRequest("GET /p HTTP/1.2\r\nHost: a\r\n\r\n")
        #expect(parsed.result == .complete && parsed.rewritten.hasPrefix("GET /p HTTP/1.1\r\nHost: a\r\n"))
        let answer = parseResponse(Array("HTTP/1.2 200 OK\r\nContent-Length: 0\r\n\r\n".utf8))
        #expect(answer.rewritten.hasPrefix("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n"))
    }

    @Test func aStatusLineLeavesWithBothBlanks() {
        for line in ["HTTP/1.1 200", "HTTP/1.1 200 "] {
            let plain = parseResponse(Array("\(line)\r\nContent-Length: 0\r\n\r\n".utf8))
            #expect(plain.rewritten == "HTTP/1.1 200 \r\nContent-Length: 0\r\nVia: 1.1 greymesh\r\n\r\n")
            let changed = parseResponse(Array("\(line)\r\nKeep-Alive: 1\r\nContent-Length: 0\r\n\r\n".utf8))
            #expect(changed.rewritten == plain.rewritten)
        }
    }

    @Test func aVersionThatEndsItsLineOrIsTooLongIsNotTold() {
        let message = Array("HTTP/1.1 200 OK\r\nX-Greymesh-Version: own\r\nContent-Length: 0\r\n\r\n".utf8)
        for version in ["1\r\nX-Injected: 1", "1\n2", "\r", "a\0", "\u{7f}", String(repeating: "1", count: 257)] {
            let parsed = parseResponse(message, version: version)
            #expect(!parsed.rewritten.contains("Injected") && parsed.rewritten.contains("X-Greymesh-Version: own\r\n"))
            #expect(parsed.rewritten.split(separator: "\r\n").count == 4)
        }
        #expect(
            parseResponse(message, version: "gr\u{fc}n").rewritten.contains("\r\nX-Greymesh-Version: gr\u{fc}n\r\n"))
    }

    @Test(arguments: [
        ("websocket", "websocket", true), ("WebSocket", "websocket", true), ("a, b/2", "B/2", true),
        ("a, b/2", "b", false), ("websocket", "x", false), ("websocket", "", false),
        ("websocket", "x, WEBSOCKET", true),
    ])
    func anUpgradeIsOneThatWasAskedFor(_ asked: String, _ granted: String, _ expected: Bool) {
        let request = Array("GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: \(asked)\r\n\r\n".utf8)
        let answer = Array("HTTP/1.1 101 x\r\nConnection: upgrade\r\nUpgrade: \(granted)\r\n\r\n".utf8)
        var (one, other) = (HTTP1.ScanState(), HTTP1.ScanState())
        var (requestHead, responseHead) = (HTTP1.RequestHead(), HTTP1.ResponseHead())
        var requestFields = HTTP1.FieldTable()
        var responseFields = HTTP1.FieldTable()
        _ = HTTP1.parseRequestHead(
            request, count: request.count, limit: 999, state: &one, head: &requestHead, fields: &requestFields)
        _ = HTTP1.parseResponseHead(
            answer, count: answer.count, requestMethod: .get, limit: 999, state: &other, head: &responseHead,
            fields: &responseFields)
        #expect(HTTP1.upgradeWasAskedFor(answer, responseFields, request, requestFields) == expected)
    }
}
