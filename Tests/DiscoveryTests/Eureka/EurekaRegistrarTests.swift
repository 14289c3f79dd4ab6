import Runtime
import Testing

@testable import Discovery

/// Registration in servers that refuse, forget and go away.
@Suite struct EurekaRegistrarTests {
    let fixture: Fixture
    let eureka: FakeEureka
    let order: Registration

    init() throws {
        fixture = try Fixture()
        eureka = try FakeEureka(loop: fixture.loop)
        var order = Registration(service: .http("Order"), host: "10.0.0.5", port: 8080)
        order.metadata = ["version": "v2", "odd\"": "a\\\n"]
        self.order = order
    }

    private func registry(_ servers: FakeEureka...) -> EurekaRegistry {
        var settings = EurekaSettings(servers: servers.map { $0.server.base + "/eureka" })
        settings.heartbeat = .milliseconds(50)
        settings.serverBackoff = Backoff(first: .milliseconds(10), cap: .milliseconds(40))
        return EurekaRegistry(settings, url: "eureka://test", context: fixture.context, reports: fixture.reports)
    }

    private func label(_ body: String, _ path: [StaticString]) throws -> String {
        let text = Array(body.utf8)
        var range = 0..<text.count
        for name in path { range = try #require(JSONText.object(text, in: range)?[name]) }
        return try #require(JSONText.label(text, range))
    }

    private func beats() -> [FakeServer.Request] { eureka.server.requests.filter { $0.method == "PUT" } }

    @Test func registersAsSpringDoesAndTakesOut() throws {
        let registry = registry(eureka)
        registry.register(order)
        #expect(fixture.wait { fixture.registrations[order.identity] == [nil] && beats().count >= 3 })
        #expect(registry.status.state == .connected && registry.status.registered == 1)
        let body = try #require(eureka.registrations["/ORDER"]?.first)
        #expect(try label(body, ["instance", "instanceId"]) == "10.0.0.5:order:8080")
        #expect(try label(body, ["instance", "app"]) == "ORDER" && label(body, ["instance", "vipAddress"]) == "order")
        #expect(try label(body, ["instance", "port", "$"]) == "8080" && label(body, ["instance", "status"]) == "UP")
        #expect(try label(body, ["instance", "metadata", "version"]) == "v2")
        #expect(try label(body, ["instance", "metadata", "odd\\\""]) == "a\\\n")
        #expect(eureka.registrations["/ORDER"]?.count == 1)
        #expect(beats()[0].path == "/eureka/apps/ORDER/10.0.0.5%3Aorder%3A8080")
        let stamp = try label(body, ["instance", "lastDirtyTimestamp"])
        #expect(beats()[0].query == ["status": "UP", "lastDirtyTimestamp": stamp])
        var outcome: String??
        registry.deregister(order.identity) { outcome = .some($0) }
        #expect(fixture.wait { outcome != nil })
        #expect(outcome == .some(nil) && registry.status.registrations == 0)
        let last = eureka.server.requests.suffix(2)
        #expect(last.map(\.method) == ["POST", "DELETE"])
        #expect(try label(last.first?.body ?? "", ["instance", "status"]) == "DOWN")
        registry.stop()
    }

    @Test func aChangedRegistrationIsNewerThanTheFormer() throws {
        let registry = registry(eureka)
        registry.register(order)
        var other = order
        other.weight = 7
        registry.register(other)
        #expect(fixture.wait { eureka.registrations["/ORDER"]?.count == 2 })
        let bodies = try #require(eureka.registrations["/ORDER"])
        let stamps = try bodies.map { Int64(try label($0, ["instance", "lastDirtyTimestamp"])) ?? 0 }
        #expect(stamps[1] > stamps[0])
        #expect(try label(bodies[1], ["instance", "metadata", "weight"]) == "7")
        registry.stop()
    }

    @Test func aServerThatForgotIsToldAgain() throws {
        let registry = registry(eureka)
        registry.register(order)
        #expect(fixture.wait { beats().count >= 2 })
        eureka.wipe()
        #expect(fixture.wait { eureka.registrations["/ORDER"]?.count == 1 })
        #expect(fixture.registrations[order.identity] == [nil])
        eureka.server.stop()
        #expect(fixture.wait { fixture.registrations[order.identity]?.count == 2 })
        eureka.wipe()
        try eureka.server.restart()
        #expect(fixture.wait { eureka.registrations["/ORDER"]?.count == 1 })
        #expect(fixture.wait { fixture.registrations[order.identity]?.last == .some(nil) })
        registry.stop()
    }

    @Test func anotherServerTakesItOver() throws {
        let other = try FakeEureka(loop: fixture.loop)
        let registry = registry(eureka, other)
        registry.register(order)
        #expect(fixture.wait { beats().count >= 2 })
        eureka.server.stop()
        #expect(fixture.wait { other.registrations["/ORDER"]?.count == 1 })
        #expect(fixture.registrations[order.identity] == [nil])
        registry.stop()
    }

    @Test func refusalsAreToldOnce() throws {
        eureka.fault = { $0.method == "POST" ? .status(400, "Missing hostname") : nil }
        let registry = registry(eureka)
        registry.register(order)
        #expect(fixture.wait { eureka.server.requests.count >= 3 })
        #expect(fixture.registrations[order.identity] == ["status 400: Missing hostname"])
        #expect(registry.status.registrations == 1 && registry.status.registered == 0)
        let echo = Registration(service: .dubbo("com.acme.Echo"), host: "10.0.0.5", port: 20880)
        registry.register(echo)
        #expect(fixture.wait { fixture.registrations[echo.identity]?.first??.contains("not interfaces") == true })
        registry.stop()
    }

    @Test func takingOutIsTriedAgainAndPutsNothingBack() throws {
        let registry = registry(eureka)
        registry.register(order)
        #expect(fixture.wait { fixture.registrations[order.identity] == [nil] })
        var refusals = 2
        eureka.fault = { request in
            guard request.method == "DELETE", refusals > 0 else { return nil }
            refusals -= 1
            return .status(503, "")
        }
        var outcome: String??
        registry.deregister(order.identity) { outcome = .some($0) }
        #expect(fixture.wait { outcome != nil })
        #expect(outcome == .some(nil) && eureka.registrations.isEmpty)
        #expect(eureka.server.requests.suffix(4).map(\.method) == ["POST", "DELETE", "DELETE", "DELETE"])
        registry.stop()
    }
}
