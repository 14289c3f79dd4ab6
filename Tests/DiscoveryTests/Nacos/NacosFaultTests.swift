import Model
import Runtime
import Testing

@testable import Discovery

/// Servers that go wrong: known hosts stay, the reason is told once, and all is well again afterwards.
@Suite struct NacosFaultTests {
    let fixture: Fixture
    let nacos: FakeNacos
    let order = ServiceKey.http("order")

    init() throws {
        fixture = try Fixture()
        nacos = try FakeNacos(loop: fixture.loop)
        nacos.set("order", "10.0.0.1", "10.0.0.2")
    }

    private func quick(_ servers: FakeNacos..., user: String? = nil) -> NacosRegistry {
        fixture.nacos(servers, user: user) { settings in
            settings.serverBackoff = Backoff(first: .milliseconds(10), cap: .milliseconds(40))
        }
    }

    private func count(_ event: String) -> Int {
        fixture.log.split(separator: "\n").count { $0.contains("event=\(event) ") }
    }

    static let faults: [(String, FakeServer.Answer)] = [
        ("not JSON", .ok("<html>sorry</html>")), ("nothing", .ok("")), ("an error object", .ok(#"{"code":30000}"#)),
        ("no hosts", .ok(#"{"name":"x"}"#)), ("bad request", .status(400, "Param 'serviceName' is illegal")),
        ("internal error", .status(500, #"{"status":500}"#)), ("forbidden", .status(403, #"{"status":403}"#)),
        ("starting", .status(503, "server is STARTINGnow, please try again later!")),
        ("gateway", .status(502, "bad gateway")), ("redirect", .status(302, "", headers: [("Location", "/login")])),
        ("gone", .status(410, "gone")), ("not found", .status(404, "")), ("not implemented", .status(501, "")),
        ("reset", .reset), ("half", .raw("HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{\"hosts\":[", close: true)),
        ("no HTTP", .raw("SSH-2.0-OpenSSH_9.2\r\n", close: true)), ("closed", .raw("", close: true)),
    ]

    /// A refresh of an interface is answered although one of its names is refused for ever.
    @Test func aBadNameLeavesTheOthersAlone() throws {
        let echo = ServiceKey.dubbo("a.Echo")
        for version in ["1", "2"] {
            nacos.set("providers:a.Echo:\(version):", "10.0.0.\(version)", metadata: #"{"protocol":"dubbo"}"#)
        }
        nacos.fault = { request in
            let name = request.query["serviceName"] ?? ""
            return name.hasSuffix("a.Echo:2:") ? .status(400, "Param 'serviceName' is illegal") : nil
        }
        let registry = quick(nacos)
        defer { registry.stop() }
        registry.subscribe(echo)
        #expect(fixture.wait { fixture.addresses(echo) == ["10.0.0.1:8080"] })
        nacos.set("providers:a.Echo:1:", "10.0.0.3", metadata: #"{"protocol":"dubbo"}"#)
        #expect(fixture.wait { fixture.addresses(echo) == ["10.0.0.3:8080"] })
        let count = fixture.told[echo]?.count ?? 0
        registry.refresh(echo)
        #expect(fixture.wait { fixture.told[echo]?.count ?? 0 > count })
        // Its last hosts go.
        nacos.set("providers:a.Echo:1:")
        #expect(fixture.wait { fixture.addresses(echo) == [] })
        #expect(fixture.failures.isEmpty)
        registry.unsubscribe(echo)
        // As a first answer that would be a guess.
        registry.subscribe(echo)
        #expect(fixture.wait { fixture.failures[echo]?.contains("illegal") == true })
    }

    @Test(arguments: faults.indices)
    func faultsChangeNothingForKnownHosts(index: Int) throws {
        let (name, fault) = Self.faults[index]
        let registry = quick(nacos)
        registry.subscribe(order)
        #expect(fixture.wait { fixture.told[order] != nil })
        nacos.fault = { _ in fault }
        let failures = registry.status.failures
        #expect(fixture.wait { registry.status.failures >= failures + 5 }, "\(name)")
        #expect(registry.status.state == .failed && registry.status.lastError != nil, "\(name)")
        #expect(fixture.told[order]?.count == 1)
        #expect(fixture.failures.isEmpty)
        nacos.fault = { _ in nil }
        nacos.set("order", "10.0.0.1", "10.0.0.3")
        #expect(fixture.wait { fixture.addresses(order)?.contains("10.0.0.3:8080") == true }, "\(name)")
        #expect(registry.status.state == .connected)
        #expect(count("registry.failed") == 1 && count("registry.recovered") == 1, "\(name)\n\(fixture.log)")
        registry.stop()
    }

    @Test(arguments: faults.indices)
    func theFirstAnswerFailingIsTold(index: Int) throws {
        let (name, fault) = Self.faults[index]
        nacos.fault = { _ in fault }
        let registry = quick(nacos)
        registry.subscribe(order)
        #expect(fixture.wait { fixture.failures[order] != nil }, "\(name)")
        // So is one that is subscribed while nothing is sent.
        #expect(fixture.wait { registry.status.state == .failed })
        registry.subscribe(.http("late"))
        #expect(fixture.wait { fixture.failures[.http("late")] != nil }, "\(name)")
        #expect(fixture.told.isEmpty)
        nacos.fault = { _ in nil }
        #expect(fixture.wait { fixture.told[order] != nil }, "\(name)")
        registry.stop()
    }

    @Test func slowAnswersTimeOut() throws {
        let registry = fixture.nacos(nacos) { $0.timeout = .milliseconds(80) }
        registry.subscribe(order)
        #expect(fixture.wait { fixture.told[order] != nil })
        nacos.fault = { _ in .raw("HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{\"hosts\":[", close: false) }
        #expect(fixture.wait { registry.status.state == .failed })
        #expect(registry.status.lastError?.contains("no complete answer") == true)
        #expect(fixture.told[order]?.count == 1)
        registry.stop()
    }

    @Test func hugeAnswersAreRefused() throws {
        let registry = fixture.nacos(nacos) { $0.largestAnswer = 100_000 }
        registry.subscribe(order)
        #expect(fixture.wait { fixture.told[order] != nil })
        nacos.fault = { _ in .ok(#"{"hosts":["# + String(repeating: " ", count: 200_000) + "]}") }
        #expect(fixture.wait { registry.status.lastError?.contains("larger than") == true })
        #expect(fixture.told[order]?.count == 1)
        registry.stop()
    }

    /// As behind a gateway that knows no way for them.
    @Test(arguments: [502, 503])
    func configurationsThatAreAwayForEverDoNotHoldTheListsUp(status: Int) throws {
        let echo = ServiceKey.dubbo("a.Echo")
        nacos.set("providers:a.Echo:1:", "10.0.0.1", metadata: #"{"protocol":"dubbo"}"#)
        nacos.fault = { $0.path.contains("/cs/") ? .status(status, "no") : nil }
        let registry = quick(nacos)
        defer { registry.stop() }
        registry.subscribe(order)
        registry.subscribe(echo)
        #expect(fixture.wait { fixture.told[order] != nil && fixture.addresses(echo) == ["10.0.0.1:8080"] })
        let unsteadyAt = registry.status.unsteadyAt
        let polls = nacos.polls("order")
        #expect(fixture.wait { nacos.polls("order") > polls + 10 })
        #expect(registry.status.unsteadyAt == unsteadyAt && registry.status.state == .connected)
        nacos.set("order", "10.0.0.9")
        #expect(fixture.wait { fixture.addresses(order) == ["10.0.0.9:8080"] })
    }

    @Test func oneBadServiceDoesNotDisturbOthers() throws {
        nacos.fault = { $0.query["serviceName"] == "bad" ? .status(500, "x") : nil }
        let registry = quick(nacos)
        registry.subscribe(.http("bad"))
        registry.subscribe(order)
        #expect(fixture.wait { fixture.failures[.http("bad")] != nil && nacos.polls("order") > 20 })
        #expect(registry.status.state == .connected)
        #expect(count("registry.service_failed") == 1)
        // It is asked less and less often.
        #expect(nacos.polls("bad") < nacos.polls("order") / 2)
        nacos.fault = { _ in nil }
        #expect(fixture.wait { fixture.told[.http("bad")] != nil })
        #expect(count("registry.service_recovered") == 1)
        registry.stop()
    }

    @Test func takesTheNextServerAndStaysThere() throws {
        let other = try FakeNacos(loop: fixture.loop)
        other.services = nacos.services
        let registry = quick(nacos, other)
        registry.subscribe(order)
        #expect(fixture.wait { nacos.polls("order") >= 3 })
        #expect(other.polls("order") == 0)
        nacos.server.stop()
        #expect(fixture.wait { other.polls("order") >= 3 })
        #expect(registry.status.state == .connected)
        try nacos.server.restart()
        let (before, there) = (nacos.polls("order"), other.polls("order"))
        #expect(fixture.wait { other.polls("order") >= there + 10 })
        #expect(nacos.polls("order") == before)
        // And back when that one fails.
        other.server.stop()
        #expect(fixture.wait { nacos.polls("order") >= before + 3 })
        #expect(fixture.told[order]?.count == 1)
        registry.stop()
    }

    @Test func asksAnotherServerAboutAServiceThatOneRefuses() throws {
        let other = try FakeNacos(loop: fixture.loop)
        other.services = nacos.services
        nacos.fault = { $0.query["serviceName"] == "order" ? .status(500, "x") : nil }
        let registry = quick(nacos, other)
        registry.subscribe(order)
        #expect(fixture.wait { fixture.told[order] != nil })
        #expect(other.polls("order") >= 1)
        registry.stop()
    }

    @Test func tellsWhenItsListsBecameDoubtful() throws {
        let registry = quick(nacos)
        registry.subscribe(order)
        #expect(fixture.wait { fixture.told[order] != nil })
        #expect(registry.status.unsteadyAt == nil)
        nacos.server.stop()
        #expect(fixture.wait { registry.status.state == .failed })
        let lost = try #require(registry.status.unsteadyAt)
        try nacos.server.restart()
        #expect(fixture.wait { registry.status.state == .connected })
        #expect(try #require(registry.status.unsteadyAt) > lost)
        registry.stop()
    }

    @Test func leavesAServerThatIsAwayAlone() throws {
        let registry = fixture.nacos(nacos) { $0.serverBackoff = Backoff(first: .milliseconds(200), cap: .seconds(1)) }
        for number in 0..<50 { registry.subscribe(.http("s\(number)")) }
        #expect(fixture.wait { fixture.told.count == 50 })
        nacos.fault = { _ in .status(503, "server is DOWNnow") }
        let before = nacos.server.requests.count
        #expect(!fixture.wait(.milliseconds(500)) { nacos.server.requests.count > before + 15 })
        nacos.fault = { _ in nil }
        #expect(fixture.wait { (0..<50).allSatisfy { nacos.polls("s\($0)") > 3 } })
        registry.stop()
    }

    @Test func usesTheNewAPIWhereTheOldOneIsGone() throws {
        nacos.hasV1 = false
        nacos.hasV3 = true
        let registry = quick(nacos)
        for name in ["order", "a", "b", "c", "d"] { registry.subscribe(.http(name)) }
        #expect(fixture.wait { fixture.told.count == 5 })
        #expect(fixture.addresses(order) == ["10.0.0.1:8080", "10.0.0.2:8080"])
        #expect(fixture.failures.isEmpty)
        #expect(count("registry.api_changed") == 1)
        // Back again: the server was replaced by an old one.
        nacos.hasV1 = true
        nacos.hasV3 = false
        nacos.set("order", "10.0.0.5")
        #expect(fixture.wait { fixture.addresses(order) == ["10.0.0.5:8080"] })
        registry.stop()
    }
}
