import Runtime
import Testing

@testable import Discovery

/// More services than connections: they take turns.
@Suite struct ConsulManyServicesTests {
    let fixture: Fixture
    let consul: FakeConsul

    init() throws {
        fixture = try Fixture()
        consul = try FakeConsul(loop: fixture.loop)
    }

    @Test func nobodyStarves() throws {
        let names = (0..<200).map { "s\($0)" }
        for name in names { consul.set(name, "10.0.0.1") }
        let registry = try fixture.consul(consul) { settings in
            settings.mostBlocking = 20
            settings.round = .seconds(1)
            settings.shortestWait = .milliseconds(10)
        }
        for name in names { registry.subscribe(.http(name)) }
        #expect(fixture.wait { fixture.told.count == names.count })
        #expect(registry.status.mode == .polling)
        let before = consul.server.requests.count
        #expect(fixture.wait { consul.server.requests.count >= before + 4 * names.count })
        #expect(consul.hanging <= 20)
        var turns: [String: Int] = [:]
        for request in consul.server.requests.dropFirst(before) { turns[request.path, default: 0] += 1 }
        #expect(turns.count == names.count)
        #expect((turns.values.min() ?? 0) >= 2 && (turns.values.max() ?? 0) <= 8, "\(turns.values.sorted())")
        for name in names { consul.set(name, "10.0.0.2") }
        #expect(fixture.wait(.seconds(10)) { names.allSatisfy { fixture.addresses(.http($0)) == ["10.0.0.2:8080"] } })
        // Fewer services hang as long as they may.
        for name in names.dropFirst(10) { registry.unsubscribe(.http(name)) }
        #expect(fixture.wait { consul.server.requests.last?.query["wait"] == "30000ms" })
        registry.stop()
    }

    @Test func doubtsAreAnsweredByTurns() throws {
        let names = (0..<60).map { "s\($0)" }
        for name in names { consul.set(name, "10.0.0.1") }
        let registry = try fixture.consul(consul) { settings in
            settings.mostBlocking = 20
            settings.round = .milliseconds(600)
            settings.shortestWait = .milliseconds(10)
        }
        for name in names { registry.subscribe(.http(name)) }
        #expect(fixture.wait { fixture.told.count == names.count })
        #expect(fixture.wait { names.allSatisfy { !consul.queries($0).filter { $0.query["index"] != nil }.isEmpty } })
        let before = consul.server.requests.count
        for name in names { registry.refresh(.http(name)) }
        // Each is told again, and none is asked for beside its turn.
        #expect(fixture.wait { fixture.told.values.allSatisfy { $0.count == 2 } })
        #expect(consul.server.requests.dropFirst(before).allSatisfy { $0.query["index"] != nil })
        registry.stop()
    }

    @Test func anAgentThatTakesFewConnectionsGetsFewer() throws {
        let names = (0..<40).map { "s\($0)" }
        consul.fault = { [unowned consul] request in
            request.query["index"] != nil && consul.hanging >= 12 ? .status(429, "too many connections") : nil
        }
        let registry = try fixture.consul(consul) { settings in
            settings.mostBlocking = 40
            settings.round = .milliseconds(500)
            settings.shortestWait = .milliseconds(10)
        }
        for name in names { registry.subscribe(.http(name)) }
        #expect(fixture.wait { fixture.told.count == names.count && fixture.log.contains("registry.too_many_queries") })
        for name in names { consul.set(name, "10.0.0.2") }
        #expect(fixture.wait { names.allSatisfy { fixture.addresses(.http($0)) == ["10.0.0.2:8080"] } })
        registry.stop()
    }

    @Test func aLongListIsReadWithoutHoldingUpTheLoop() throws {
        let list = (0..<3000).map { FakeConsul.Entry(id: "i\($0)", address: "10.0.\($0 / 250).\($0 % 250)").json }
        let body = Array("[\(list.joined(separator: ","))]".utf8)
        var reader = try ConsulListReader(body, after: ConsulList(), ConsulSettings(agents: []))
        var result: ConsulList?
        var turns = 0
        let work = SlicedWork(loop: fixture.loop) {
            guard let more = try? reader.step() else { return false }
            if !more { result = reader.result() }
            return more
        }
        #expect(!work.isDone, "it took one turn")
        #expect(
            fixture.wait {
                turns += 1
                return work.isDone
            })
        #expect(result?.hosts(.http).hosts.count == 3000 && turns > 2)
        // Read again it is as before, in any order.
        let again = Array("[\(list.shuffled().joined(separator: ","))]".utf8)
        var second = try ConsulListReader(again, after: try #require(result), ConsulSettings(agents: []))
        while try second.step() {}
        #expect(second.result() == nil)
    }
}
