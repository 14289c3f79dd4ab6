import Model
import Proxy
import Runtime
import Synchronization
import TestSupport
import Testing

@Suite("Dubbo calls at further hosts")
struct DubboRetryTests {
    private func policy(_ change: (inout RetryPolicy) -> Void = { _ in }) -> ServicePolicy {
        var policy = ServicePolicy()
        policy.balancer = .roundRobin
        policy.traffic.retries.onReset = true
        policy.traffic.retries.statuses = [80, 100]
        policy.traffic.retries.methods = ["find*", "say"]
        change(&policy.traffic.retries)
        return policy
    }

    private func retries(_ mesh: DubboMesh) throws -> [RetryCause: UInt64] {
        let all = try mesh.report().services.first?.retries ?? []
        return Dictionary(uniqueKeysWithValues: all.map { ($0.cause, $0.count) })
    }

    private func failing(_ count: Int, _ script: @escaping DubboHost.Script) throws -> [DubboHost] {
        try (0..<count).map { _ in try DubboHost(script) }
    }

    private static func end(_ frame: DubboFrame, _ socket: DubboSocket) { socket.shutDown() }

    private func seen(_ hosts: [DubboHost]) -> [Int] { hosts.map { $0.calls.count }.sorted() }

    @Test("A connection that ends before the answer: the call is repeated at hosts that it was not at")
    func reset() throws {
        let mesh = try DubboMesh()
        let hosts = try failing(4, Self.end)
        defer {
            mesh.stop()
            for host in hosts { host.stop() }
        }
        try mesh.update(hosts.map { Instance($0) }, policy: policy())
        let consumer = try mesh.connect()
        defer { consumer.close() }
        let answer = try #require(consumer.ask(DubboCall(id: 7)))
        #expect(answer.status == 80 && answer.id == 7 && answer.text.contains("closed while the request waited"))
        #expect(seen(hosts) == [0, 1, 1, 1])
        #expect(try retries(mesh) == [.reset: 2])
        #expect(hosts.flatMap(\.frames).allSatisfy { $0.body == DubboCall(id: 7).frame.body })
        #expect(try mesh.report().endpoints.allSatisfy { $0.active == 0 })
    }

    @Test(
        "A method that is not listed, and a call without a policy, are not repeated",
        arguments: ["save", "fin", "saye"])
    func notListed(method: String) throws {
        let mesh = try DubboMesh()
        let hosts = try failing(3, Self.end)
        defer {
            mesh.stop()
            for host in hosts { host.stop() }
        }
        try mesh.update(hosts.map { Instance($0) }, policy: policy())
        let consumer = try mesh.connect()
        defer { consumer.close() }
        #expect(consumer.ask(DubboCall(method: method, id: 1))?.status == 80)
        #expect(seen(hosts) == [0, 0, 1])
        try mesh.update(hosts.map { Instance($0) })
        #expect(consumer.ask(DubboCall(id: 2))?.status == 80)
        #expect(seen(hosts).reduce(0, +) == 2)
        #expect(try retries(mesh) == [:])
    }

    @Test("A host that answers with a named status is left for another one; the last one's answer is passed on")
    func status() throws {
        let mesh = try DubboMesh()
        let bad = try failing(3) { frame, socket in socket.send(.error(80, "bad", id: frame.id)) }
        let good = try DubboHost.echo("good")
        defer {
            mesh.stop()
            for host in bad + [good] { host.stop() }
        }
        try mesh.update([Instance(bad[0]), Instance(good)], policy: policy())
        let consumer = try mesh.connect()
        defer { consumer.close() }
        for id in 0..<10 { #expect(consumer.ask(DubboCall(method: "findAll", id: Int64(id)))?.text == "good|hi") }
        #expect(good.calls.count == 10 && bad[0].calls.count > 0)
        #expect(try retries(mesh) == [.status: UInt64(bad[0].calls.count)])
        let host = try mesh.report().endpoints.first { $0.address == bad[0].address }
        #expect(host?.failures == 0 && host?.active == 0)
        try mesh.update(bad.map { Instance($0) }, policy: policy())
        let before = seen(bad).reduce(0, +)
        let answer = try #require(consumer.ask(DubboCall(id: 20)))
        #expect(answer.status == 80 && answer.text == "bad" && answer.id == 20)
        #expect(seen(bad).reduce(0, +) == before + 3)
        // With another method the first one's is.
        #expect(consumer.ask(DubboCall(method: "save", id: 21))?.status == 80)
        #expect(seen(bad).reduce(0, +) == before + 4)
    }

    @Test("A full thread pool goes on to further hosts only where the policy names its status")
    func overloaded() throws {
        let mesh = try DubboMesh()
        let hosts = try failing(4) { frame, socket in socket.send(.error(100, "full", id: frame.id)) }
        defer {
            mesh.stop()
            for host in hosts { host.stop() }
        }
        try mesh.update(hosts.map { Instance($0) }, policy: policy())
        let consumer = try mesh.connect()
        defer { consumer.close() }
        #expect(consumer.ask(DubboCall(id: 1))?.status == 100)
        #expect(seen(hosts) == [0, 1, 1, 1])
        #expect(consumer.ask(DubboCall(method: "save", id: 2))?.status == 100)
        #expect(seen(hosts).reduce(0, +) == 5)
        try mesh.update(hosts.map { Instance($0) }, policy: policy { $0.attempts = 0 })
        #expect(consumer.ask(DubboCall(id: 3))?.status == 100)
        #expect(seen(hosts).reduce(0, +) == 6)
    }

    @Test("A silent host is left after the time for one try; its late answer is nobody's")
    func perTry() throws {
        let mesh = try DubboMesh()
        let silent = try DubboHost { _, _ in }
        let good = try DubboHost.echo("good")
        defer { mesh.stop(); silent.stop(); good.stop() }
        try mesh.update([Instance(silent), Instance(good)], policy: policy { $0.perTryTimeout = .milliseconds(80) })
        let consumer = try mesh.connect()
        defer { consumer.close() }
        for id in 0..<4 { #expect(consumer.ask(DubboCall(id: Int64(id)))?.text == "good|hi") }
        #expect(good.calls.count == 4 && !silent.calls.isEmpty)
        for call in silent.calls { silent.send(.value("late", id: call.id)) }
        // What may not be repeated waits until its own time is over, however many tries that could be.
        try mesh.update([Instance(silent)], policy: policy { $0.perTryTimeout = .milliseconds(80) })
        let begin = Clock.nanoseconds
        let answer = consumer.ask(DubboCall(method: "save", attachments: [("timeout", "300")], id: 9))
        #expect(answer?.status == 31 && answer?.id == 9)
        #expect(Clock.nanoseconds - begin >= 300_000_000)
        #expect(try mesh.report().endpoints.allSatisfy { $0.active == 0 })
    }

    @Test("The call's own timeout bounds all tries")
    func ownTimeout() throws {
        let mesh = try DubboMesh()
        let hosts = try failing(3) { _, _ in }
        defer {
            mesh.stop()
            for host in hosts { host.stop() }
        }
        try mesh.update(hosts.map { Instance($0) }, policy: policy { $0.perTryTimeout = .milliseconds(200) })
        let consumer = try mesh.connect()
        defer { consumer.close() }
        let answer = consumer.ask(DubboCall(attachments: [("timeout", "300")], id: 1))
        #expect(answer?.status == 31)
        #expect(seen(hosts) == [0, 1, 1])
    }

    @Test("A large call is not repeated once it was sent; it is moved while nothing was")
    func large() throws {
        let mesh = try DubboMesh()
        let ending = try DubboHost(Self.end)
        let good = try DubboHost.echo("good")
        defer { mesh.stop(); ending.stop(); good.stop() }
        try mesh.update([Instance(ending), Instance(good)], policy: policy())
        let consumer = try mesh.connect()
        defer { consumer.close() }
        let large = String(repeating: "x", count: 200_000)
        let statuses = (0..<2).compactMap { consumer.ask(DubboCall(argument: large, id: Int64($0)))?.status }.sorted()
        #expect(statuses == [20, 80] && ending.calls.count == 1 && good.calls.count == 1)
        let dead = Instance(address: SocketAddress(ipv4: 0x7f00_0001, port: try FreePort.next()))
        try mesh.update([dead, Instance(good)], policy: policy())
        for id in 10..<12 { #expect(consumer.ask(DubboCall(argument: large, id: Int64(id)))?.status == 20) }
        #expect(good.calls.count == 3)
        #expect(try retries(mesh) == [.connect: 1])
    }

    @Test("When everything fails, hosts see a fifth more than there is")
    func budget() throws {
        let count = 100
        let mesh = try DubboMesh()
        let hosts = try failing(3) { _, _ in }
        defer {
            mesh.stop()
            for host in hosts { host.stop() }
        }
        try mesh.update(hosts.map { Instance($0) }, policy: policy())
        let consumer = try mesh.connect()
        defer { consumer.close() }
        for id in 0..<count { consumer.send(DubboCall(id: Int64(id)).frame) }
        #expect(waitUntil(within: .seconds(10)) { seen(hosts).reduce(0, +) == count })
        var answers = 0
        for _ in 0..<10 where answers < count {
            for host in hosts { host.dropConnections() }
            while answers < count, let answer = consumer.receive(within: .milliseconds(200)) {
                #expect(answer.status == 80)
                answers += 1
            }
        }
        #expect(answers == count)
        let all = seen(hosts).reduce(0, +)
        #expect(all > count && all <= count * 12 / 10 + 3, "\(all)")
    }
}
