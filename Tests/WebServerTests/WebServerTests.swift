import Runtime
import Testing

@testable import WebServer

/// The server over real sockets.
struct WebServerTests {
    private let loop: EventLoop
    private let server: WebServer
    private let address: SocketAddress
    private let seen: Seen

    /// What the handler was given.
    private final class Seen {
        var requests: [Request] = []
        var responders: [(Response) -> Void] = []
        var writers: [BodyWriter] = []
    }

    init() throws { try self.init(WebServer.Limits()) }

    private init(_ limits: WebServer.Limits) throws {
        loop = try EventLoop()
        let seen = Seen()
        self.seen = seen
        server = WebServer(loop: loop, limits: limits) { request, respond in
            seen.requests.append(request)
            switch request.path {
            case "/later": seen.responders.append(respond)
            case "/stream": respond(Response(body: .stream { seen.writers.append($0) }))
            case "/large": respond(Response(body: .bytes([UInt8](repeating: 0x78, count: 8_000_000))))
            case "/nothing": respond(Response(status: 204))
            case "/bye": respond(Response(body: .bytes(Array("bye".utf8)), closesConnection: true))
            default:
                respond(.text("\(request.method) \(request.target) \(String(decoding: request.body, as: UTF8.self))|"))
            }
        }
        address = try server.listen(on: SocketAddress("127.0.0.1:0")!)
    }

    private func connect() throws -> RawClient { try RawClient(loop: loop, to: address) }

    @Test func pipelinedRequestsAreAnsweredInOrder() throws {
        let client = try connect()
        client.send(
            "GET /later HTTP/1.1\r\nHost: a\r\n\r\nGET /2 HTTP/1.1\r\nHost: a\r\n\r\nGET /3 HTTP/1.1\r\nHost: a\r\n\r\n"
        )
        #expect(loop.run(for: .seconds(5)) { seen.responders.count == 1 })
        #expect(seen.requests.count == 1 && client.received.isEmpty)
        seen.responders[0](.text("first|"))
        seen.responders[0](.text("twice|"))
        #expect(client.expect("GET /3 |"))
        let bodies = client.text.split(separator: "\r\n\r\n").compactMap { $0.split(separator: "|").first }
        #expect(bodies.suffix(3) == ["first", "GET /2 ", "GET /3 "])
        #expect(!client.text.contains("twice") && !client.isEnded)
    }

    /// More than is kept waiting for a slow reader, while this one takes everything at once.
    @Test func veryManyPipelinedRequestsAreAllAnswered() throws {
        let client = try connect()
        let count = 6000
        client.send(
            String(repeating: "GET /a HTTP/1.1\r\nHost: a\r\n\r\n", count: count) + "GET /z HTTP/1.1\r\nHost: a\r\n\r\n"
        )
        #expect(client.expect("GET /z |"))
        #expect(seen.requests.count == count + 1)
    }

    @Test func othersGetTheirTurnBesideAPeerThatNeverStops() throws {
        let (busy, other) = (try connect(), try connect())
        busy.send(String(repeating: "GET /a HTTP/1.1\r\nHost: a\r\n\r\n", count: 3000))
        other.send("GET /other HTTP/1.1\r\nHost: a\r\n\r\n")
        #expect(other.expect("GET /other |"))
        #expect(seen.requests.count < 3001)
    }

    @Test func requestsArriveInAnyPieces() throws {
        let client = try connect()
        for byte in "POST /p?x=1 HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello" {
            client.send(String(byte))
            _ = loop.run(for: .milliseconds(1)) { false }
        }
        #expect(client.expect("POST /p?x=1 hello|"))
        client.send("POST /c HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3;e=1\r\nabc\r\n2\r")
        client.send("\nde\r\n0\r\nX-Sum: t\r\n\r\nGET /next HTTP/1.1\r\nHost: a\r\n\r\n")
        #expect(client.expect("POST /c abcde|") && client.expect("GET /next |"))
    }

    /// Bytes that are no request, with a name that keeps the log short.
    struct BadInput: CustomTestStringConvertible {
        var testDescription: String
        var bytes: String
        var status: String

        init(_ name: String, _ bytes: String, _ status: String) {
            (testDescription, self.bytes, self.status) = (name, bytes, status)
        }
    }

    @Test(arguments: [
        BadInput("nonsense", "nonsense\r\n\r\n", "400 Bad Request"),
        BadInput("no host", "GET / HTTP/1.1\r\n\r\n", "400 Bad Request"),
        BadInput("version", "GET / HTTP/2.0\r\nHost: a\r\n\r\n", "505 HTTP Version Not Supported"),
        BadInput(
            "two framings", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
            "400"),
        BadInput("bad chunk", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n", "400"),
        BadInput("too much", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2000000\r\n\r\n", "413"),
        BadInput("overflow", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999999999999\r\n\r\n", "400"),
        BadInput("long", "GET / HTTP/1.1\r\nHost: a\r\nX: \(String(repeating: "x", count: 40_000))\r\n\r\n", "431"),
        BadInput("TLS", "\u{16}\u{3}\u{1}\u{2}", "400 Bad Request"),
    ])
    func badInputIsRefusedAndTheConnectionClosed(input: BadInput) throws {
        let client = try connect()
        client.send(input.bytes + "GET /after HTTP/1.1\r\nHost: a\r\n\r\n")
        #expect(client.expect("HTTP/1.1 \(input.status)") && client.expectEnd())
        #expect(client.text.contains("Connection: close\r\n"))
        #expect(seen.requests.isEmpty)
    }

    @Test func chunkedBodiesHaveALimit() throws {
        let client = try connect()
        client.send("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
        let chunk = "8000\r\n" + String(repeating: "x", count: 0x8000) + "\r\n"
        for _ in 0..<33 where !client.isEnded { client.send(chunk) }
        #expect(client.expect("413 Content Too Large") && client.expectEnd())
    }

    @Test func versionsAndConnectionOptionsDecideAboutKeepingAlive() throws {
        let old = try connect()
        old.send("GET /old HTTP/1.0\r\n\r\n")
        #expect(old.expect("GET /old |") && old.expectEnd())
        let kept = try connect()
        kept.send("GET /old HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
        #expect(kept.expect("GET /old |") && kept.text.contains("Connection: keep-alive"))
        kept.send("GET /more HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        #expect(kept.expect("GET /more |") && kept.expectEnd())
        let bye = try connect()
        bye.send("GET /bye HTTP/1.1\r\nHost: a\r\n\r\n")
        #expect(bye.expect("Connection: close") && bye.expect("bye") && bye.expectEnd())
    }

    @Test func headAndNoContentHaveNoBody() throws {
        let client = try connect()
        client.send(
            "HEAD /h HTTP/1.1\r\nHost: a\r\n\r\nGET /nothing HTTP/1.1\r\nHost: a\r\n\r\nGET /x HTTP/1.1\r\nHost: a\r\n\r\n"
        )
        #expect(client.expect("GET /x |"))
        #expect(client.text.contains("Content-Length: 9\r\n\r\nHTTP/1.1 204"))
        #expect(client.text.contains("HTTP/1.1 204 No Content\r\n\r\nHTTP/1.1 200"))
    }

    @Test func aClientThatAsksIsToldToContinue() throws {
        let client = try connect()
        client.send("POST /e HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n")
        #expect(client.expect("HTTP/1.1 100 Continue\r\n\r\n"))
        client.send("ok")
        #expect(client.expect("POST /e ok|"))
    }

    @Test func bodiesAreStreamedAsTheyAreWritten() throws {
        let client = try connect()
        client.send("GET /stream HTTP/1.1\r\nHost: a\r\n\r\nGET /behind HTTP/1.1\r\nHost: a\r\n\r\n")
        #expect(loop.run(for: .seconds(5)) { seen.writers.count == 1 })
        let writer = seen.writers[0]
        writer.write(Array("hello".utf8))
        #expect(client.expect("Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n") && writer.isOpen)
        writer.write([])
        writer.write(Array("0123456789abcdef".utf8))
        writer.finish()
        writer.write(Array("late".utf8))
        #expect(client.expect("10\r\n0123456789abcdef\r\n0\r\n\r\nHTTP/1.1 200") && client.expect("GET /behind |"))
        #expect(!writer.isOpen && !client.text.contains("late"))
    }

    @Test func aStreamEndsWhenItsReaderHasGone() throws {
        var client: RawClient? = try connect()
        client?.send("GET /stream HTTP/1.1\r\nHost: a\r\n\r\n")
        #expect(loop.run(for: .seconds(5)) { seen.writers.count == 1 })
        client = nil
        #expect(
            loop.run(for: .seconds(5)) {
                seen.writers[0].write(Array("x".utf8))
                return !seen.writers[0].isOpen
            })
        #expect(server.connectionCount == 0)
    }

    @Test func anAnswerReachesAClientThatHasFinishedSending() throws {
        let client = try connect()
        client.send("GET /later HTTP/1.1\r\nHost: a\r\n\r\n")
        client.shutdownWrites()
        #expect(loop.run(for: .seconds(5)) { seen.responders.count == 1 })
        seen.responders[0](.text("late but here"))
        #expect(client.expect("late but here") && client.expectEnd())
        #expect(server.connectionCount == 0)
    }

    @Test func largeAnswersWaitForSlowReaders() throws {
        let client = try connect()
        client.readsPaused = true
        client.send("GET /large HTTP/1.1\r\nHost: a\r\n\r\nGET /behind HTTP/1.1\r\nHost: a\r\n\r\n")
        #expect(loop.run(for: .seconds(5)) { seen.requests.count == 1 })
        client.readsPaused = false
        #expect(loop.run(for: .seconds(10)) { client.received.count > 8_000_000 && seen.requests.count == 2 })
        #expect(
            loop.run(for: .seconds(10)) { client.received.suffix(14) == Array("\r\n\r\nGET /behind |".utf8).suffix(14) }
        )
    }

    @Test func slowRequestsAndIdleConnectionsAreEnded() throws {
        var limits = WebServer.Limits()
        limits.requestTime = .milliseconds(80)
        limits.idleTime = .milliseconds(80)
        let test = try WebServerTests(limits)
        let silent = try test.connect()
        let slow = try test.connect()
        slow.send("GET / HTTP/1.1\r\nHo")
        let idle = try test.connect()
        idle.send("GET /i HTTP/1.1\r\nHost: a\r\n\r\n")
        #expect(slow.expect("HTTP/1.1 408 Request Timeout") && slow.expectEnd())
        #expect(idle.expect("GET /i |") && idle.expectEnd())
        #expect(silent.expectEnd() && silent.received.isEmpty)
    }

    @Test func aPeerThatReadsNothingIsCutOff() throws {
        var limits = WebServer.Limits()
        limits.writeTime = .milliseconds(80)
        let test = try WebServerTests(limits)
        let client = try test.connect()
        client.readsPaused = true
        client.send("GET /large HTTP/1.1\r\nHost: a\r\n\r\n")
        #expect(test.loop.run(for: .seconds(5)) { test.seen.requests.count == 1 })
        #expect(test.loop.run(for: .seconds(5)) { test.server.connectionCount == 0 })
    }

    @Test func theLongestIdleConnectionMakesRoom() throws {
        var limits = WebServer.Limits()
        limits.connections = 2
        let test = try WebServerTests(limits)
        let busy = try test.connect()
        busy.send("GET /later HTTP/1.1\r\nHost: a\r\n\r\n")
        #expect(test.loop.run(for: .seconds(5)) { test.seen.responders.count == 1 })
        let idle = try test.connect()
        idle.send("GET /idle HTTP/1.1\r\nHost: a\r\n\r\n")
        #expect(idle.expect("GET /idle |"))
        let new = try test.connect()
        new.send("GET /later HTTP/1.1\r\nHost: a\r\n\r\n")
        #expect(idle.expectEnd() && test.loop.run(for: .seconds(5)) { test.seen.responders.count == 2 })
        let refused = try test.connect()
        #expect(refused.expectEnd())
        test.seen.responders[0](.text("busy"))
        #expect(busy.expect("busy"))
    }

    @Test func stoppingFinishesWhatIsInHand() throws {
        let idle = try connect()
        idle.send("GET /idle HTTP/1.1\r\nHost: a\r\n\r\n")
        #expect(idle.expect("GET /idle |"))
        let busy = try connect()
        busy.send("GET /later HTTP/1.1\r\nHost: a\r\n\r\n")
        #expect(loop.run(for: .seconds(5)) { seen.responders.count == 1 })
        server.stopListening()
        #expect(idle.expectEnd())
        seen.responders[0](.text("done"))
        #expect(busy.expect("done") && busy.expectEnd() && busy.text.contains("Connection: close"))
        #expect(loop.run(for: .seconds(5)) { server.connectionCount == 0 })
    }
}
