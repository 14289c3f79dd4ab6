import Runtime
import TestSupport
import Testing

@testable import Discovery

/// Endless answers.
@Suite struct HTTPStreamTests {
    let loop: EventLoop
    let client: HTTPClient
    let server: FakeServer

    init() throws {
        loop = try EventLoop()
        client = try HTTPClient(loop: loop, connectionsPerHost: 1)
        server = try FakeServer(loop: loop) { _ in .raw(FakeServer.chunkedHead, close: false) }
    }

    /// What one stream has brought.
    final class Taken {
        var pieces: [[UInt8]] = []
        var lines: [String] = []
        var splitter = LineSplitter(maximum: 1000)
        var isRefused = false
        var end: Result<HTTPResponse, HTTPError>?
        var text: String { String(decoding: pieces.joined(), as: UTF8.self) }
        var error: HTTPError? {
            if case .failure(let error) = end { error } else { nil }
        }
    }

    private func open(idle: Duration = .seconds(20), _ taken: Taken, also: @escaping () -> Void = {}) -> HTTPClient.Call
    {
        let request = HTTPRequest("POST", server.base + "/watch", body: Array("{}".utf8), timeout: .milliseconds(10))
        return client.stream(
            request, idleTimeout: idle,
            take: { piece in
                taken.pieces.append(piece)
                if let lines = taken.splitter.take(piece) {
                    taken.lines += lines.map { String(decoding: $0, as: UTF8.self) }
                } else {
                    taken.isRefused = true
                }
                also()
            }, completion: { taken.end = $0 })
    }

    private func wait(_ condition: () -> Bool) -> Bool { loop.run(for: .seconds(10), until: condition) }

    @Test func handsPiecesOutAsTheyCome() throws {
        let taken = Taken()
        _ = open(taken)
        #expect(wait { !server.streams.isEmpty })
        server.push(FakeServer.chunk("one\n"))
        #expect(wait { taken.lines == ["one"] })
        // Half a chunk, half a line.
        server.push("9\r\ntwo\nth")
        #expect(wait { taken.lines == ["one", "two"] && taken.splitter.waiting == 2 })
        server.push("ree\r\n")
        #expect(wait { taken.text.hasSuffix("three") })
        server.push(FakeServer.chunk("\r\n\nfour\nfi") + FakeServer.chunk("ve\n"))
        #expect(wait { taken.lines == ["one", "two", "three", "four", "five"] })
        // Longer than the request's own limit, which does not count.
        #expect(!loop.run(for: .milliseconds(30)) { taken.end != nil })
        server.push("0\r\n\r\n")
        #expect(wait { taken.end != nil })
        #expect(try taken.end?.get().status == 200 && taken.end?.get().body == [])
    }

    @Test func oneLineInManyPiecesAndATooLongOne() throws {
        let taken = Taken()
        _ = open(taken)
        #expect(wait { !server.streams.isEmpty })
        for _ in 0..<100 {
            let before = taken.pieces.count
            server.push(FakeServer.chunk("0123456789"))
            #expect(wait { taken.pieces.count > before })
        }
        server.push(FakeServer.chunk("\n"))
        #expect(wait { taken.lines.count == 1 })
        #expect(taken.lines[0].utf8.count == 1000)
        #expect(!taken.isRefused)
        server.push(FakeServer.chunk(String(repeating: "x", count: 1001)))
        #expect(wait { taken.isRefused })
    }

    @Test(arguments: ["break", "reset", "garbage"])
    func tellsHowItEnds(how: String) throws {
        let taken = Taken()
        _ = open(taken)
        #expect(wait { !server.streams.isEmpty })
        server.push(FakeServer.chunk("one\n") + "5\r\nha")
        #expect(wait { taken.text == "one\nha" })
        switch how {
        case "break": server.push("", close: true)
        case "reset": server.resetStream()
        default: server.push("xyzzz\r\n")
        }
        #expect(wait { taken.end != nil })
        guard case .broken = taken.error else { throw TestFailure("\(how): \(String(describing: taken.end))") }
        #expect(taken.lines == ["one"])
    }

    @Test func aSilentStreamEnds() throws {
        let taken = Taken()
        let limit = Duration.milliseconds(150)
        _ = open(idle: limit, taken)
        #expect(wait { !server.streams.isEmpty })
        let start = Clock.nanoseconds
        while Clock.nanoseconds - start < 300_000_000 {
            let before = taken.pieces.count
            server.push(FakeServer.chunk("."))
            #expect(wait { taken.pieces.count > before })
            _ = loop.run(for: .milliseconds(20)) { taken.end != nil }
        }
        #expect(taken.end == nil)
        #expect(wait { taken.end != nil })
        #expect(taken.error == .timedOut(limit))
        // A server that does not even answer, and one that is not there.
        server.handler = { _ in .silence }
        let silent = Taken()
        _ = open(idle: limit, silent)
        #expect(wait { silent.error == .timedOut(limit) })
        server.stop()
        let refused = Taken()
        _ = open(idle: limit, refused)
        #expect(wait { refused.error == .notConnected("Connection refused") })
    }

    @Test func takesNoneOfTheConnectionsOfRequests() throws {
        server.handler = { $0.path == "/watch" ? .raw(FakeServer.chunkedHead, close: false) : .ok("x") }
        let streams = (0..<3).map { _ in Taken() }
        for taken in streams { _ = open(taken) }
        #expect(wait { server.streams.count == 3 })
        for _ in 0..<2 {
            var answer: String?
            client.send(HTTPRequest("GET", server.base)) { answer = try? $0.get().text }
            #expect(wait { answer == "x" })
        }
        #expect(server.accepted == 4)
        // Nor does a stream that has ended leave its connection to them.
        server.push("0\r\n\r\n")
        #expect(wait { streams.contains { $0.end != nil } })
        var answer: String?
        client.send(HTTPRequest("GET", server.base)) { answer = try? $0.get().text }
        #expect(wait { answer == "x" })
        #expect(server.accepted == 4)
    }

    @Test func cancelsFromWithin() throws {
        let taken = Taken()
        var call: HTTPClient.Call?
        call = open(taken) { [client] in if let call { client.cancel(call) } }
        #expect(wait { !server.streams.isEmpty })
        server.push(FakeServer.chunk("one\n") + "0\r\n\r\n")
        #expect(wait { server.streams.isEmpty })
        #expect(taken.lines == ["one"] && taken.end == nil)
        // Nor does closing the client from within disturb.
        let other = Taken()
        _ = open(other) { [client] in client.close() }
        #expect(wait { !server.streams.isEmpty })
        server.push(FakeServer.chunk("one\n"))
        #expect(wait { server.streams.isEmpty })
        #expect(other.lines == ["one"] && other.end == nil)
    }

    @Test func otherStatusesAreAnswers() throws {
        server.handler = { _ in .status(401, "who are you?") }
        let taken = Taken()
        _ = open(taken)
        #expect(wait { taken.end != nil })
        #expect(try taken.end?.get().status == 401 && taken.end?.get().text == "who are you?")
        #expect(taken.pieces.isEmpty)
    }

    @Test func aPausedStreamReadsNoFurther() throws {
        let taken = Taken()
        let call = open(taken)
        #expect(wait { !server.streams.isEmpty })
        client.pause(call)
        let text = String(repeating: "x", count: 1 << 20)
        for _ in 0..<12 { server.push(FakeServer.chunk(text)) }
        #expect(!loop.run(for: .milliseconds(200)) { server.unsent == 0 })
        #expect(taken.pieces.isEmpty && server.unsent > 4 << 20)
        client.resume(call)
        var total = 0
        #expect(
            wait {
                total += taken.pieces.reduce(0) { $0 + $1.count }
                taken.pieces = []
                return total == 12 << 20
            })
        // What was held back is handed out before the end.
        client.pause(call)
        server.push(FakeServer.chunk("last") + "0\r\n\r\n")
        #expect(!loop.run(for: .milliseconds(30)) { taken.end != nil })
        client.resume(call)
        #expect(wait { taken.end != nil })
        #expect(taken.text == "last")
    }
}
