import Model
import Runtime
import Testing

@testable import Discovery

/// What is written into Nacos is taken out again whatever the server answers, and no answer makes a loop.
@Suite struct NacosWithdrawalTests {
    let fixture: Fixture
    let nacos: FakeNacos
    let push: FakeNacosPush
    let shop = Registration(service: .http("shop"), host: "10.0.0.7", port: 8080)

    init() throws {
        fixture = try Fixture()
        nacos = try FakeNacos(loop: fixture.loop)
        push = try FakeNacosPush(nacos, loop: fixture.loop)
    }

    private func registry(isPushed: Bool, beat: Duration = .milliseconds(30)) -> NacosRegistry {
        fixture.nacos(nacos) { settings in
            if isPushed { settings.pushServers = [.init(host: "127.0.0.1", port: push.port)] }
            settings.quicken()
            settings.beat = beat
            settings.serverBackoff = Backoff(first: .milliseconds(10), cap: .milliseconds(40))
        }
    }

    private var pushed: [String: String]? { push.clients.last?.instances["shop"] }
    private var outcome: String?? { fixture.registrations[shop.identity]?.last }

    /// Registrations, beats and withdrawals so far.
    private func questions(_ method: String? = nil) -> Int {
        nacos.server.requests.count { $0.path.contains("/ns/instance") && $0.method == method ?? $0.method }
    }

    static let storms: [(String, @Sendable (FakeServer.Request) -> FakeServer.Answer?)] = [
        ("always unknown", { _ in .ok(#"{"code":20404}"#) }),
        ("beats unknown", { $0.method == "PUT" ? .ok(#"{"code":20404}"#) : nil }),
        ("refused", { _ in .status(400, "no") }), ("nonsense", { _ in .ok("<html>") }),
        ("away", { _ in .status(503, "no") }), ("reset", { _ in .reset }),
        ("beats wanted at once", { _ in .ok(#"{"code":10200,"clientBeatInterval":0}"#) }),
    ]

    @Test(arguments: storms.indices)
    func noAnswerMakesMoreQuestionsThanTheRate(number: Int) throws {
        let (name, fault) = Self.storms[number]
        nacos.fault = fault
        let registry = registry(isPushed: false, beat: .milliseconds(500))
        defer { registry.stop() }
        registry.register(shop)
        #expect(fixture.wait { questions() >= 1 })
        // Four are free, then there is one each fifth of a beat.
        #expect(!fixture.wait(.milliseconds(500)) { questions() > 10 }, "\(name)")
        nacos.fault = { _ in nil }
        #expect(fixture.wait { outcome == .some(nil) && nacos.registered["shop"]?.count == 1 }, "\(name)")
    }

    @Test func whatThePushServerHasWithoutSayingSoIsTakenOut() throws {
        push.fault = { $0.type == "InstanceRequest" ? .lost : nil }
        let registry = registry(isPushed: true)
        defer { registry.stop() }
        registry.register(shop)
        #expect(fixture.wait { outcome??.contains("no answer") == true })
        #expect(pushed?.count == 1 && registry.status.registered == 0)
        push.fault = { _ in nil }
        var left: [String?] = []
        registry.deregister(shop.identity) { left.append($0) }
        #expect(fixture.wait { left == [nil] })
        #expect(pushed == nil && registry.status.registrations == 0)
    }

    @Test func aWithdrawalThatThePushServerRefusesIsRepeated() throws {
        let registry = registry(isPushed: true)
        defer { registry.stop() }
        registry.register(shop)
        #expect(fixture.wait { outcome == .some(nil) && pushed?.count == 1 })
        var refusals = 0
        push.fault = { call in
            guard call.type == "InstanceRequest", refusals < 2 else { return nil }
            refusals += 1
            return .error(500, "not now")
        }
        var left: [String?] = []
        registry.deregister(shop.identity) { left.append($0) }
        #expect(fixture.wait { left == [nil] })
        #expect(refusals == 2 && pushed == nil)
        // That is all.
        let count = push.count("InstanceRequest")
        #expect(!fixture.wait(.milliseconds(300)) { push.count("InstanceRequest") > count })
    }

    @Test func aWithdrawalThatTheServerRefusesIsRepeated() throws {
        let registry = registry(isPushed: false)
        defer { registry.stop() }
        registry.register(shop)
        #expect(fixture.wait { outcome == .some(nil) })
        nacos.fault = { [nacos] request in
            guard request.method == "DELETE" else { return nil }
            switch nacos.server.requests.count(where: { $0.method == "DELETE" }) {
            case 1: return .status(503, "not now")
            case 2: return .status(500, "nor now")
            default: return nil
            }
        }
        var left: [String?] = []
        registry.deregister(shop.identity) { left.append($0) }
        #expect(fixture.wait { left == [nil] })
        #expect(nacos.registered["shop"]?.isEmpty == true && questions("DELETE") == 3)
    }

    @Test func aRegistrationThatIsSeenLateIsTakenOutAgain() throws {
        nacos.fault = { $0.method == "POST" ? .later(1) : nil }
        let registry = registry(isPushed: false)
        defer { registry.stop() }
        registry.register(shop)
        #expect(fixture.wait { questions("POST") == 1 })
        var left: [String?] = []
        registry.deregister(shop.identity) { left.append($0) }
        #expect(fixture.wait { questions("DELETE") == 1 })
        #expect(left.isEmpty)
        nacos.registered["shop"] = ["10.0.0.7:8080": ""]
        nacos.server.complete(1, .ok("ok"))
        #expect(fixture.wait { left == [nil] })
        #expect(nacos.registered["shop"]?.isEmpty == true && questions("POST") == 1)
    }

    @Test func aRegistrationThatWasNotAnsweredIsTakenOut() throws {
        nacos.fault = { [nacos] request in
            guard request.method == "POST" else { return nil }
            nacos.registered["shop"] = ["10.0.0.7:8080": ""]
            return .reset
        }
        let registry = registry(isPushed: false, beat: .seconds(10))
        defer { registry.stop() }
        registry.register(shop)
        #expect(fixture.wait { outcome??.isEmpty == false })
        nacos.fault = { $0.method == "POST" ? .status(400, "no") : nil }
        #expect(fixture.wait { outcome??.contains("400") == true })
        var left: [String?] = []
        registry.deregister(shop.identity) { left.append($0) }
        #expect(fixture.wait { left == [nil] })
        #expect(nacos.registered["shop"]?.isEmpty == true)
    }

    /// It comes back while it is still being taken out.
    @Test func oneThatIsRegisteredAgainIsNotTakenOut() throws {
        let registry = registry(isPushed: false)
        defer { registry.stop() }
        registry.register(shop)
        #expect(fixture.wait { outcome == .some(nil) })
        nacos.fault = { $0.method == "DELETE" ? .status(500, "not now") : nil }
        var left: [String?] = []
        registry.deregister(shop.identity) { left.append($0) }
        #expect(fixture.wait { questions("DELETE") == 1 })
        nacos.fault = { _ in nil }
        registry.register(shop)
        #expect(fixture.wait { left.count == 1 && registry.status.registered == 1 })
        #expect(left[0]?.contains("again") == true)
        // The next attempt would come within half a second.
        #expect(!fixture.wait(.seconds(1)) { nacos.registered["shop"]?.count != 1 })
    }
}
