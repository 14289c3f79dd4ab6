import Glibc
import Runtime
import TestSupport
import Testing

@testable import Discovery

@Suite struct HTTPClientTests {
    let loop: EventLoop
    let client: HTTPClient

    init() throws {
        loop = try EventLoop()
        client = try HTTPClient(loop: loop, connectionsPerHost: 2)
    }

    /// Sends and waits.
    private func outcome(_ request: HTTPRequest) throws -> Result<HTTPResponse, HTTPError> {
        var result: Result<HTTPResponse, HTTPError>?
        client.send(request) { result = $0 }
        _ = loop.run(for: .seconds(10)) { result != nil }
        return try #require(result)
    }

    private func failure(_ request: HTTPRequest) throws -> HTTPError {
        guard case .failure(let error) = try outcome(request) else { throw TestFailure("there was an answer") }
        return error
    }

    /// libcurl sends a request again by itself when a connection breaks that it has used before.
    @Test(arguments: [false, true])
    func aConnectionThatBreaksIsReplacedUnlessARequestIsSentOnce(isSentOnce: Bool) throws {
        let server = try FakeServer(loop: loop) { _ in .ok("one") }
        _ = try outcome(HTTPRequest("GET", server.base)).get()
        server.handler = { [unowned server] _ in server.requests.count == 2 ? .reset : .ok("two") }
        var request = HTTPRequest("GET", server.base)
        request.isSentOnce = isSentOnce
        let result = try outcome(request)
        switch result {
        case .success(let response): #expect(!isSentOnce && response.text == "two" && server.requests.count == 3)
        case .failure(let error): #expect(isSentOnce && error == .dropped && server.requests.count == 2)
        }
        #expect(try outcome(HTTPRequest("GET", server.base)).get().text == "two")
    }

    @Test func exchangesOverOneConnection() throws {
        let server = try FakeServer(loop: loop) { request in
            .status(
                201, "\(request.method) \(request.path) \(request.body)", headers: [("X-A", " one "), ("x-a", "two")])
        }
        for _ in 0..<3 {
            let response = try outcome(
                HTTPRequest(
                    "PUT", server.base + "/a?b=1", headers: [("X-T", "v"), ("X-Empty", "")], body: Array("body".utf8))
            ).get()
            #expect(response.status == 201)
            #expect(response.text == "PUT /a body")
            #expect(response.header("x-A") == "one")
            #expect(response.header("none") == nil)
        }
        #expect(server.accepted == 1)
        #expect(server.requests[0].headers["x-t"] == "v")
        #expect(server.requests[0].headers["x-empty"] == "")
        #expect(server.requests[0].headers["expect"] == nil)
        #expect(server.requests[0].query == ["b": "1"])
    }

    @Test func whatCannotBeSentIsToldUnlessItIsCancelled() throws {
        let request = HTTPRequest("GET", "ftp://127.0.0.1/")
        #expect(try failure(request) == .invalidRequest("the URL is neither http nor https"))
        var isTold = false
        let call = client.send(request) { _ in isTold = true }
        client.cancel(call)
        #expect(!loop.run(for: .milliseconds(20)) { isTold })
        client.close()
        guard case .invalidRequest = try failure(HTTPRequest("GET", "http://127.0.0.1/")) else {
            throw TestFailure("a closed client sends")
        }
    }

    @Test func chunkedAnswersAndInterimAnswers() throws {
        let server = try FakeServer(loop: loop) { _ in
            .raw(
                "HTTP/1.1 103 Early\r\nX-A: early\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
                    + "3\r\nabc\r\n0\r\n\r\n", close: false)
        }
        let response = try outcome(HTTPRequest("GET", server.base)).get()
        #expect(response.text == "abc")
        #expect(response.header("x-a") == nil)
    }

    @Test func doesNotFollowRedirects() throws {
        let server = try FakeServer(loop: loop) { _ in .status(302, "", headers: [("Location", "/elsewhere")]) }
        #expect(try outcome(HTTPRequest("GET", server.base)).get().status == 302)
        #expect(server.requests.count == 1)
    }

    @Test func refusesLargeAnswers() throws {
        let server = try FakeServer(loop: loop) { _ in .ok(String(repeating: "x", count: 300_000)) }
        #expect(try outcome(HTTPRequest("GET", server.base, maximumBody: 300_000)).get().body.count == 300_000)
        #expect(try failure(HTTPRequest("GET", server.base, maximumBody: 299_999)) == .tooLarge(299_999))
    }

    @Test func refusesLargeHeads() throws {
        let line = "X-A: " + String(repeating: "x", count: 9_000) + "\r\n"
        let server = try FakeServer(loop: loop) { _ in
            .raw("HTTP/1.1 200 OK\r\n" + String(repeating: line, count: 8) + "Content-Length: 0\r\n\r\n", close: false)
        }
        guard case .broken = try failure(HTTPRequest("GET", server.base)) else { throw TestFailure("not broken") }
    }

    @Test(arguments: [
        "", "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab", "garbage\r\n\r\n",
    ])
    func brokenAnswersAreErrors(answer: String) throws {
        let server = try FakeServer(loop: loop) { _ in .raw(answer, close: true) }
        guard case .broken = try failure(HTTPRequest("GET", server.base)) else { throw TestFailure("not broken") }
    }

    @Test func silentAndHalfSentAnswersTimeOut() throws {
        let limit = Duration.milliseconds(100)
        let server = try FakeServer(loop: loop) { request in
            request.path == "/half" ? .raw("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf", close: false) : .silence
        }
        #expect(try failure(HTTPRequest("GET", server.base + "/half", timeout: limit)) == .timedOut(limit))
        #expect(try failure(HTTPRequest("GET", server.base + "/none", timeout: limit)) == .timedOut(limit))
    }

    @Test func tellsRefusedConnections() throws {
        let server = try FakeServer(loop: loop) { _ in .silence }
        server.stop()
        let error = try failure(HTTPRequest("GET", server.base))
        #expect(error == .notConnected("Connection refused"))
    }

    @Test func tellsResets() throws {
        let server = try FakeServer(loop: loop) { _ in .reset }
        #expect(try failure(HTTPRequest("GET", server.base)) == .broken("Connection reset by peer"))
    }

    @Test func tellsUnknownNames() throws {
        #expect(
            try failure(HTTPRequest("GET", "http://no.such.name.invalid/"))
                == .unresolved("http://no.such.name.invalid"))
    }

    @Test(arguments: ["ftp://127.0.0.1/", "file:///etc/passwd", "http://127.0.0.1/a\r\nX-B: 1", "http://"])
    func refusesBadRequests(url: String) throws {
        guard case .invalidRequest = try failure(HTTPRequest("GET", url)) else { throw TestFailure("sent") }
    }

    @Test func boundsConcurrencyPerHostAndKeepsOrder() throws {
        let server = try FakeServer(loop: loop) { .ok($0.path) }
        server.holding = true
        var answers: [String] = []
        for number in 0..<200 {
            client.send(HTTPRequest("GET", server.base + "/\(number)")) { result in
                if case .success(let response) = result { answers.append(response.text) }
            }
        }
        let done = loop.run(for: .seconds(10)) {
            if server.held.count == 2 || server.requests.count == 200 { server.releaseOne() }
            return answers.count == 200
        }
        #expect(done)
        #expect(server.mostHeld == 2)
        #expect(server.accepted == 2)
        #expect(server.requests.map(\.path) == (0..<200).map { "/\($0)" })
    }

    @Test func cancelledCallsAreNotCompletedAndFreeTheirPlace() throws {
        let server = try FakeServer(loop: loop) { .ok($0.path) }
        server.holding = true
        var answers: [String] = []
        let calls = (0..<6).map { number in
            client.send(HTTPRequest("GET", server.base + "/\(number)")) { result in
                answers.append((try? result.get().text) ?? "failed")
            }
        }
        #expect(loop.run(for: .seconds(5)) { server.held.count == 2 })
        for index in [0, 1, 3] { client.cancel(calls[index]) }
        server.holding = false
        #expect(loop.run(for: .seconds(5)) { answers.count == 3 })
        #expect(answers == ["/2", "/4", "/5"])
        client.cancel(calls[0])
    }

    @Test func refusesMoreThanMayWait() throws {
        let client = try HTTPClient(loop: loop, connectionsPerHost: 1, maximumWaiting: 1)
        let server = try FakeServer(loop: loop) { _ in .silence }
        var refused: HTTPError?
        client.send(HTTPRequest("GET", server.base)) { _ in }
        client.send(HTTPRequest("GET", server.base)) { _ in }
        client.send(HTTPRequest("GET", server.base)) { if case .failure(let error) = $0 { refused = error } }
        #expect(refused == nil)
        #expect(loop.run(for: .seconds(5)) { refused != nil })
        #expect(refused == .overloaded)
    }

    @Test func aCompletionMayCloseTheClient() throws {
        let server = try FakeServer(loop: loop) { .ok($0.path) }
        var count = 0
        for _ in 0..<4 {
            client.send(HTTPRequest("GET", server.base)) { [client] _ in
                count += 1
                client.close()
            }
        }
        #expect(loop.run(for: .seconds(5)) { count > 0 })
        #expect(!loop.run(for: .milliseconds(50)) { count > 1 })
        #expect(throws: HTTPError.invalidRequest("the client is closed")) {
            try outcome(HTTPRequest("GET", server.base)).get()
        }
    }

    @Test func performsWithoutALoop() throws {
        let port = try FreePort.next()
        let stopping = try Mailbox<Bool>()
        let ready = try Mailbox<Bool>()
        let thread = try Thread(name: "fake") {
            guard let loop = try? EventLoop(),
                let server = try? FakeServer(loop: loop, port: port, handler: { .ok($0.path) })
            else { return }
            loop.receive(stopping) { _ in loop.stop() }
            ready.post(true)
            loop.run()
            server.stop()
        }
        defer {
            stopping.post(true)
            thread.join()
        }
        #expect(waitUntil(within: .seconds(10)) { !ready.take().isEmpty })
        #expect(try HTTPClient.perform(HTTPRequest("GET", "http://127.0.0.1:\(port)/x")).text == "/x")
        let closed = try FreePort.next()
        #expect(throws: HTTPError.self) { try HTTPClient.perform(HTTPRequest("GET", "http://127.0.0.1:\(closed)/x")) }
    }

    @Test func percentEncoding() {
        #expect(PercentEncoding.encode("providers:a.B:1:") == "providers%3Aa.B%3A1%3A")
        #expect(PercentEncoding.encode("ä b&=+%") == "%C3%A4%20b%26%3D%2B%25")
        #expect(PercentEncoding.decode("%C3%A4%20b") == "ä b")
        for bad in ["%", "%2", "%zz", "%ff"] { #expect(PercentEncoding.decode(bad) == nil) }
        #expect(PercentEncoding.form([("a", "1&"), ("b", "")]) == "a=1%26&b=")
    }
}
