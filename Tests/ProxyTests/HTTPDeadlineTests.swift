import Balancing
import CLinux
import Configuration
import Glibc
import Model
import Proxy
import Runtime
import TestSupport
import Testing

/// A test for each row of the table of phases and their deadlines.
@Suite("Every phase of a request ends in time")
struct HTTPDeadlineTests {
    /// A mesh in front of one scripted host.
    private func mesh(
        idle: Duration = .seconds(60), timeout: Duration = .seconds(60),
        _ script: @escaping @Sendable (Connection, Int) -> Void
    ) throws -> (TestMesh, ScriptedServer) {
        let host = try ScriptedServer(script)
        let mesh = try TestMesh(.http) { $0.limits.idleTimeout = idle }
        mesh.keep(host)
        var policy = ServicePolicy()
        policy.traffic.timeout = timeout
        mesh.update(policy: policy, [("1.0", host.address)])
        try mesh.settle()
        return (mesh, host)
    }

    private func code(_ mesh: TestMesh, _ code: Int) throws -> Bool {
        try mesh.waitForReport { report in
            report.services.contains { $0.versions.contains { $0.codes.contains { $0.code == code } } }
        }
    }

    @Test("A service that nobody tells of is answered for")
    func discovering() throws {
        let mesh = try TestMesh { $0.limits.discoveryTimeout = .milliseconds(100) }
        let answer = try mesh.connect().get("/", host: "unknown-service")
        #expect(answer.status == 503 && answer.body.contains("unknown-service"))
    }

    @Test("Waiting for the registries counts for the request's own time")
    func discoveredTooLate() throws {
        let host = try namedHost("late")
        let mesh = try TestMesh()
        let client = try mesh.connect()
        client.send("GET / HTTP/1.1\r\nHost: shop\r\n\r\n")
        let asked = waitUntil(within: .seconds(5)) {
            mesh.events.contains { if case .wanted = $0 { true } else { false } }
        }
        #expect(asked)
        usleep(60_000)
        var policy = ServicePolicy()
        policy.traffic.timeout = .milliseconds(50)
        mesh.update(policy: policy, [("1.0", host.address)])
        #expect(try client.receiveAnswer().status == 504)
        #expect(host.accepted == 0)
    }

    @Test("A host that does not accept is left for another one, with the body so far and what comes of it later")
    func connecting() throws {
        let alive = try ScriptedServer { connection, _ in
            while !connection.receiveHead().isEmpty {
                connection.answer(String(decoding: connection.receive(exactly: 8), as: UTF8.self))
            }
        }
        let full = try FullListener()
        let mesh = try TestMesh { $0.limits.connectTimeout = .milliseconds(150) }
        mesh.update([("1.0", full.address), ("1.0", alive.address)])
        try mesh.settle()
        for _ in 0..<6 {
            let client = try mesh.connect()
            client.send("POST / HTTP/1.1\r\nHost: shop\r\nContent-Length: 8\r\n\r\nhalf")
            usleep(20_000)
            client.send("half")
            #expect(try client.receiveAnswer().body == "halfhalf")
        }
        #expect(try mesh.report().endpoints.contains { $0.address == full.address && $0.failures > 0 })
    }

    @Test("A host that does not answer is not used for a while, like one that refuses")
    func silentHost() throws {
        let (mesh, host) = try mesh(timeout: .milliseconds(100)) { connection, _ in _ = connection.receiveAll() }
        let well = try namedHost("well")
        var policy = ServicePolicy()
        policy.traffic.timeout = .milliseconds(100)
        mesh.update(policy: policy, [("1.0", host.address), ("1.0", well.address)])
        try mesh.settle()
        let client = try mesh.connect()
        let statuses = try (0..<20).map { _ in try client.get().status }
        #expect(statuses.filter { $0 == 504 }.count <= 2)
        #expect(statuses.allSatisfy { $0 == 504 || $0 == 200 })
        #expect(try mesh.report().endpoints.allSatisfy { $0.active == 0 })
    }

    @Test("Pieces of the body do not begin the time anew, and a client that owes its body is not the host's fault")
    func slowUpload() throws {
        let (mesh, _) = try mesh(timeout: .milliseconds(400)) { connection, _ in _ = connection.receiveAll() }
        let client = try mesh.connect()
        let begin = Clock.nanoseconds
        client.send("PUT / HTTP/1.1\r\nHost: shop\r\nContent-Length: 1000\r\n\r\n")
        while Clock.nanoseconds - begin < 3_000_000_000, client.send("x"), !client.hasInput { usleep(50_000) }
        #expect(try client.receiveAnswer().status == 408)
        #expect(Clock.nanoseconds - begin < 2_000_000_000)
        #expect(try mesh.report().endpoints.first?.failures == 0)
    }

    @Test("A host that has got the rest of a body only now is not at fault when the time is over")
    func lateUpload() throws {
        let (mesh, _) = try mesh(timeout: .milliseconds(1500)) { connection, _ in _ = connection.receiveAll() }
        let client = try mesh.connect()
        client.send("PUT / HTTP/1.1\r\nHost: shop\r\nContent-Length: 8\r\n\r\nhalf")
        usleep(1_100_000)
        client.send("rest")
        // On a busy machine the rest may come after the end.
        #expect([408, 504].contains(try client.receiveAnswer().status))
        #expect(try mesh.report().endpoints.first?.failures == 0)
    }

    @Test("A client that is not told to go on with its body waits for the host")
    func unansweredExpectation() throws {
        let (mesh, _) = try mesh(timeout: .milliseconds(100)) { connection, _ in _ = connection.receiveAll() }
        let client = try mesh.connect()
        client.send("PUT / HTTP/1.1\r\nHost: shop\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n")
        #expect(try client.receiveAnswer().status == 504)
        #expect(try mesh.report().endpoints.first?.failures == 1)
    }

    @Test("An upload that stops ends")
    func stalledUpload() throws {
        let (mesh, host) = try mesh(idle: .milliseconds(200)) { connection, _ in _ = connection.receiveAll() }
        let client = try mesh.connect()
        client.send("PUT / HTTP/1.1\r\nHost: shop\r\nContent-Length: 1000\r\n\r\nhalf")
        #expect(try client.receiveAnswer().status == 408)
        #expect(waitUntil(within: .seconds(5)) { host.open == 0 })
        #expect(try mesh.report().endpoints.first?.failures == 0)
    }

    @Test("An answer that stops ends, and is seen to be cut")
    func stalledAnswer() throws {
        let (mesh, host) = try mesh(idle: .milliseconds(200)) { connection, _ in
            _ = connection.receiveHead()
            connection.send("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")
            _ = connection.receiveAll()
        }
        let client = try mesh.connect()
        client.send("GET / HTTP/1.1\r\nHost: shop\r\n\r\n")
        #expect(String(decoding: client.receiveAll(), as: UTF8.self).hasSuffix("half"))
        #expect(waitUntil(within: .seconds(5)) { host.open == 0 })
        #expect(try code(mesh, 599))
        #expect(try mesh.report().endpoints.first?.failures == 1)
    }

    @Test("A stream that is silent ends as well, and does not count against its host: events may come seldom")
    func silentStream() throws {
        let (mesh, host) = try mesh(idle: .milliseconds(200)) { connection, _ in
            _ = connection.receiveHead()
            connection.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n")
            _ = connection.receiveAll()
        }
        let clients = try (0..<3).map { _ in
            let client = try mesh.connect()
            client.send("GET / HTTP/1.1\r\nHost: shop\r\n\r\n")
            return client
        }
        for client in clients {
            #expect(String(decoding: client.receiveAll(), as: UTF8.self).hasSuffix("1\r\na\r\n"))
        }
        #expect(waitUntil(within: .seconds(5)) { host.open == 0 })
        #expect(try mesh.report().endpoints.first?.failures == 0)
    }

    @Test("A client that takes nothing of its answer ends")
    func untakenAnswer() throws {
        let (mesh, host) = try mesh(idle: .milliseconds(300)) { connection, _ in
            _ = connection.receiveHead()
            connection.send("HTTP/1.1 200 OK\r\nContent-Length: \(32 << 20)\r\n\r\n")
            connection.send([UInt8](repeating: 0x78, count: 32 << 20))
        }
        let client = try Connection(to: mesh.address, receiveBuffer: 4096)
        client.send("GET / HTTP/1.1\r\nHost: shop\r\n\r\n")
        #expect(waitUntil(within: .seconds(30)) { host.accepted == 1 && host.open == 0 })
        #expect(try code(mesh, 499))
        #expect(try mesh.waitForReport { $0.listeners[0].open == 0 })
        #expect(try mesh.report().endpoints.first?.failures == 0)
    }

    @Test("A tunnel in which nothing moves ends")
    func idleTunnel() throws {
        let (mesh, host) = try mesh(idle: .milliseconds(300)) { connection, _ in
            _ = connection.receiveHead()
            connection.send("HTTP/1.1 101 x\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n")
            _ = connection.receiveAll()
        }
        let client = try mesh.connect()
        client.send("GET / HTTP/1.1\r\nHost: shop\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n")
        #expect(try client.receiveAnswer().status == 101)
        #expect(client.receiveAll().isEmpty)
        #expect(waitUntil(within: .seconds(5)) { host.open == 0 })
        #expect(try mesh.waitForReport { $0.listeners[0].open == 0 && $0.endpoints.allSatisfy { $0.active == 0 } })
    }

    @Test("A client that does not end after its last answer is not waited for")
    func lingering() throws {
        let (mesh, _) = try mesh { connection, _ in
            while !connection.receiveHead().isEmpty { connection.answer("ok") }
        }
        let client = try mesh.connect()
        #expect(try client.get("/", "Connection: close\r\n").body == "ok")
        #expect(try mesh.waitForReport { $0.listeners[0].open == 0 })
    }

    @Test(
        "Draining leaves an answer that the client takes slowly alone, and does not wait for the idle connection behind it"
    )
    func draining() throws {
        let size = 24 << 20
        let (mesh, host) = try mesh { connection, _ in
            while !connection.receiveHead().isEmpty { connection.answer(String(repeating: "x", count: size)) }
        }
        let client = try Connection(to: mesh.address, receiveBuffer: 4096)
        client.send("GET / HTTP/1.1\r\nHost: shop\r\n\r\n")
        _ = client.receiveHead()
        mesh.post(.drain)
        // Longer than idle connections are given.
        usleep(1_500_000)
        #expect(client.receive(exactly: size).count == size)
        let drained = waitUntil(within: .seconds(5)) {
            mesh.events.contains { if case .drained = $0 { true } else { false } }
        }
        #expect(drained)
        #expect(host.accepted == 1)
    }
}

/// A listening socket whose queue is full: connecting to it neither succeeds nor fails.
final class FullListener: Sendable {
    let address: SocketAddress
    private let descriptors: [Int32]

    init() throws {
        let listener = try Socket.listen(on: SocketAddress(ipv4: 0x7f00_0001, port: 0), shared: false, backlog: 0)
        let address = try #require(Socket.localAddress(listener))
        self.address = address
        descriptors = try [listener] + (0..<4).map { _ in try Socket.connect(to: address) }
    }

    deinit { for descriptor in descriptors { Socket.close(descriptor) } }
}
