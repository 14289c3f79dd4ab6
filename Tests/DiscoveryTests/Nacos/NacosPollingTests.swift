import Model
import Runtime
import Testing

@testable import Discovery

@Suite struct NacosPollingTests {
    let fixture: Fixture
    let nacos: FakeNacos
    let order = ServiceKey.http("order")

    init() throws {
        fixture = try Fixture()
        nacos = try FakeNacos(loop: fixture.loop)
    }

    @Test func reportsTheFirstListAndChangesOnly() throws {
        nacos.set("order", "10.0.0.1", "10.0.0.2")
        let registry = fixture.nacos(nacos)
        registry.subscribe(order)
        registry.subscribe(order)
        #expect(fixture.wait { nacos.polls("order") >= 10 })
        #expect(fixture.told[order]?.count == 1)
        #expect(fixture.addresses(order) == ["10.0.0.1:8080", "10.0.0.2:8080"])
        nacos.set("order", "10.0.0.2", "10.0.0.3")
        #expect(fixture.wait { fixture.told[order]?.count == 2 })
        #expect(fixture.addresses(order) == ["10.0.0.2:8080", "10.0.0.3:8080"])
        let status = registry.status
        #expect(status.state == .connected && status.subscriptions == 1 && status.changes == 2 && status.failures == 0)
        #expect(status.lastSuccess != nil)
        registry.stop()
        let polls = nacos.polls("order")
        #expect(!fixture.wait(.milliseconds(100)) { nacos.polls("order") > polls })
    }

    @Test func asksForGroupAndNamespaceAndHealthyHosts() throws {
        let registry = fixture.nacos(nacos) { settings in
            settings.namespace = "ns-1"
            settings.group = "G&1"
        }
        registry.subscribe(order)
        #expect(fixture.wait { fixture.told[order] != nil })
        #expect(fixture.addresses(order) == [])
        #expect(
            nacos.server.requests[0].query
                == ["serviceName": "order", "groupName": "G&1", "namespaceId": "ns-1", "healthyOnly": "true"])
    }

    @Test func leavesUnhealthyAndDisabledHostsOut() throws {
        nacos.services["order"] = [
            .init(ip: "10.0.0.1"), .init(ip: "10.0.0.2", healthy: false), .init(ip: "10.0.0.3", enabled: false),
            .init(ip: "10.0.0.4", weight: "0"),
            .init(ip: "10.0.0.5", weight: "2.5", metadata: #"{"version":"v2","no":null}"#),
        ]
        let registry = fixture.nacos(nacos)
        registry.subscribe(order)
        #expect(fixture.wait { fixture.told[order] != nil })
        let instances = try #require(fixture.told[order]?.last)
        #expect(instances.map { "\($0.address)" } == ["10.0.0.1:8080", "10.0.0.4:8080", "10.0.0.5:8080"])
        #expect(instances.map(\.weight) == [1, 0, 2.5])
        #expect(instances[2].metadata == ["version": "v2"])
    }

    @Test func anEmptyAnswerIsTold() throws {
        nacos.set("order", "10.0.0.1")
        let registry = fixture.nacos(nacos)
        registry.subscribe(order)
        #expect(fixture.wait { fixture.told[order] != nil })
        nacos.services["order"] = []
        #expect(fixture.wait { fixture.addresses(order) == [] })
    }

    @Test func tellsWhatIsDoubtedOnceMore() throws {
        nacos.set("order", "10.0.0.1")
        let registry = fixture.nacos(nacos) { $0.poll = .seconds(60) }
        registry.subscribe(order)
        #expect(fixture.wait { fixture.told[order] != nil })
        registry.refresh(order)
        #expect(fixture.wait { fixture.told[order]?.count == 2 })
        #expect(nacos.polls("order") == 2 && registry.status.changes == 1)
        // What cannot be read is not told.
        nacos.fault = { _ in .status(500, "x") }
        registry.refresh(order)
        #expect(fixture.wait { registry.status.failures == 1 })
        #expect(fixture.told[order]?.count == 2)
    }

    @Test func dropsHostsAtOnceWhileOthersRemain() throws {
        nacos.set("order", "10.0.0.1", "10.0.0.2")
        let registry = fixture.nacos(nacos)
        registry.subscribe(order)
        #expect(fixture.wait { fixture.told[order] != nil })
        nacos.set("order", "10.0.0.1")
        let polls = nacos.polls("order")
        #expect(fixture.wait { fixture.told[order]?.count == 2 })
        #expect(nacos.polls("order") <= polls + 2)
    }

    @Test func stopsAskingForWhatNobodyWants() throws {
        let registry = fixture.nacos(nacos)
        registry.subscribe(order)
        registry.subscribe(.http("user"))
        #expect(fixture.wait { nacos.polls("order") >= 2 })
        registry.unsubscribe(order)
        let polls = nacos.polls("order")
        let others = nacos.polls("user")
        #expect(fixture.wait { nacos.polls("user") >= others + 5 })
        #expect(nacos.polls("order") <= polls + 1)
        #expect(registry.status.subscriptions == 1)
    }

    @Test func resolvesNames() throws {
        let fixture = try Fixture(names: ["app.example": ["10.0.0.8", "10.0.0.7"]])
        let nacos = try FakeNacos(loop: fixture.loop)
        nacos.services["order"] = [.init(ip: "app.example"), .init(ip: "fe80::1"), .init(ip: "nowhere.example")]
        let registry = fixture.nacos(nacos)
        registry.subscribe(order)
        #expect(fixture.wait { fixture.told[order]?.last?.count == 3 })
        #expect(fixture.addresses(order) == ["10.0.0.7:8080", "10.0.0.8:8080", "[fe80::1]:8080"])
        #expect(fixture.wait { fixture.log.contains("registry.name_failed") })
    }

    @Test func spreadsPollsOverTime() throws {
        let registry = fixture.nacos(nacos) { $0.poll = .milliseconds(100) }
        for number in 0..<50 { registry.subscribe(.http("s\(number)")) }
        #expect(fixture.wait { nacos.server.requests.count >= 500 })
        let counts = (0..<50).map { nacos.polls("s\($0)") }
        #expect(counts.min() ?? 0 >= 7 && counts.max() ?? 0 <= 13)
    }
}
