import Model
import Proxy
import Runtime
import Synchronization
import TestSupport
import Testing

@Suite("Waits before further tries") struct BackoffTests {
    /// When hosts have seen requests, in nanoseconds.
    private final class Times: Sendable {
        private let all = Mutex<[Int64]>([])

        func note() { all.withLock { $0.append(Clock.nanoseconds) } }

        var count: Int { all.withLock(\.count) }
        /// Milliseconds between one and the next.
        var gaps: [Int64] { all.withLock { times in zip(times.dropFirst(), times).map { ($0 - $1) / 1_000_000 } } }
    }

    private func policy(_ backoff: Duration, attempts: Int = 3) -> ServicePolicy {
        var policy = ServicePolicy()
        policy.balancer = .roundRobin
        policy.traffic.retries.attempts = attempts
        policy.traffic.retries.onReset = true
        policy.traffic.retries.statuses = [80, 503]
        policy.traffic.retries.methods = ["GET", "say"]
        policy.traffic.retries.backoff = backoff
        return policy
    }

    private func hosts(_ times: Times, answer: Bool) throws -> [CountingHost] {
        try (0..<5).map { _ in
            try CountingHost { connection, _ in
                times.note()
                if answer { connection.answer("busy", status: "503 No") } else { connection.resetOnClose() }
                return answer
            }
        }
    }

    @Test("HTTP: each wait is twice the one before, give or take a half", arguments: [false, true])
    func growing(answer: Bool) throws {
        let times = Times()
        let hosts = try hosts(times, answer: answer)
        let mesh = try TestMesh()
        mesh.update(policy: policy(.milliseconds(200)), hosts.map { ("1.0", $0.address) })
        let reply = try mesh.connect().get()
        #expect(reply.status == (answer ? 503 : 502) && reply.field("x-greymesh-attempts") == "4")
        #expect(times.gaps.count == 3 && times.gaps[1] >= 100 && times.gaps[2] >= 200, "\(times.gaps)")
        #expect(hosts.map(\.seen).sorted() == [0, 1, 1, 1, 1])
        let retries = try mesh.report().services.first?.retries ?? []
        #expect(retries.map(\.count) == [3])
    }

    @Test("No wait takes more than half of the time that is left", arguments: [false, true])
    func half(answer: Bool) throws {
        let times = Times()
        let hosts = try hosts(times, answer: answer)
        let mesh = try TestMesh()
        var policy = policy(.seconds(60))
        policy.traffic.timeout = .seconds(2)
        mesh.update(policy: policy, hosts.map { ("1.0", $0.address) })
        let reply = try mesh.connect().get()
        #expect(reply.status == (answer ? 503 : 502) && reply.field("x-greymesh-attempts") == "4")
        #expect(reply.field("x-greymesh-error") == (answer ? nil : "reset") && times.count == 4)
        #expect(times.gaps[1] >= 500 && times.gaps[1] < 1500, "\(times.gaps)")
    }

    @Test func hostsThatCannotBeConnectedToAreWaitedForAsWell() throws {
        let dead = try (0..<4).map { _ in SocketAddress(ipv4: 0x7f00_0001, port: try FreePort.next()) }
        let mesh = try TestMesh()
        mesh.update(policy: policy(.milliseconds(200)), dead.map { ("1.0", $0) })
        let begin = Clock.nanoseconds
        let reply = try mesh.connect().get()
        #expect(reply.status == 503 && reply.field("x-greymesh-error") == "connect")
        #expect(Clock.nanoseconds - begin >= 300_000_000)
    }

    @Test func theBodyOfARequestThatWaitsIsSentAsAWhole() throws {
        let times = Times()
        let hosts = try (0..<3).map { _ in
            try CountingHost { connection, _ in
                times.note()
                let isLast = times.count == 3
                if isLast {
                    connection.answer(String(decoding: connection.receive(exactly: 10), as: UTF8.self))
                } else {
                    connection.resetOnClose()
                }
                return isLast
            }
        }
        let mesh = try TestMesh()
        var policy = policy(.milliseconds(200))
        policy.traffic.retries.methods = ["PUT"]
        mesh.update(policy: policy, hosts.map { ("1.0", $0.address) })
        let client = try mesh.connect()
        client.send("PUT / HTTP/1.1\r\nHost: shop\r\nContent-Length: 10\r\n\r\n01234")
        #expect(waitUntil(within: .seconds(5)) { times.count == 2 })
        client.send("56789")
        #expect(try client.receiveAnswer().body == "0123456789")
        #expect(hosts.map(\.seen) == [1, 1, 1])
    }

    @Test("Dubbo: calls wait, and end with their client or their time")
    func dubbo() throws {
        let times = Times()
        let mesh = try DubboMesh()
        let hosts = try (0..<5).map { index in
            try DubboHost { frame, socket in
                if frame.flags == DubboFrame.heartbeatRequest { return DubboHost.echo("", frame, socket) }
                times.note()
                if index % 2 == 0 { socket.shutDown() } else { socket.send(.error(80, "bad", id: frame.id)) }
            }
        }
        defer {
            mesh.stop()
            for host in hosts { host.stop() }
        }
        try mesh.update(hosts.map { Instance($0) }, policy: policy(.milliseconds(200)))
        let consumer = try mesh.connect()
        #expect(consumer.ask(DubboCall(id: 1))?.status == 80)
        #expect(times.gaps.count == 3 && times.gaps[1] >= 100 && times.gaps[2] >= 200, "\(times.gaps)")
        // Nobody waits any longer.
        try mesh.update(hosts.map { Instance($0) }, policy: policy(.seconds(30)))
        consumer.send(DubboCall(attachments: [("timeout", "900000")], id: 2).frame)
        #expect(waitUntil(within: .seconds(5)) { times.count == 6 }, "\(times.count)")
        consumer.reset()
        let ended = { try mesh.report().services.first?.versions.flatMap(\.codes).reduce(0) { $0 + $1.count } }
        #expect(waitUntil(within: .seconds(5)) { (try? ended()) == 2 })
        #expect(try mesh.report().endpoints.allSatisfy { $0.active == 0 })
    }
}
