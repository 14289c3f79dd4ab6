import Balancing
import Model
import Proxy
import Runtime
import TestSupport
import Testing

@Suite struct HTTPRoutingTests {
    @Test func theHeaderChoosesTheVersion() throws {
        let (one, two) = (try namedHost("one"), try namedHost("two"))
        let mesh = try TestMesh()
        mesh.update([("1.0", one.address), ("2.0", two.address)])
        let client = try mesh.connect()
        for _ in 0..<5 {
            #expect(try client.get("/", "X-Version: 1.0\r\n").body == "one")
            let answer = try client.get("/", "x-version: 2.0\r\n")
            #expect(answer.body == "two")
            #expect(answer.field("x-greymesh-version") == "2.0")
        }
        #expect(one.accepted == 1)
        #expect(two.accepted == 1)
    }

    @Test func wishNamesAreReadInOrderAndZeroIsNoWish() throws {
        let (one, two) = (try namedHost("one"), try namedHost("two"))
        let mesh = try TestMesh()
        var policy = ServicePolicy()
        policy.stable = "1.0"
        mesh.update(policy: policy, [("1.0", one.address), ("2.0", two.address)])
        let client = try mesh.connect()
        #expect(try client.get("/", "version: 1.0\r\nx-version: 2.0\r\n").body == "two")
        #expect(try client.get("/", "x-version:  \r\nversion: 2.0\r\n").body == "two")
        #expect(try client.get("/", "x-version: 0.0.0\r\nversion: 2.0\r\n").body == "two")
        #expect(try client.get("/", "version: 0.0.0\r\n").body == "one")
    }

    @Test func unknownVersionFallsBackOrIsRefused() throws {
        let one = try namedHost("one")
        let mesh = try TestMesh()
        mesh.update([("1.0", one.address)])
        #expect(try mesh.connect().get("/", "x-version: 9\r\n").body == "one")
        var strict = ServicePolicy()
        strict.mode = .strict
        strict.stable = "3.0"
        mesh.update(policy: strict, [("1.0", one.address)])
        try mesh.settle()
        let client = try mesh.connect()
        let refused = try client.get()
        #expect(refused.status == 503)
        #expect(refused.body == "no usable host of service shop version 3.0\n")
        // A version that no host ever had, with blanks around it, too long, or with what only a terminal understands.
        #expect(try client.get("/", "x-version:  \t2.7 \r\n").body == "no usable host of service shop version 2.7\n")
        let long = String(repeating: "9", count: 200)
        #expect(try client.get("/", "x-version: \(long)\r\n").body.hasSuffix(" version \(long.prefix(64))…\n"))
        #expect(try client.get("/", "x-version: 1\t2\u{85}\r\n").body.hasSuffix(" version 1\\t2\\u{0085}\n"))
        #expect(try client.get("/", "x-version: 1.0\r\n").body == "one")
    }

    @Test func splitWeightsZeroAndHundredAreExact() throws {
        let (one, two) = (try namedHost("one"), try namedHost("two"))
        let mesh = try TestMesh()
        var policy = ServicePolicy()
        policy.split = [VersionWeight(version: "1.0", weight: 0), VersionWeight(version: "2.0", weight: 100)]
        mesh.update(policy: policy, [("1.0", one.address), ("2.0", two.address)])
        let client = try mesh.connect()
        for _ in 0..<300 { #expect(try client.get().body == "two") }
        #expect(one.accepted == 0)
    }

    @Test func aStickyKeyStaysWithItsVersion() throws {
        let (one, two) = (try namedHost("one"), try namedHost("two"))
        let mesh = try TestMesh()
        var policy = ServicePolicy()
        policy.split = [VersionWeight(version: "1.0", weight: 50), VersionWeight(version: "2.0", weight: 50)]
        policy.sticky = .header("x-user")
        mesh.update(policy: policy, [("1.0", one.address), ("2.0", two.address)])
        let client = try mesh.connect()
        var seen: Set<String> = []
        for user in 0..<40 {
            let answers = try (0..<5).map { _ in try client.get("/", "X-User: u\(user)\r\n").body }
            #expect(Set(answers).count == 1)
            seen.formUnion(answers)
        }
        #expect(seen.count == 2)
    }

    @Test func hostNamesAndPathsMeanServices() throws {
        let (orders, users) = (try namedHost("orders"), try namedHost("users"))
        let mesh = try TestMesh()
        let (orderKey, userKey) = (ServiceKey(kind: .http, name: "orders"), ServiceKey(kind: .http, name: "users"))
        mesh.post(
            .routes(
                RouteTable(
                    services: [orderKey, userKey], hosts: [("orders.example.com", orderKey)],
                    paths: [("/api/orders", orderKey), ("/api", userKey)])))
        mesh.update("orders", [("", orders.address)])
        mesh.update("users", [("", users.address)])
        let client = try mesh.connect()
        #expect(try client.get(host: "Orders.Example.com:8080").body == "orders")
        #expect(try client.get("/api/orders", host: "127.0.0.1").body == "orders")
        #expect(try client.get("/api/orders/1?x=/api/users", host: "127.0.0.1:8080").body == "orders")
        #expect(try client.get("/api/orders2", host: "127.0.0.1").body == "users")
        #expect(try client.get("/other", host: "127.0.0.1").status == 404)
        #expect(try client.get("/other", host: "localhost").status == 404)
        #expect(try client.get("/api/x", host: "users").body == "users")
    }

    @Test func anUnknownServiceIsAskedForAndTheRequestWaits() throws {
        let host = try namedHost("late")
        let mesh = try TestMesh()
        let client = try mesh.connect()
        client.send("GET / HTTP/1.1\r\nHost: Late-Service\r\n\r\nGET / HTTP/1.1\r\nHost: Late-Service\r\n\r\n")
        let asked = waitUntil(within: .seconds(5)) {
            mesh.events.contains { if case .wanted(let key) = $0 { key.name == "Late-Service" } else { false } }
        }
        #expect(asked)
        mesh.update("Late-Service", [("", host.address)])
        #expect(try client.receiveAnswer().body == "late")
        #expect(try client.receiveAnswer().body == "late")
    }

    @Test func aServiceThatNobodyTellsAboutIsRefusedInTime() throws {
        let mesh = try TestMesh { $0.limits.discoveryTimeout = .milliseconds(100) }
        let client = try mesh.connect()
        let answer = try client.get(host: "nowhere")
        #expect(answer.status == 503)
        #expect(answer.body.contains("service nowhere"))
        #expect(client.receiveAll().isEmpty)
    }

    /// Hosts that are told in the moment in which the request's patience ends: served or refused, but once.
    @Test func aServiceThatIsToldAtTheLastMomentIsAnsweredOnce() throws {
        let host = try namedHost("ok")
        let mesh = try TestMesh { $0.limits.discoveryTimeout = .milliseconds(2) }
        for number in 0..<300 {
            let client = try mesh.connect()
            let name = "late-\(number)"
            client.send("GET / HTTP/1.1\r\nHost: \(name)\r\n\r\n")
            let end = Clock.nanoseconds + 2_000_000 + Int64(number % 100) * 10_000
            while Clock.nanoseconds < end {}
            mesh.update(name, [("", host.address)])
            let answer = try client.receiveAnswer()
            #expect(answer.status == 200 || answer.status == 503)
            client.endOutput()
            #expect(client.receiveAll().isEmpty)
        }
    }

    @Test func anEmptyServiceIsRefusedAtOnce() throws {
        let mesh = try TestMesh()
        mesh.update([])
        let client = try mesh.connect()
        #expect(try client.get().status == 503)
        #expect(try client.get().body == "no usable host of service shop\n")
    }

    @Test func requestsAreCountedByWishAndOutcome() throws {
        let (one, two) = (try namedHost("one"), try namedHost("two"))
        let mesh = try TestMesh()
        mesh.update([("1.0", one.address), ("2.0", two.address)])
        let client = try mesh.connect()
        _ = try client.get("/", "x-version: 2.0\r\n")
        _ = try client.get("/", "x-version: 2.0\r\n")
        _ = try client.get("/", "x-version: nonsense\r\n")
        let service = try #require(try mesh.report().services.first)
        #expect(service.routes.first { $0.requested == "2.0" && $0.served == "2.0" }?.count == 2)
        #expect(service.routes.first { $0.requested == "other" }?.count == 1)
        #expect(service.versions.flatMap(\.codes).allSatisfy { $0.code == 200 })
        #expect(service.versions.reduce(0) { $0 + $1.buckets.reduce(0, +) } == 3)
    }

    @Test func explainingUsesTheSameDecision() throws {
        let one = try namedHost("one")
        let mesh = try TestMesh()
        mesh.update([("1.0", one.address)])
        let key = ServiceKey(kind: .http, name: "shop")
        mesh.post(.explain(id: 7, ExplainRequest(key: key, headers: [("X-Version", "2.0")])))
        var found: Explanation?
        _ = waitUntil(within: .seconds(5)) {
            for case .explanation(7, let explanation) in mesh.events { found = explanation }
            return found != nil
        }
        let explanation = try #require(found)
        #expect(explanation.steps.first == "x-version asks for version 2.0")
        #expect(explanation.hosts == [one.address.description])
        #expect(explanation.steps.contains { $0.contains("fallback") })
    }
}
