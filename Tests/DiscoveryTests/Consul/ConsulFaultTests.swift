import Model
import Runtime
import Testing

@testable import Discovery

/// Agents that go wrong: known hosts stay, nothing is asked in a hot loop, and all is well again afterwards.
@Suite struct ConsulFaultTests {
    let fixture: Fixture
    let consul: FakeConsul
    let order = ServiceKey.http("order")

    init() throws {
        fixture = try Fixture()
        consul = try FakeConsul(loop: fixture.loop)
        consul.set("order", "10.0.0.1", "10.0.0.2")
    }

    private func count(_ event: String) -> Int {
        fixture.log.split(separator: "\n").count { $0.contains("event=\(event) ") }
    }

    static let list = "[\(FakeConsul.Entry().json)]"
    static let faults: [(String, FakeServer.Answer)] = [
        ("not JSON", .ok("<html>sorry</html>")), ("nothing", .ok("")), ("an object", .ok("{}")),
        ("null", .ok("null")),
        ("numbers", .ok("[1,2]")), ("a cut list", .ok(String(list.dropLast()))),
        ("two lists", .ok(list + list)),
        ("an open string", .ok("[{\"a\\")), ("deep", .ok(String(repeating: "[", count: 100_000))),
        ("bad request", .status(400, "invalid wait time")), ("internal error", .status(500, "boom")),
        ("no leader", .status(500, "No cluster leader")),
        ("forbidden", .status(403, "Permission denied")),
        ("unknown token", .status(403, "ACL not found")),
        ("limited", .status(429, "Your IP is issuing too many")),
        ("gateway", .status(502, "bad gateway")), ("away", .status(503, "")),
        ("not found", .status(404, "")),
        ("redirect", .status(302, "", headers: [("Location", "/ui")])), ("reset", .reset),
        ("half", .raw("HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n[{\"Node\":", close: true)),
        ("no HTTP", .raw("SSH-2.0-OpenSSH_9.2\r\n", close: true)), ("closed", .raw("", close: true)),
    ]

    @Test(arguments: faults.indices)
    func faultsChangeNothingForKnownHosts(number: Int) throws {
        let (name, fault) = Self.faults[number]
        let registry = try fixture.consul(consul)
        registry.subscribe(order)
        #expect(fixture.wait { fixture.told[order] != nil && consul.hanging == 1 })
        consul.fault = { _ in fault }
        consul.set("order", "10.0.0.1", "10.0.0.2")
        #expect(fixture.wait { registry.status.failures >= 5 }, "\(name)")
        #expect(registry.status.state == .failed && registry.status.lastError != nil, "\(name)")
        #expect(fixture.told[order]?.count == 1 && fixture.failures.isEmpty, "\(name)")
        consul.fault = { _ in nil }
        consul.set("order", "10.0.0.1", "10.0.0.3")
        #expect(fixture.wait { fixture.addresses(order)?.contains("10.0.0.3:8080") == true }, "\(name)")
        #expect(registry.status.state == .connected)
        #expect(
            count("registry.failed") == 1 && count("registry.recovered") == 1, "\(name)\n\(fixture.log)")
        registry.stop()
    }

    @Test(arguments: faults.indices)
    func theFirstAnswerFailingIsTold(number: Int) throws {
        let (name, fault) = Self.faults[number]
        consul.fault = { _ in fault }
        let registry = try fixture.consul(consul)
        registry.subscribe(order)
        #expect(fixture.wait { fixture.failures[order] != nil }, "\(name)")
        // Whoever comes while all agents are away is told as well.
        registry.subscribe(.http("late"))
        #expect(fixture.wait { fixture.failures[.http("late")] != nil }, "\(name)")
        #expect(fixture.told.isEmpty, "\(name)")
        consul.fault = { _ in nil }
        #expect(
            fixture.wait { fixture.told[order] != nil && fixture.told[.http("late")] != nil }, "\(name)")
        registry.stop()
    }

    /// What makes naive watchers ask without a pause.
    static let storms: [(String, @Sendable (FakeConsul) -> Void)] = [
        (
            "the index changes all the time",
            { consul in
                var index: UInt64 = 1000
                consul.fault = { _ in
                    index += 1
                    return .status(200, list, headers: [("X-Consul-Index", "\(index)")])
                }
            }
        ),
        (
            "index and content change all the time",
            { consul in
                var index: UInt64 = 1000
                consul.fault = { _ in
                    index += 1
                    let entry = FakeConsul.Entry(address: "10.0.0.\(index % 250)")
                    return .status(200, "[\(entry.json)]", headers: [("X-Consul-Index", "\(index)")])
                }
            }
        ),
        (
            "content changes every other time",
            { consul in
                var index: UInt64 = 1000
                consul.fault = { _ in
                    index += 1
                    let entry = FakeConsul.Entry(address: "10.0.0.\(index / 2 % 250)")
                    return .status(200, "[\(entry.json)]", headers: [("X-Consul-Index", "\(index)")])
                }
            }
        ),
        (
            "the index falls all the time",
            { consul in
                var index: UInt64 = 1_000_000
                consul.fault = { _ in
                    index -= 1
                    return .status(200, list, headers: [("X-Consul-Index", "\(index)")])
                }
            }
        ),
        (
            "it never blocks",
            { $0.fault = { _ in .status(200, list, headers: [("X-Consul-Index", "7")]) } }
        ),
        ("no index", { $0.fault = { _ in .ok(list) } }),
        ("index 0", { $0.fault = { _ in .status(200, list, headers: [("X-Consul-Index", "0")]) } }),
        ("no number", { $0.fault = { _ in .status(200, list, headers: [("X-Consul-Index", "x-1")]) } }),
        (
            "too large a number",
            { consul in
                consul.fault = { _ in
                    .status(200, list, headers: [("X-Consul-Index", "99999999999999999999")])
                }
            }
        ),
        ("errors", { $0.fault = { _ in .status(500, "rpc error") } }),
        ("refusals", { $0.fault = { _ in .status(403, "Permission denied") } }),
        ("garbage", { $0.fault = { _ in .ok("garbage") } }), ("resets", { $0.fault = { _ in .reset } }),
        ("hanging queries are reset", { $0.fault = { $0.query["index"] == nil ? nil : .reset } }),
        ("too many", { $0.fault = { $0.query["index"] == nil ? nil : .status(429, "") } }),
    ]

    @Test(arguments: storms.indices)
    func neverAsksInAHotLoop(number: Int) throws {
        let (name, begin) = Self.storms[number]
        let registry = try fixture.consul(consul) { settings in
            settings.pace = .milliseconds(100)
            settings.slowPace = .milliseconds(400)
            settings.agentBackoff = Backoff(first: .milliseconds(200), cap: .milliseconds(400))
            settings.refusalBackoff = Backoff(first: .milliseconds(200), cap: .milliseconds(400))
        }
        begin(consul)
        registry.subscribe(order)
        #expect(fixture.wait { consul.queries("order").count >= 2 })
        // At most the two that are free and one each 100 ms.
        let before = consul.queries("order").count
        #expect(!fixture.wait(.milliseconds(500)) { consul.queries("order").count > before + 7 }, "\(name)")
        #expect(consul.queries("order").count > before, "\(name)")
        registry.stop()
    }

    static let extremes = ["18446744073709551615", "9223372036854775807", "9223372036854775808", "-1", "1"]

    @Test(arguments: extremes)
    func extremeIndicesAreSurvived(index: String) throws {
        let registry = try fixture.consul(consul) { $0.wait = .milliseconds(200) }
        registry.subscribe(order)
        #expect(fixture.wait { fixture.told[order] != nil })
        consul.fault = { _ in
            .status(200, "[\(FakeConsul.Entry(address: "10.0.0.9").json)]", headers: [("X-Consul-Index", index)])
        }
        consul.touch("order")
        #expect(fixture.wait { fixture.addresses(order) == ["10.0.0.9:8080"] })
        consul.fault = { _ in nil }
        consul.set("order", "10.0.0.8")
        #expect(fixture.wait { fixture.addresses(order) == ["10.0.0.8:8080"] })
        registry.stop()
    }

    @Test func aRestartedForgetfulAgentIsNotWaitedFor() throws {
        let registry = try fixture.consul(consul)
        registry.subscribe(order)
        #expect(fixture.wait { fixture.told[order] != nil && consul.hanging == 1 })
        #expect(registry.status.unsteadyAt == nil)
        consul.kill()
        #expect(fixture.wait { registry.status.state == .failed })
        let lost = try #require(registry.status.unsteadyAt)
        try consul.startForgetful()
        // A query with the old index would hang for 30 s.
        #expect(fixture.wait(.seconds(5)) { fixture.addresses(order) == [] })
        #expect(try #require(registry.status.unsteadyAt) > lost)
        consul.set("order", "10.0.0.1")
        #expect(fixture.wait(.seconds(5)) { fixture.addresses(order) == ["10.0.0.1:8080"] })
        registry.stop()
    }

    /// It is back before anybody can see that it was away: only the query that hung breaks.
    @Test func aBrokenQueryIsNotSentAgainWithItsIndex() throws {
        let registry = try fixture.consul(consul)
        registry.subscribe(order)
        #expect(fixture.wait { fixture.told[order] != nil && consul.hanging == 1 })
        // The connection had been used before: libcurl would send the query again by itself.
        #expect(consul.server.accepted == 1)
        consul.kill()
        try consul.startForgetful()
        consul.set("order", "10.0.0.3")
        #expect(fixture.wait(.seconds(5)) { fixture.addresses(order) == ["10.0.0.3:8080"] })
        #expect(registry.status.failures == 0)
        #expect(fixture.wait { consul.hanging == 1 })
        registry.stop()
    }

    @Test func aRestartThatNobodySawIsSeenByTheIndex() throws {
        let registry = try fixture.consul(consul) { $0.wait = .milliseconds(50) }
        registry.subscribe(order)
        #expect(fixture.wait { fixture.told[order] != nil && consul.hanging == 1 })
        // Behind a balancer the connection stays.
        consul.headers = { _ in [("X-Consul-Index", "3")] }
        consul.touch("order")
        #expect(fixture.wait { registry.status.unsteadyAt != nil })
        #expect(registry.status.state == .connected && registry.status.failures == 0)
        #expect(count("registry.index_went_back") == 1)
        registry.stop()
    }

    static let cuts: [FakeServer.Answer] = [.reset, .status(504, "timeout"), .status(502, "no answer")]

    @Test(arguments: cuts.indices)
    func aHangingQueryThatIsCutOffIsNoOutage(number: Int) throws {
        consul.fault = { request in request.query["index"] == nil ? nil : .later(-1) }
        let registry = try fixture.consul(consul)
        registry.subscribe(order)
        #expect(fixture.wait { consul.queries("order").count == 2 })
        // A balancer in between ends what is silent for a while.
        #expect(!fixture.wait(.milliseconds(1100)) { registry.status.failures > 0 })
        consul.fault = { _ in nil }
        consul.server.complete(-1, Self.cuts[number])
        #expect(fixture.wait { consul.hanging == 1 })
        #expect(registry.status.failures == 0 && registry.status.unsteadyAt == nil)
        #expect(fixture.told[order]?.count == 1)
        registry.stop()
    }

    @Test func anAgentThatFallsSilentIsLeft() throws {
        let other = try FakeConsul(loop: fixture.loop)
        other.set("order", "10.0.0.1", "10.0.0.2")
        other.set("user", "10.0.0.3")
        consul.set("user", "10.0.0.3")
        let registry = try fixture.consul(consul, other) { settings in
            settings.timeout = .milliseconds(200)
            settings.wait = .milliseconds(400)
        }
        registry.subscribe(order)
        registry.subscribe(.http("user"))
        #expect(fixture.wait { fixture.told.count == 2 && consul.hanging == 2 })
        consul.fault = { _ in .silence }
        #expect(fixture.wait { other.hanging == 2 })
        other.set("user", "10.0.0.4")
        #expect(fixture.wait { fixture.addresses(.http("user")) == ["10.0.0.4:8080"] })
        #expect(fixture.told[order]?.count == 1)
        #expect(registry.status.unsteadyAt != nil && registry.status.state == .connected)
        registry.stop()
    }

    @Test func anotherAgentIsAskedWithoutTheIndexOfTheFirst() throws {
        let other = try FakeConsul(loop: fixture.loop)
        other.set("order", "10.0.0.7")
        for _ in 0..<50 { consul.touch("order") }
        let registry = try fixture.consul(consul, other)
        registry.subscribe(order)
        #expect(fixture.wait { fixture.told[order] != nil && consul.hanging == 1 })
        consul.kill()
        #expect(fixture.wait { fixture.addresses(order) == ["10.0.0.7:8080"] })
        #expect(other.queries("order")[0].query["index"] == nil)
        #expect(fixture.wait { other.hanging == 1 })
        registry.stop()
    }

    @Test func asksAnotherAgentAboutAServiceThatOneRefuses() throws {
        let other = try FakeConsul(loop: fixture.loop)
        other.set("order", "10.0.0.1")
        consul.fault = { _ in .status(500, "x") }
        let registry = try fixture.consul(consul, other)
        registry.subscribe(order)
        #expect(fixture.wait { fixture.told[order] != nil })
        #expect(!other.queries("order").isEmpty)
        registry.stop()
    }

    @Test func theTokenIsNeverTold() throws {
        consul.token = "good"
        consul.fault = { .status(403, "ACL not found: \($0.headers["x-consul-token"] ?? "")") }
        let registry = try fixture.consul(consul) { $0.token = "8ce1f7a2-hunter2" }
        registry.subscribe(order)
        #expect(fixture.wait { registry.status.failures > 2 })
        #expect(fixture.failures[order]?.contains("ACL token") == true)
        for text in [fixture.log, fixture.failures[order] ?? "", registry.status.lastError ?? ""] {
            #expect(!text.contains("hunter2") && !text.contains("8ce1f7a2"))
        }
        registry.stop()
    }

    @Test func filteredListsAreWarnedOfOnce() throws {
        consul.headers = {
            [("X-Consul-Index", "\($0)"), ("X-Consul-Results-Filtered-By-ACLs", "true")]
        }
        let registry = try fixture.consul(consul)
        registry.subscribe(order)
        registry.subscribe(.http("user"))
        #expect(fixture.wait { fixture.told.count == 2 && consul.hanging == 2 })
        #expect(count("registry.filtered_by_acl") == 1)
        registry.stop()
    }
}
