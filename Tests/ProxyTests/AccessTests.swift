import Balancing
import Model
import Proxy
import Runtime
import TestSupport
import Testing

@Suite("Access to services")
struct AccessTests {
    private func policy(_ change: (inout AccessPolicy) -> Void) -> ServicePolicy {
        var policy = ServicePolicy()
        change(&policy.traffic.access)
        return policy
    }

    private let loopback = AddressRange("127.0.0.0/8")!

    @Test("HTTP: an upload without access is answered early, and its connection ends behind the answer")
    func upload() throws {
        let host = try namedHost("1.0")
        let mesh = try TestMesh()
        mesh.update(policy: policy { $0.deny = [loopback] }, [("1.0", host.address)])
        try mesh.settle()
        let client = try mesh.connect()
        client.send("POST / HTTP/1.1\r\nHost: shop\r\nContent-Length: 100000\r\n\r\nthe beginning")
        let answer = try client.receiveAnswer()
        #expect(
            answer.status == 403 && answer.field("x-greymesh-error") == "denied"
                && answer.field("connection") == "close")
        client.send(String(repeating: "x", count: 1000))
        #expect(client.receiveAll().isEmpty)
        let other = try mesh.connect()
        #expect(try other.get().status == 403 && other.get().status == 403)
        // Who has no access does not learn what there is.
        var strict = policy { $0.deny = [loopback] }
        strict.mode = .strict
        mesh.update(policy: strict, [("1.0", host.address)])
        try mesh.settle()
        #expect(try other.get("/", "x-version: 9\r\n").status == 403)
        mesh.update(policy: strict, [])
        try mesh.settle()
        #expect(try other.get().status == 403)
        strict.traffic.access = AccessPolicy()
        mesh.update(policy: strict, [])
        try mesh.settle()
        #expect(try other.get().status == 503)
    }

    @Test("HTTP: requests that waited for their hosts, and further tries at a version without access")
    func waitedAndRepeated() throws {
        let failing = try ScriptedServer { connection, _ in
            while !connection.receiveHead().isEmpty { connection.answer("ill", status: "503 Service Unavailable") }
        }
        let other = try namedHost("2.0")
        let mesh = try TestMesh()
        let waiting = try mesh.connect()
        waiting.send("GET / HTTP/1.1\r\nHost: shop\r\n\r\n")
        #expect(
            waitUntil(within: .seconds(10)) { mesh.events.contains { if case .wanted = $0 { true } else { false } } })
        var policy = policy { $0.deny = [loopback] }
        mesh.update(policy: policy, [("1.0", failing.address), ("2.0", other.address)])
        #expect(try waiting.receiveAnswer().status == 403)
        // Any version will do: the first host is one of either, and the other one the next to be asked.
        policy.balancer = .random
        policy.traffic.retries.statuses = [503]
        policy.versions["1.0"] = policy.traffic
        policy.versions["1.0"]?.access = AccessPolicy()
        mesh.update(policy: policy, [("1.0", failing.address), ("2.0", other.address)])
        try mesh.settle()
        let client = try mesh.connect()
        #expect(try Set((0..<64).map { _ in try client.get().status }) == [403, 503])
        policy.traffic.access = AccessPolicy()
        mesh.update(policy: policy, [("1.0", failing.address), ("2.0", other.address)])
        try mesh.settle()
        #expect(try (0..<8).allSatisfy { _ in try client.get().body == "2.0" })
    }

    private func refuses<Frame: PeerFrame>(
        _ call: (Int, Bool) -> Frame.Call, isRefused: (Frame?) -> Bool
    ) throws {
        let mesh = try FramedMesh<Frame>()
        let host = try FrameHost<Frame>.echo("a")
        defer { mesh.stop(); host.stop() }
        try mesh.update([Instance(host)], policy: policy { $0.allow = [AddressRange("10.0.0.0/8")!] })
        let client = try mesh.connect()
        defer { client.close() }
        #expect(isRefused(client.ask(call(1, true))))
        client.send(Frame(call(2, false)))
        #expect(isRefused(client.ask(call(3, true))) && host.calls.isEmpty)
        let refusals = try mesh.report().services.first?.versions.flatMap(\.refusals) ?? []
        #expect(refusals.map(\.reason) == [.denied] && refusals.map(\.count) == [3])
        try mesh.update([], policy: policy { $0.allow = [AddressRange("10.0.0.0/8")!] })
        #expect(isRefused(client.ask(call(6, true))))
        try mesh.update([Instance(host)], policy: policy { $0.allow = [loopback] })
        #expect(!isRefused(client.ask(call(4, true))))
        client.send(Frame(call(5, false)))
        #expect(waitUntil(within: .seconds(10)) { host.calls.count == 2 })
    }

    @Test("Dubbo: a forbidden call fails with an exception, which consumers do not repeat")
    func dubbo() throws {
        try refuses({ DubboCall(id: Int64($0), isTwoWay: $1) }) { (answer: DubboFrame?) in
            answer?.status == 20 && answer?.words.contains("org.apache.dubbo.rpc.RpcException") == true
                && answer?.words.contains("no access") == true
        }
    }

    @Test("Bolt: SOFA's error with text")
    func bolt() throws {
        try refuses({ BoltCall(id: UInt32($0), isTwoWay: $1) }) { (answer: BoltFrame?) in
            answer?.status == 0 && answer?.text.contains("no access") == true
        }
    }
}
