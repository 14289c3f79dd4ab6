import Balancing
import Configuration
import Glibc
import Model
import Proxy
import Runtime
import Synchronization
import TestSupport
import Testing

@Suite("Uploads")
struct HTTPUploadTests {
    private func upload(_ client: Connection, chunked: Bool, bytes count: Int) {
        let part = [UInt8](repeating: 0x78, count: 65_536)
        client.send(
            "POST / HTTP/1.1\r\nHost: shop\r\n"
                + (chunked ? "Transfer-Encoding: chunked\r\n\r\n" : "Content-Length: \(count)\r\n\r\n"))
        for _ in 0..<(count / part.count) {
            if !client.send(chunked ? Array("10000\r\n".utf8) + part + [13, 10] : part) { return }
        }
    }

    @Test(
        "An answer that comes before the upload's end reaches the client although the host closes",
        arguments: [false, true])
    func earlyAnswer(_ chunked: Bool) throws {
        let host = try ScriptedServer { connection, _ in
            _ = connection.receiveHead()
            connection.answer("large", status: "413 Content Too Large", "Connection: close\r\n")
        }
        let mesh = try TestMesh()
        mesh.update([("1.0", host.address)])
        try mesh.settle()
        for _ in 0..<10 {
            let client = try mesh.connect()
            upload(client, chunked: chunked, bytes: 8 << 20)
            let answer = try client.receiveAnswer()
            #expect(answer.status == 413 && answer.body == "large")
        }
        #expect(try mesh.report().endpoints.first?.failures == 0)
    }

    @Test("An upload that was not sent goes to another host, whatever its size", arguments: [1000, 200_000, 3_000_000])
    func refused(_ size: Int) throws {
        let alive = try ScriptedServer { connection, _ in
            while !connection.receiveHead().isEmpty {
                let body = connection.receive(exactly: size)
                connection.answer("\(body.count) \(body.last ?? 0)")
            }
        }
        let mesh = try TestMesh()
        let dead = try (0..<2).map { _ in SocketAddress(ipv4: 0x7f00_0001, port: try FreePort.next()) }
        mesh.update([("1.0", dead[0]), ("1.0", dead[1]), ("1.0", alive.address)])
        try mesh.settle()
        let body = [UInt8](repeating: 0x78, count: size - 1) + [0x79]
        for _ in 0..<5 {
            let client = try mesh.connect()
            client.send("POST / HTTP/1.1\r\nHost: shop\r\nContent-Length: \(size)\r\n\r\n")
            client.send(body)
            #expect(try client.receiveAnswer().body == "\(size) 121")
        }
    }

    @Test("An upload does not go to a pooled connection that the host has closed")
    func stale() throws {
        let ended = Atomic<Int>(0)
        let host = try ScriptedServer { connection, _ in
            let head = connection.receiveHead()
            if head.hasPrefix("PUT") { _ = connection.receive(exactly: 200_000) }
            connection.answer("ok")
            connection.endOutput()
            ended.add(1, ordering: .sequentiallyConsistent)
        }
        let mesh = try TestMesh()
        mesh.update([("1.0", host.address)])
        try mesh.settle()
        let body = [UInt8](repeating: 0x78, count: 200_000)
        for number in 0..<10 {
            let client = try mesh.connect()
            #expect(try client.get().body == "ok")
            // The end is here, whether the worker has looked at it or not.
            #expect(waitUntil(within: .seconds(10)) { ended.load(ordering: .sequentiallyConsistent) > 2 * number })
            client.send("PUT / HTTP/1.1\r\nHost: shop\r\nContent-Length: 200000\r\n\r\n")
            client.send(body)
            #expect(try client.receiveAnswer().status == 200)
        }
        #expect(try mesh.report().endpoints.first?.failures == 0)
    }

    @Test("The rest of a body is read when its request has gone over to a pooled connection")
    func failover() throws {
        let alive = try ScriptedServer { connection, _ in
            while true {
                let head = connection.receiveHead()
                if head.isEmpty { return }
                connection.answer(
                    head.hasPrefix("GET") ? "ok" : String(decoding: connection.receive(exactly: 5), as: UTF8.self))
            }
        }
        let mesh = try TestMesh()
        var policy = ServicePolicy()
        policy.traffic.timeout = .seconds(5)
        mesh.update(policy: policy, [("1.0", alive.address)])
        try mesh.settle()
        for _ in 0..<8 {
            // A connection in the pool of the host that is well, then hosts that refuse and are new each time.
            #expect(try mesh.connect().get().body == "ok")
            let dead = try (0..<2).map { _ in SocketAddress(ipv4: 0x7f00_0001, port: try FreePort.next()) }
            mesh.update(policy: policy, [("1.0", alive.address), ("1.0", dead[0]), ("1.0", dead[1])])
            try mesh.settle()
            let client = try mesh.connect()
            client.send("POST / HTTP/1.1\r\nHost: shop\r\nContent-Length: 5\r\n\r\n")
            usleep(20_000)
            client.send("12345")
            #expect(try client.receiveAnswer().body == "12345")
        }
    }

    @Test("A host that takes a part of an upload and goes without a word is answered for, not asked again")
    func goneInTheMiddle() throws {
        let seen = Atomic<Int>(0)
        let script: @Sendable (Connection, Int) -> Void = { connection, _ in
            _ = connection.receiveHead()
            seen.add(1, ordering: .relaxed)
            _ = connection.receive(exactly: 100_000)
            connection.resetOnClose()
        }
        let (one, two) = (try ScriptedServer(script), try ScriptedServer(script))
        let mesh = try TestMesh()
        mesh.update([("1.0", one.address), ("1.0", two.address)])
        try mesh.settle()
        let client = try mesh.connect()
        upload(client, chunked: false, bytes: 4 << 20)
        #expect(try client.receiveAnswer().status == 502)
        #expect(seen.load(ordering: .relaxed) == 1)
    }
}
