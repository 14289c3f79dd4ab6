import Model
import Runtime
import Testing

@testable import Discovery

/// Several servers of which one is away, restarted alone, or cut off from the others.
@Suite struct EurekaFailoverTests {
    let fixture: Fixture
    let first: FakeEureka
    let second: FakeEureka
    let order = ServiceKey.http("order")
    let all = (1...6).map { "10.0.0.\($0):8080" }

    init() throws {
        fixture = try Fixture()
        first = try FakeEureka(loop: fixture.loop)
        second = try FakeEureka(loop: fixture.loop)
        for server in [first, second] { for last in 1...6 { server.put("ORDER", "10.0.0.\(last)") } }
    }

    @Test func anotherServerIsReadWhole() throws {
        let registry = fixture.eureka(first, second)
        registry.subscribe(order)
        #expect(fixture.wait { fixture.addresses(order) == all })
        #expect(second.server.requests.isEmpty && registry.status.unsteadyAt == nil)
        second.put("ORDER", "10.0.0.7", isTold: false)
        first.server.stop()
        #expect(fixture.wait { fixture.addresses(order)?.count == 7 })
        #expect(second.count("/apps") == 1 && registry.status.unsteadyAt != nil)
        #expect(registry.status.state == .connected)
        // It stays there while that one answers.
        try first.server.restart()
        let polls = second.count("/apps/delta")
        #expect(fixture.wait { second.count("/apps/delta") > polls + 5 })
        #expect(first.count("/apps") == 1)
        registry.stop()
    }

    @Test func aServerThatLostMuchIsNotBelievedWhenAnotherKnowsMore() throws {
        let registry = fixture.eureka(first, second)
        registry.subscribe(order)
        #expect(fixture.wait { fixture.addresses(order) == all })
        first.wipe()
        #expect(fixture.wait { second.count("/apps/delta") > 2 })
        #expect(fixture.told[order]?.count == 1 && registry.status.unsteadyAt != nil)
        #expect(registry.status.failures == 0)
        registry.stop()
    }

    @Test func whatAllServersSayIsBelieved() throws {
        let registry = fixture.eureka(first, second)
        registry.subscribe(order)
        #expect(fixture.wait { fixture.addresses(order) == all })
        for server in [first, second] {
            server.wipe()
            server.put("ORDER", "10.0.0.1")
        }
        #expect(fixture.wait { fixture.addresses(order) == ["10.0.0.1:8080"] })
        #expect(second.count("/apps") == 1 && registry.status.unsteadyAt != nil)
        registry.stop()
    }

    @Test(arguments: [FakeServer.Answer.reset, .status(500, ""), .ok("garbage")])
    func whenTheOtherCannotBeAskedTheShortListStands(answer: FakeServer.Answer) throws {
        second.fault = { _ in answer }
        let registry = fixture.eureka(first, second)
        registry.subscribe(order)
        #expect(fixture.wait { fixture.addresses(order) == all })
        first.wipe()
        #expect(fixture.wait { fixture.addresses(order) == [] })
        // The directory decides whether that is true.
        #expect(registry.status.unsteadyAt != nil)
        registry.stop()
    }

    @Test func aDoubtedServiceIsAskedForElsewhere() throws {
        let registry = fixture.eureka(first, second)
        registry.subscribe(order)
        #expect(fixture.wait { fixture.addresses(order) == all })
        registry.refresh(order)
        #expect(fixture.wait { fixture.told[order]?.count == 2 })
        #expect(second.count("/apps/ORDER") == 1 && second.count("/apps") == 0)
        // Hosts that only the other knows: this one was cut off.
        first.remove("ORDER", "10.0.0.6")
        #expect(fixture.wait { fixture.addresses(order)?.count == 5 })
        registry.refresh(order)
        #expect(fixture.wait { fixture.addresses(order) == all })
        #expect(fixture.wait { second.count("/apps/delta") > 1 })
        registry.stop()
    }

    @Test func aSilentServerIsLeft() throws {
        let registry = fixture.eureka(first, second) { $0.timeout = .milliseconds(100) }
        registry.subscribe(order)
        #expect(fixture.wait { fixture.addresses(order) == all })
        first.fault = { _ in .silence }
        #expect(fixture.wait { second.count("/apps/delta") > 1 })
        #expect(fixture.told[order]?.count == 1)
        registry.stop()
    }

    @Test func aServerIsAskedAgainAfterItsTrialWasCancelled() throws {
        first.fault = { _ in .status(503, "starting") }
        let registry = fixture.eureka(first)
        registry.subscribe(order)
        #expect(fixture.wait { registry.status.failures > 0 })
        let before = first.count("/apps")
        first.fault = { _ in .silence }
        #expect(fixture.wait { first.count("/apps") > before })
        // The only service is let go while the server is being tried.
        registry.unsubscribe(order)
        first.fault = { _ in nil }
        registry.subscribe(order)
        #expect(fixture.wait { fixture.addresses(order) == all })
        registry.stop()
    }

    @Test func changesAreAskedForAgainAfterTheyWereRefused() throws {
        var refusals = 1
        first.fault = { request in
            guard request.path.hasSuffix("/delta"), refusals > 0 else { return nil }
            refusals -= 1
            return .status(404, "")
        }
        let registry = fixture.eureka(first) { $0.changesBackoff = Backoff(first: .milliseconds(60)) }
        registry.subscribe(order)
        #expect(fixture.wait { first.count("/apps/delta") > 5 })
        #expect(registry.status.failures == 0)
        registry.stop()
    }

    @Test func doubtsDoNotMakeMoreThanTheRate() throws {
        let keys = (0..<10).map { ServiceKey.http("s\($0)") }
        for number in 0..<10 { first.put("S\(number)", "10.0.0.1") }
        let registry = fixture.eureka(first) { $0.poll = .milliseconds(500) }
        for key in keys { registry.subscribe(key) }
        #expect(fixture.wait { fixture.told.count == keys.count })
        let before = (lists: first.count("/apps"), all: first.server.requests.count)
        _ = fixture.wait(.milliseconds(1100)) {
            for key in keys { registry.refresh(key) }
            return false
        }
        #expect((1...3).contains(first.count("/apps") - before.lists))
        #expect(first.server.requests.count - before.all <= 12)
        registry.stop()
    }
}
