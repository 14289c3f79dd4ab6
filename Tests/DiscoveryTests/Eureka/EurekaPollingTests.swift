import Model
import Runtime
import Testing

@testable import Discovery

/// Whole lists, changes, and servers that go wrong.
@Suite struct EurekaPollingTests {
    let fixture: Fixture
    let eureka: FakeEureka
    let order = ServiceKey.http("order")

    init() throws {
        fixture = try Fixture()
        eureka = try FakeEureka(loop: fixture.loop)
        eureka.put("ORDER", "10.0.0.1", "10.0.0.2")
        eureka.put("USER", "10.0.1.1")
    }

    private func count(_ event: String) -> Int {
        fixture.log.split(separator: "\n").count { $0.contains("event=\(event) ") }
    }

    @Test func readsAllOnceAndThenFollowsChanges() throws {
        let registry = fixture.eureka(eureka)
        registry.subscribe(order)
        registry.subscribe(.http("Order"))
        registry.subscribe(.http("none"))
        #expect(fixture.wait { fixture.told.count == 3 })
        #expect(fixture.addresses(order) == ["10.0.0.1:8080", "10.0.0.2:8080"])
        #expect(fixture.addresses(.http("Order")) == fixture.addresses(order))
        #expect(fixture.addresses(.http("none")) == [])
        #expect(fixture.told[order]?[0].map(\.metadata) == [["version": "v1"], ["version": "v1"]])
        eureka.put("ORDER", "10.0.0.3")
        #expect(fixture.wait { fixture.addresses(order)?.count == 3 })
        eureka.remove("ORDER", "10.0.0.1")
        #expect(fixture.wait { fixture.addresses(order) == ["10.0.0.2:8080", "10.0.0.3:8080"] })
        eureka.put("NONE", .init(status: "STARTING"))
        #expect(fixture.wait { registry.status.dropped == [.unhealthy: 1] })
        eureka.put("NONE", .init())
        #expect(fixture.wait { fixture.addresses(.http("none")) == ["10.0.0.1:8080"] })
        eureka.remove("NONE", "i1")
        #expect(fixture.wait { fixture.addresses(.http("none")) == [] })
        #expect(eureka.count("/apps") == 1 && eureka.count("/apps/delta") >= 5)
        #expect(registry.status.unsteadyAt == nil && registry.status.state == .connected)
        let polls = eureka.count("/apps/delta")
        #expect(fixture.wait { eureka.count("/apps/delta") > polls + 3 })
        #expect(fixture.told[order]?.count == 3)
        #expect(eureka.server.requests.allSatisfy { $0.headers["accept-encoding"] == "gzip" })
        registry.stop()
    }

    @Test func whoComesLaterIsToldAtOnce() throws {
        let registry = fixture.eureka(eureka) { $0.poll = .seconds(100) }
        registry.subscribe(order)
        #expect(fixture.wait { fixture.told[order] != nil })
        registry.subscribe(.http("user"))
        registry.subscribe(.http("nobody"))
        registry.subscribe(.dubbo("com.acme.Echo"))
        #expect(fixture.wait { fixture.told.count == 4 })
        #expect(fixture.addresses(.http("user")) == ["10.0.1.1:8080"])
        #expect(fixture.addresses(.http("nobody")) == [] && fixture.addresses(.dubbo("com.acme.Echo")) == [])
        #expect(eureka.count("/apps") == 1 && eureka.count("/apps/USER") == 1)
        registry.unsubscribe(.http("user"))
        registry.subscribe(.http("user"))
        #expect(fixture.wait { fixture.told[.http("user")]?.count == 2 })
        registry.stop()
    }

    @Test func lostChangesAreFoundByTheChecksum() throws {
        let registry = fixture.eureka(eureka)
        registry.subscribe(order)
        #expect(fixture.wait { fixture.told[order] != nil })
        eureka.remove("ORDER", "10.0.0.1", isTold: false)
        #expect(fixture.wait { fixture.addresses(order) == ["10.0.0.2:8080"] })
        #expect(eureka.count("/apps") == 2)
        registry.stop()
    }

    @Test func aChecksumThatNeverFitsDoesNotReadAllEveryTime() throws {
        eureka.checksum = "UP_77_"
        let registry = fixture.eureka(eureka)
        registry.subscribe(order)
        #expect(fixture.wait { eureka.count("/apps/delta") > 20 })
        #expect(eureka.count("/apps") <= 3)
        eureka.put("ORDER", "10.0.0.3")
        #expect(fixture.wait { fixture.addresses(order)?.count == 3 })
        registry.stop()
    }

    @Test func aChangeThatIsTakenBackAndMadeAgainCounts() throws {
        let registry = fixture.eureka(eureka)
        registry.subscribe(order)
        #expect(fixture.wait { fixture.told[order] != nil })
        for _ in 0..<3 {
            eureka.remove("ORDER", "10.0.0.1")
            #expect(fixture.wait { fixture.addresses(order) == ["10.0.0.2:8080"] })
            eureka.put("ORDER", "10.0.0.1")
            #expect(fixture.wait { fixture.addresses(order)?.count == 2 })
        }
        #expect(eureka.count("/apps") == 1)
        registry.stop()
    }

    @Test func anExchangeThatTheChecksumHidesIsFoundByTheNextWholeList() throws {
        let registry = fixture.eureka(eureka) { $0.fullPeriod = .milliseconds(200) }
        registry.subscribe(order)
        #expect(fixture.wait { fixture.told[order] != nil })
        eureka.remove("ORDER", "10.0.0.1", isTold: false)
        eureka.put("ORDER", "10.0.0.9", isTold: false)
        #expect(fixture.wait { fixture.addresses(order) == ["10.0.0.2:8080", "10.0.0.9:8080"] })
        registry.stop()
    }

    @Test func serversWithoutChangesAreReadWhole() throws {
        eureka.fault = { $0.path.hasSuffix("/delta") ? .status(403, "") : nil }
        let registry = fixture.eureka(eureka)
        registry.subscribe(order)
        #expect(fixture.wait { fixture.told[order] != nil })
        eureka.put("ORDER", "10.0.0.3")
        #expect(fixture.wait { fixture.addresses(order)?.count == 3 })
        #expect(fixture.wait { eureka.count("/apps") > 4 })
        #expect(eureka.count("/apps/delta") == 1 && registry.status.failures == 0)
        registry.stop()
    }

    @Test func refreshTellsAgain() throws {
        let registry = fixture.eureka(eureka) { $0.poll = .seconds(100) }
        registry.subscribe(order)
        #expect(fixture.wait { fixture.told[order] != nil })
        registry.refresh(order)
        #expect(fixture.wait { fixture.told[order]?.count == 2 })
        #expect(eureka.count("/apps/ORDER") == 1)
        eureka.remove("ORDER", "10.0.0.1", isTold: false)
        registry.refresh(order)
        #expect(fixture.wait { fixture.addresses(order) == ["10.0.0.2:8080"] })
        eureka.fault = { _ in .status(500, "") }
        registry.refresh(order)
        #expect(fixture.wait { registry.status.failures > 0 })
        #expect(fixture.told[order]?.count == 3)
        registry.stop()
    }

    @Test func manyDoubtsAreOneQuestion() throws {
        for number in 0..<100 { eureka.put("S\(number)", "10.0.0.1") }
        let registry = fixture.eureka(eureka) { $0.poll = .seconds(100) }
        let keys = (0..<100).map { ServiceKey.http("s\($0)") }
        for key in keys { registry.subscribe(key) }
        #expect(fixture.wait { fixture.told.count == 100 })
        for key in keys { registry.refresh(key) }
        #expect(fixture.wait { keys.allSatisfy { fixture.told[$0]?.count == 2 } })
        #expect(eureka.server.requests.count <= 4)
        registry.stop()
    }

    static let faults: [(String, FakeServer.Answer)] = [
        ("not JSON", .ok("<html>sorry</html>")), ("XML", .ok("<applications><application/></applications>")),
        ("nothing", .ok("")), ("an error object", .ok(#"{"error":"x"}"#)), ("half JSON", .ok(#"{"applications":{"#)),
        ("bad request", .status(400, "")), ("credentials", .status(401, "")), ("starting", .status(503, "")),
        ("internal error", .status(500, "")), ("redirect", .status(302, "", headers: [("Location", "/login")])),
        ("reset", .reset), ("half", .raw("HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{\"app", close: true)),
        ("no HTTP", .raw("SSH-2.0-OpenSSH_9.2\r\n", close: true)), ("closed", .raw("", close: true)),
        (
            "broken gzip",
            .raw("HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 5\r\n\r\n12345", close: false)
        ),
    ]

    @Test(arguments: faults.indices)
    func faultsChangeNothingForKnownHosts(number: Int) throws {
        let (name, fault) = Self.faults[number]
        let registry = fixture.eureka(eureka)
        registry.subscribe(order)
        #expect(fixture.wait { fixture.told[order] != nil })
        eureka.fault = { _ in fault }
        #expect(fixture.wait { registry.status.failures >= 5 }, "\(name)")
        #expect(registry.status.state == .failed && registry.status.lastError != nil, "\(name)")
        let lost = try #require(registry.status.unsteadyAt)
        #expect(fixture.told[order]?.count == 1 && fixture.failures.isEmpty, "\(name)")
        eureka.fault = { _ in nil }
        eureka.remove("ORDER", "10.0.0.1", isTold: false)
        eureka.put("ORDER", "10.0.0.3", isTold: false)
        #expect(fixture.wait { fixture.addresses(order) == ["10.0.0.2:8080", "10.0.0.3:8080"] }, "\(name)")
        #expect(registry.status.state == .connected && (registry.status.unsteadyAt ?? 0) > lost)
        #expect(count("registry.failed") == 1 && count("registry.recovered") == 1, "\(name)\n\(fixture.log)")
        registry.stop()
    }

    @Test(arguments: faults.indices)
    func theFirstAnswerFailingIsTold(number: Int) throws {
        let (name, fault) = Self.faults[number]
        eureka.fault = { _ in fault }
        let registry = fixture.eureka(eureka) { settings in
            settings.serverBackoff = Backoff(first: .milliseconds(100), cap: .milliseconds(200))
        }
        registry.subscribe(order)
        #expect(fixture.wait { fixture.failures[order] != nil }, "\(name)")
        registry.subscribe(.http("late"))
        #expect(fixture.wait { fixture.failures[.http("late")] != nil }, "\(name)")
        let before = eureka.server.requests.count
        #expect(!fixture.wait(.milliseconds(300)) { eureka.server.requests.count > before + 7 }, "hot loop: \(name)")
        eureka.fault = { _ in nil }
        #expect(fixture.wait { fixture.told.count == 2 }, "\(name)")
        registry.stop()
    }

    @Test func credentialsAreSentAndNotTold() throws {
        eureka.authorization = "Basic bWU6aHVudGVyMg=="
        let wrong = fixture.eureka(eureka) { $0.authorization = "Basic aHVudGVyMTpodW50ZXIz" }
        wrong.subscribe(order)
        #expect(fixture.wait { fixture.failures[order]?.contains("credentials") == true })
        wrong.stop()
        let right = fixture.eureka(eureka) { $0.authorization = "Basic bWU6aHVudGVyMg==" }
        right.subscribe(order)
        #expect(fixture.wait { fixture.told[order] != nil })
        right.stop()
        #expect(!fixture.log.contains("Basic") && !fixture.log.contains("hunter"))
    }
}
