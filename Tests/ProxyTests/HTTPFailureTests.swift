import Balancing
import Glibc
import Model
import Proxy
import Runtime
import Synchronization
import TestSupport
import Testing

@Suite struct HTTPFailureTests {
    /// An address where nothing listens.
    private func deadAddress() throws -> SocketAddress {
        SocketAddress(ipv4: 0x7f00_0001, port: try FreePort.next())
    }

    @Test func aRefusedConnectGoesToAnotherHost() throws {
        let alive = try namedHost("alive")
        let mesh = try TestMesh()
        mesh.update([("1.0", try deadAddress()), ("1.0", alive.address)])
        let client = try mesh.connect()
        for _ in 0..<50 { #expect(try client.get().body == "alive") }
        let dead = try mesh.report().endpoints.first { $0.address != alive.address }
        #expect((dead?.failures ?? 0) <= 2)
    }

    @Test func aPostGoesToAnotherHostWhenConnectIsRefused() throws {
        let alive = try ScriptedServer { connection, _ in
            _ = connection.receiveHead()
            connection.answer(String(decoding: connection.receive(exactly: 4), as: UTF8.self), "Connection: close\r\n")
        }
        let mesh = try TestMesh()
        mesh.update([("1.0", try deadAddress()), ("1.0", try deadAddress()), ("1.0", alive.address)])
        for _ in 0..<10 {
            let client = try mesh.connect()
            client.send("POST / HTTP/1.1\r\nHost: shop\r\nContent-Length: 4\r\n\r\nbody")
            #expect(try client.receiveAnswer().body == "body")
        }
    }

    @Test func noHostAtAllIsAnError() throws {
        let mesh = try TestMesh()
        mesh.update([("1.0", try deadAddress())])
        let client = try mesh.connect()
        #expect(try client.get().status == 503)
        #expect(try client.get().status == 503)
    }

    @Test func aHostThatComesBackIsUsedAtOnceWhenItIsTheOnlyOne() throws {
        let port = try FreePort.next()
        let mesh = try TestMesh()
        mesh.update([("1.0", SocketAddress(ipv4: 0x7f00_0001, port: port))])
        let client = try mesh.connect()
        #expect(try client.get().status == 503)
        let host = try namedHost("back", port: port)
        #expect(try client.get().body == "back")
        host.stop()
    }

    @Test func aStalePooledConnectionIsReplaced() throws {
        let host = try ScriptedServer { connection, _ in
            _ = connection.receiveHead()
            connection.answer("ok")
        }
        let mesh = try TestMesh()
        mesh.update([("1.0", host.address)])
        let client = try mesh.connect()
        for number in 0..<20 {
            if number % 2 == 0 {
                #expect(try client.get().body == "ok")
            } else {
                // Only a GET may meet a connection that is being closed this moment.
                #expect(try mesh.waitForReport { $0.endpoints.first?.connections == 0 })
                client.send("POST / HTTP/1.1\r\nHost: shop\r\nContent-Length: 0\r\n\r\n")
                #expect(try client.receiveAnswer().body == "ok")
            }
        }
    }

    @Test func aRequestThatMayHaveBeenDoneIsNotSentTwice() throws {
        let seen = Atomic<Int>(0)
        let script: @Sendable (Connection, Int) -> Void = { connection, _ in
            _ = connection.receiveHead()
            seen.add(1, ordering: .relaxed)
        }
        let (one, two) = (try ScriptedServer(script), try ScriptedServer(script))
        let mesh = try TestMesh()
        mesh.update([("1.0", one.address), ("1.0", two.address)])
        let client = try mesh.connect()
        client.send("POST / HTTP/1.1\r\nHost: shop\r\nContent-Length: 0\r\n\r\n")
        #expect(try client.receiveAnswer().status == 502)
        #expect(seen.load(ordering: .relaxed) == 1)
        #expect(try client.get().status == 502)
        #expect(seen.load(ordering: .relaxed) == 2)
    }

    @Test func aBodyInPiecesReachesTheNextHostWhole() throws {
        let first = Atomic<Bool>(true)
        let pieces = (0..<8).map { String(repeating: "\($0)", count: 3000) }
        let script: @Sendable (Connection, Int) -> Void = { connection, _ in
            _ = connection.receiveHead()
            if first.exchange(false, ordering: .relaxed) {
                // Takes the head and a part of the body, then goes without a word.
                _ = connection.receive(exactly: 3000)
                return connection.resetOnClose()
            }
            connection.answer(String(decoding: connection.receive(exactly: 24_000), as: UTF8.self))
            _ = connection.receiveHead()
        }
        let (one, two) = (try ScriptedServer(script), try ScriptedServer(script))
        let mesh = try TestMesh()
        var policy = ServicePolicy()
        policy.traffic.retries.onReset = true
        mesh.update(policy: policy, [("1.0", one.address), ("1.0", two.address)])
        let client = try mesh.connect()
        client.send("PUT / HTTP/1.1\r\nHost: shop\r\nContent-Length: 24000\r\n\r\n" + pieces[0])
        #expect(waitUntil(within: .seconds(5)) { one.accepted + two.accepted == 2 })
        for piece in pieces.dropFirst() { client.send(piece) }
        let answer = try client.receiveAnswer()
        #expect(answer.status == 200)
        #expect(answer.body == pieces.joined())
    }

    @Test func aHostThatDoesNotAnswerInTime() throws {
        let host = try ScriptedServer { connection, _ in _ = connection.receiveAll() }
        let mesh = try TestMesh()
        var policy = ServicePolicy()
        policy.traffic.timeout = .milliseconds(100)
        mesh.update(policy: policy, [("1.0", host.address)])
        let client = try mesh.connect()
        #expect(try client.get().status == 504)
        #expect(waitUntil(within: .seconds(5)) { host.open == 0 })
        #expect(try client.get().status == 504)
    }

    @Test func badAnswersBecome502() throws {
        for text in ["garbage\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", ""] {
            let host = try ScriptedServer { connection, _ in
                _ = connection.receiveHead()
                connection.send(text)
            }
            let mesh = try TestMesh()
            mesh.update([("1.0", host.address)])
            #expect(try mesh.connect().get().status == 502)
        }
    }

    @Test func anAnswerThatBreaksOffClosesTheClientsConnection() throws {
        let host = try ScriptedServer { connection, _ in
            _ = connection.receiveHead()
            connection.send("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")
        }
        let mesh = try TestMesh()
        mesh.update([("1.0", host.address)])
        let client = try mesh.connect()
        client.send("GET / HTTP/1.1\r\nHost: shop\r\n\r\n")
        #expect(String(decoding: client.receiveAll(), as: UTF8.self).hasSuffix("half"))
        #expect(try mesh.waitForReport { $0.services.first?.versions.first?.codes.first?.code == 599 })
    }

    @Test func malformedHeadsAreRefusedAndNobodyElseIsHarmed() throws {
        let host = try namedHost("ok")
        let mesh = try TestMesh()
        mesh.update([("1.0", host.address)])
        let bystander = try mesh.connect()
        let heads = [
            "GET / HTTP/1.1\r\n\r\n", "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", "GET /\r\n\r\n",
            "POST / HTTP/1.1\r\nHost: shop\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n",
            "POST / HTTP/1.1\r\nHost: shop\r\nContent-Length: 4\r\nContent-Length: 5\r\n\r\n",
            "POST / HTTP/1.1\r\nHost: shop\r\nTransfer-Encoding: chunked, identity\r\n\r\n",
            "GET / HTTP/1.1\r\nHost : shop\r\n\r\n", "GET / HTTP/1.1\r\nHost: shop\r\n folded: 1\r\n\r\n",
            "GET / HTTP/1.1\nHost: shop\n\n", "\u{0}\u{1}\u{2}\r\n\r\n",
        ]
        for head in heads {
            let client = try mesh.connect()
            client.send(head)
            #expect([400, 501].contains(try client.receiveAnswer().status), "\(head)")
            client.endOutput()
            #expect(client.receiveAll().isEmpty)
            #expect(try bystander.get().body == "ok")
        }
        let long = try mesh.connect()
        long.send("GET / HTTP/1.1\r\nHost: shop\r\nX: \(String(repeating: "a", count: 70_000))\r\n\r\n")
        #expect(try long.receiveAnswer().status == 431)
        let chunks = try mesh.connect()
        chunks.send("POST / HTTP/1.1\r\nHost: shop\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n")
        #expect(try chunks.receiveAnswer().status == 400)
        #expect(try bystander.get().body == "ok")
    }

    @Test("A head may have as many bytes as configured, be it a request's or an answer's")
    func longestHead() throws {
        let host = try ScriptedServer { connection, _ in
            let size = Int(connection.receiveHead().dropFirst(5).prefix { $0 != " " }) ?? 0
            connection.send(
                "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX: \(String(repeating: "a", count: size))\r\n\r\nok")
        }
        let mesh = try TestMesh { $0.limits.httpHead = 2048 }
        mesh.update([("1.0", host.address)])
        for (size, status) in [(1500, 200), (2048, 502), (60_000, 502)] {
            let client = try mesh.connect()
            client.send("GET /\(size) HTTP/1.1\r\nHost: shop\r\n\r\n")
            #expect(try client.receiveAnswer().status == status, "an answer's head of \(size) bytes")
        }
        let client = try mesh.connect()
        client.send("GET / HTTP/1.1\r\nHost: shop\r\nX: \(String(repeating: "a", count: 2048))\r\n\r\n")
        #expect(try client.receiveAnswer().status == 431)
    }

    @Test func aRefusedHeadInPiecesIsForgottenWhole() throws {
        let host = try namedHost("ok")
        let mesh = try TestMesh()
        mesh.update([("1.0", host.address)])
        let bystander = try mesh.connect()
        let client = try mesh.connect()
        let filler = String(repeating: "a", count: 9000)
        client.send("GET / HTTP/1.1\r\nConnection: close\r\nHost: 127.0.0.1\r\nX: \(filler)")
        // The first piece is in the worker's hands once another request has been through.
        #expect(try bystander.get().body == "ok")
        client.send("\r\n\r\n")
        #expect(try client.receiveAnswer().status == 404)
        client.send(String(repeating: "b", count: 20_000))
        client.endOutput()
        #expect(client.receiveAll().isEmpty)
        #expect(try bystander.get().body == "ok")
    }

    @Test func slowHeadsAndIdleConnectionsEnd() throws {
        let mesh = try TestMesh {
            $0.limits.headTimeout = .milliseconds(100)
            $0.limits.idleTimeout = .milliseconds(100)
        }
        let slow = try mesh.connect()
        slow.send("GET / HTT")
        #expect(try slow.receiveAnswer().status == 408)
        #expect(try mesh.connect().receiveAll().isEmpty)
    }

    /// What comes later belongs to a request that was answered.
    @Test func aSlowHeadIsAnsweredOnceThoughRequestsCameBefore() throws {
        let host = try namedHost("ok")
        let mesh = try TestMesh { $0.limits.headTimeout = .milliseconds(100) }
        mesh.update([("1.0", host.address)])
        let client = try mesh.connect()
        #expect(try client.get().body == "ok")
        client.send("GET / HTT")
        let refused = try client.receiveAnswer()
        #expect(refused.status == 408 && refused.field("connection") == "close")
        client.send("P/1.1\r\nHost: shop\r\n\r\n")
        #expect(client.receiveAll().isEmpty)
        #expect(host.accepted == 1)
    }

    @Test func aClientThatGoesTakesItsRequestAlong() throws {
        let host = try ScriptedServer { connection, _ in _ = connection.receiveAll() }
        let mesh = try TestMesh()
        mesh.update([("1.0", host.address)])
        do {
            let client = try mesh.connect()
            client.send("GET / HTTP/1.1\r\nHost: shop\r\n\r\n")
            #expect(waitUntil(within: .seconds(5)) { host.open == 1 })
            client.resetOnClose()
        }
        #expect(waitUntil(within: .seconds(5)) { host.open == 0 })
        #expect(try mesh.waitForReport { $0.services.first?.versions.first?.codes.first?.code == 499 })
        #expect(try mesh.report().endpoints.first?.active == 0)
    }

    @Test func aRemovedHostFinishesWhatItHas() throws {
        let release = Atomic<Bool>(false)
        let old = try ScriptedServer { connection, _ in
            _ = connection.receiveHead()
            _ = waitUntil(within: .seconds(10)) { release.load(ordering: .relaxed) }
            connection.answer("old")
            _ = connection.receiveAll()
        }
        let new = try namedHost("new")
        let mesh = try TestMesh()
        mesh.update([("1.0", old.address)])
        let client = try mesh.connect()
        client.send("GET / HTTP/1.1\r\nHost: shop\r\n\r\n")
        #expect(waitUntil(within: .seconds(5)) { old.open == 1 })
        mesh.update([("1.0", new.address)])
        try mesh.settle()
        #expect(try mesh.connect().get().body == "new")
        release.store(true, ordering: .relaxed)
        #expect(try client.receiveAnswer().body == "old")
        #expect(waitUntil(within: .seconds(5)) { old.open == 0 })
        #expect(try mesh.waitForReport { $0.endpoints.count == 1 })
    }

    @Test func drainingAnswersWhatIsThereAndCloses() throws {
        let host = try namedHost("ok")
        let mesh = try TestMesh()
        mesh.update([("1.0", host.address)])
        let client = try mesh.connect()
        #expect(try client.get().body == "ok")
        mesh.post(.drain)
        #expect(waitUntil(within: .seconds(5)) { (try? mesh.connect()) == nil })
        let last = try client.get()
        #expect(last.body == "ok")
        #expect(last.field("connection") == "close")
        let drained = waitUntil(within: .seconds(10)) {
            mesh.events.contains { if case .drained = $0 { true } else { false } }
        }
        #expect(drained)
    }
}
