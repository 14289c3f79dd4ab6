import Balancing
import Configuration
import Glibc
import Proxy
import Runtime
import Synchronization
import TestSupport
import Testing

@Suite("No side is trusted")
struct HTTPTrustTests {
    private func mesh(_ script: @escaping @Sendable (Connection, Int) -> Void) throws -> (TestMesh, ScriptedServer) {
        let host = try ScriptedServer(script)
        let mesh = try TestMesh()
        mesh.keep(host)
        mesh.update([("1.0", host.address)])
        try mesh.settle()
        return (mesh, host)
    }

    @Test(
        "A change of protocol that the client did not ask for opens no tunnel",
        arguments: ["", "Connection: upgrade\r\nUpgrade: y\r\n", "Upgrade: x\r\n"])
    func unaskedUpgrade(_ fields: String) throws {
        let (mesh, host) = try mesh { connection, _ in
            _ = connection.receiveHead()
            connection.send("HTTP/1.1 101 x\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n")
            _ = connection.receiveAll()
        }
        let other = try namedHost("other")
        mesh.update("secret", [("1.0", other.address)])
        try mesh.settle()
        let client = try mesh.connect()
        #expect(try client.get("/", fields).status == 502)
        #expect(try client.get("/", host: "secret").body == "other")
        #expect(waitUntil(within: .seconds(5)) { host.open == 0 })
        #expect(try mesh.report().endpoints.contains { $0.address == host.address && $0.failures == 1 })
    }

    @Test("A version with line ends in it adds no line to an answer")
    func versionWithLines() throws {
        let host = try namedHost("ok")
        let mesh = try TestMesh()
        mesh.update([("1.0\r\nX-Injected: yes", host.address)])
        try mesh.settle()
        let answer = try mesh.connect().get()
        #expect(answer.body == "ok" && answer.field("x-injected") == nil)
    }

    @Test(
        "Malformed chunks and trailers that are none are refused on the way in",
        arguments: ["5;\r\nhello\r\n0\r\n\r\n", "5;a=\r\nhello\r\n0\r\n\r\n", "0\r\nAuthorization: x\r\n\r\n"])
    func requests(_ body: String) throws {
        let (mesh, _) = try mesh { connection, _ in _ = connection.receiveAll() }
        let client = try mesh.connect()
        client.send("POST / HTTP/1.1\r\nHost: shop\r\nTransfer-Encoding: chunked\r\n\r\n" + body)
        #expect(try client.receiveAnswer().status == 400)
        #expect(try mesh.report().endpoints.first?.failures == 0)
    }

    @Test(
        "An answer with such chunks is cut, whatever version the client speaks",
        arguments: ["5;\r\nhello\r\n0\r\n\r\n", "5\r\nhello\r\n0\r\nSet-Cookie: a=b\r\n\r\n"], ["1.0", "1.1"])
    func answers(_ body: String, _ version: String) throws {
        let (mesh, _) = try mesh { connection, _ in
            _ = connection.receiveHead()
            connection.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n")
            usleep(20_000)
            connection.send(body)
            _ = connection.receiveAll()
        }
        let client = try mesh.connect()
        client.send("GET / HTTP/\(version)\r\nHost: shop\r\n\r\n")
        _ = client.receive(until: "\r\n\r\n")
        let rest = String(decoding: client.receiveAll(), as: UTF8.self)
        #expect(!rest.contains("0\r\n") && !rest.contains("Cookie"))
        #expect(try mesh.waitForReport { $0.endpoints.first?.failures == 1 })
    }
}
