import Balancing
import Glibc
import Model
import Proxy
import Runtime
import Synchronization
import TestSupport
import Testing

@Suite("Limits of HTTP services")
struct HTTPLimitTests {
    private func policy(_ change: (inout TrafficPolicy) -> Void) -> ServicePolicy {
        var policy = ServicePolicy()
        policy.balancer = .roundRobin
        change(&policy.traffic)
        return policy
    }

    private func refusals(_ mesh: TestMesh, of version: String = "1.0") throws -> [RefusalReason: UInt64] {
        let versions = try mesh.report().services.first?.versions ?? []
        let all = versions.first { $0.version == version }?.refusals ?? []
        return Dictionary(uniqueKeysWithValues: all.map { ($0.reason, $0.count) })
    }

    /// Answers only when it is let.
    private final class Gate: Sendable {
        let isOpen = Atomic<Bool>(false)

        func host() throws -> CountingHost {
            try CountingHost { [self] connection, _ in
                guard waitUntil(within: .seconds(20), { isOpen.load(ordering: .acquiring) }) else { return false }
                connection.answer("done")
                return true
            }
        }
    }

    private func isQuiet(_ mesh: TestMesh) -> Bool {
        waitUntil(within: .seconds(10)) {
            mesh.limits?.breakers.allSatisfy { $0.requests.current == 0 && $0.pending.current == 0 } == true
        }
    }

    @Test("Beyond the circuit breaker's requests: 503 at once, and none too many at the host")
    func requests() throws {
        let gate = Gate()
        let host = try gate.host()
        let mesh = try TestMesh()
        mesh.update(policy: policy { $0.circuitBreaker.requests = 2 }, [("1.0", host.address)])
        try mesh.settle()
        let first = [try mesh.connect(), try mesh.connect()]
        for client in first { client.send("GET / HTTP/1.1\r\nHost: shop\r\n\r\n") }
        #expect(waitUntil(within: .seconds(10)) { host.seen == 2 })
        let client = try mesh.connect()
        for _ in 0..<3 {
            let answer = try client.get()
            #expect(answer.status == 503 && answer.field("x-greymesh-error") == "limit")
            #expect(answer.body.contains("circuit_breaker") && answer.field("retry-after") == nil)
        }
        #expect(try refusals(mesh) == [.requests: 3])
        #expect(mesh.limits?.own.breaker?.requests.current == 2)
        gate.isOpen.store(true, ordering: .releasing)
        for client in first { #expect(try client.receiveAnswer().status == 200) }
        #expect(try client.get().status == 200)
        #expect(host.seen == 3 && isQuiet(mesh))
        let codes = try mesh.report().services.first?.versions.first { $0.version == "1.0" }?.codes
        #expect(codes?.first { $0.code == 503 }?.count == 3)
    }

    @Test("Whoever goes, is answered late or is cut makes room")
    func ends() throws {
        let silent = try CountingHost { connection, _ in
            _ = connection.receiveAll()
            return false
        }
        let mesh = try TestMesh()
        var policy = policy {
            $0.circuitBreaker.requests = 1
            $0.timeout = .milliseconds(100)
        }
        mesh.update(policy: policy, [("1.0", silent.address)])
        try mesh.settle()
        #expect(try mesh.connect().get().status == 504)
        #expect(isQuiet(mesh))
        policy.traffic.timeout = .seconds(60)
        // It was ejected: it is tried all the same, being the only one.
        mesh.update(policy: policy, [("1.0", silent.address)])
        try mesh.settle()
        do {
            let leaving = try mesh.connect()
            leaving.send("GET / HTTP/1.1\r\nHost: shop\r\n\r\n")
            #expect(waitUntil(within: .seconds(10)) { silent.seen == 2 })
            #expect(try mesh.connect().get().status == 503)
            leaving.resetOnClose()
        }
        #expect(isQuiet(mesh))
        var client: Connection? = try mesh.connect()
        client?.send("GET / HTTP/1.1\r\nHost: shop\r\n\r\n")
        #expect(waitUntil(within: .seconds(10)) { silent.seen == 3 })
        // The limit goes while one is in flight, and comes back: what ends then was counted before.
        let counts = mesh.limits?.own.breaker
        mesh.update(policy: ServicePolicy(), [("1.0", silent.address)])
        mesh.update(policy: policy, [("1.0", silent.address)])
        try mesh.settle()
        #expect(counts?.requests.current == 1)
        mesh.post(.remove(ServiceKey(kind: .http, name: "shop")))
        try mesh.settle()
        client?.resetOnClose()
        client = nil
        #expect(waitUntil(within: .seconds(10)) { counts?.requests.current == 0 })
        #expect(waitUntil(within: .seconds(10)) { counts?.connections.current == 0 })
    }

    @Test("Beyond the requests that wait for a connection: 503 at once")
    func pending() throws {
        let full = try FullListener()
        let mesh = try TestMesh { $0.limits.connectTimeout = .milliseconds(1500) }
        mesh.update(policy: policy { $0.circuitBreaker.pending = 1 }, [("1.0", full.address)])
        try mesh.settle()
        let waiting = try mesh.connect()
        waiting.send("GET / HTTP/1.1\r\nHost: shop\r\n\r\n")
        #expect(waitUntil(within: .seconds(10)) { mesh.limits?.own.breaker?.pending.current == 1 })
        let answer = try mesh.connect().get()
        #expect(answer.status == 503 && answer.field("x-greymesh-error") == "limit")
        #expect(try waiting.receiveAnswer().field("x-greymesh-error") == "connect")
        #expect(try refusals(mesh) == [.pending: 1] && isQuiet(mesh))
        #expect(mesh.limits?.own.breaker?.connections.current == 0)
    }

    @Test("What an ill host answers at once does not make the adaptive limit smaller for what a well one takes")
    func illAnswers() throws {
        let host = try ScriptedServer { connection, _ in
            while case let head = connection.receiveHead(), !head.isEmpty {
                if head.hasPrefix("GET /ill ") {
                    connection.answer("ill", status: "503 Service Unavailable")
                } else {
                    usleep(20_000)
                    connection.answer("well")
                }
            }
        }
        let mesh = try TestMesh()
        mesh.update(policy: policy { $0.adaptsConcurrency = true }, [("1.0", host.address)])
        try mesh.settle()
        let client = try mesh.connect()
        func ask(_ path: String) throws -> Int {
            client.send("GET \(path) HTTP/1.1\r\nHost: shop\r\n\r\n")
            return try client.receiveAnswer().status
        }
        #expect(try (0..<40).allSatisfy { _ in try ask("/ill") == 503 })
        #expect(try (0..<40).allSatisfy { _ in try ask("/well") == 200 })
        #expect(mesh.limits?.own.breaker?.concurrency.current == ConcurrencyEstimate.first)
    }

    @Test("Requests that wait for the registries are pending ones")
    func discovery() throws {
        let host = try namedHost("a")
        let mesh = try TestMesh()
        let key = ServiceKey(kind: .http, name: "shop")
        let policy = policy { $0.circuitBreaker.pending = 1 }
        let limits = try #require(ServiceLimits.following(nil, policy))
        mesh.post(.routes(RouteTable(services: [key])))
        mesh.post(.announce(ServiceAnnouncement(key: key, policy: policy, limits: limits)))
        try mesh.settle()
        let waiting = try mesh.connect()
        waiting.send("GET / HTTP/1.1\r\nHost: shop\r\n\r\n")
        #expect(waitUntil(within: .seconds(10)) { limits.own.breaker?.pending.current == 1 })
        let client = try mesh.connect()
        #expect(try client.get().field("x-greymesh-error") == "limit")
        #expect(try client.get().status == 503)
        mesh.update(policy: policy, [("1.0", host.address)])
        #expect(try waiting.receiveAnswer().body == "a")
        #expect(try client.get().body == "a")
        #expect(waitUntil(within: .seconds(10)) { limits.own.breaker?.requests.current == 0 })
        #expect(limits.own.breaker?.pending.current == 0)
    }

    @Test("Beyond the connections: one that is not used makes room, else 503 at once")
    func connections() throws {
        let gate = Gate()
        gate.isOpen.store(true, ordering: .releasing)
        let hosts = [try gate.host(), try gate.host()]
        let mesh = try TestMesh()
        mesh.update(policy: policy { $0.circuitBreaker.connections = 1 }, hosts.map { ("1.0", $0.address) })
        try mesh.settle()
        let client = try mesh.connect()
        for _ in 0..<6 {
            #expect(try client.get().status == 200)
            #expect(mesh.limits?.own.breaker?.connections.current == 1)
        }
        #expect(hosts.map(\.seen) == [3, 3] && hosts.map(\.accepted) == [3, 3])
        gate.isOpen.store(false, ordering: .releasing)
        client.send("GET / HTTP/1.1\r\nHost: shop\r\n\r\n")
        #expect(waitUntil(within: .seconds(10)) { hosts.reduce(0) { $0 + $1.seen } == 7 })
        let answer = try mesh.connect().get()
        #expect(answer.status == 503 && answer.field("x-greymesh-error") == "limit")
        #expect(try refusals(mesh) == [.connections: 1])
        gate.isOpen.store(true, ordering: .releasing)
        #expect(try client.receiveAnswer().status == 200 && isQuiet(mesh))
        // Connections of hosts that are not listed any more count until they are closed.
        let counts = mesh.limits?.own.breaker
        mesh.update(policy: policy { $0.circuitBreaker.connections = 1 }, [])
        #expect(waitUntil(within: .seconds(10)) { counts?.connections.current == 0 })
    }

    @Test("A further try keeps its place and takes no token")
    func retries() throws {
        let bad = try CountingHost(status: "503 No", "bad")
        let good = try CountingHost(status: "200 OK", "good")
        let mesh = try TestMesh()
        let policy = policy {
            $0.retries.statuses = [503]
            $0.circuitBreaker.requests = 1
            $0.rateLimit.rate = RateLimitPolicy.Rate(requests: 1, per: .hour)
            $0.rateLimit.burst = 4
        }
        mesh.update(policy: policy, [("1.0", bad.address), ("1.0", good.address)])
        try mesh.settle()
        let client = try mesh.connect()
        for _ in 0..<4 { #expect(try client.get().body == "good") }
        #expect(bad.seen > 0 && isQuiet(mesh))
        let answer = try client.get()
        #expect(answer.status == 429 && answer.field("x-greymesh-error") == "rate")
        #expect(answer.field("retry-after").flatMap { Int($0) }.map { 3000...3600 ~= $0 } == true)
        #expect(bad.seen + good.seen == bad.seen + 4)
        #expect(try refusals(mesh) == [.rate: 1])
    }

    @Test("A further try at a version that is full is none, and what was answered before is the answer")
    func fullVersion() throws {
        let gate = Gate()
        let (bad, slow) = (try CountingHost { _, _ in false }, try gate.host())
        let mesh = try TestMesh()
        var policy = policy { $0.retries.onReset = true }
        policy.stable = "1.0"
        policy.versions["1.0"] = policy.traffic
        policy.versions["1.0"]?.circuitBreaker.requests = 1
        policy.versions["1.0"]?.hasOwnBreaker = true
        policy.versions["2.0"] = policy.traffic
        policy.versions["2.0"]?.circuitBreaker.requests = 1
        policy.versions["2.0"]?.hasOwnBreaker = true
        mesh.update(policy: policy, [("2.0", bad.address), ("1.0", slow.address)])
        try mesh.settle()
        let client = try mesh.connect()
        client.send("GET / HTTP/1.1\r\nHost: shop\r\n\r\n")
        #expect(waitUntil(within: .seconds(10)) { slow.seen == 1 })
        #expect(try mesh.connect().get("/", "x-version: 2.0\r\n").field("x-greymesh-error") == "reset")
        // Now it is ejected, and the full version comes first.
        #expect(try mesh.connect().get("/", "x-version: 2.0\r\n").field("x-greymesh-error") == "limit")
        #expect(slow.seen == 1 && bad.seen == 1)
        gate.isOpen.store(true, ordering: .releasing)
        #expect(try client.receiveAnswer().status == 200)
        #expect(try mesh.connect().get("/", "x-version: 2.0\r\n").body == "done")
        #expect(isQuiet(mesh))
    }

    @Test("Each value of a key has its own rate; requests without it share one; a version may have its own rate")
    func keys() throws {
        let (one, two) = (try namedHost("1.0"), try namedHost("2.0"))
        let mesh = try TestMesh()
        var policy = policy {
            $0.rateLimit.rate = RateLimitPolicy.Rate(requests: 1, per: .hour)
            $0.rateLimit.burst = 2
            $0.rateLimit.key = .header("x-user")
        }
        policy.stable = "1.0"
        policy.versions["2.0"] = policy.traffic
        policy.versions["2.0"]?.rateLimit.burst = 1
        policy.versions["2.0"]?.hasOwnRate = true
        mesh.update(policy: policy, [("1.0", one.address), ("2.0", two.address)])
        try mesh.settle()
        let client = try mesh.connect()
        func statuses(_ fields: String) throws -> [Int] { try (0..<3).map { _ in try client.get("/", fields).status } }
        #expect(try statuses("x-user: a\r\n") == [200, 200, 429])
        #expect(try statuses("x-user: b\r\n") == [200, 200, 429])
        #expect(try statuses("") == [200, 200, 429])
        #expect(try statuses("x-user: a\r\nx-version: 2.0\r\n") == [200, 429, 429])
        // What is the same goes on, what is not begins anew.
        policy.traffic.timeout = .seconds(9)
        policy.versions["2.0"]?.rateLimit.burst = 2
        mesh.update(policy: policy, [("1.0", one.address), ("2.0", two.address)])
        try mesh.settle()
        #expect(try statuses("x-user: b\r\n") == [429, 429, 429])
        #expect(try statuses("x-user: a\r\nx-version: 2.0\r\n") == [200, 200, 429])
        #expect(try refusals(mesh) == [.rate: 6] && refusals(mesh, of: "2.0") == [.rate: 3])
    }
}
