import Balancing
import Model
import Proxy
import Runtime
import Synchronization
import TestSupport
import Testing

/// A host that counts requests and does the same with each.
final class CountingHost: Sendable {
    private let counter: Counter
    let server: ScriptedServer

    private final class Counter: Sendable {
        let count = Atomic<Int>(0)
    }

    /// - Parameter script: gets the connection and the request's head; false ends the connection.
    init(_ script: @escaping @Sendable (Connection, String) -> Bool) throws {
        let counter = Counter()
        self.counter = counter
        server = try ScriptedServer { connection, _ in
            while true {
                let head = connection.receiveHead()
                if head.isEmpty { return }
                counter.count.add(1, ordering: .sequentiallyConsistent)
                if !script(connection, head) { return }
            }
        }
    }

    /// Answers with a status.
    convenience init(status: String, _ text: String, _ fields: String = "") throws {
        try self.init { connection, _ in
            connection.answer(text, status: status, fields)
            return true
        }
    }

    var address: SocketAddress { server.address }
    var seen: Int { counter.count.load(ordering: .sequentiallyConsistent) }
    var accepted: Int { server.accepted }
}

@Suite struct HTTPRetryTests {
    private func policy(_ change: (inout RetryPolicy) -> Void) -> ServicePolicy {
        var policy = ServicePolicy()
        // Each host once, in turn.
        policy.balancer = .roundRobin
        change(&policy.traffic.retries)
        return policy
    }

    private var everything: ServicePolicy {
        policy {
            $0.onReset = true
            $0.statuses = [502, 503, 504]
        }
    }

    private func retries(_ mesh: TestMesh) throws -> [RetryCause: UInt64] {
        let all = try mesh.report().services.first?.retries ?? []
        return Dictionary(uniqueKeysWithValues: all.map { ($0.cause, $0.count) })
    }

    private func total(_ hosts: [CountingHost]) -> Int { hosts.reduce(0) { $0 + $1.seen } }

    private func resetting(_ count: Int) throws -> [CountingHost] {
        try (0..<count).map { _ in
            try CountingHost { connection, _ in
                connection.resetOnClose()
                return false
            }
        }
    }

    @Test func aResetBeforeTheAnswerIsRepeatedAtOtherHostsOnlyWhereAsked() throws {
        let hosts = try resetting(5)
        let mesh = try TestMesh()
        mesh.update(policy: everything, hosts.map { ("1.0", $0.address) })
        let answer = try mesh.connect().get()
        #expect(answer.status == 502)
        #expect(answer.field("x-greymesh-error") == "reset" && answer.field("x-greymesh-attempts") == "3")
        #expect(hosts.map(\.seen).sorted() == [0, 0, 1, 1, 1])
        #expect(try retries(mesh) == [.reset: 2])
    }

    @Test func withoutAPolicyAResetIsNotRepeated() throws {
        let hosts = try resetting(2)
        let mesh = try TestMesh()
        mesh.update(hosts.map { ("1.0", $0.address) })
        let answer = try mesh.connect().get()
        #expect(answer.status == 502 && answer.field("x-greymesh-attempts") == nil)
        #expect(total(hosts) == 1)
        #expect(try retries(mesh) == [:])
    }

    @Test func fiveFurtherTriesGoToFiveOtherHosts() throws {
        let hosts = try resetting(7)
        let mesh = try TestMesh()
        var policy = everything
        policy.traffic.retries.attempts = 5
        mesh.update(policy: policy, hosts.map { ("1.0", $0.address) })
        #expect(try mesh.connect().get().field("x-greymesh-attempts") == "6")
        #expect(hosts.map(\.seen).sorted() == [0, 1, 1, 1, 1, 1, 1])
    }

    @Test(arguments: ["POST", "PATCH"])
    func whatIsNotListedIsNotRepeated(method: String) throws {
        let hosts = try resetting(3)
        let mesh = try TestMesh()
        mesh.update(policy: everything, hosts.map { ("1.0", $0.address) })
        let client = try mesh.connect()
        client.send("\(method) / HTTP/1.1\r\nHost: shop\r\nContent-Length: 0\r\n\r\n")
        #expect(try client.receiveAnswer().status == 502)
        #expect(total(hosts) == 1)
    }

    @Test func aPostThatIsListedIsRepeatedByteByByte() throws {
        let bodies = Mutex<[String]>([])
        let script: @Sendable (Connection, String) -> Bool = { connection, _ in
            let body = String(decoding: connection.receive(exactly: 60_000), as: UTF8.self)
            let isFirst = bodies.withLock { bodies in
                bodies.append(body)
                return bodies.count == 1
            }
            if isFirst { connection.resetOnClose() } else { connection.answer("done") }
            return !isFirst
        }
        let hosts = try (0..<2).map { _ in try CountingHost(script) }
        let mesh = try TestMesh()
        var policy = everything
        policy.traffic.retries.methods = ["POST"]
        mesh.update(policy: policy, hosts.map { ("1.0", $0.address) })
        let body = (0..<6000).map { "\($0 % 10)123456789" }.joined()
        let client = try mesh.connect()
        client.send("POST / HTTP/1.1\r\nHost: shop\r\nContent-Length: 60000\r\n\r\n" + body)
        #expect(try client.receiveAnswer().body == "done")
        #expect(bodies.withLock(\.self) == [body, body])
        #expect(hosts.map(\.seen) == [1, 1])
    }

    @Test func afterAByteOfTheAnswerNothingIsRepeated() throws {
        let hosts = try (0..<3).map { _ in
            try CountingHost { connection, _ in
                connection.send("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")
                return false
            }
        }
        let mesh = try TestMesh()
        mesh.update(policy: everything, hosts.map { ("1.0", $0.address) })
        let client = try mesh.connect()
        client.send("GET / HTTP/1.1\r\nHost: shop\r\n\r\n")
        #expect(String(decoding: client.receiveAll(), as: UTF8.self).hasSuffix("half"))
        #expect(total(hosts) == 1)
    }

    @Test func afterAnInterimAnswerNothingIsRepeated() throws {
        let hosts = try (0..<3).map { _ in
            try CountingHost { connection, _ in
                connection.send("HTTP/1.1 103 Early Hints\r\nx: 1\r\n\r\n")
                connection.answer("no", status: "503 No")
                return true
            }
        }
        let mesh = try TestMesh()
        mesh.update(policy: everything, hosts.map { ("1.0", $0.address) })
        let client = try mesh.connect()
        client.send("GET / HTTP/1.1\r\nHost: shop\r\n\r\n")
        #expect(try client.receiveAnswer().status == 103)
        #expect(try client.receiveAnswer().status == 503)
        #expect(total(hosts) == 1)
    }

    @Test func anotherHostIsAskedAfterAStatus() throws {
        let bad = try CountingHost(status: "503 No", "bad", "x-greymesh-error: theirs\r\n")
        let good = try CountingHost(
            status: "200 OK", "good", "x-greymesh-attempts: 9\r\nX-Greymesh-Error: theirs\r\n")
        let mesh = try TestMesh()
        mesh.update(policy: everything, [("1.0", bad.address), ("1.0", good.address)])
        let client = try mesh.connect()
        var told: [String: Int] = [:]
        for _ in 0..<20 {
            let answer = try client.get()
            #expect(answer.status == 200 && answer.body == "good" && answer.field("x-greymesh-error") == nil)
            told[answer.field("x-greymesh-attempts") ?? "", default: 0] += 1
        }
        #expect(good.seen == 20 && bad.seen > 0)
        #expect(told["2", default: 0] == bad.seen && told["", default: 0] == 20 - bad.seen)
        #expect(try retries(mesh) == [.status: UInt64(bad.seen)])
        // The answer was read to its end: the connection is used again. A status does not eject its host.
        #expect(bad.accepted == 1)
        let host = try mesh.report().endpoints.first { $0.address == bad.address }
        #expect(host?.failures == 0 && host?.active == 0)
    }

    @Test func theLastHostsOwnAnswerIsPassedOn() throws {
        let hosts = try (0..<3).map { try CountingHost(status: "503 Busy \($0)", "host \($0)") }
        let mesh = try TestMesh()
        mesh.update(policy: everything, hosts.map { ("1.0", $0.address) })
        let client = try mesh.connect()
        for number in 1...5 {
            let answer = try client.get()
            #expect(answer.status == 503 && answer.body.hasPrefix("host "))
            #expect(answer.field("x-greymesh-attempts") == "3" && answer.field("x-greymesh-error") == nil)
            #expect(hosts.map(\.seen) == [number, number, number])
        }
        // With nobody else to ask there is one try.
        mesh.update(policy: everything, [("1.0", hosts[0].address)])
        try mesh.settle()
        #expect(try client.get().field("x-greymesh-attempts") == nil)
        #expect(hosts[0].seen == 6)
    }

    @Test("The rest of an answer that is dropped is no answer to anybody", arguments: ["length", "chunked", "close"])
    func droppedBodies(framing: String) throws {
        let bad = try CountingHost { connection, _ in
            switch framing {
            case "length": connection.send("HTTP/1.1 503 No\r\nContent-Length: 100000\r\n\r\nbegin")
            case "chunked": connection.send("HTTP/1.1 503 No\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nbegin\r\n")
            default: connection.send("HTTP/1.1 503 No\r\n\r\nbegin")
            }
            _ = connection.receiveAll()
            return false
        }
        let good = try CountingHost(status: "200 OK", "good")
        let mesh = try TestMesh()
        mesh.update(policy: everything, [("1.0", bad.address), ("1.0", good.address)])
        let client = try mesh.connect()
        for _ in 0..<10 { #expect(try client.get().body == "good") }
        #expect(bad.seen > 0 && bad.accepted == bad.seen)
        #expect(waitUntil(within: .seconds(5)) { bad.server.open == 0 })
    }

    @Test func aStatusIsNotRepeatedForWhatIsNotListed() throws {
        let hosts = try (0..<2).map { _ in try CountingHost(status: "503 No", "bad") }
        let mesh = try TestMesh()
        mesh.update(policy: everything, hosts.map { ("1.0", $0.address) })
        let client = try mesh.connect()
        client.send("POST / HTTP/1.1\r\nHost: shop\r\nContent-Length: 0\r\n\r\n")
        #expect(try client.receiveAnswer().status == 503)
        #expect(total(hosts) == 1)
        // Neither is a status that is not named.
        mesh.update(policy: policy { $0.statuses = [504] }, hosts.map { ("1.0", $0.address) })
        try mesh.settle()
        #expect(try client.get().status == 503)
        #expect(total(hosts) == 2)
    }

    @Test func inStrictModeNoOtherVersionIsAsked() throws {
        let bad = try CountingHost(status: "503 No", "one")
        let other = try CountingHost(status: "200 OK", "two")
        let mesh = try TestMesh()
        var policy = everything
        policy.mode = .strict
        policy.split = [VersionWeight(version: "1.0", weight: 50), VersionWeight(version: "2.0", weight: 50)]
        mesh.update(policy: policy, [("1.0", bad.address), ("2.0", other.address)])
        let client = try mesh.connect()
        for _ in 0..<10 { #expect(try client.get("/", "x-version: 1.0\r\n").status == 503) }
        #expect(bad.seen == 10 && other.seen == 0)
        // The draw of the split is the request's for all its tries.
        let statuses = try (0..<40).map { _ in try client.get().status }
        #expect(statuses.count { $0 == 503 } == bad.seen - 10 && statuses.count { $0 == 200 } == other.seen)
        #expect(bad.seen > 10 && other.seen > 0)
    }

    @Test func noFurtherTriesAtAll() throws {
        let alive = try namedHost("alive")
        let dead = SocketAddress(ipv4: 0x7f00_0001, port: try FreePort.next())
        let mesh = try TestMesh()
        mesh.update(policy: policy { $0.attempts = 0 }, [("1.0", dead), ("1.0", alive.address)])
        var refused = 0
        for _ in 0..<4 {
            let answer = try mesh.connect().get()
            if answer.status == 503 && answer.field("x-greymesh-error") == "connect" { refused += 1 }
        }
        #expect(refused > 0)
        #expect(try retries(mesh) == [:])
    }

    @Test func aSilentHostIsLeftAfterTheTimeForOneTry() throws {
        let silent = try CountingHost { connection, _ in
            _ = connection.receiveAll()
            return false
        }
        let good = try CountingHost(status: "200 OK", "good")
        let mesh = try TestMesh()
        var policy = everything
        policy.traffic.retries.perTryTimeout = .milliseconds(100)
        mesh.update(policy: policy, [("1.0", silent.address), ("1.0", good.address)])
        let client = try mesh.connect()
        for _ in 0..<3 { #expect(try client.get().body == "good") }
        #expect(silent.seen > 0 && good.seen == 3)
        #expect(waitUntil(within: .seconds(5)) { silent.server.open == 0 })
        #expect(try retries(mesh) == [.timeout: UInt64(silent.seen)])
    }

    @Test func theTimeForOneTryNeverLengthensTheWholeTime() throws {
        let hosts = try (0..<3).map { _ in
            try CountingHost { connection, _ in
                _ = connection.receiveAll()
                return false
            }
        }
        let mesh = try TestMesh()
        var policy = everything
        policy.traffic.timeout = .milliseconds(400)
        policy.traffic.retries.perTryTimeout = .milliseconds(300)
        mesh.update(policy: policy, hosts.map { ("1.0", $0.address) })
        let begin = Clock.nanoseconds
        let answer = try mesh.connect().get()
        let taken = Clock.nanoseconds - begin
        #expect(answer.status == 504 && answer.field("x-greymesh-error") == "timeout")
        #expect(answer.field("x-greymesh-attempts") == "2" && total(hosts) == 2)
        #expect(taken >= 400_000_000 && taken < 600_000_000 + 5_000_000_000, "\(taken) ns")
    }

    @Test func aTryThatCannotBeFollowedByAnotherHasTheTimeThatIsLeft() throws {
        let slow = try CountingHost { connection, _ in
            let begin = Clock.nanoseconds
            _ = waitUntil(within: .seconds(10)) { Clock.nanoseconds - begin > 300_000_000 }
            connection.answer("slow")
            return true
        }
        let mesh = try TestMesh()
        var policy = everything
        policy.traffic.retries.perTryTimeout = .milliseconds(50)
        mesh.update(policy: policy, [("1.0", slow.address)])
        let client = try mesh.connect()
        #expect(try client.get().body == "slow")
        // And so has one that may not be repeated.
        let other = try namedHost("other")
        mesh.update(policy: policy, [("1.0", slow.address), ("2.0", other.address)])
        try mesh.settle()
        client.send("POST / HTTP/1.1\r\nHost: shop\r\nx-version: 1.0\r\nContent-Length: 0\r\n\r\n")
        #expect(try client.receiveAnswer().body == "slow")
        #expect(slow.seen == 2)
    }

    @Test func whatIsTooLargeToBeKeptIsNotRepeatedOnceSentButMovedBefore() throws {
        let body = String(repeating: "0123456789", count: 20_000)
        let hosts = try (0..<3).map { _ in
            try CountingHost { connection, _ in
                _ = connection.receive(exactly: body.utf8.count)
                connection.answer("no", status: "503 No")
                return true
            }
        }
        let mesh = try TestMesh()
        mesh.update(policy: everything, hosts.map { ("1.0", $0.address) })
        let client = try mesh.connect()
        let request = "PUT / HTTP/1.1\r\nHost: shop\r\nContent-Length: \(body.utf8.count)\r\n\r\n" + body
        client.send(request)
        #expect(try client.receiveAnswer().status == 503)
        #expect(total(hosts) == 1)
        let dead = SocketAddress(ipv4: 0x7f00_0001, port: try FreePort.next())
        mesh.update(policy: everything, [("1.0", dead), ("1.0", hosts[0].address)])
        try mesh.settle()
        let before = hosts[0].seen
        for _ in 0..<2 {
            client.send(request)
            #expect(try client.receiveAnswer().status == 503)
        }
        #expect(hosts[0].seen == before + 2)
        #expect(try retries(mesh)[.connect] == 1)
    }

    @Test("When everything fails, hosts see a fifth more than there is, not three times as much")
    func budget() throws {
        let count = 100
        let seen = Atomic<Int>(0)
        let isReleased = Atomic<Bool>(false)
        // The first tries fail together; further ones stay until all others have ended.
        let script: @Sendable (Connection, Int) -> Void = { connection, _ in
            if connection.receiveHead().isEmpty { return }
            let number = seen.add(1, ordering: .sequentiallyConsistent).newValue
            if number <= count {
                _ = waitUntil(within: .seconds(30)) { seen.load(ordering: .sequentiallyConsistent) >= count }
            } else {
                _ = waitUntil(within: .seconds(30)) { isReleased.load(ordering: .sequentiallyConsistent) }
            }
            connection.resetOnClose()
        }
        let hosts = try (0..<3).map { _ in try ScriptedServer(script) }
        let mesh = try TestMesh()
        mesh.update(policy: everything, hosts.map { ("1.0", $0.address) })
        let clients = try (0..<count).map { _ in try mesh.connect() }
        for client in clients { client.send("GET / HTTP/1.1\r\nHost: shop\r\n\r\n") }
        #expect(try mesh.waitForReport { ($0.services.first?.routes.first?.count ?? 0) >= UInt64(count * 4 / 5 - 3) })
        isReleased.store(true, ordering: .sequentiallyConsistent)
        for client in clients { #expect(try client.receiveAnswer().status == 502) }
        let all = seen.load(ordering: .sequentiallyConsistent)
        #expect(all > count && all <= count * 12 / 10 + 3, "\(all)")
        #expect(try retries(mesh)[.reset] == UInt64(all - count))
    }
}
