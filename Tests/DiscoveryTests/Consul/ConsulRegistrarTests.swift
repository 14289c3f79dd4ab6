import Model
import Runtime
import Testing

@testable import Discovery

/// Registration at agents that refuse, forget and go away.
@Suite struct ConsulRegistrarTests {
    let fixture: Fixture
    let agent: FakeConsulAgent

    init() throws {
        fixture = try Fixture()
        agent = try FakeConsulAgent(loop: fixture.loop)
    }

    static func order(weight: Double = 1, _ metadata: [String: String] = ["version": "v2"]) -> Registration {
        var registration = Registration(service: .http("order"), host: "10.0.0.5", port: 8080)
        registration.weight = weight
        registration.metadata = metadata
        return registration
    }

    private func registry(
        _ agents: FakeConsulAgent..., lifetime: Duration = .milliseconds(300),
        adjust: (inout ConsulSettings) -> Void = { _ in }
    ) throws -> ConsulRegistry {
        var settings = ConsulSettings(agents: agents.map(\.consul.server.base))
        settings.agentBackoff = Backoff(first: .milliseconds(10), cap: .milliseconds(40))
        settings.timeToLive = lifetime
        settings.pace = .milliseconds(20)
        settings.token = "s3cret-token"
        adjust(&settings)
        return try ConsulRegistry(settings, url: "consul://test", context: fixture.context, reports: fixture.reports)
    }

    @Test func registersRenewsAndTakesOut() throws {
        let registry = try registry(agent)
        registry.subscribe(.http("order"))
        let order = Self.order(weight: 3)
        registry.register(order)
        #expect(fixture.wait { fixture.registrations[order.identity] == [nil] })
        #expect(fixture.wait { fixture.addresses(.http("order")) == ["10.0.0.5:8080"] })
        let listed = try #require(fixture.told[.http("order")]?.last?.first)
        #expect(listed.weight == 3 && listed.metadata == ["version": "v2"])
        #expect(agent.consul.server.requests.allSatisfy { $0.headers["x-consul-token"] == "s3cret-token" })
        // It outlives its time by renewals alone.
        #expect(fixture.wait { agent.renewals >= 6 })
        #expect(agent.registrations == 1 && agent.expiries == 0)
        #expect(registry.status.registrations == 1 && registry.status.registered == 1)
        var outcome: String??
        registry.deregister(order.identity) { outcome = .some($0) }
        #expect(fixture.wait { outcome != nil })
        #expect(outcome == .some(nil) && agent.ids.isEmpty && registry.status.registrations == 0)
        #expect(fixture.wait { fixture.addresses(.http("order")) == [] })
        registry.deregister(order.identity) { outcome = .some($0 ?? "none") }
        #expect(outcome == .some("none"))
        registry.stop()
    }

    @Test func weightAndLabelsAreReplaced() throws {
        let registry = try registry(agent)
        registry.subscribe(.http("order"))
        registry.register(Self.order())
        registry.register(Self.order(["version": "v3"]))
        #expect(fixture.wait { fixture.told[.http("order")]?.last?.first?.metadata["version"] == "v3" })
        registry.register(Self.order(weight: 5, ["version": "v4"]))
        #expect(fixture.wait { fixture.told[.http("order")]?.last?.first?.weight == 5 })
        #expect(fixture.registrations[Self.order().identity] == [nil] && agent.ids.count == 1)
        registry.stop()
    }

    @Test func anAgentThatForgotIsToldAgain() throws {
        let registry = try registry(agent)
        let order = Self.order()
        registry.register(order)
        #expect(fixture.wait { fixture.registrations[order.identity] == [nil] })
        agent.forget()
        #expect(fixture.wait { agent.ids.count == 1 })
        agent.isOld = true
        agent.forget()
        #expect(fixture.wait { agent.ids.count == 1 && agent.registrations == 3 })
        agent.consul.kill()
        #expect(fixture.wait { (fixture.registrations[order.identity]?.count ?? 0) == 2 })
        #expect(fixture.registrations[order.identity]?[1]?.contains("connect") == true)
        agent.forget()
        try agent.consul.startForgetful()
        #expect(fixture.wait { fixture.registrations[order.identity]?.last == .some(nil) && agent.ids.count == 1 })
        registry.stop()
        // What is registered stays until its time is over.
        #expect(agent.ids.count == 1)
    }

    @Test func anotherAgentTakesItOver() throws {
        let other = try FakeConsulAgent(loop: fixture.loop)
        let registry = try registry(agent, other)
        let order = Self.order()
        registry.register(order)
        #expect(fixture.wait { agent.ids.count == 1 && agent.renewals > 0 })
        agent.consul.kill()
        #expect(fixture.wait { other.ids.count == 1 && other.renewals > 1 })
        #expect(fixture.registrations[order.identity] == [nil])
        try agent.consul.server.restart()
        var isOut = false
        registry.deregister(order.identity) { isOut = $0 == nil }
        #expect(fixture.wait { isOut && other.ids.isEmpty && agent.ids.isEmpty })
        registry.stop()
    }

    @Test func refusalsAreToldInWords() throws {
        agent.refusal = .status(403, "Permission denied: token s3cret-token lacks 'service:write'")
        let registry = try registry(agent)
        let order = Self.order()
        registry.register(order)
        #expect(fixture.wait { fixture.registrations[order.identity]?.count == 1 })
        let reason = try #require(fixture.registrations[order.identity]?.first ?? nil)
        #expect(reason.contains("may not register") && !reason.contains("s3cret"))
        let before = agent.consul.server.requests.count
        // Tried again, but not told again.
        #expect(fixture.wait { agent.consul.server.requests.count > before + 2 })
        #expect(fixture.registrations[order.identity]?.count == 1)
        agent.refusal = nil
        #expect(fixture.wait { fixture.registrations[order.identity]?.last == .some(nil) })
        #expect(!fixture.log.contains("s3cret"))
        registry.stop()
    }

    @Test func labelsThatMetadataCannotHoldBecomeTags() throws {
        let registry = try registry(agent)
        registry.subscribe(.http("order"))
        let long = String(repeating: "x", count: 600)
        registry.register(
            Self.order(weight: 0.5, ["version": "v2", "dubbo.tag": "gray", "note": long, "q\"": "\"\\\n"]))
        #expect(fixture.wait { fixture.addresses(.http("order")) == ["10.0.0.5:8080"] })
        let listed = try #require(fixture.told[.http("order")]?.last?.first)
        #expect(listed.metadata == ["version": "v2", "dubbo.tag": "gray", "note": long, "q\"": "\"\\\n"])
        #expect(listed.weight == 1)
        #expect(fixture.log.contains("dubbo.tag, note") && fixture.log.contains("whole numbers"))
        registry.stop()
    }

    @Test func dubboProvidersAreRegisteredAsDubboDoes() throws {
        let registry = try registry(agent)
        let echo = ServiceKey.dubbo("com.acme.Echo")
        registry.subscribe(echo)
        var registration = Registration(service: echo, host: "10.0.0.6", port: 20880)
        registration.interfaceVersion = "1.0.0"
        registration.group = "g"
        registration.weight = 0.5
        registration.metadata = ["application": "demo", "dubbo.tag": "gray"]
        registry.register(registration)
        #expect(fixture.wait { fixture.addresses(echo) == ["10.0.0.6:20880"] })
        let listed = try #require(fixture.told[echo]?.last?.first)
        #expect(listed.interfaceVersion == "1.0.0" && listed.group == "g" && listed.weight == 0.5)
        #expect(listed.metadata["dubbo.tag"] == "gray" && listed.metadata["application"] == "demo")
        #expect(agent.bodies.last?.contains(#""Meta":{"url":"dubbo://10.0.0.6:20880/com.acme.Echo?"#) == true)
        // A URL that is too long goes into tags alone.
        registration.metadata["methods"] = String(repeating: "sayHello,", count: 80)
        registry.register(registration)
        #expect(fixture.wait { fixture.told[echo]?.last?.first?.metadata["methods"]?.hasPrefix("say") == true })
        #expect(agent.bodies.last?.contains(#""Meta":{}"#) == true && fixture.log.contains("512"))
        #expect(fixture.addresses(echo) == ["10.0.0.6:20880"])
        registry.stop()
    }

    @Test func whatWasAnsweredTooLateIsTakenOut() throws {
        var attempts = 0
        let registry = try registry(agent) { settings in settings.timeout = .milliseconds(100) }
        agent.consul.fault = { [unowned agent] request in
            guard request.path == "/v1/agent/service/register" else { return nil }
            attempts += 1
            // The first one is taken, and nobody hears of it.
            if attempts == 1, case .status(200, _, _)? = agent.consul.register(request) { return .silence }
            return .status(500, "rate limit reached, try again later")
        }
        let order = Self.order()
        registry.register(order)
        #expect(fixture.wait { attempts > 1 && agent.ids.count == 1 })
        var outcome: String??
        registry.deregister(order.identity) { outcome = .some($0) }
        #expect(fixture.wait { outcome != nil })
        #expect(outcome == .some(nil) && agent.ids.isEmpty)
        registry.stop()
    }

    @Test func anAgentThatIsBusyIsToldAgain() throws {
        let registry = try registry(agent, lifetime: .seconds(15))
        let order = Self.order()
        registry.register(order)
        #expect(fixture.wait { agent.ids.count == 1 })
        var refusals = 2
        agent.consul.fault = { request in
            guard request.path.contains("deregister"), refusals > 0 else { return nil }
            refusals -= 1
            return .status(503, "busy")
        }
        var outcome: String??
        registry.deregister(order.identity) { outcome = .some($0) }
        #expect(fixture.wait { outcome != nil })
        #expect(outcome == .some(nil) && agent.ids.isEmpty)
        registry.stop()
    }
}
