import Codecs
import Testing

@Suite struct HTTP1RequestTests {
    @Test func plainRequestKeepsItsBytes() {
        let message = "GET /a/b?c=d HTTP/1.1\r\nHost: orders.svc:8080\r\nX-Version:  v2 \r\nAccept: */*\r\n\r\nrest"
        let parsed = parseRequest(message)
        #expect(parsed.result == .complete)
        #expect(Int(parsed.head.length) == message.utf8.count - 4)
        #expect(parsed.head.method == .get)
        #expect(text(Array(message.utf8), parsed.head.path) == "/a/b")
        #expect(text(Array(message.utf8), parsed.head.pathAndQuery) == "/a/b?c=d")
        #expect(text(Array(message.utf8), parsed.head.host) == "orders.svc:8080")
        #expect(text(Array(message.utf8), parsed.head.hostName) == "orders.svc")
        #expect(parsed.names == ["Host", "X-Version", "Accept"])
        #expect(parsed.values == ["orders.svc:8080", "v2", "*/*"])
        #expect(parsed.head.flags == .keepAlive)
        #expect(parsed.head.framing == .none)
        #expect(
            parsed.rewritten
                == "GET /a/b?c=d HTTP/1.1\r\nHost: orders.svc:8080\r\nX-Version:  v2 \r\nAccept: */*\r\n"
                + "X-Forwarded-For: 192.0.2.7\r\nX-Forwarded-Proto: http\r\nX-Forwarded-Host: orders.svc:8080\r\n"
                + "Via: 1.1 greymesh\r\n\r\n")
    }
}
