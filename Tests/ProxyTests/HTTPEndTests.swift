import Balancing
import Codecs
import Configuration
import Glibc
import Proxy
import Runtime
import Synchronization
import TestSupport
import Testing

@Suite("What came before an end counts")
struct HTTPEndTests {
    private func mesh(_ script: @escaping @Sendable (Connection, Int) -> Void) throws -> (TestMesh, ScriptedServer) {
        let host = try ScriptedServer(script)
        let mesh = try TestMesh()
        mesh.keep(host)
        mesh.update([("1.0", host.address)])
        try mesh.settle()
        return (mesh, host)
    }

    /// Everything until the end, and whether that was a reset.
    private func receiveToEnd(_ client: Connection) -> (text: String, isReset: Bool) {
        var bytes: [UInt8] = []
        var part = [UInt8](repeating: 0, count: 65_536)
        while true {
            let count = recv(client.descriptor, &part, part.count, 0)
            if count <= 0 { return (String(decoding: bytes, as: UTF8.self), count < 0 && errno == ECONNRESET) }
            bytes += part[..<count]
        }
    }

    @Test("Requests that came before the client ended its side are all answered")
    func pipelinedBeforeTheEnd() throws {
        let (mesh, _) = try mesh { connection, _ in
            while true {
                let head = connection.receiveHead()
                if head.isEmpty { return }
                usleep(20_000)
                connection.answer(String(head.split(separator: " ")[1]))
            }
        }
        let client = try mesh.connect()
        client.send((0..<5).map { "GET /\($0) HTTP/1.1\r\nHost: shop\r\n\r\n" }.joined() + "GET /cut HTTP")
        client.endOutput()
        for number in 0..<5 { #expect(try client.receiveAnswer().body == "/\(number)") }
        #expect(client.receiveAll().isEmpty)
        #expect(try mesh.waitForReport { $0.listeners[0].open == 0 })
    }

    @Test("A client that goes in the middle of its body while its service is looked for is let go")
    func endWhileDiscovering() throws {
        let host = try ScriptedServer { connection, _ in _ = connection.receiveAll() }
        let mesh = try TestMesh()
        let client = try mesh.connect()
        client.send("POST / HTTP/1.1\r\nHost: shop\r\nContent-Length: 1000\r\n\r\nhalf")
        let asked = waitUntil(within: .seconds(5)) {
            mesh.events.contains { if case .wanted = $0 { true } else { false } }
        }
        #expect(asked)
        client.endOutput()
        // Answered when the client's end has been read: it came first.
        _ = try mesh.connect().get("/", host: "127.0.0.1")
        mesh.update([("1.0", host.address)])
        #expect(client.receiveAll().isEmpty)
        #expect(try mesh.waitForReport { $0.listeners[0].open == 0 || $0.endpoints.allSatisfy { $0.active == 0 } })
        #expect(waitUntil(within: .seconds(5)) { host.open == 0 })
    }

    @Test("The tail of an answer before the host's reset reaches the client, and the cut is seen: with a length")
    func tailBeforeReset() throws {
        let (mesh, _) = try mesh { connection, _ in
            _ = connection.receiveHead()
            connection.resetOnClose()
            connection.send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\ntail")
        }
        for _ in 0..<10 {
            let client = try mesh.connect()
            client.send("GET / HTTP/1.1\r\nHost: shop\r\n\r\n")
            #expect(receiveToEnd(client).text.hasSuffix("\r\n\r\ntail"))
        }
    }

    @Test("A whole answer before the host's reset is a whole answer")
    func wholeBeforeReset() throws {
        let (mesh, _) = try mesh { connection, _ in
            _ = connection.receiveHead()
            connection.resetOnClose()
            connection.answer("whole")
        }
        for _ in 0..<10 { #expect(try mesh.connect().get().body == "whole") }
    }

    @Test("An answer that ends with the connection is whole when that has ended, and cut when it was reset")
    func answersUntilTheEnd() throws {
        let (mesh, _) = try mesh { connection, _ in
            if connection.receiveHead().contains("/cut") { connection.resetOnClose() }
            connection.send("HTTP/1.1 200 OK\r\n\r\npart")
            usleep(50_000)
            connection.send("more")
            usleep(50_000)
        }
        let client = try mesh.connect()
        client.send("GET /whole HTTP/1.1\r\nHost: shop\r\n\r\n")
        #expect(client.receive(until: "\r\n\r\n").contains("Transfer-Encoding: chunked\r\n"))
        #expect(client.receive(until: "0\r\n\r\n") == "4\r\npart\r\n4\r\nmore\r\n0\r\n\r\n")
        // The same connection serves on.
        client.send("GET /cut HTTP/1.1\r\nHost: shop\r\n\r\n")
        _ = client.receive(until: "\r\n\r\n")
        #expect(String(decoding: client.receiveAll(), as: UTF8.self) == "4\r\npart\r\n4\r\nmore")

        let old = try mesh.connect()
        old.send("GET /whole HTTP/1.0\r\nHost: shop\r\n\r\n")
        let whole = receiveToEnd(old)
        #expect(whole.text.hasSuffix("\r\n\r\npartmore") && !whole.isReset)
        let cut = try mesh.connect()
        cut.send("GET /cut HTTP/1.0\r\nHost: shop\r\n\r\n")
        #expect(receiveToEnd(cut).isReset)
    }

    @Test("An empty answer that ends with the connection is whole")
    func emptyAnswer() throws {
        let (mesh, _) = try mesh { connection, _ in
            _ = connection.receiveHead()
            connection.send("HTTP/1.0 200 OK\r\n\r\n")
        }
        let client = try mesh.connect()
        for _ in 0..<2 {
            client.send("GET / HTTP/1.1\r\nHost: shop\r\n\r\n")
            _ = client.receive(until: "\r\n\r\n")
            #expect(client.receive(exactly: 5) == Array("0\r\n\r\n".utf8))
        }
    }

    @Test("A tunnel passes on what came before an end or a reset, both ways", arguments: [false, true])
    func tunnels(_ resets: Bool) throws {
        let said = Mutex<[String]>([])
        let (mesh, host) = try mesh { connection, number in
            _ = connection.receiveHead()
            if resets { connection.resetOnClose() }
            connection.send("HTTP/1.1 101 x\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n")
            if number == 0 {
                connection.send("last words")
            } else {
                let all = String(decoding: connection.receiveAll(), as: UTF8.self)
                said.withLock { $0.append(all) }
            }
        }
        let request = "GET / HTTP/1.1\r\nHost: shop\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n"
        let reader = try mesh.connect()
        reader.send(request)
        #expect(try reader.receiveAnswer().status == 101)
        let end = receiveToEnd(reader)
        #expect(end.text == "last words" && end.isReset == resets)
        reader.endOutput()
        do {
            let writer = try mesh.connect()
            writer.send(request)
            #expect(try writer.receiveAnswer().status == 101)
            if resets { writer.resetOnClose() }
            writer.send("farewell")
        }
        #expect(waitUntil(within: .seconds(5)) { said.withLock { $0 == ["farewell"] } })
        #expect(waitUntil(within: .seconds(5)) { host.open == 0 })
        #expect(try mesh.waitForReport { $0.listeners[0].open == 0 && $0.endpoints.allSatisfy { $0.active == 0 } })
    }
}
