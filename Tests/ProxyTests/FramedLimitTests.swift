import Balancing
import Model
import Proxy
import Runtime
import TestSupport
import Testing

/// Dubbo answers 100, Bolt 4: consumers of both take it for a host that has too much to do.
@Suite("Limits of Dubbo and Bolt services")
struct FramedLimitTests {
    private func policy(_ change: (inout TrafficPolicy) -> Void) -> ServicePolicy {
        var policy = ServicePolicy()
        policy.balancer = .roundRobin
        change(&policy.traffic)
        return policy
    }

    private func isQuiet<Frame>(_ mesh: FramedMesh<Frame>) -> Bool {
        waitUntil(within: .seconds(10)) {
            mesh.limits?.breakers.allSatisfy { $0.requests.current == 0 && $0.pending.current == 0 } == true
        }
    }

    private func refusals<Frame>(_ mesh: FramedMesh<Frame>) throws -> [RefusalReason: UInt64] {
        let all = try mesh.report().services.first?.versions.flatMap(\.refusals) ?? []
        return Dictionary(uniqueKeysWithValues: all.map { ($0.reason, $0.count) })
    }

    /// - Parameters:
    ///   - call: makes a request with an id.
    ///   - isRefused: whether an answer has the protocol's status for it.
    private func breaker<Frame: PeerFrame>(
        _ call: (Int) -> Frame.Call, _ answer: @escaping @Sendable (Frame) -> Frame, isRefused: (Frame?) -> Bool
    ) throws {
        let mesh = try FramedMesh<Frame>()
        let silent = try FrameHost<Frame> { _, _ in }
        defer { mesh.stop(); silent.stop() }
        try mesh.update([Instance(silent)], policy: policy { $0.circuitBreaker.requests = 2 })
        let holding = try mesh.connect()
        for id in 1...2 { holding.send(Frame(call(id))) }
        #expect(waitUntil(within: .seconds(10)) { silent.calls.count == 2 })
        let client = try mesh.connect()
        defer { client.close() }
        for id in 3...5 { #expect(isRefused(client.ask(call(id)))) }
        #expect(silent.calls.count == 2 && mesh.limits?.own.breaker?.requests.current == 2)
        #expect(try refusals(mesh) == [.requests: 3])
        // One is answered and one loses its client: both make room.
        silent.send(answer(silent.frames[0]))
        #expect(holding.receive() != nil)
        holding.reset()
        #expect(isQuiet(mesh))
        client.send(Frame(call(6)))
        #expect(waitUntil(within: .seconds(10)) { silent.calls.count == 3 })
        silent.dropConnections()
        #expect(client.receive() != nil && isQuiet(mesh))
        #expect(waitUntil(within: .seconds(10)) { mesh.limits?.own.breaker?.connections.current == 0 })
    }

    @Test("Dubbo: beyond the circuit breaker's requests") func dubboBreaker() throws {
        try breaker({ DubboCall(id: Int64($0)) }, { (frame: DubboFrame) in DubboFrame.value("late", id: frame.id) }) {
            (answer: DubboFrame?) in
            answer?.status == 100
        }
    }

    @Test("Bolt: beyond the circuit breaker's requests") func boltBreaker() throws {
        try breaker({ BoltCall(id: UInt32($0)) }, { (frame: BoltFrame) in frame.answer("late") }) {
            (answer: BoltFrame?) in answer?.status == 4
        }
    }

    private func rate<Frame: PeerFrame>(_ call: (Int, String) -> Frame.Call, isRefused: (Frame?) -> Bool) throws {
        let mesh = try FramedMesh<Frame>()
        let host = try FrameHost<Frame>.echo("a")
        defer { mesh.stop(); host.stop() }
        let policy = policy {
            $0.rateLimit.rate = RateLimitPolicy.Rate(requests: 1, per: .hour)
            $0.rateLimit.burst = 2
            $0.rateLimit.key = .header("x-user")
        }
        try mesh.update([Instance(host)], policy: policy)
        let client = try mesh.connect()
        defer { client.close() }
        for user in ["a", "b", ""] {
            let refused = (0..<4).map { isRefused(client.ask(call($0, user))) }
            #expect(refused == [false, false, true, true])
        }
        #expect(host.calls.count == 6)
        #expect(try refusals(mesh) == [.rate: 6])
    }

    @Test(
        "Calls that waited for their hosts count by their client's address as later ones do, one-way or not",
        arguments: [true, false])
    func waited(isTwoWay: Bool) throws {
        let mesh = try DubboMesh()
        let host = try DubboHost.echo("a")
        defer { mesh.stop(); host.stop() }
        let client = try mesh.connect()
        defer { client.close() }
        client.send(DubboFrame(DubboCall(id: 1, isTwoWay: isTwoWay)))
        #expect(mesh.waits { if case .wanted = $0 { true } else { false } })
        let policy = policy {
            $0.rateLimit.rate = RateLimitPolicy.Rate(requests: 1, per: .hour)
            $0.rateLimit.key = .clientAddress
        }
        try mesh.update([Instance(host)], policy: policy)
        #expect(waitUntil(within: .seconds(10)) { host.calls.count == 1 })
        if isTwoWay { #expect(client.receive()?.text == "a|hi") }
        #expect(client.ask(DubboCall(id: 2))?.status == 100)
        #expect(host.calls.count == 1 && host.calls[0].argument == "hi")
    }

    @Test("Dubbo: beyond the rate of a key") func dubboRate() throws {
        try rate({ DubboCall(attachments: $1.isEmpty ? [] : [("x-user", $1)], id: Int64($0)) }) {
            (answer: DubboFrame?) in answer?.status == 100
        }
    }

    @Test("Bolt: beyond the rate of a key") func boltRate() throws {
        try rate({ BoltCall(headers: $1.isEmpty ? [] : [("x-user", $1)], id: UInt32($0)) }) { (answer: BoltFrame?) in
            answer?.status == 4
        }
    }

    private func connections<Frame: PeerFrame>(_ call: (Int) -> Frame.Call, isRefused: (Frame?) -> Bool) throws {
        let mesh = try FramedMesh<Frame> { $0.limits.connectTimeout = .milliseconds(1500) }
        let full = try FullListener()
        defer { mesh.stop() }
        let instances = [Instance(address: full.address)]
        try mesh.update(instances, policy: policy { $0.circuitBreaker.pending = 2 })
        let client = try mesh.connect()
        defer { client.close() }
        for id in 1...2 { client.send(Frame(call(id))) }
        #expect(waitUntil(within: .seconds(10)) { mesh.limits?.own.breaker?.pending.current == 2 })
        let other = try mesh.connect()
        defer { other.close() }
        #expect(isRefused(other.ask(call(3))))
        #expect(try refusals(mesh) == [.pending: 1])
        for _ in 1...2 { #expect(client.receive() != nil) }
        #expect(isQuiet(mesh) && mesh.limits?.own.breaker?.connections.current == 0)
        // One connection for each host: the second host cannot have one.
        let hosts = [try FrameHost<Frame>.echo("a"), try FrameHost<Frame>.echo("b")]
        defer { for host in hosts { host.stop() } }
        try mesh.update(hosts.map { Instance($0) }, policy: policy { $0.circuitBreaker.connections = 1 })
        let refused = (4..<10).map { isRefused(client.ask(call($0))) }
        #expect(refused.filter { $0 }.count == 3 && hosts.map(\.connectionCount).sorted() == [0, 1])
    }

    private func discovery<Frame: PeerFrame>(_ call: (Int) -> Frame.Call, isRefused: (Frame?) -> Bool) throws {
        let mesh = try FramedMesh<Frame>()
        let host = try FrameHost<Frame>.echo("a")
        defer { mesh.stop(); host.stop() }
        let key = ServiceKey(kind: ServiceKey.Kind(Frame.listener), name: "demo.Echo")
        let policy = policy { $0.circuitBreaker.pending = 1 }
        let limits = try #require(ServiceLimits.following(nil, policy))
        mesh.plane.post(.routes(RouteTable(services: [key])))
        mesh.plane.post(.announce(ServiceAnnouncement(key: key, policy: policy, limits: limits)))
        _ = try mesh.report()
        let (waiting, client) = (try mesh.connect(), try mesh.connect())
        defer { waiting.close(); client.close() }
        waiting.send(Frame(call(1)))
        #expect(waitUntil(within: .seconds(10)) { limits.own.breaker?.pending.current == 1 })
        #expect(isRefused(client.ask(call(2))))
        try mesh.update([Instance(host)], policy: policy)
        #expect(!isRefused(waiting.receive()) && host.calls.count == 1)
        #expect(!isRefused(client.ask(call(3))))
        #expect(limits.own.breaker?.pending.current == 0)
    }

    @Test("Dubbo: requests that wait for the registries are pending ones") func dubboDiscovery() throws {
        try discovery({ DubboCall(id: Int64($0)) }) { (answer: DubboFrame?) in answer?.status == 100 }
    }

    @Test("Bolt: requests that wait for the registries are pending ones") func boltDiscovery() throws {
        try discovery({ BoltCall(id: UInt32($0)) }) { (answer: BoltFrame?) in answer?.status == 4 }
    }

    @Test("Dubbo: beyond the requests that wait for a connection, and beyond connections") func dubboConnections()
        throws
    {
        try connections({ DubboCall(id: Int64($0)) }) { (answer: DubboFrame?) in answer?.status == 100 }
    }

    @Test("Bolt: beyond the requests that wait for a connection, and beyond connections") func boltConnections() throws
    {
        try connections({ BoltCall(id: UInt32($0)) }) { (answer: BoltFrame?) in answer?.status == 4 }
    }
}
