import Discovery
import Runtime
import TestSupport
import Testing
import WebServer

@testable import Admin

/// Pages that are longer than the control loop may be kept busy.
@Suite struct MetricsPageTests {
    private static let count = 60_000

    private let loop: EventLoop
    private let server: WebServer
    private let address: SocketAddress
    private let written = Written()

    private final class Written {
        var items = 0
    }

    init() throws {
        let loop = try EventLoop()
        let written = written
        server = WebServer(loop: loop) { _, respond in
            let page = MetricsPage()
            page.begin("a_total", .counter, "A.")
            page.add(Array(0..<Self.count)) { text, item in
                text.sample(["item": "\(item)", "filling": String(repeating: "x", count: 200)], item)
                written.items += 1
            }
            page.begin("b", .gauge, "B.")
            page.add { $0.sample([:], 1) }
            respond(page.response(on: loop))
        }
        address = try server.listen(on: SocketAddress("127.0.0.1:0")!)
        self.loop = loop
    }

    @Test func theLoopTurnsWhileAPageIsWritten() throws {
        let client = try HTTPClient(loop: loop)
        var result: Result<HTTPResponse, HTTPError>?
        client.send(HTTPRequest("GET", "http://\(address)/", timeout: .seconds(60))) { result = $0 }
        var turns = 0
        #expect(
            loop.run(for: .seconds(60)) {
                if written.items > 0 && written.items < Self.count { turns += 1 }
                return result != nil
            })
        let answer = try #require(result).get()
        let lines = answer.text.split(separator: "\n")
        #expect(lines.count == Self.count + 5 && turns > 10, "\(turns) turns")
        for item in 0..<Self.count where !lines[item + 2].hasSuffix("} \(item)") {
            Issue.record("line \(item): \(lines[item + 2])")
            break
        }
        #expect(lines.last == "b 1" && answer.header("Content-Type") == MetricsText.contentType)
    }

    @Test func whoDoesNotReadIsNotWrittenFor() throws {
        var client: Connection? = try Connection(to: address, receiveBuffer: 4096)
        client?.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        // Some megabytes fit between the two; then nothing more is written.
        var (before, still) = (0, 0)
        let hasStopped = loop.run(for: .seconds(30)) {
            _ = loop.run(for: .milliseconds(20)) { false }
            still = written.items > 0 && written.items == before ? still + 1 : 0
            before = written.items
            return still == 5
        }
        #expect(hasStopped && written.items < Self.count)
        client = nil
        #expect(loop.run(for: .seconds(30)) { server.connectionCount == 0 })
        #expect(written.items == before, "nor for one who has gone")
    }
}
