import Balancing
import Configuration
import Model
import Proxy
import Runtime
import Synchronization
import TestSupport
import Testing

@Suite struct HTTPForwardingTests {
    /// A mesh in front of one scripted host.
    private func mesh(
        _ change: (inout Configuration) -> Void = { _ in }, timeout: Duration = .seconds(60),
        _ script: @escaping @Sendable (Connection, Int) -> Void
    ) throws -> (TestMesh, ScriptedServer) {
        let host = try ScriptedServer(script)
        let mesh = try TestMesh(.http, change)
        mesh.keep(host)
        var policy = ServicePolicy()
        policy.traffic.timeout = timeout
        mesh.update(policy: policy, [("1.0", host.address)])
        return (mesh, host)
    }

    @Test func pipelinedRequestsAreAnsweredInOrder() throws {
        let (mesh, host) = try mesh { connection, _ in
            while true {
                let head = connection.receiveHead()
                if head.isEmpty { return }
                connection.answer(String(head.split(separator: " ")[1]))
            }
        }
        let client = try mesh.connect()
        client.send((0..<20).map { "GET /\($0) HTTP/1.1\r\nHost: shop\r\n\r\n" }.joined())
        for number in 0..<20 { #expect(try client.receiveAnswer().body == "/\(number)") }
        #expect(host.accepted == 1)
    }

    @Test func aHeadMayArriveByteByByte() throws {
        let (mesh, _) = try mesh { connection, _ in
            while !connection.receiveHead().isEmpty { connection.answer("ok") }
        }
        let client = try mesh.connect()
        for byte in "GET / HTTP/1.1\r\nHost: shop\r\nX-Long: \(String(repeating: "a", count: 300))\r\n\r\n".utf8 {
            client.send([byte])
        }
        #expect(try client.receiveAnswer().body == "ok")
    }

    @Test func bodiesOfBothFramingsAreStreamedBothWays() throws {
        let (mesh, _) = try mesh { connection, _ in
            while true {
                let head = connection.receiveHead().lowercased()
                if head.isEmpty { return }
                if head.contains("transfer-encoding: chunked") {
                    let body = connection.receive(until: "0\r\nx-end: 1\r\n\r\n")
                    connection.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: x-end\r\n\r\n" + body)
                } else {
                    connection.answer(String(decoding: connection.receive(exactly: 100_000), as: UTF8.self))
                }
            }
        }
        let client = try mesh.connect()
        let text = String(repeating: "0123456789", count: 10_000)
        client.send("POST / HTTP/1.1\r\nHost: shop\r\nContent-Length: 100000\r\n\r\n" + text)
        // A failure is not to print all of it.
        let isWhole = try client.receiveAnswer().body == text
        #expect(isWhole)
        let chunked = "186a0;ext=1\r\n\(text)\r\n0\r\nx-end: 1\r\n\r\n"
        client.send("POST / HTTP/1.1\r\nHost: shop\r\nTransfer-Encoding: chunked\r\n\r\n" + chunked)
        _ = client.receiveHead()
        let isSame = client.receive(until: "0\r\nx-end: 1\r\n\r\n") == chunked
        #expect(isSame)
    }

    @Test func answersWithoutBodyKeepTheConnection() throws {
        let (mesh, host) = try mesh { connection, _ in
            while true {
                let head = connection.receiveHead()
                if head.isEmpty { return }
                if head.hasPrefix("HEAD") {
                    connection.send("HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n")
                } else if head.contains("/304") {
                    connection.send("HTTP/1.1 304 Not Modified\r\nContent-Length: 7\r\n\r\n")
                } else {
                    connection.send("HTTP/1.1 204 No Content\r\n\r\n")
                }
            }
        }
        let client = try mesh.connect()
        client.send("HEAD / HTTP/1.1\r\nHost: shop\r\n\r\n")
        #expect(try client.receiveAnswer(toHead: true).field("content-length") == "5000")
        #expect(try client.get("/304").status == 304)
        #expect(try client.get("/204").status == 204)
        #expect(host.accepted == 1)
    }

    @Test func interimAnswersPassAndTheBodyFollows() throws {
        let (mesh, _) = try mesh { connection, _ in
            _ = connection.receiveHead()
            connection.send("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n")
            connection.answer(String(decoding: connection.receive(exactly: 4), as: UTF8.self))
        }
        let client = try mesh.connect()
        client.send("POST / HTTP/1.1\r\nHost: shop\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n")
        #expect(try client.receiveAnswer().status == 103)
        #expect(try client.receiveAnswer().status == 100)
        client.send("body")
        #expect(try client.receiveAnswer().body == "body")
    }

    @Test func eventsFlowAtOnce() throws {
        let turns = Turns()
        let (mesh, _) = try mesh { connection, _ in
            _ = connection.receiveHead()
            connection.send("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n")
            // Each event goes out only when the client has told that it has the one before.
            for number in 0..<3 {
                connection.send("data: \(number)\n\n")
                turns.take()
            }
        }
        let client = try mesh.connect()
        client.send("GET / HTTP/1.1\r\nHost: shop\r\n\r\n")
        // The end of the connection would look the same for a whole answer and a cut one.
        #expect(client.receiveHead().contains("Transfer-Encoding: chunked"))
        for number in 0..<3 {
            #expect(client.receive(until: "\n\n") == (number == 0 ? "" : "\r\n") + "9\r\ndata: \(number)\n\n")
            turns.give()
        }
        #expect(client.receive(until: "0\r\n\r\n") == "\r\n0\r\n\r\n")
        #expect(try mesh.waitForReport { $0.listeners[0].open == 1 && $0.endpoints[0].connections == 0 })
    }

    @Test func anUpgradeBecomesATunnelThatEndsEachWayOnItsOwn() throws {
        let (mesh, _) = try mesh { connection, _ in
            let head = connection.receiveHead().lowercased()
            guard head.contains("upgrade: websocket"), head.contains("connection: upgrade") else { return }
            connection.send(
                "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\nhello")
            let said = connection.receiveAll()
            connection.send("you said " + String(decoding: said, as: UTF8.self))
        }
        let client = try mesh.connect()
        client.send("GET / HTTP/1.1\r\nHost: shop\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nearly ")
        #expect(try client.receiveAnswer().status == 101)
        #expect(client.receive(exactly: 5) == Array("hello".utf8))
        client.send("late")
        client.endOutput()
        #expect(String(decoding: client.receiveAll(), as: UTF8.self) == "you said early late")
        #expect(try mesh.waitForReport { $0.endpoints.allSatisfy { $0.connections == 0 && $0.active == 0 } })
    }

    @Test func clientsOfVersion10GetPlainBodies() throws {
        let (mesh, host) = try mesh { connection, _ in
            while !connection.receiveHead().isEmpty {
                connection.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n")
            }
        }
        for _ in 0..<2 {
            let client = try mesh.connect()
            client.send("GET / HTTP/1.0\r\nHost: shop\r\n\r\n")
            let answer = String(decoding: client.receiveAll(), as: UTF8.self)
            #expect(answer.hasSuffix("\r\n\r\nabcde"))
            #expect(!answer.lowercased().contains("transfer-encoding"))
        }
        #expect(host.accepted == 1)
    }

    @Test func fieldsBetweenHopsStayBetweenHops() throws {
        let heads = Mutex<[String]>([])
        let (mesh, _) = try mesh { connection, _ in
            while true {
                let head = connection.receiveHead()
                if head.isEmpty { return }
                heads.withLock { $0.append(head.lowercased()) }
                connection.answer("ok", "Connection: x-private\r\nX-Private: 1\r\nKeep-Alive: timeout=5\r\n")
            }
        }
        let answer = try mesh.connect().get("/", "Connection: keep-alive, X-Secret\r\nX-Secret: 1\r\nKeep-Alive: 1\r\n")
        #expect(answer.field("x-private") == nil)
        #expect(answer.field("keep-alive") == nil)
        #expect(answer.field("via") != nil)
        let first = heads.withLock { $0.first }
        let head = try #require(first)
        #expect(!head.contains("x-secret"))
        #expect(!head.contains("keep-alive"))
        #expect(head.contains("x-forwarded-for: 127.0.0.1\r\n"))
        #expect(head.contains("x-forwarded-host: shop\r\n"))
        #expect(head.contains("x-forwarded-proto: http\r\n"))
    }

    @Test func anAnswerBeforeTheBodysEndStillArrives() throws {
        let (mesh, _) = try mesh { connection, _ in
            _ = connection.receiveHead()
            connection.answer("too much", status: "413 Content Too Large")
            _ = connection.receiveAll()
        }
        let client = try mesh.connect()
        client.send("POST / HTTP/1.1\r\nHost: shop\r\nContent-Length: 100000000\r\n\r\nsome")
        let answer = try client.receiveAnswer()
        #expect(answer.status == 413)
        #expect(answer.body == "too much")
        #expect(client.receiveAll().isEmpty)
    }

    @Test func aClientThatEndsItsWayStillGetsItsAnswer() throws {
        let (mesh, _) = try mesh { connection, _ in
            while !connection.receiveHead().isEmpty { connection.answer("ok") }
        }
        let client = try mesh.connect()
        client.send("GET / HTTP/1.1\r\nHost: shop\r\n\r\n")
        client.endOutput()
        #expect(try client.receiveAnswer().body == "ok")
        #expect(client.receiveAll().isEmpty)
    }

    @Test func aSlowClientStopsTheHostAndGetsEverything() throws {
        let sent = Atomic<Int>(0)
        let size = 64 << 20
        let (mesh, _) = try mesh { connection, _ in
            _ = connection.receiveHead()
            connection.send("HTTP/1.1 200 OK\r\nContent-Length: \(size)\r\n\r\n")
            let part = [UInt8](repeating: 0x61, count: 1 << 20)
            for _ in 0..<(size >> 20) where connection.send(part) { sent.add(part.count, ordering: .relaxed) }
        }
        let client = try Connection(to: mesh.address, receiveBuffer: 8192)
        client.send("GET / HTTP/1.1\r\nHost: shop\r\n\r\n")
        _ = client.receiveHead()
        // The host gets stuck: what fits into kernel buffers and the worker is far less than all.
        var last = -1
        let stuck = waitUntil(within: .seconds(10)) {
            let now = sent.load(ordering: .relaxed)
            defer { last = now }
            _ = client.receive(atMost: 1)
            return now > 0 && now == last
        }
        #expect(stuck)
        #expect(sent.load(ordering: .relaxed) < size / 2)
        var got = 0
        while got < size - 1_000_000 {
            let part = client.receive(atMost: 1 << 20)
            if part.isEmpty { break }
            got += part.count
        }
        #expect(got >= size - 1_000_000)
    }

    @Test func aSlowHostStopsTheClient() throws {
        let (mesh, _) = try mesh { connection, _ in
            _ = connection.receiveHead()
            var got = 0
            while got < 32 << 20 {
                let part = connection.receive(atMost: 1 << 20)
                if part.isEmpty { return }
                got += part.count
            }
            connection.answer("got \(got)")
        }
        let client = try mesh.connect()
        client.send("PUT / HTTP/1.1\r\nHost: shop\r\nContent-Length: \(32 << 20)\r\n\r\n")
        #expect(client.send([UInt8](repeating: 0x62, count: 32 << 20)))
        #expect(try client.receiveAnswer().body == "got \(32 << 20)")
    }
}

/// Lets one thread go on when another says so.
private final class Turns: Sendable {
    private let given = Atomic<Int>(0)

    func give() { given.add(1, ordering: .relaxed) }

    func take() {
        _ = waitUntil(within: .seconds(10)) { given.load(ordering: .relaxed) > 0 }
        given.subtract(1, ordering: .relaxed)
    }
}
