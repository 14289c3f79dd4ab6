import Model
import Runtime
import Testing

@testable import Discovery

/// Blocking queries as they should go.
@Suite struct ConsulWatchingTests {
    let fixture: Fixture
    let consul: FakeConsul
    let order = ServiceKey.http("order")

    init() throws {
        fixture = try Fixture()
        consul = try FakeConsul(loop: fixture.loop)
    }

    @Test func followsChangesAtOnce() throws {
        consul.set("order", "10.0.0.1", "10.0.0.2")
        let registry = try fixture.consul(consul)
        registry.subscribe(order)
        #expect(fixture.wait { fixture.addresses(order) == ["10.0.0.1:8080", "10.0.0.2:8080"] })
        #expect(fixture.wait { consul.hanging == 1 })
        for last in 3...8 {
            consul.set("order", "10.0.0.\(last)")
            #expect(fixture.wait { fixture.addresses(order) == ["10.0.0.\(last):8080"] })
        }
        consul.set("order")
        #expect(fixture.wait { fixture.addresses(order) == [] })
        #expect(registry.status.mode == .push && registry.status.state == .connected)
        #expect(registry.status.subscriptions == 1 && registry.status.unsteadyAt == nil)
        let queries = consul.queries("order")
        #expect(queries.allSatisfy { $0.query["stale"] != nil })
        #expect(queries[0].query["index"] == nil && queries[1].query["index"] != nil)
        #expect(queries[1].query["wait"] == "30000ms")
        registry.stop()
    }

    @Test func aServiceThatIsNotThereIsEmptyUntilItComes() throws {
        let registry = try fixture.consul(consul)
        registry.subscribe(order)
        #expect(fixture.wait { fixture.addresses(order) == [] && consul.hanging == 1 })
        consul.set("order", "10.0.0.1")
        #expect(fixture.wait { fixture.addresses(order) == ["10.0.0.1:8080"] })
        registry.stop()
    }

    @Test func endsOfWaitsAndUnrelatedChangesAreNotTold() throws {
        consul.set("order", "10.0.0.1", "10.0.0.2")
        consul.wakesAll = true
        let registry = try fixture.consul(consul) { $0.wait = .milliseconds(30) }
        registry.subscribe(order)
        #expect(fixture.wait { consul.queries("order").count > 5 })
        for _ in 0..<5 {
            consul.touch("other")
            let count = consul.queries("order").count
            #expect(fixture.wait { consul.queries("order").count > count + 1 })
        }
        #expect(fixture.told[order]?.count == 1)
        registry.stop()
    }

    @Test func bothKindsOfANameShareOneQuery() throws {
        let url = "dubbo://10.0.0.2:20880/order?interface=order&version=1.0.0"
        consul.set(
            "order",
            [
                .init(id: "a"),
                .init(
                    id: "b", address: "10.0.0.2", port: "20880", tags: #"["dubbo"]"#,
                    meta: #"{"url":"\#(url)"}"#),
            ])
        let registry = try fixture.consul(consul)
        registry.subscribe(order)
        #expect(fixture.wait { fixture.told[order] != nil })
        let count = consul.queries("order").count
        registry.subscribe(.dubbo("order"))
        #expect(fixture.wait { fixture.addresses(.dubbo("order")) == ["10.0.0.2:20880"] })
        #expect(fixture.addresses(order) == ["10.0.0.1:8080"])
        #expect(consul.queries("order").count <= count + 1)
        #expect(registry.status.dropped == [.unsupportedProtocol: 2])
        registry.unsubscribe(order)
        consul.set("order")
        #expect(fixture.wait { fixture.addresses(.dubbo("order")) == [] })
        #expect(fixture.told[order]?.count == 1)
        registry.unsubscribe(.dubbo("order"))
        #expect(fixture.wait { registry.status.subscriptions == 0 })
        registry.stop()
    }

    @Test func refreshAsksAtOnceAndTellsAgain() throws {
        consul.set("order", "10.0.0.1")
        let registry = try fixture.consul(consul)
        registry.subscribe(order)
        #expect(fixture.wait { fixture.told[order]?.count == 1 && consul.hanging == 1 })
        registry.refresh(order)
        registry.refresh(order)
        #expect(fixture.wait { fixture.told[order]?.count == 2 })
        #expect(fixture.told[order]?.last == fixture.told[order]?.first)
        // The query that hangs is still the same.
        #expect(consul.queries("order").count == 3 && consul.hanging == 1)
        // What cannot be read is not told.
        consul.fault = { $0.query["index"] == nil ? .status(500, "x") : nil }
        registry.refresh(order)
        #expect(fixture.wait { consul.queries("order").count == 4 })
        consul.fault = { _ in nil }
        consul.set("order", "10.0.0.2")
        #expect(fixture.wait { fixture.addresses(order) == ["10.0.0.2:8080"] })
        #expect(fixture.told[order]?.count == 3)
        registry.stop()
    }

    @Test func aSlowOldAnswerDoesNotUndoANewOne() throws {
        consul.set("order", "10.0.0.1")
        let registry = try fixture.consul(consul)
        registry.subscribe(order)
        #expect(fixture.wait { fixture.told[order]?.count == 1 && consul.hanging == 1 })
        let count = consul.queries("order").count
        consul.fault = { $0.query["index"] == nil ? .later(-1) : nil }
        registry.refresh(order)
        #expect(fixture.wait { consul.queries("order").count > count })
        let old = FakeServer.Answer.status(
            200, "[\(FakeConsul.Entry(id: "10.0.0.1").json)]",
            headers: [("X-Consul-Index", "\(consul.index)")])
        consul.set("order", "10.0.0.2")
        #expect(fixture.wait { fixture.addresses(order) == ["10.0.0.2:8080"] })
        registry.refresh(order)
        consul.server.complete(-1, old)
        #expect(fixture.wait { fixture.told[order]?.count == 3 })
        #expect(fixture.addresses(order) == ["10.0.0.2:8080"])
        registry.stop()
    }

    @Test func sendsWhatTheAddressSays() throws {
        consul.token = "7e-secret"
        consul.set("order", "10.0.0.1")
        let registry = try fixture.consul(consul) { settings in
            settings.token = "7e-secret"
            settings.datacentre = "dc 2"
            settings.tags = ["blue", "a&b"]
        }
        registry.subscribe(order)
        #expect(fixture.wait { fixture.told[order] != nil })
        let query = consul.queries("order")[0]
        #expect(
            query.query["dc"] == "dc 2" && query.query["tag"] == "a&b" && query.query["token"] == nil)
        registry.stop()
    }

    @Test func namesAreEncoded() throws {
        let odd = ServiceKey.http("a b/c")
        consul.set("a b/c", "10.0.0.1")
        let registry = try fixture.consul(consul)
        registry.subscribe(odd)
        #expect(fixture.wait { fixture.addresses(odd) == ["10.0.0.1:8080"] })
        #expect(consul.server.requests[0].path == "/v1/health/service/a%20b%2Fc")
        registry.stop()
    }
}
