import Codecs
import Testing

@Suite struct HTTP1RequestTests {
    @Test func plainRequestIsFoundInItsBytes() {
        let message = Array(
            "GET /a/b?c=d?e HTTP/1.1\r\nHost: orders.svc:8080\r\nX-Version:\t v2 \t\r\nEmpty:\r\nAccept:*/*\r\n\r\nrest"
                .utf8)
        let parsed = parseRequest(message)
        #expect(parsed.result == .complete)
        #expect(Int(parsed.head.length) == message.count - 4)
        #expect(parsed.head.method == .get)
        #expect(text(message, parsed.head.target) == "/a/b?c=d?e")
        #expect(text(message, parsed.head.path) == "/a/b")
        #expect(text(message, parsed.head.pathAndQuery) == "/a/b?c=d?e")
        #expect(text(message, parsed.head.host) == "orders.svc:8080")
        #expect(text(message, parsed.head.hostName) == "orders.svc")
        #expect(parsed.names == ["Host", "X-Version", "Empty", "Accept"])
        #expect(parsed.values == ["orders.svc:8080", "v2", "", "*/*"])
        #expect(parsed.head.flags == .keepAlive)
        #expect(parsed.head.framing == .none)
    }

    @Test(arguments: [
        ("GET", HTTP1.Method.get, true), ("HEAD", .head, true), ("POST", .post, false), ("PUT", .put, true),
        ("DELETE", .delete, true), ("OPTIONS", .options, true), ("PATCH", .patch, false), ("TRACE", .trace, true),
        ("get", .other, false), ("GETS", .other, false), ("PROPFIND", .other, false), ("M-SEARCH", .other, false),
        ("A!#$%&'*+.^_`|~9", .other, false),
    ])
    func methods(_ name: String, _ method: HTTP1.Method, _ idempotent: Bool) {
        let message = Array("\(name) / HTTP/1.1\r\nHost: a\r\n\r\n".utf8)
        let parsed = parseRequest(message)
        #expect(parsed.result == .complete)
        #expect(parsed.head.method == method)
        #expect(text(message, parsed.head.methodName) == name)
        #expect(parsed.head.method.isIdempotent == idempotent)
        #expect(parsed.rewritten.hasPrefix("\(name) / HTTP/1.1\r\nHost: a\r\n"))
    }

    struct Target: Sendable {
        var line: String
        var form: HTTP1.TargetForm
        var path: String
        var host: String
        var name: String
        var sent: String
    }

    @Test(arguments: [
        Target(line: "GET /", form: .origin, path: "/", host: "h:1", name: "h", sent: "GET /"),
        Target(
            line: "GET //x/../%2f", form: .origin, path: "//x/../%2f", host: "h:1", name: "h", sent: "GET //x/../%2f"),
        Target(line: "GET /?", form: .origin, path: "/", host: "h:1", name: "h", sent: "GET /?"),
        Target(line: "GET /\u{e4}", form: .origin, path: "/\u{e4}", host: "h:1", name: "h", sent: "GET /\u{e4}"),
        Target(line: "OPTIONS *", form: .asterisk, path: "*", host: "h:1", name: "h", sent: "OPTIONS *"),
        Target(line: "GET http://a.b/p?q", form: .absolute, path: "/p", host: "a.b", name: "a.b", sent: "GET /p?q"),
        Target(line: "GET HTTP://a.b:80", form: .absolute, path: "", host: "a.b:80", name: "a.b", sent: "GET /"),
        Target(line: "GET https://a.b?q=/", form: .absolute, path: "", host: "a.b", name: "a.b", sent: "GET /?q=/"),
        Target(line: "OPTIONS http://a.b", form: .absolute, path: "", host: "a.b", name: "a.b", sent: "OPTIONS *"),
        Target(
            line: "GET http://[::1]:8/x", form: .absolute, path: "/x", host: "[::1]:8", name: "[::1]", sent: "GET /x"),
    ])
    func targets(_ target: Target) {
        let message = Array("\(target.line) HTTP/1.1\r\nAccept: x\r\nHost: h:1\r\n\r\n".utf8)
        let parsed = parseRequest(message)
        #expect(parsed.result == .complete)
        #expect(parsed.head.targetForm == target.form)
        #expect(text(message, parsed.head.path) == target.path)
        #expect(text(message, parsed.head.host) == target.host)
        #expect(text(message, parsed.head.hostName) == target.name)
        #expect(parsed.rewritten.hasPrefix("\(target.sent) HTTP/1.1\r\n"))
        // The authority of the target replaces Host (RFC 9112, section 3.2.2).
        #expect(parsed.rewritten.contains("\r\nHost: \(target.host)\r\n"))
        #expect(parsed.rewritten.contains("\r\nX-Forwarded-Host: \(target.host)\r\n"))
    }

    @Test func connectNamesHostAndPort() {
        let message = Array("CONNECT db.svc:5432 HTTP/1.1\r\nHost: db.svc:5432\r\n\r\n".utf8)
        let parsed = parseRequest(message)
        #expect(parsed.result == .complete)
        #expect(parsed.head.method == .connect)
        #expect(parsed.head.targetForm == .authority)
        #expect(text(message, parsed.head.hostName) == "db.svc")
    }

    @Test(arguments: [
        ("a", "a"), ("a_b-c.d", "a_b-c.d"), ("a:", "a"), ("a:0", "a"), ("a:65535", "a"), ("10.0.0.1:80", "10.0.0.1"),
        ("[2001:db8::1]", "[2001:db8::1]"), ("[fe80::1%25eth0]:80", "[fe80::1%25eth0]"), ("a%20b", "a%20b"), ("", ""),
        ("orders-service.default.svc.cluster.local:8080", "orders-service.default.svc.cluster.local"),
    ])
    func hosts(_ host: String, _ name: String) {
        let message = Array("GET / HTTP/1.1\r\nhOST: \(host)\r\n\r\n".utf8)
        let parsed = parseRequest(message)
        #expect(parsed.result == .complete)
        #expect(text(message, parsed.head.host) == host)
        #expect(text(message, parsed.head.hostName) == name)
    }

    struct Flags: Sendable {
        var version = "1.1"
        var lines: [String]
        var flags: HTTP1.HeadFlags
        var framing = HTTP1.BodyFraming.none
    }

    @Test(arguments: [
        Flags(lines: [], flags: .keepAlive),
        Flags(version: "1.2", lines: [], flags: .keepAlive),
        Flags(version: "1.0", lines: [], flags: []),
        Flags(version: "1.0", lines: ["Connection: Keep-Alive"], flags: .keepAlive),
        Flags(version: "1.0", lines: ["Connection: keep-alive, close"], flags: []),
        Flags(lines: ["cOnnection: foo ,,\tCLOSE"], flags: []),
        Flags(lines: ["Connection: keep-alive", "Connection: close"], flags: []),
        Flags(lines: ["Connection: closed, not-close"], flags: .keepAlive),
        Flags(lines: ["Content-Length: 0"], flags: .keepAlive, framing: .length(0)),
        Flags(lines: ["content-LENGTH:007"], flags: .keepAlive, framing: .length(7)),
        Flags(
            lines: ["Content-Length: 9223372036854775799"], flags: .keepAlive,
            framing: .length(9_223_372_036_854_775_799)),
        Flags(lines: ["Transfer-Encoding: Chunked"], flags: .keepAlive, framing: .chunked),
        Flags(version: "1.0", lines: ["Content-Length: 12"], flags: [], framing: .length(12)),
        Flags(
            lines: ["Expect: 100-Continue", "Content-Length: 1"], flags: [.keepAlive, .expectContinue],
            framing: .length(1)),
        Flags(version: "1.0", lines: ["Expect: 100-continue", "Content-Length: 1"], flags: [], framing: .length(1)),
        Flags(lines: ["TE: gzip, Trailers", "Connection: te"], flags: [.keepAlive, .trailersWelcome]),
        Flags(lines: ["TE: gzip"], flags: [.keepAlive]),
        Flags(lines: ["Upgrade: websocket", "Connection: Upgrade"], flags: [.keepAlive, .upgrade]),
        Flags(lines: ["Upgrade: websocket", "Connection: keep-alive, upgrade"], flags: [.keepAlive, .upgrade]),
        Flags(lines: ["Upgrade: websocket"], flags: .keepAlive),
        Flags(lines: ["Connection: upgrade"], flags: .keepAlive),
        Flags(version: "1.0", lines: ["Upgrade: websocket", "Connection: Upgrade"], flags: []),
        Flags(lines: ["Upgrade: h2c", "Connection: Upgrade, HTTP2-Settings"], flags: .keepAlive),
        Flags(lines: ["Upgrade: foo, H2C", "Connection: Upgrade"], flags: .keepAlive),
        Flags(
            lines: ["Upgrade: websocket", "Connection: Upgrade", "Content-Length: 4"], flags: .keepAlive,
            framing: .length(4)),
    ])
    func flagsAndFraming(_ expected: Flags) {
        let lines = expected.lines.map { $0 + "\r\n" }.joined()
        let parsed = parseRequest("POST / HTTP/\(expected.version)\r\nHost: a\r\n\(lines)\r\n")
        #expect(parsed.result == .complete)
        #expect(parsed.head.flags == expected.flags)
        #expect(parsed.head.framing == expected.framing)
    }

    @Test func emptyLinesBeforeTheRequestAreSkipped() {
        let request = "GET / HTTP/1.1\r\nHost: a\r\n\r\n"
        for count in 0...4 {
            let parsed = parseRequest(String(repeating: "\r\n", count: count) + request)
            #expect(parsed.result == .complete)
            #expect(Int(parsed.head.start) == count * 2)
            #expect(Int(parsed.head.length) == count * 2 + request.utf8.count)
            #expect(parsed.rewritten.hasPrefix("GET / HTTP/1.1\r\nHost: a\r\n"))
        }
        #expect(parseRequest(String(repeating: "\r\n", count: 5) + request).result == .invalid(.tooManyEmptyLines))
    }

    @Test func pipelinedRequestsAreTakenOneByOne() {
        let first = "POST /1 HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\n"
        let second = "GET /2 HTTP/1.1\r\nHost: b\r\n\r\n"
        let message = Array((first + "abc" + second + "GET /3").utf8)
        let one = parseRequest(message)
        #expect(one.result == .complete)
        #expect(Int(one.head.length) == first.utf8.count)
        #expect(one.head.framing == .length(3))
        let two = parseRequest(Array(message[(first.utf8.count + 3)...]))
        #expect(two.result == .complete)
        #expect(Int(two.head.length) == second.utf8.count)
        #expect(parseRequest("GET /3").result == .incomplete)
    }

    @Test func fieldsAreFoundByNameInAnyCase() {
        let message = Array(
            "GET / HTTP/1.1\r\nHost: a\r\nX-VERSION: v1\r\nx-version: v2\r\nversion: v3\r\nx_v^: 4\r\n\r\n".utf8)
        var state = HTTP1.ScanState()
        var head = HTTP1.RequestHead()
        var fields = HTTP1.FieldTable()
        withExactCopy(message) { bytes, count in
            _ = HTTP1.parseRequestHead(
                bytes, count: count, limit: 1000, state: &state, head: &head, fields: &fields)
            func found(_ name: String) -> String? {
                Array(name.utf8).withUnsafeBufferPointer { fields.find($0, in: bytes).map { text(message, $0) } }
            }
            #expect(found("x-version") == "v1")
            #expect(found("X-Version") == "v1")
            #expect(found("version") == "v3")
            #expect(found("x_v^") == "4")
            #expect(found("x_v~") == nil, "only letters have a case")
            #expect(found("xxversion") == nil)
            #expect(found("") == nil)
        }
        #expect(fields.first(.host)?.nameLength == 4)
        #expect(fields.last(.via) == nil)
    }
}
