import Foundation
import Glibc
import Runtime
import TestSupport
import Testing

@Suite("The access log of the built program")
struct AccessLogTests {
    @Test("Requests that are refused have a line as well")
    func refused() throws {
        let directory = try TemporaryDirectory()
        try directory.write("services.yaml", "services: {}\n")
        let process = try GreymeshProcess.run(
            ["--registry", "file:services.yaml", "--access-log", "access.log"], directory: directory.path)
        defer { process.child.terminate() }
        let address = try #require(SocketAddress(try process.http))
        let requests = [
            ("GET /unknown HTTP/1.1\r\nHost: 10.0.0.1\r\n\r\n", 404),
            ("GET / HTTP/1.1\r\nHost: a\r\nX : y\r\n\r\n", 400),
            ("GET /none HTTP/1.1\r\nHost: nobody\r\n\r\n", 503), ("CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n", 501),
        ]
        for (request, status) in requests {
            let client = try Connection(to: address)
            client.send(request)
            #expect(client.receive(until: "\r\n").contains(" \(status) "))
        }
        process.child.signal(SIGTERM)
        #expect(try process.child.waitForExit() == .status(0))
        let text = try String(contentsOfFile: directory.path(of: "access.log"), encoding: .utf8)
        let lines = text.split(separator: "\n")
        #expect(lines.count == requests.count, "\(text)")
        for (_, status) in requests { #expect(lines.count { $0.contains("\"status\":\(status),") } == 1, "\(text)") }
    }

    @Test("Long names are cut in their line: each request in flight has one")
    func longNames() throws {
        let host = try ScriptedServer { connection, _ in _ = connection.receiveAll() }
        defer { host.stop() }
        let directory = try TemporaryDirectory()
        let process = try GreymeshProcess.serve(
            in: directory, "dubbo", services: "demo.Echo: {timeout: 200ms}",
            hosts: "demo.Echo: [{address: \"\(host.address)\"}]", more: "access_log: {path: access.log}")
        defer { process.child.terminate() }
        let client = try Connection(to: try #require(SocketAddress(try process.address(of: "in"))))
        func text(_ text: String) -> [UInt8] {
            [0x53, UInt8(text.utf8.count >> 8), UInt8(text.utf8.count & 0xff)] + Array(text.utf8)
        }
        let method = String(repeating: "m", count: 60_000)
        let body =
            ["2.0.2", "demo.Echo", "0.0.0", method, ""].flatMap(text) + [0x48, 0x5a]
        let length = UInt32(body.count)
        client.send(
            [0xda, 0xbb, 0xc2, 0, 0, 0, 0, 0, 0, 0, 0, 1]
                + (0..<4).map { UInt8(truncatingIfNeeded: length >> (24 - 8 * $0)) }
                + body)
        #expect(client.receive(exactly: 16).count == 16)
        process.child.signal(SIGTERM)
        #expect(try process.child.waitForExit() == .status(0))
        let log = try String(contentsOfFile: directory.path(of: "access.log"), encoding: .utf8)
        #expect(log.contains("\"method\":\"\(method.prefix(256))\""))
    }

    @Test("A long path is cut in its line, and sent on whole")
    func longPath() throws {
        let host = try ScriptedServer { connection, _ in
            let head = connection.receive(until: "\r\n\r\n")
            let count = head.split(separator: " ")[1].utf8.count
            connection.send("HTTP/1.1 200 OK\r\nContent-Length: 4\r\nConnection: close\r\n\r\n\(count)")
        }
        defer { host.stop() }
        let directory = try TemporaryDirectory()
        let process = try GreymeshProcess.serve(
            in: directory, "http", services: "shop: {mode: fallback}", hosts: "shop: [{address: \"\(host.address)\"}]",
            more: "access_log: {path: access.log}")
        defer { process.child.terminate() }
        let client = try Connection(to: try #require(SocketAddress(try process.address(of: "in"))))
        let path = "/" + String(repeating: "p", count: 5_999)
        client.send("GET \(path) HTTP/1.1\r\nHost: shop\r\nConnection: close\r\n\r\n")
        #expect(String(decoding: client.receiveAll(), as: UTF8.self).hasSuffix("\r\n\r\n6000"))
        process.child.signal(SIGTERM)
        #expect(try process.child.waitForExit() == .status(0))
        let log = try String(contentsOfFile: directory.path(of: "access.log"), encoding: .utf8)
        #expect(log.contains("\"path\":\"\(path.prefix(4096))\""))
    }
}
