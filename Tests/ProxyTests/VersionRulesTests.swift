import Model
import Proxy
import Runtime
import TestSupport
import Testing

/// What one version says for itself holds for requests that it serves, and only for those.
@Suite("Rules of versions")
struct VersionRulesTests {
    /// A service of two versions whose rules differ.
    private func policy(
        stable: String? = nil, _ service: (inout TrafficPolicy) -> Void = { _ in },
        of second: (inout TrafficPolicy) -> Void
    ) -> ServicePolicy {
        var policy = ServicePolicy()
        policy.balancer = .roundRobin
        policy.stable = stable
        service(&policy.traffic)
        var own = policy.traffic
        second(&own)
        policy.versions = ["2.0": own]
        return policy
    }

    private func silentHost() throws -> ScriptedServer {
        try ScriptedServer { connection, _ in _ = connection.receiveAll() }
    }

    @Test("HTTP: a version's timeout holds for what it serves, also after a fallback, and not for other versions")
    func timeout() throws {
        let (silent, alive) = (try silentHost(), try namedHost("alive"))
        let mesh = try TestMesh()
        mesh.keep(silent)
        let policy = policy(stable: "1.0") { $0.timeout = .milliseconds(80) }
        mesh.update(policy: policy, [("1.0", alive.address), ("2.0", silent.address)])
        try mesh.settle()
        let begin = Clock.nanoseconds
        let answer = try mesh.connect().get("/", "x-version: 2.0\r\n")
        #expect(answer.status == 504 && answer.field("x-greymesh-error") == "timeout")
        #expect(80_000_000..<20_000_000_000 ~= Clock.nanoseconds - begin)
        #expect(try mesh.connect().get("/", "x-version: 1.0\r\n").body == "alive")
        // There is no 1.0 any more: the request that asks for it gets what 2.0 has.
        mesh.update(policy: policy, [("2.0", try silentHost(of: mesh).address)])
        try mesh.settle()
        #expect(try mesh.connect().get("/", "x-version: 1.0\r\n").status == 504)
    }

    private func silentHost(of mesh: TestMesh) throws -> ScriptedServer {
        let host = try silentHost()
        mesh.keep(host)
        return host
    }

    @Test("HTTP: a request that comes to a version when its time is over is not sent")
    func tooLate() throws {
        let host = try namedHost("late")
        let mesh = try TestMesh()
        let client = try mesh.connect()
        client.send("GET / HTTP/1.1\r\nHost: shop\r\n\r\n")
        let begin = Clock.nanoseconds
        let isLate = waitUntil(within: .seconds(5)) {
            Clock.nanoseconds - begin > 60_000_000
                && mesh.events.contains { if case .wanted = $0 { true } else { false } }
        }
        #expect(isLate)
        mesh.update(policy: policy { $0.timeout = .milliseconds(50) }, [("2.0", host.address)])
        #expect(try client.receiveAnswer().status == 504)
        #expect(host.accepted == 0)
    }

    @Test("HTTP: a version's tries hold for what it serves")
    func retries() throws {
        let counts = [try CountingHost { _, _ in false }, try CountingHost { _, _ in false }]
        let mesh = try TestMesh()
        let policy = policy { $0.retries.onReset = true }
        mesh.update(policy: policy, counts.map { ("2.0", $0.address) })
        #expect(try mesh.connect().get("/", "x-version: 2.0\r\n").status == 502)
        #expect(counts.map(\.seen) == [1, 1])
        mesh.update(policy: policy, counts.map { ("1.0", $0.address) })
        try mesh.settle()
        #expect(try mesh.connect().get("/", "x-version: 1.0\r\n").status == 502)
        #expect(counts.reduce(0) { $0 + $1.seen } == 3)
    }

    @Test("HTTP: a further try at another version has that version's time")
    func fallback() throws {
        let slow = try ScriptedServer { connection, _ in
            while !connection.receiveHead().isEmpty {
                let begin = Clock.nanoseconds
                _ = waitUntil(within: .seconds(5)) { Clock.nanoseconds - begin > 250_000_000 }
                connection.answer("slow")
            }
        }
        let mesh = try TestMesh()
        mesh.keep(slow)
        let gone = try CountingHost { _, _ in false }
        let policy = policy(stable: "1.0") {
            $0.timeout = .milliseconds(200)
            $0.retries.onReset = true
        }
        mesh.update(policy: policy, [("2.0", gone.address), ("1.0", slow.address)])
        try mesh.settle()
        let answer = try mesh.connect().get("/", "x-version: 2.0\r\n")
        #expect(answer.body == "slow" && answer.field("x-greymesh-version") == "1.0" && gone.seen == 1)
    }

    @Test("Dubbo: a version's timeout and tries; a call's own timeout wins")
    func dubbo() throws {
        let mesh = try DubboMesh()
        let silent = try DubboHost { _, _ in }
        let ending = try (0..<2).map { _ in try DubboHost { _, socket in socket.shutDown() } }
        defer {
            mesh.stop()
            for host in ending + [silent] { host.stop() }
        }
        let policy = policy(stable: "2.0", { $0.timeout = .seconds(600) }) {
            $0.timeout = .milliseconds(70)
            $0.retries.onReset = true
            $0.retries.methods = ["*"]
        }
        try mesh.update([Instance(silent, tag: "2.0")], policy: policy)
        let consumer = try mesh.connect()
        defer { consumer.close() }
        #expect(consumer.ask(DubboCall(id: 1))?.text.contains("within 70 ms") == true)
        let own = consumer.ask(DubboCall(attachments: [("timeout", "90")], id: 2))
        #expect(own?.text.contains("within 90 ms") == true)
        try mesh.update(ending.map { Instance($0, tag: "2.0") }, policy: policy)
        #expect(consumer.ask(DubboCall(id: 3))?.status == 80)
        #expect(ending.map { $0.calls.count } == [1, 1])
        var other = policy
        other.stable = "1.0"
        try mesh.update(ending.map { Instance($0, tag: "1.0") }, policy: other)
        #expect(consumer.ask(DubboCall(id: 4))?.status == 80)
        #expect(ending.reduce(0) { $0 + $1.calls.count } == 3)
    }

    @Test("Bolt: a version's timeout and tries; a call's own timeout wins")
    func bolt() throws {
        let mesh = try BoltMesh()
        let silent = try BoltHost { _, _ in }
        let ending = try (0..<2).map { _ in try BoltHost { _, socket in socket.shutDown() } }
        defer {
            mesh.stop()
            for host in ending + [silent] { host.stop() }
        }
        let policy = policy(stable: "2.0", { $0.timeout = .seconds(600) }) {
            $0.timeout = .milliseconds(70)
            $0.retries.onReset = true
            $0.retries.methods = ["*"]
        }
        try mesh.update([Instance(silent, tag: "2.0")], policy: policy)
        let client = try mesh.connect()
        defer { client.close() }
        let begin = Clock.nanoseconds
        #expect(client.ask(BoltCall(id: 1))?.status == 7)
        #expect(70_000_000..<20_000_000_000 ~= Clock.nanoseconds - begin)
        client.send(BoltFrame(BoltCall(timeout: 20_000, id: 2)))
        #expect(client.receive(within: .milliseconds(300)) == nil)
        try mesh.update(ending.map { Instance($0, tag: "2.0") }, policy: policy)
        #expect(client.ask(BoltCall(id: 3))?.text.contains("closed while the request waited") == true)
        #expect(ending.map { $0.calls.count } == [1, 1])
    }
}
