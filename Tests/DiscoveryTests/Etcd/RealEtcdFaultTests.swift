import Glibc
import Model
import Runtime
import TestSupport
import Testing

@testable import Discovery

/// Real etcd servers that are killed, wiped, compacted, cut off and locked.
@Suite(.enabled(if: EtcdServer.isAvailable)) struct RealEtcdFaultTests {
    let fixture: Fixture
    let order = ServiceKey.http("order")

    init() throws { fixture = try Fixture() }

    private func started(_ arguments: [String] = []) throws -> (EtcdServer, EtcdTool) {
        let server = try EtcdServer(arguments)
        try server.start()
        let tool = EtcdTool(server, fixture)
        try tool.waitUntilReady()
        return (server, tool)
    }

    private func isConnected(_ registry: EtcdRegistry) -> Bool { registry.status.state == .connected }

    @Test func aKilledServerChangesNothing() throws {
        let (server, tool) = try started()
        let lease = try tool.grant(2)
        try tool.putKratos("order", 9001, lease: lease)
        let registry = fixture.etcd([server.base])
        defer { registry.stop() }
        registry.subscribe(order)
        #expect(fixture.wait { fixture.ports(order) == [9001] && isConnected(registry) })
        try server.kill()
        #expect(fixture.wait { registry.status.state == .failed })
        registry.subscribe(.http("late"))
        #expect(fixture.wait { fixture.failures[.http("late")] != nil })
        try server.start()
        #expect(fixture.wait { isConnected(registry) && fixture.told[.http("late")] == [[]] })
        #expect(fixture.told[order]?.count == 1)
        #expect(registry.status.unsteadyAt == nil)
        try tool.waitUntilReady()
        try tool.putKratos("order", 9002)
        #expect(fixture.wait { fixture.ports(order)?.contains(9002) == true })
        // The lease has had its full time again, and ends now.
        #expect(fixture.wait { fixture.ports(order) == [9002] })
        server.terminate()
        #expect(fixture.wait { registry.status.state == .failed })
        #expect(fixture.ports(order) == [9002])
        #expect(fixture.log.contains("registry.failed") && fixture.log.contains("registry.recovered"))
    }

    @Test func aWipedServerIsNoticed() throws {
        let (server, tool) = try started()
        for port in 9001...9003 { try tool.putKratos("order", port) }
        var limits = AnswerLimits()
        limits.confirmTime = .milliseconds(500)
        limits.settleTime = .seconds(1)
        let directory = fixture.directory(limits: limits) { [fixture] reports in
            var settings = EtcdSettings(servers: [server.base])
            settings.serverBackoff = Backoff(first: .milliseconds(50), cap: .milliseconds(300))
            return EtcdRegistry(settings, url: "etcd://test", context: fixture.context, reports: reports)
        }
        defer { directory.stop() }
        let registry = directory.registries[0]
        directory.require(order)
        #expect(fixture.wait { fixture.ports(order) == [9001, 9002, 9003] && registry.status.state == .connected })
        try server.kill()
        #expect(fixture.wait { registry.status.state == .failed })
        server.wipe()
        try server.start()
        #expect(fixture.wait { registry.status.unsteadyAt != nil && registry.status.state == .connected })
        #expect(fixture.ports(order) == [9001, 9002, 9003])
        #expect(fixture.log.contains("registry.history_changed"))
        try tool.waitUntilReady()
        try tool.putKratos("order", 9003)
        try tool.putKratos("order", 9004)
        // What does not come back is given up in time.
        #expect(fixture.wait { fixture.ports(order) == [9003, 9004] })
    }

    /// Another etcd with the same settings is at the address, and ahead: revisions alone do not show it.
    @Test func aServerWithAnotherPastIsNoticed() throws {
        let (server, tool) = try started()
        for port in 9001...9003 { try tool.putKratos("order", port) }
        let relay = try Relay(loop: fixture.loop, to: server.port)
        let registry = fixture.etcd([relay.base])
        defer { registry.stop() }
        registry.subscribe(order)
        #expect(fixture.wait { fixture.ports(order) == [9001, 9002, 9003] && isConnected(registry) })
        relay.stop()
        try server.kill()
        server.wipe()
        try server.start()
        try tool.waitUntilReady()
        for _ in 0..<20 { try tool.put("/x", "y") }
        try tool.putKratos("order", 9003)
        try relay.restart()
        #expect(fixture.wait { registry.status.unsteadyAt != nil })
        #expect(fixture.wait { fixture.ports(order) == [9003] && isConnected(registry) })
        try tool.putKratos("order", 9004)
        #expect(fixture.wait { fixture.ports(order) == [9003, 9004] })
    }

    @Test func missedHistoryIsReadAgain() throws {
        let (server, tool) = try started()
        try tool.putKratos("order", 9001)
        try tool.putKratos("steady", 9000)
        let relay = try Relay(loop: fixture.loop, to: server.port)
        let registry = fixture.etcd([relay.base])
        defer { registry.stop() }
        registry.subscribe(order)
        registry.subscribe(.http("steady"))
        #expect(fixture.wait { fixture.ports(order) == [9001] && isConnected(registry) })
        // What happens while the stream is broken is told afterwards, from history.
        relay.stop()
        #expect(fixture.wait { registry.status.state == .failed })
        try tool.putKratos("order", 9002)
        try tool.delete("/microservices/order/9001")
        try relay.restart()
        #expect(fixture.wait { fixture.ports(order) == [9002] })
        #expect(fixture.wait { isConnected(registry) })
        #expect(!fixture.log.contains("registry.history_compacted"))
        relay.stop()
        #expect(fixture.wait { registry.status.state == .failed })
        try tool.putKratos("order", 9003)
        let last = try tool.put("/x", "y")
        try tool.call("/v3/kv/compaction", #"{"revision":"\#(last)"}"#)
        try tool.delete("/microservices/order/9002")
        try relay.restart()
        #expect(fixture.wait { fixture.ports(order) == [9003] })
        #expect(fixture.log.contains("registry.history_compacted"))
        try tool.putKratos("order", 9004)
        #expect(fixture.wait { fixture.ports(order) == [9003, 9004] && isConnected(registry) })
        #expect(registry.status.unsteadyAt == nil)
    }

    @Test func aMinorityIsLeft() throws {
        let servers = try EtcdServer.cluster(of: 3)
        for server in servers { try server.start() }
        let tools = servers.map { EtcdTool($0, fixture) }
        for tool in tools { try tool.waitUntilReady() }
        try tools[0].putKratos("order", 9001)
        let registry = fixture.etcd(servers.map(\.base)) {
            $0.timeout = .seconds(1)
            $0.probePeriod = .seconds(1)
        }
        defer { registry.stop() }
        registry.subscribe(order)
        #expect(fixture.wait { fixture.ports(order) == [9001] && isConnected(registry) })
        // One member is lost: the others go on.
        servers[0].signal(SIGSTOP)
        try tools[1].waitUntilReady()
        try tools[1].call("/v3/kv/put", #"{"key":"L3g="}"#, repeats: true)
        try tools[1].putKratos("order", 9002)
        registry.refresh(order)
        #expect(fixture.wait { fixture.ports(order) == [9001, 9002] })
        // Two are lost: hosts stay, and one who starts now gets the copy of the last.
        servers[1].signal(SIGSTOP)
        let late = try Fixture()
        let other = late.etcd([servers[2].base]) {
            $0.staleAfter = .milliseconds(200)
            $0.timeout = .seconds(1)
        }
        defer { other.stop() }
        other.subscribe(order)
        #expect(late.wait { late.ports(order) == [9001, 9002] })
        #expect(other.status.state != .connected)
        #expect(fixture.wait { registry.status.state == .failed })
        #expect(fixture.ports(order) == [9001, 9002])
        for server in servers { server.signal(SIGCONT) }
        #expect(fixture.wait { isConnected(registry) })
        try tools[2].waitUntilReady()
        try tools[2].call("/v3/kv/put", #"{"key":"L3g="}"#, repeats: true)
        try tools[2].putKratos("order", 9003)
        #expect(fixture.wait { fixture.ports(order) == [9001, 9002, 9003] })
        #expect(late.wait { late.ports(order) == [9001, 9002, 9003] && other.status.state == .connected })
        #expect(registry.status.unsteadyAt == nil)
    }

    @Test func logsIn() throws {
        let (server, tool) = try started(["--auth-token-ttl", "3"])
        // A login that is not wanted does no harm.
        let early = fixture.etcd([server.base], user: "mesh")
        early.subscribe(order)
        #expect(fixture.wait { fixture.told[order] == [[]] && isConnected(early) })
        try lock(tool)
        var root = tool
        root.token = try tool.call("/v3/auth/authenticate", #"{"name":"root","password":"r"}"#).string("token")
        try root.putKratos("order", 9001)
        // It goes on over the end of its token, and of its connection.
        let services = (0..<4).map { ServiceKey.http("s\($0)") }
        #expect(fixture.wait { fixture.ports(order) == [9001] })
        early.subscribe(services[0])
        #expect(fixture.wait { fixture.told[services[0]] == [[]] })
        let end = Clock.nanoseconds + 3_600_000_000
        _ = fixture.wait { Clock.nanoseconds > end }
        early.subscribe(services[1])
        #expect(fixture.wait { fixture.told[services[1]] == [[]] })
        root.token = try tool.call("/v3/auth/authenticate", #"{"name":"root","password":"r"}"#).string("token")
        try root.putKratos("order", 9002)
        #expect(fixture.wait { fixture.ports(order) == [9001, 9002] })
        early.stop()
        try expectRefusals(server)
        // A user for one service only: that one is watched by itself.
        let narrow = fixture.etcd([server.base], user: "narrow") { $0.layouts = [EtcdLayout(.kratos)] }
        narrow.subscribe(.http("own"))
        narrow.subscribe(.http("foreign"))
        #expect(fixture.wait { fixture.told[.http("own")] == [[]] })
        #expect(fixture.wait { fixture.failures[.http("foreign")]?.contains("permission denied") == true })
        #expect(fixture.wait { isConnected(narrow) })
        try root.putKratos("own", 9005)
        #expect(fixture.wait { fixture.ports(.http("own")) == [9005] })
        narrow.stop()
        #expect(!fixture.log.contains("s3cret"))
    }

    private func lock(_ tool: EtcdTool) throws {
        try tool.call("/v3/auth/user/add", #"{"name":"root","password":"r"}"#)
        try tool.call("/v3/auth/role/add", #"{"name":"root"}"#)
        try tool.call("/v3/auth/user/grant", #"{"user":"root","role":"root"}"#)
        for (user, prefix) in [("mesh", "/"), ("narrow", "/microservices/own/")] {
            try tool.call("/v3/auth/user/add", #"{"name":"\#(user)","password":"s3cret\"&"}"#)
            try tool.call("/v3/auth/role/add", #"{"name":"\#(user)"}"#)
            let permission = "{\"permType\":\"READ\",\(EtcdSpan(prefix: prefix).members())}"
            try tool.call("/v3/auth/role/grant", #"{"name":"\#(user)","perm":\#(permission)}"#)
            try tool.call("/v3/auth/user/grant", #"{"user":"\#(user)","role":"\#(user)"}"#)
        }
        try tool.call("/v3/auth/enable", "{}")
    }

    private func expectRefusals(_ server: EtcdServer) throws {
        for (user, words) in [(nil, "wants a login"), ("nobody", "login refused")] {
            let service = ServiceKey.http("refused \(user ?? "")")
            let registry = fixture.etcd([server.base], user: user)
            registry.subscribe(service)
            #expect(fixture.wait { fixture.failures[service]?.contains(words) == true }, "\(words)")
            #expect(registry.status.state == .failed)
            registry.stop()
        }
    }
}
