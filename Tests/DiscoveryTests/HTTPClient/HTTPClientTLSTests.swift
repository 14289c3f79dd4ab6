import Configuration
import Glibc
import Runtime
import TestSupport
import Testing

@testable import Discovery

@Suite(.enabled(if: TLSRelay.isAvailable)) struct HTTPClientTLSTests {
    let loop: EventLoop
    let server: FakeServer
    let certificates: Certificates

    init() throws {
        loop = try EventLoop()
        server = try FakeServer(loop: loop) { .ok("\($0.method) \($0.path)") }
        certificates = try Certificates()
    }

    private func client(_ tls: TLSSettings? = nil) throws -> HTTPClient {
        try HTTPClient(
            loop: loop, connectionsPerHost: 2, tls: tls ?? TLSSettings(authorities: certificates.authority))
    }

    private func outcome(
        _ url: String, _ client: HTTPClient, connect: Duration = .seconds(10)
    ) throws -> Result<HTTPResponse, HTTPError> {
        var result: Result<HTTPResponse, HTTPError>?
        client.send(HTTPRequest("GET", url, connectTimeout: connect, timeout: .seconds(20))) { result = $0 }
        _ = loop.run(for: .seconds(30)) { result != nil }
        return try #require(result)
    }

    /// The words of a failure to connect; others fail the test.
    private func refusal(_ url: String, _ client: HTTPClient) throws -> String {
        let outcome = try outcome(url, client)
        guard case .failure(.notConnected(let reason)) = outcome else { throw TestFailure("\(outcome)") }
        return reason
    }

    @Test func exchangesOverOneConnection() throws {
        let relay = try TLSRelay(to: server.port, certificate: try certificates.issue("server"))
        let client = try client()
        for _ in 0..<3 { #expect(try outcome(relay.base + "/a", client).get().text == "GET /a") }
        #expect(server.accepted == 1)
        // A token that belongs there is not sent in plain, not even by mistake.
        #expect(
            try outcome(server.base, client).failure == .invalidRequest("the URL is not https"))
    }

    @Test func refusesCertificatesThatAreNotRight() throws {
        let client = try client()
        let expired = try TLSRelay(to: server.port, certificate: try certificates.issue("old", isExpired: true))
        #expect(try refusal(expired.base, client) == "SSL certificate problem: certificate has expired")
        let other = try TLSRelay(to: server.port, certificate: try certificates.issue("other", for: "DNS:other.test"))
        #expect(
            try refusal(other.base, client)
                == "SSL: no alternative certificate subject name matches target host name '127.0.0.1'")
        let others = try Certificates()
        let stranger = try TLSRelay(to: server.port, certificate: try others.issue("server"))
        let unknown = "SSL certificate problem: unable to get local issuer certificate"
        #expect(try refusal(stranger.base, client) == unknown)
        let old = try TLSRelay(
            to: server.port, certificate: try certificates.issue("v11"),
            options: ",openssl-max-proto-version=TLS1.1,cipher=ALL:@SECLEVEL=0")
        #expect(try refusal(old.base, client).contains("protocol version"))
        // Without a file the system's authorities count, which do not know this one.
        let good = try TLSRelay(to: server.port, certificate: try certificates.issue("server"))
        #expect(try refusal(good.base, self.client(TLSSettings())) == unknown)
        #expect(try outcome(good.base + "/a", client).get().text == "GET /a")
        #expect(server.requests.count == 1)
    }

    @Test func showsItsCertificate() throws {
        let own = try certificates.issue("client", for: "DNS:client")
        let relay = try TLSRelay(
            to: server.port, certificate: try certificates.issue("server"), clients: certificates.authority)
        // Whether the server's word for it comes or only its reset is a matter of luck.
        #expect(try refusal(relay.base, client()).contains(" a client certificate"))
        let others = try Certificates()
        let stranger = TLSSettings(authorities: certificates.authority, certificate: try others.issue("client"))
        let strict = try TLSRelay(
            to: server.port, certificate: try certificates.issue("server"), clients: certificates.authority,
            options: ",openssl-max-proto-version=TLS1.2")
        #expect(try refusal(strict.base, client(stranger)).contains(" alert "))
        var tls = TLSSettings(authorities: certificates.authority, certificate: own)
        #expect(try outcome(relay.base + "/a", client(tls)).get().text == "GET /a")
        tls.key = String(own.dropLast(3)) + "key"
        #expect(try outcome(relay.base + "/b", client(tls)).get().text == "GET /b")
    }

    @Test func tellsServersThatDoNotSpeakIt() throws {
        let plain = try ScriptedServer { connection, _ in
            _ = connection.receive()
            connection.send("HTTP/1.1 400 Bad Request\r\n\r\n")
        }
        #expect(
            try refusal("https://\(plain.address)", client()).hasPrefix("the server does not speak TLS ("))
        let silent = try Socket.listen(on: SocketAddress(ipv4: 0x7f00_0001, port: 0), shared: false)
        defer { Socket.close(silent) }
        let port = Socket.localAddress(silent)?.port ?? 0
        let limit = Duration.milliseconds(100)
        // The kernel takes the connection, and nobody says a word.
        let outcome = try outcome("https://127.0.0.1:\(port)", client(), connect: limit)
        #expect(outcome.failure == .notConnected("no connection within \(limit)"))
    }

    @Test(arguments: [true, false]) func aConnectionThatWasGoodBreaks(hasBegun: Bool) throws {
        let relay = try TLSRelay(to: server.port, certificate: try certificates.issue("server"))
        server.handler = { _ in
            hasBegun ? .raw("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf", close: false) : .silence
        }
        var result: Result<HTTPResponse, HTTPError>?
        let client = try client()
        client.send(HTTPRequest("GET", relay.base, timeout: .seconds(20))) { result = $0 }
        #expect(loop.run(for: .seconds(20)) { !server.requests.isEmpty })
        // As a query that has hung for a while, or an answer that goes on.
        loop.schedule(after: .milliseconds(1200)) { server.stop() }
        #expect(loop.run(for: .seconds(20)) { result != nil })
        guard case .broken(let reason) = result?.failure else { throw TestFailure("\(result, default: "")") }
        #expect(!reason.contains("certificate"))
    }

    @Test func readsReplacedFiles() throws {
        // Each needs a connection of its own: one that is there would stay good.
        server.handler = { _ in
            .raw("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n", close: true)
        }
        let relay = try TLSRelay(to: server.port, certificate: try certificates.issue("server"))
        let folder = try TemporaryDirectory()
        let file = folder.path(of: "ca.pem")
        let client = try client(TLSSettings(authorities: file))
        #expect(try refusal(relay.base, client) == "error setting certificate file: \(file)")
        try folder.write("ca.pem", "garbage")
        #expect(try refusal(relay.base, client) == "error setting certificate file: \(file)")
        let others = try Certificates()
        let (wrong, right) = try (read(others.authority), read(certificates.authority))
        for (text, isGood) in [(wrong, false), (right, true), (wrong, false)] {
            try folder.replace("ca.pem", text)
            let isSeen = try waitUntil(within: .seconds(20)) {
                let failure = try outcome(relay.base, client).failure
                return isGood ? failure == nil : "\(failure, default: "")".contains("unable to get local issuer")
            }
            #expect(isSeen)
        }
    }

    @Test func streamsWithPauses() throws {
        server.handler = { _ in .raw(FakeServer.chunkedHead, close: false) }
        let relay = try TLSRelay(to: server.port, certificate: try certificates.issue("server"))
        let client = try client()
        var taken: [UInt8] = []
        var pauses = 0
        var call: HTTPClient.Call?
        var end: Result<HTTPResponse, HTTPError>?
        call = client.stream(
            HTTPRequest("GET", relay.base), idleTimeout: .seconds(20), maximumWaiting: 65_536,
            take: { [loop] piece in
                taken += piece
                guard let call, pauses < 20 else { return }
                // What TLS has unpacked already waits with what has not been read.
                pauses += 1
                client.pause(call)
                loop.schedule(after: .milliseconds(5)) { client.resume(call) }
            }, completion: { end = $0 })
        #expect(loop.run(for: .seconds(20)) { !server.streams.isEmpty })
        let text = (0..<400_000).map { "\($0)\n" }.joined()
        server.push(FakeServer.chunk(text))
        #expect(loop.run(for: .seconds(20)) { taken.count == text.utf8.count })
        #expect(taken.elementsEqual(text.utf8) && pauses == 20)
        server.push(FakeServer.chunk("last"))
        #expect(loop.run(for: .seconds(20)) { taken.count == text.utf8.count + 4 })
        server.push("0\r\n\r\n")
        #expect(loop.run(for: .seconds(20)) { end != nil })
        #expect(try end?.get().status == 200)
    }

    private func read(_ file: String) throws -> String {
        String(decoding: try TemporaryDirectory.read(file), as: UTF8.self)
    }
}

extension Result {
    fileprivate var failure: Failure? {
        if case .failure(let error) = self { error } else { nil }
    }
}
