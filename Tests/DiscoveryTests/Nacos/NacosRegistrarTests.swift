import Runtime
import Testing

@testable import Discovery

@Suite struct NacosRegistrarTests {
    let fixture: Fixture
    let nacos: FakeNacos
    let push: FakeNacosPush

    init() throws {
        fixture = try Fixture()
        nacos = try FakeNacos(loop: fixture.loop)
        push = try FakeNacosPush(nacos, loop: fixture.loop)
    }

    private func registry(isPushed: Bool = true) -> NacosRegistry {
        fixture.nacos(nacos) { settings in
            if isPushed { settings.pushServers = [.init(host: "127.0.0.1", port: push.port)] }
            settings.quicken()
            settings.registrarPatience = .milliseconds(150)
            settings.beat = .milliseconds(30)
            settings.serverBackoff = Backoff(first: .milliseconds(10), cap: .milliseconds(40))
        }
    }

    private func shop(_ port: UInt16 = 8080) -> Registration {
        var shop = Registration(service: .http("shop"), host: "10.0.0.7", port: port)
        shop.weight = 2.5
        shop.metadata = ["version": "v2"]
        return shop
    }

    private var pushed: [String: [String: String]] { push.clients.last?.instances ?? [:] }

    private func outcome(_ registration: Registration) -> String?? {
        fixture.registrations[registration.identity]?.last
    }

    @Test func registersOverTheConnectionAndAgainOverTheNextOne() throws {
        let registry = registry()
        registry.register(shop())
        #expect(fixture.wait { outcome(shop()) == .some(nil) })
        #expect(pushed["shop"]?["10.0.0.7:8080"]?.contains(#""preserved.register.source":"SPRING_CLOUD""#) == true)
        #expect(pushed["shop"]?["10.0.0.7:8080"]?.contains(#""version":"v2""#) == true)
        #expect(registry.status.registrations == 1 && registry.status.registered == 1)
        push.stop()
        #expect(fixture.wait { registry.status.registered == 0 })
        try push.restart()
        #expect(fixture.wait { pushed["shop"]?.count == 1 && registry.status.registered == 1 })
        // Nothing was said over HTTP, and a success that is no news is not told.
        #expect(nacos.registered.isEmpty)
        #expect(fixture.registrations[shop().identity] == [nil])
        registry.stop()
    }

    @Test func severalPortsOfAServiceGoTogether() throws {
        let registry = registry()
        registry.register(shop(1))
        registry.register(shop(2))
        #expect(fixture.wait { pushed["shop"].map { Set($0.keys) } == ["10.0.0.7:1", "10.0.0.7:2"] })
        registry.register(shop(3))
        #expect(fixture.wait { pushed["shop"]?.count == 3 && registry.status.registered == 3 })
        var left: [String?] = []
        registry.deregister(shop(2).identity) { left.append($0) }
        #expect(fixture.wait { left == [nil] })
        #expect(pushed["shop"].map { Set($0.keys) } == ["10.0.0.7:1", "10.0.0.7:3"])
        registry.deregister(shop(1).identity) { left.append($0) }
        registry.deregister(shop(3).identity) { left.append($0) }
        #expect(fixture.wait { left.count == 3 })
        #expect(left.allSatisfy { $0 == nil } && pushed["shop"] == nil)
        #expect(registry.status.registrations == 0)
        registry.stop()
    }

    @Test func oneWithTheSameIdentityReplacesTheFormer() throws {
        let registry = registry()
        registry.register(shop())
        #expect(fixture.wait { pushed["shop"]?.count == 1 })
        var other = shop()
        other.metadata = ["version": "v3"]
        registry.register(other)
        #expect(fixture.wait { pushed["shop"]?["10.0.0.7:8080"]?.contains("v3") == true })
        #expect(registry.status.registrations == 1)
        registry.stop()
    }

    @Test func dubboServicesHaveWhatConsumersNeed() throws {
        var echo = Registration(service: .dubbo("a.Echo"), host: "10.0.0.7", port: 20880)
        echo.interfaceVersion = "1.0.0"
        echo.group = "blue"
        echo.weight = 0.5
        echo.metadata = ["methods": "echo,order", "application": "shop", "note": "a b&c"]
        let item = NacosEntry(echo, separator: ":", startedAt: 17)
        #expect(item.service == "providers:a.Echo:1.0.0:blue" && item.weight == 1 && item.problem == nil)
        let expected = [
            "protocol": "dubbo", "category": "providers", "path": "a.Echo", "interface": "a.Echo", "side": "provider",
            "version": "1.0.0", "group": "blue", "application": "shop", "methods": "echo,order", "timestamp": "17",
            "weight": "50", "note": "a b&c",
        ]
        for (key, value) in expected { #expect(item.metadata[key] == value, "\(key)") }
        echo.weight = 0
        #expect(NacosEntry(echo, separator: ":", startedAt: 17).weight == 0)
        #expect(
            NacosEntry(Registration(service: .dubbo("a.B"), host: "h", port: 1), separator: ":", startedAt: 1).service
                == "providers:a.B::")
        // A long list of methods is left out, other labels that are too long are told.
        echo.metadata["methods"] = String(repeating: "method,", count: 200)
        let short = NacosEntry(echo, separator: ":", startedAt: 17)
        #expect(short.problem == nil && short.metadata["methods"] == "*")
        echo.metadata["story"] = String(repeating: "x", count: 1000)
        #expect(NacosEntry(echo, separator: ":", startedAt: 17).problem?.contains("\"story\"") == true)
        let registry = registry()
        registry.register(echo)
        #expect(fixture.wait { outcome(echo)??.contains("Nacos takes 1024") == true })
        #expect(registry.status.registrations == 0)
        registry.stop()
    }

    @Test func aRefusalIsToldOnceAndTriedAgain() throws {
        push.fault = { $0.type == "InstanceRequest" ? .error(400, "no room") : nil }
        let registry = registry()
        registry.register(shop())
        #expect(fixture.wait { outcome(shop())??.contains("no room") == true })
        #expect(fixture.wait { push.count("InstanceRequest") >= 2 })
        #expect(fixture.registrations[shop().identity]?.count == 1)
        push.fault = { _ in nil }
        #expect(fixture.wait { outcome(shop()) == .some(nil) })
        registry.stop()
    }

    @Test(arguments: [true, false])
    func withoutPushBeatsKeepItAlive(hasV1: Bool) throws {
        nacos.hasV1 = hasV1
        nacos.hasV3 = !hasV1
        let registry = registry(isPushed: false)
        registry.register(shop())
        #expect(fixture.wait { outcome(shop()) == .some(nil) })
        #expect(nacos.registered["shop"]?["10.0.0.7:8080"]?.contains("SPRING_CLOUD") == true)
        let request = nacos.server.requests.last { $0.method == "POST" }
        #expect(request?.query["weight"] == "2.5")
        // The server forgets it.
        nacos.registered = [:]
        #expect(fixture.wait { nacos.registered["shop"]?.count == 1 })
        var left: [String?] = []
        registry.deregister(shop().identity) { left.append($0) }
        #expect(fixture.wait { left == [nil] })
        #expect(nacos.registered["shop"]?.isEmpty == true)
        let before = nacos.server.requests.count
        #expect(!fixture.wait(.milliseconds(150)) { nacos.server.requests.count > before })
        registry.stop()
    }

    @Test func neverBothWaysAtOnce() throws {
        push.fault = { $0.type == "ServerCheckRequest" ? .error(300) : nil }
        let registry = registry()
        registry.register(shop())
        #expect(fixture.wait { nacos.registered["shop"]?.count == 1 && outcome(shop()) == .some(nil) })
        var listed: [Bool] = []
        let before = nacos.registered
        #expect(!before.isEmpty)
        push.fault = { call in
            if call.type == "InstanceRequest" { listed.append(self.nacos.registered["shop"]?.isEmpty == false) }
            return nil
        }
        #expect(fixture.wait { pushed["shop"]?.count == 1 && registry.status.registered == 1 })
        #expect(listed == [false])
        #expect(nacos.registered["shop"]?.isEmpty == true)
        // The connection stays away for long: back to beats.
        push.stop()
        #expect(fixture.wait { nacos.registered["shop"]?.count == 1 && registry.status.registered == 1 })
        registry.stop()
    }

    @Test func aServerThatIsAwayIsToldAndWaitedFor() throws {
        let registry = registry(isPushed: false)
        nacos.server.stop()
        registry.register(shop())
        #expect(fixture.wait { outcome(shop())??.isEmpty == false })
        try nacos.server.restart()
        #expect(fixture.wait { outcome(shop()) == .some(nil) && nacos.registered["shop"]?.count == 1 })
        #expect(fixture.registrations[shop().identity]?.count == 2)
        nacos.server.stop()
        #expect(fixture.wait { registry.status.registered == 0 })
        var left: [String?] = []
        registry.deregister(shop().identity) { left.append($0) }
        #expect(fixture.wait { left.count == 1 })
        registry.stop()
    }

    @Test func takingOutWhatIsNotThereIsConfirmed() throws {
        let registry = registry()
        var left: [String?] = []
        registry.deregister(shop().identity) { left.append($0) }
        #expect(fixture.wait { left == [nil] })
        // Registered and taken out in one breath.
        registry.register(shop())
        registry.deregister(shop().identity) { left.append($0) }
        #expect(fixture.wait { left == [nil, nil] })
        #expect(fixture.wait { registry.status.mode == .push })
        #expect(pushed["shop"] == nil && registry.status.registrations == 0)
        registry.stop()
    }

    @Test(arguments: [
        ("ok", NacosAnswer.EntryState.kept(nil)), (#"{"code":10200,"clientBeatInterval":3000}"#, .kept(.seconds(3))),
        (#"{"code":10200,"clientBeatInterval":1}"#, .kept(nil)), (#"{"code":20404}"#, .unknown),
        (#"{"code":21003,"message":"instance not found","data":null}"#, .unknown),
        (#"{"code":0,"data":"ok"}"#, .kept(nil)),
        ("", .refused("unexpected answer: nothing")), (#"{"code":5}"#, .refused(#"{"code":5}"#)),
    ])
    func readsAnswers(body: String, state: NacosAnswer.EntryState) {
        #expect(NacosAnswer.entryState(Array(body.utf8)) == state)
    }
}
