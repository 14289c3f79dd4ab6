import Model
import Runtime
import Testing

@testable import Discovery

@Suite struct NacosDubboTests {
    let fixture: Fixture
    let nacos: FakeNacos
    let echo = ServiceKey.dubbo("a.Echo")
    let provider = #"{"protocol":"dubbo"}"#

    init() throws {
        fixture = try Fixture()
        nacos = try FakeNacos(loop: fixture.loop)
    }

    private var listings: Int { nacos.server.requests.count { $0.path.hasSuffix("/service/list") } }

    @Test func findsAllVersionsAndGroups() throws {
        nacos.set("providers:a.Echo:1.0.0:", "10.0.0.1", metadata: provider)
        nacos.set("providers:a.Echo:1.0.0", "10.0.0.1", "10.0.0.4", metadata: provider)
        nacos.set("providers:a.Echo:2.0.0:blue", "10.0.0.1", "10.0.0.2", metadata: provider)
        nacos.set("providers:a.Echo::", "10.0.0.3", metadata: provider)
        nacos.set("providers:a.EchoOther:1.0.0:", "10.0.0.9", metadata: provider)
        nacos.set("a.Echo", "10.0.0.9", metadata: provider)
        nacos.set("consumers:a.Echo:1.0.0:", "10.0.0.9", metadata: provider)
        let registry = fixture.nacos(nacos)
        registry.subscribe(echo)
        #expect(fixture.wait { fixture.told[echo] != nil })
        let found = fixture.told[echo]?.last?.map { "\($0.address.ip) \($0.interfaceVersion) \($0.group)" }
        #expect(
            found == ["10.0.0.1 1.0.0 ", "10.0.0.1 2.0.0 blue", "10.0.0.2 2.0.0 blue", "10.0.0.3  ", "10.0.0.4 1.0.0 "])
        #expect(fixture.told[echo]?.count == 1)
        registry.stop()
    }

    @Test func oneListServesAllAndIsAskedForWhileItIsWanted() throws {
        nacos.set("providers:a.Echo:1.0.0:", "10.0.0.1", metadata: provider)
        let registry = fixture.nacos(nacos)
        let services = (0..<20).map { ServiceKey.dubbo("a.Unknown\($0)") } + [echo]
        for service in services { registry.subscribe(service) }
        #expect(fixture.wait { fixture.told.count == 21 })
        #expect(listings < 10)
        #expect(nacos.server.requests.allSatisfy { $0.query["pageNo"] ?? "1" == "1" })
        #expect(services.dropLast().allSatisfy { fixture.told[$0] == [[]] })
        for service in services { registry.unsubscribe(service) }
        let before = nacos.server.requests.count
        #expect(!fixture.wait(.milliseconds(100)) { nacos.server.requests.count > before + 2 })
        registry.subscribe(echo)
        #expect(fixture.wait { fixture.told[echo]?.count == 2 })
        registry.stop()
    }

    @Test func versionsComeAndGo() throws {
        nacos.set("providers:a.Echo:1.0.0:", "10.0.0.1", metadata: provider)
        let registry = fixture.nacos(nacos)
        registry.subscribe(echo)
        #expect(fixture.wait { fixture.addresses(echo) == ["10.0.0.1:8080"] })
        nacos.set("providers:a.Echo:2.0.0:", "10.0.0.2", metadata: provider)
        #expect(fixture.wait { fixture.addresses(echo) == ["10.0.0.1:8080", "10.0.0.2:8080"] })
        // The server forgets an empty service after a while; until then it lists it.
        nacos.services["providers:a.Echo:1.0.0:"] = nil
        let polls = nacos.polls("providers:a.Echo:1.0.0:")
        #expect(fixture.wait { fixture.addresses(echo) == ["10.0.0.2:8080"] })
        let last = nacos.polls("providers:a.Echo:1.0.0:")
        #expect(fixture.wait { nacos.polls("providers:a.Echo:2.0.0:") > polls + 20 })
        #expect(nacos.polls("providers:a.Echo:1.0.0:") <= last + 1)
        #expect(registry.status.failures == 0)
        registry.stop()
    }

    @Test func anEmptyServiceListTakesNothingAway() throws {
        nacos.set("providers:a.Echo:1.0.0:", "10.0.0.1", metadata: provider)
        let registry = fixture.nacos(nacos)
        registry.subscribe(echo)
        #expect(fixture.wait { fixture.told[echo] != nil })
        nacos.fault = { $0.path.hasSuffix("/service/list") ? .ok(#"{"count":0,"doms":[]}"#) : nil }
        let before = listings
        #expect(fixture.wait { listings >= before + 10 })
        #expect(fixture.told[echo]?.count == 1)
        registry.stop()
    }

    @Test func aListThatFailsIsToldAndChangesNothing() throws {
        nacos.fault = { $0.path.hasSuffix("/service/list") ? .status(500, "x") : nil }
        let registry = fixture.nacos(nacos)
        registry.subscribe(echo)
        registry.subscribe(.http("order"))
        #expect(fixture.wait { fixture.failures[echo] != nil })
        #expect(fixture.failures[.http("order")] == nil)
        nacos.fault = { _ in nil }
        nacos.set("providers:a.Echo:1.0.0:", "10.0.0.1", metadata: provider)
        #expect(fixture.wait { fixture.told[echo] != nil })
        nacos.fault = { $0.path.hasSuffix("/service/list") ? .ok("[]") : nil }
        let failures = registry.status.failures
        #expect(fixture.wait { registry.status.failures > failures })
        #expect(fixture.told[echo]?.count == 1)
        registry.stop()
    }

    @Test func guessesNamesWhereNobodyMayListThem() throws {
        nacos.hasV1 = false
        nacos.hasV3 = true
        nacos.set("providers:a.Echo:1.0.0:", "10.0.0.1", metadata: provider)
        nacos.set("providers:a.Echo::", "10.0.0.2", metadata: provider)
        let registry = fixture.nacos(nacos)
        registry.subscribe(echo)
        registry.subscribe(.dubbo("a.None"))
        #expect(fixture.wait { fixture.addresses(echo) == ["10.0.0.1:8080", "10.0.0.2:8080"] })
        #expect(fixture.wait { fixture.addresses(.dubbo("a.None")) == [] })
        #expect(fixture.log.split(separator: "\n").count { $0.contains("registry.no_service_list") } == 1)
        // One more that is subscribed when this is known already.
        registry.subscribe(.dubbo("a.Late"))
        #expect(fixture.wait { fixture.addresses(.dubbo("a.Late")) == [] })
        registry.stop()
    }

    @Test func administratorsListAllPages() throws {
        nacos.hasV1 = false
        nacos.hasV3 = true
        nacos.tokens = ["t"]
        nacos.set("providers:a.Echo:3.0.0:", "10.0.0.1", metadata: provider)
        nacos.fault = { request in
            if request.path == "/nacos/v3/auth/user/login" { return .ok(#"{"accessToken":"t","tokenTtl":18000}"#) }
            guard request.path == "/nacos/v3/admin/ns/service/list" else { return nil }
            let name = request.query["pageNo"] == "2" ? "providers:a.Echo:3.0.0:" : "order"
            return .ok(
                #"{"code":0,"data":{"pagesAvailable":2,"pageItems":[{"name":"\#(name)","groupName":"DEFAULT_GROUP"}]}}"#
            )
        }
        let registry = fixture.nacos(nacos, user: "nacos")
        registry.subscribe(echo)
        #expect(fixture.wait { fixture.addresses(echo) == ["10.0.0.1:8080"] })
        #expect(!fixture.log.contains("registry.no_service_list"))
        registry.stop()
    }

    @Test func theSameHostListedTwiceIsOneWhateverTheOrder() throws {
        let old = #"{"protocol":"dubbo","timestamp":"100","dubbo.tag":"old"}"#
        let new = #"{"protocol":"dubbo","timestamp":"200","dubbo.tag":"new"}"#
        nacos.services["providers:a.Echo:1.0.0:"] = [.init(metadata: old), .init(metadata: new), .init(metadata: old)]
        let registry = fixture.nacos(nacos)
        registry.subscribe(echo)
        #expect(fixture.wait { nacos.polls("providers:a.Echo:1.0.0:") > 20 })
        #expect(fixture.told[echo]?.count == 1)
        #expect(fixture.told[echo]?.last?.map { $0.metadata["dubbo.tag"] } == ["new"])
        registry.stop()
    }
}
