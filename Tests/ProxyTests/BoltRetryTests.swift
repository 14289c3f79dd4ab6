import Model
import Proxy
import Runtime
import TestSupport
import Testing

@Suite("Bolt requests at further hosts")
struct BoltRetryTests {
    private func policy(_ change: (inout RetryPolicy) -> Void = { _ in }) -> ServicePolicy {
        var policy = ServicePolicy()
        policy.balancer = .roundRobin
        policy.traffic.retries.onReset = true
        policy.traffic.retries.statuses = [2, 4]
        policy.traffic.retries.methods = ["s*"]
        change(&policy.traffic.retries)
        return policy
    }

    private func seen(_ hosts: [BoltHost]) -> [Int] { hosts.map { $0.calls.count }.sorted() }

    @Test("A connection that ends before the answer: listed methods are repeated", arguments: BoltVariant.allCases)
    func reset(variant: BoltVariant) throws {
        let mesh = try BoltMesh()
        let ending = try (0..<2).map { _ in try BoltHost { _, socket in socket.shutDown() } }
        let good = try BoltHost.echo("good")
        defer {
            mesh.stop()
            for host in ending + [good] { host.stop() }
        }
        try mesh.update((ending + [good]).map { Instance($0) }, policy: policy())
        let client = try mesh.connect()
        defer { client.close() }
        for id in 0..<6 as Range<UInt32> {
            #expect(client.ask(BoltCall(argument: "\(id)", variant: variant, id: id))?.text == "good|\(id)")
        }
        #expect(good.calls.count == 6 && good.calls.allSatisfy(\.isChecksumRight))
        let further = try mesh.report().services.first?.retries
        #expect(further?.map(\.cause) == [.reset])
        #expect(further?.first?.count == UInt64(seen(ending).reduce(0, +)))
        // Without a method that is listed there is one try.
        try mesh.update(ending.map { Instance($0) }, policy: policy { $0.methods = ["find*"] })
        let before = seen(ending).reduce(0, +)
        #expect(client.ask(BoltCall(variant: variant, id: 9))?.text.contains("closed while the request waited") == true)
        #expect(seen(ending).reduce(0, +) == before + 1)
    }

    @Test("A status that the policy names: other hosts are asked, and the last one's answer is passed on")
    func status() throws {
        let mesh = try BoltMesh()
        let bad = try (0..<4).map { _ in
            try BoltHost { frame, socket in socket.send(frame.answer("", status: frame.text == "busy" ? 4 : 2)) }
        }
        let good = try BoltHost.echo("good")
        defer {
            mesh.stop()
            for host in bad + [good] { host.stop() }
        }
        try mesh.update(bad.map { Instance($0) }, policy: policy())
        let client = try mesh.connect()
        defer { client.close() }
        #expect(client.ask(BoltCall(argument: "busy", id: 1))?.status == 4)
        #expect(seen(bad) == [0, 1, 1, 1])
        #expect(client.ask(BoltCall(id: 2))?.status == 2)
        #expect(seen(bad).reduce(0, +) == 6)
        try mesh.update([Instance(bad[0]), Instance(good)], policy: policy())
        for id in 10..<20 as Range<UInt32> { #expect(client.ask(BoltCall(id: id))?.text == "good|hi") }
        #expect(good.calls.count == 10)
        // Not named: passed on as it is.
        try mesh.update(bad.map { Instance($0) }, policy: policy { $0.statuses = [16] })
        let before = seen(bad).reduce(0, +)
        #expect(client.ask(BoltCall(id: 30))?.status == 2)
        #expect(seen(bad).reduce(0, +) == before + 1)
    }

    @Test("A silent host is left after the time for one try, and the next one is told the time that is left")
    func perTry() throws {
        let mesh = try BoltMesh()
        let silent = try BoltHost { _, _ in }
        let good = try BoltHost.echo("good")
        defer { mesh.stop(); silent.stop(); good.stop() }
        try mesh.update([Instance(silent), Instance(good)], policy: policy { $0.perTryTimeout = .milliseconds(100) })
        let client = try mesh.connect()
        defer { client.close() }
        for id in 0..<4 as Range<UInt32> {
            #expect(client.ask(BoltCall(timeout: 5000, id: id))?.text == "good|hi")
        }
        #expect(good.calls.count == 4 && !silent.calls.isEmpty)
        #expect(good.calls.contains { $0.timeout <= 4900 })
        for frame in silent.frames where frame.request != nil { silent.send(frame.answer("late")) }
        #expect(client.ask(BoltCall(argument: "next", timeout: 5000, id: 9))?.text == "good|next")
    }
}
