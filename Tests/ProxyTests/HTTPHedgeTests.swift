import Model
import Proxy
import Runtime
import Synchronization
import TestSupport
import Testing

@Suite("HTTP: a second host beside one that does not answer") struct HTTPHedgeTests {
    private func silent() throws -> CountingHost {
        try CountingHost { connection, _ in
            _ = connection.receiveAll()
            return false
        }
    }

    private func hedges(_ mesh: TestMesh) throws -> UInt64 {
        try mesh.report().services.first?.retries.first { $0.cause == .hedge }?.count ?? 0
    }

    /// Hosts in the order in which a request comes to them: what they do depends on that.
    private final class Turns: Sendable {
        private let count = Atomic<Int>(0)

        func next() -> Int { count.add(1, ordering: .sequentiallyConsistent).newValue }
        var seen: Int { count.load(ordering: .sequentiallyConsistent) }
    }

    private func hosts(
        _ count: Int, _ turns: Turns, _ script: @escaping @Sendable (Connection, Int) -> Bool
    ) throws -> [CountingHost] {
        try (0..<count).map { _ in try CountingHost { connection, _ in script(connection, turns.next()) } }
    }

    private func active(_ mesh: TestMesh) throws -> Int { try mesh.report().endpoints.reduce(0) { $0 + $1.active } }

    @Test func theFirstAnswerWinsAndTheOtherConnectionIsClosed() throws {
        let (silent, good) = (try silent(), try CountingHost(status: "200 OK", "good"))
        let mesh = try TestMesh()
        mesh.update(policy: .hedging(), [("1.0", silent.address), ("1.0", good.address)])
        let client = try mesh.connect()
        var told = 0
        for _ in 0..<4 {
            let answer = try client.get()
            #expect(answer.status == 200 && answer.body == "good")
            if answer.field("x-greymesh-attempts") == "2" { told += 1 }
        }
        #expect(told == silent.seen && silent.seen > 0 && good.seen == 4)
        #expect(try hedges(mesh) == UInt64(told))
        #expect(waitUntil(within: .seconds(5)) { silent.server.open == 0 })
        #expect(try active(mesh) == 0 && good.accepted == 1)
    }

    @Test func aHostThatAnswersInTimeIsTheOnlyOne() throws {
        let hosts = try (0..<2).map { try CountingHost(status: "200 OK", "\($0)") }
        let mesh = try TestMesh()
        mesh.update(policy: .hedging(after: .seconds(20)), hosts.map { ("1.0", $0.address) })
        let client = try mesh.connect()
        for _ in 0..<10 { #expect(try client.get().field("x-greymesh-attempts") == nil) }
        #expect(hosts.map(\.seen) == [5, 5])
        #expect(try hedges(mesh) == 0)
    }

    @Test("The first host may win as well, and what is not wanted does not", arguments: ["silent", "503", "reset"])
    func firstWins(second: String) throws {
        let turns = Turns()
        let hosts = try hosts(2, turns) { connection, turn in
            if turn == 1 {
                _ = waitUntil(within: .seconds(10)) { turns.seen == 2 }
                let begin = Clock.nanoseconds
                _ = waitUntil(within: .seconds(10)) { Clock.nanoseconds - begin > 100_000_000 }
                connection.answer("first")
                return true
            }
            switch second {
            case "silent": _ = connection.receiveAll()
            case "503": connection.answer("busy", status: "503 No")
            default: connection.resetOnClose()
            }
            return second == "503"
        }
        let mesh = try TestMesh()
        mesh.update(
            policy: .hedging {
                $0.onReset = true
                $0.statuses = [503]
            }, hosts.map { ("1.0", $0.address) })
        let answer = try mesh.connect().get()
        #expect(answer.status == 200 && answer.body == "first" && answer.field("x-greymesh-attempts") == "2")
        #expect(turns.seen == 2)
        #expect(try active(mesh) == 0)
        #expect(waitUntil(within: .seconds(5)) { second != "silent" || hosts.reduce(0) { $0 + $1.server.open } == 1 })
    }

    @Test("When both fail a third host is asked", arguments: [true, false])
    func bothFail(isReset: Bool) throws {
        let turns = Turns()
        let hosts = try hosts(3, turns) { connection, turn in
            _ = waitUntil(within: .seconds(10)) { turns.seen >= 2 }
            if turn == 3 { connection.answer("third") } else { connection.resetOnClose() }
            return turn == 3
        }
        let mesh = try TestMesh()
        mesh.update(policy: .hedging { $0.onReset = isReset }, hosts.map { ("1.0", $0.address) })
        let answer = try mesh.connect().get()
        #expect(answer.status == (isReset ? 200 : 502) && turns.seen == (isReset ? 3 : 2))
        #expect(answer.field("x-greymesh-attempts") == (isReset ? "3" : "2"))
        #expect(hosts.allSatisfy { $0.seen <= 1 })
        #expect(try active(mesh) == 0)
    }

    @Test func aBodyComesToBothHostsAsItIs() throws {
        let bodies = Mutex<[String]>([])
        let turns = Turns()
        let hosts = try hosts(2, turns) { connection, turn in
            let body = String(decoding: connection.receive(exactly: 60_000), as: UTF8.self)
            bodies.withLock { $0.append(body) }
            if turn == 1 { _ = connection.receiveAll() } else { connection.answer("second") }
            return turn == 2
        }
        let mesh = try TestMesh()
        mesh.update(policy: .hedging(), hosts.map { ("1.0", $0.address) })
        let body = (0..<6000).map { "\($0 % 10)123456789" }.joined()
        let client = try mesh.connect()
        client.send("PUT / HTTP/1.1\r\nHost: shop\r\nContent-Length: 60000\r\n\r\n" + body)
        #expect(try client.receiveAnswer().body == "second")
        #expect(bodies.withLock(\.self) == [body, body])
        #expect(waitUntil(within: .seconds(5)) { hosts.reduce(0) { $0 + $1.server.open } == 1 })
    }

    @Test("What may not be repeated has one host", arguments: ["POST", "large", "other version"])
    func noSecond(_ why: String) throws {
        let (silent, other) = (try silent(), try CountingHost(status: "200 OK", "other"))
        let mesh = try TestMesh()
        var policy = ServicePolicy.hedging()
        policy.traffic.timeout = .milliseconds(400)
        policy.stable = "1.0"
        let version = why == "other version" ? "2.0" : "1.0"
        mesh.update(policy: policy, [("1.0", silent.address), (version, other.address)])
        let size = why == "large" ? 70_000 : 0
        let method = why == "POST" ? "POST" : "PUT"
        let clients = try (0..<2).map { _ in try mesh.connect() }
        for client in clients {
            client.send("\(method) / HTTP/1.1\r\nHost: shop\r\nContent-Length: \(size)\r\n\r\n")
            client.send(String(repeating: "x", count: size))
        }
        let statuses = try clients.map { try $0.receiveAnswer().status }
        #expect(statuses.count { $0 == 504 } == silent.seen, "\(statuses)")
        #expect(silent.seen == (why == "other version" ? 2 : 1))
        #expect(try hedges(mesh) == 0)
    }

    @Test func noMoreSecondHostsThanTheBudgetLets() throws {
        let hosts = [try silent(), try silent()]
        let mesh = try TestMesh()
        var policy = ServicePolicy.hedging()
        policy.traffic.timeout = .milliseconds(600)
        mesh.update(policy: policy, hosts.map { ("1.0", $0.address) })
        let clients = try (0..<8).map { _ in try mesh.connect() }
        for client in clients { client.send("GET / HTTP/1.1\r\nHost: shop\r\n\r\n") }
        for client in clients { #expect(try client.receiveAnswer().status == 504) }
        // Three always may.
        #expect(hosts.reduce(0) { $0 + $1.seen } == 11)
        #expect(try hedges(mesh) == 3)
    }

    @Test("With the client, or the time, both connections end", arguments: [true, false])
    func ends(isClientGone: Bool) throws {
        let hosts = [try silent(), try silent()]
        let mesh = try TestMesh()
        var policy = ServicePolicy.hedging()
        if !isClientGone { policy.traffic.timeout = .milliseconds(300) }
        mesh.update(policy: policy, hosts.map { ("1.0", $0.address) })
        var client: Connection? = try mesh.connect()
        client?.send("GET / HTTP/1.1\r\nHost: shop\r\n\r\n")
        #expect(waitUntil(within: .seconds(5)) { hosts.map(\.seen) == [1, 1] })
        if isClientGone { client?.resetOnClose() } else { #expect(try client?.receiveAnswer().status == 504) }
        client = nil
        #expect(waitUntil(within: .seconds(5)) { hosts.allSatisfy { $0.server.open == 0 } })
        #expect(try active(mesh) == 0 && hedges(mesh) == 1)
    }

    @Test func ofAHostThatIsAlwaysSlowerOthersAreAskedFirstAfterAWhile() throws {
        let (silent, good) = (try silent(), try CountingHost(status: "200 OK", "good"))
        let mesh = try TestMesh()
        mesh.update(policy: .hedging(after: .milliseconds(250)), [("1.0", silent.address), ("1.0", good.address)])
        let client = try mesh.connect()
        for _ in 0..<20 { #expect(try client.get().body == "good") }
        #expect(silent.seen == 5 && good.seen == 20)
    }
}
