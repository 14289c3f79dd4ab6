import Glibc
import Runtime
import Synchronization
import TestSupport
import Testing

/// Connections that are in the middle of something when the process changes.
@Suite("Upgrading in the middle of things")
struct UpgradeStreamTests {
    @Test("A tunnel stays with the old process until it ends, and the next upgrade waits for it")
    func tunnel() throws {
        let host = try ScriptedServer { connection, _ in
            _ = connection.receive(until: "\r\n\r\n")
            connection.send("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
            while true {
                let bytes = connection.receive()
                if bytes.isEmpty || !connection.send(bytes) { return }
            }
        }
        defer { host.stop() }
        let mesh = try UpgradingProcess(
            "workers: 2\nlisteners: [{name: in, protocol: http, listen: 127.0.0.1:0}]\nservices: {shop: {}}",
            hosts: "  shop: [{address: \"\(host.address)\"}]")
        let tunnel = try Connection(to: try #require(SocketAddress(try mesh.process.address(of: "in"))))
        tunnel.send("GET / HTTP/1.1\r\nHost: shop\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
        #expect(tunnel.receive(until: "\r\n\r\n").contains(" 101 "))
        let second = try mesh.mustUpgrade()
        tunnel.send("still here")
        #expect(tunnel.receive(exactly: 10) == Array("still here".utf8))
        #expect(mesh.isRunning(mesh.process.child.processIdentifier))
        kill(second, SIGUSR2)
        try mesh.process.waitForLog("event=upgrade.waiting")
        #expect(mesh.pids.count == 2)
        tunnel.endOutput()
        #expect(try mesh.process.child.waitForExit() == .status(0))
        #expect(waitUntil(within: .seconds(20)) { mesh.pids.count == 3 })
    }

    @Test("Half frames and answers that nobody reads yet go over; one-way calls arrive")
    func frames() throws {
        let oneWay = Mutex(0)
        let host = try ScriptedServer { connection, _ in
            while let (head, _) = Self.frame(of: connection) {
                if head[2] & 0x40 == 0 {
                    oneWay.withLock { $0 += 1 }
                } else {
                    usleep(20_000)
                    if !connection.send(Self.answer(Array(head[4..<12]))) { return }
                }
            }
        }
        defer { host.stop() }
        let mesh = try UpgradingProcess(
            "workers: 2\nlisteners: [{name: in, protocol: dubbo, listen: 127.0.0.1:0}]\nservices: {demo.Shop: {}}",
            hosts: "  demo.Shop: [{address: \"\(host.address)\"}]")
        let address = try #require(SocketAddress(try mesh.process.address(of: "in")))
        let connections = try (0..<4).map { _ in try Connection(to: address, receiveBuffer: 4096) }
        let last = Self.call(99)
        for connection in connections {
            for number in 0..<20 { connection.send(Self.call(UInt8(number))) }
            for _ in 0..<5 { connection.send(Self.call(50, isOneWay: true)) }
            connection.send(Array(last[..<30]))
        }
        var answered = connections.map { _ in Set<UInt8>() }
        for round in 0..<3 {
            _ = try mesh.mustUpgrade()
            for (index, connection) in connections.enumerated() {
                if round == 1 { connection.send(Array(last[30...])) }
                for _ in 0..<7 {
                    let (head, body) = try #require(Self.frame(of: connection))
                    #expect(head[3] == 20 && body == Self.body && answered[index].insert(head[11]).inserted)
                }
            }
        }
        #expect(answered.allSatisfy { $0 == Set(0..<20).union([99]) })
        #expect(waitUntil(within: .seconds(20)) { oneWay.withLock(\.self) == 20 })
    }

    private static let body = [0x94] + [UInt8](repeating: 0x73, count: 200_000)

    private static func answer(_ id: [UInt8]) -> [UInt8] {
        [0xda, 0xbb, 0x02, 20] + id + length(body) + body
    }

    private static func call(_ number: UInt8, isOneWay: Bool = false) -> [UInt8] {
        func text(_ value: String) -> [UInt8] { [UInt8(value.utf8.count)] + Array(value.utf8) }
        let words = ["2.0.2", "demo.Shop", "0.0.0", "echo", "Ljava/lang/String;", "x"].flatMap(text)
        let attachments = ["path", "demo.Shop", "interface", "demo.Shop"].flatMap(text)
        let body = words + [UInt8(ascii: "H")] + attachments + [UInt8(ascii: "Z")]
        return [0xda, 0xbb, isOneWay ? 0x82 : 0xc2, 0, 0, 0, 0, 0, 0, 0, 0, number] + length(body) + body
    }

    private static func length(_ body: [UInt8]) -> [UInt8] {
        [24, 16, 8, 0].map { UInt8(truncatingIfNeeded: body.count >> $0) }
    }

    /// The next frame; nil at the end.
    private static func frame(of connection: Connection) -> (head: [UInt8], body: [UInt8])? {
        let head = connection.receive(exactly: 16)
        guard head.count == 16, head[0] == 0xda else { return nil }
        return (head, connection.receive(exactly: head[12...].reduce(0) { $0 << 8 | Int($1) }))
    }
}
