import Configuration
import Model
import Runtime
import Testing

@testable import ControlPlane

@Suite("Warm-up")
struct WarmupTests {
    private let echo = ServiceKey(kind: .dubbo, name: "demo.Echo")
    private let order = ServiceKey(kind: .http, name: "order")

    private func host(_ number: Int, started: Int64? = nil, _ metadata: [String: String] = [:]) -> Instance {
        var metadata = metadata
        if let started { metadata["timestamp"] = "\(started)" }
        return Instance(
            address: SocketAddress(ip: "10.0.0.\(number)", port: 80)!, weight: 2, metadata: Labels(metadata))
    }

    private func policy(_ warmup: Duration?) -> ServicePolicy {
        var policy = ServicePolicy()
        policy.warmup = warmup
        return policy
    }

    @Test("A step is a twentieth; the first is never nothing, and a clock that is ahead is young")
    func steps() throws {
        for (age, step, next) in [(0, 1, 50), (49, 1, 1), (50, 2, 50), (999, 20, 1), (-5000, 1, 50)]
            as [(Int64, Int64, Int64)]
        {
            let found = try #require(Warmup.step(age: age, of: 1000))
            #expect(found.step == step && found.next == next, "\(age)")
        }
        #expect(Warmup.step(age: 1000, of: 1000) == nil)
        #expect(Warmup.step(age: 3, of: 7)?.step == 4)
    }

    @Test("Dubbo providers warm up by their own time stamps")
    func dubbo() {
        var warmup = Warmup()
        let now: Int64 = 10_000_000
        let hosts = [
            host(1, started: now - 700_000), host(2, started: now - 300_000), host(3, started: now),
            host(4, started: now - 30_000, ["warmup": "60000"]), host(5, ["timestamp": "x"]),
            host(6, started: now, ["warmup": "0"]),
        ]
        let weights = warmup.weigh(echo, hosts, policy(nil), now: now).map(\.weight)
        #expect(weights == [2, 1.1, 0.1, 1.1, 2, 2])
        #expect(warmup.due(now: now + 2_999) == [] && warmup.due(now: now + 3_000) == [echo])
        #expect(warmup.weigh(echo, hosts, policy(.zero), now: now).map(\.weight) == Array(repeating: 2, count: 6))
        #expect(warmup.due(now: .max) == [])
        warmup.forget(echo)
    }

    @Test("SOFA RPC's providers tell when they started, and warm up where the policy says so")
    func bolt() {
        var warmup = Warmup()
        let key = ServiceKey(kind: .bolt, name: "demo.Echo")
        let now: Int64 = 10_000_000
        let hosts = [host(1, ["startTime": "\(now - 50_000)"]), host(2, ["startTime": "\(now - 100_000)"])]
        #expect(warmup.weigh(key, hosts, policy(nil), now: now).map(\.weight) == [2, 2])
        #expect(warmup.weigh(key, hosts, policy(.seconds(100)), now: now).map(\.weight) == [1.1, 2])
    }

    @Test("Other hosts warm up where the policy says so, from when they were first seen")
    func http() {
        var warmup = Warmup()
        #expect(warmup.weigh(order, [host(1)], policy(nil), now: 0).map(\.weight) == [2])
        let setting = policy(.seconds(100))
        // Nobody knows how old those of the first list are: they are warm.
        #expect(warmup.weigh(order, [host(1)], setting, now: 1_000_000).map(\.weight) == [2])
        #expect(warmup.weigh(order, [host(1), host(2)], setting, now: 2_000_000).map(\.weight) == [2, 0.1])
        #expect(warmup.due(now: 2_005_000) == [order])
        #expect(warmup.weigh(order, [host(1), host(2)], setting, now: 2_050_000).map(\.weight) == [2, 1.1])
        // One that went and came back has started again.
        #expect(warmup.weigh(order, [host(1)], setting, now: 2_060_000).map(\.weight) == [2])
        #expect(warmup.weigh(order, [host(1), host(2)], setting, now: 2_070_000).map(\.weight) == [2, 0.1])
        #expect(warmup.weigh(order, [host(1), host(2)], setting, now: 2_170_000).map(\.weight) == [2, 2])
        #expect(warmup.due(now: .max - 1) == [])
    }
}
