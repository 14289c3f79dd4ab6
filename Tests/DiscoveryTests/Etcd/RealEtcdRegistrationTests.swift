import Glibc
import Model
import Runtime
import TestSupport
import Testing

@testable import Discovery

/// Registrations in real etcd servers.
@Suite(.enabled(if: EtcdServer.isAvailable)) struct RealEtcdRegistrationTests {
    let fixture: Fixture
    let server: EtcdServer
    let tool: EtcdTool

    init() throws {
        fixture = try Fixture()
        server = try EtcdServer()
        try server.start()
        tool = EtcdTool(server, fixture)
        try tool.waitUntilReady()
    }

    private func registration(_ service: ServiceKey, _ port: UInt16) -> Registration {
        var registration = Registration(service: service, host: "127.0.0.1", port: port)
        registration.metadata = ["version": "v1"]
        return registration
    }

    @Test func registersChangesAndTakesOut() throws {
        let registry = fixture.etcd([server.base]) {
            $0.leaseSeconds = 3
            $0.renewalPeriod = .milliseconds(300)
        }
        defer { registry.stop() }
        var order = registration(.http("order"), 9001)
        order.weight = 2.5
        order.metadata["note"] = "a \"b\" ä"
        var echo = registration(.dubbo("demo.Echo"), 9101)
        (echo.interfaceVersion, echo.group) = ("1.0.0", "blue")
        echo.metadata = ["application": "shop", "methods": "a,b"]
        registry.register(order)
        registry.register(echo)
        #expect(registry.status.registrations == 2 && registry.status.registered == 0)
        #expect(fixture.wait { registry.status.registered == 2 })
        #expect(fixture.registrations == [order.identity: [nil], echo.identity: [nil]])
        // What is written is what another one reads.
        let reader = fixture.etcd([server.base])
        defer { reader.stop() }
        for service in [order.service, echo.service] { reader.subscribe(service) }
        #expect(fixture.wait { fixture.ports(order.service) == [9001] && fixture.ports(echo.service) == [9101] })
        let listed = try #require(fixture.told[order.service]?.last?.first)
        #expect(listed.weight == 2.5)
        #expect(listed.metadata == ["version": "v1", "note": "a \"b\" ä", "weight": "250"])
        let provider = try #require(fixture.told[echo.service]?.last?.first)
        #expect(provider.interfaceVersion == "1.0.0" && provider.group == "blue" && provider.weight == 1)
        #expect(provider.metadata["application"] == "shop")
        #expect(try tool.read("/dubbo/").keys.first?.contains("methods%3Da%2Cb%26") == true)
        #expect(try tool.read("/microservices/").keys.sorted() == ["/microservices/order/127.0.0.1:9001"])
        // After its lease it is still there.
        #expect(!fixture.wait(.seconds(4)) { fixture.told[order.service]?.count != 1 })
        echo.weight = 3
        registry.register(echo)
        #expect(fixture.wait { fixture.told[echo.service]?.last?.map(\.weight) == [3] })
        #expect(try tool.read("/dubbo/").count == 1)
        var outcome: String??
        registry.deregister(order.identity) { outcome = .some($0) }
        #expect(outcome == nil)
        #expect(fixture.wait { outcome != nil && fixture.ports(order.service) == [] })
        #expect(outcome == .some(nil))
        #expect(registry.status.registrations == 1 && registry.status.registered == 1)
        outcome = nil
        registry.deregister(order.identity) { outcome = .some($0) }
        #expect(fixture.wait { outcome == .some(nil) })
        // Without us it ends with its lease.
        registry.stop()
        #expect(fixture.wait { fixture.ports(echo.service) == [] })
    }

    @Test func registersAgainAfterItsLeaseAndAfterAWipe() throws {
        let registry = fixture.etcd([server.base]) {
            // Longer than any pause of a busy machine: a lease that dies here was revoked.
            $0.leaseSeconds = 60
            $0.renewalPeriod = .milliseconds(200)
            $0.layouts = [EtcdLayout(.goZero)]
            $0.registrationLayout = EtcdLayout(.goZero)
        }
        defer { registry.stop() }
        let user = registration(.http("user.rpc"), 9001)
        registry.register(user)
        registry.subscribe(user.service)
        #expect(fixture.wait { fixture.ports(user.service) == [9001] && registry.status.registered == 1 })
        let key = try #require(try tool.read("user.rpc/").keys.first)
        let lease = try #require(Int64(key.dropFirst("user.rpc/".count)))
        try tool.revoke(lease)
        #expect(fixture.wait { fixture.registrations[user.identity] == [nil, "its lease has died", nil] })
        #expect(try tool.read("user.rpc/").keys.filter { $0 != key }.count == 1)
        #expect(fixture.wait { fixture.ports(user.service) == [9001] })
        #expect(fixture.log.contains("registry.registration_lost"))
        // While it is away, nothing is confirmed; a wiped one has it again.
        try server.kill()
        #expect(fixture.wait { registry.status.state == .failed })
        let other = registration(.http("other.rpc"), 9002)
        registry.register(other)
        var outcome: String??
        registry.deregister(other.identity) { outcome = .some($0) }
        #expect(fixture.wait { outcome != nil })
        registry.register(other)
        server.wipe()
        try server.start()
        #expect(fixture.wait { registry.status.registered == 2 && registry.status.state == .connected })
        try tool.waitUntilReady()
        #expect(try Array(tool.read("user.rpc/").values) == ["127.0.0.1:9001"])
        #expect(try Array(tool.read("other.rpc/").values) == ["127.0.0.1:9002"])
    }

    @Test func putsBackWhatSomebodyHasDeleted() throws {
        let registry = fixture.etcd([server.base]) {
            $0.leaseSeconds = 60
            $0.renewalPeriod = .milliseconds(50)
        }
        defer { registry.stop() }
        // More than are looked for in one exchange.
        let orders = (1...70).map { registration(.http("order\($0)"), UInt16(9000 + $0)) }
        for order in orders { registry.register(order) }
        #expect(fixture.wait { registry.status.registered == 70 })
        let leases = Set(try leases())
        try tool.deleteAll()
        #expect(fixture.wait { orders.allSatisfy { fixture.registrations[$0.identity]?.count == 3 } })
        let outcomes = Set(orders.compactMap { fixture.registrations[$0.identity] })
        #expect(outcomes == [[nil, "somebody has deleted it", nil]])
        #expect(try tool.read("/microservices/").count == 70 && Set(try self.leases()) == leases)
        // What was taken out stays out, also where it was being looked for.
        var outs: [String?] = []
        for order in orders { registry.deregister(order.identity) { outs.append($0) } }
        #expect(fixture.wait { outs.count == 70 } && outs.allSatisfy { $0 == nil })
        #expect(!fixture.wait(.milliseconds(300)) { registry.status.registrations > 0 })
        #expect(try tool.read("/microservices/").isEmpty)
    }

    private func leases() throws -> [Int64] {
        let answer = try tool.call("/v3/lease/leases", "{}")
        return (answer.elements("leases") ?? []).compactMap { EtcdText(answer.text, in: $0)?.number("ID") }
    }
}
