import Configuration
import Model
import Testing

@Suite struct HealthCheckSettingsTests {
    private func policies(_ text: String) throws -> [String: HealthCheckPolicy] {
        let configuration = try Configuration.parse("services:\n" + text, file: "f")
        return configuration.services.mapValues(\.policy.traffic.healthCheck)
    }

    @Test func everyKeyIsRead() throws {
        let policies = try policies(
            """
              a: {health_check: {path: "/health?deep=1"}}
              b: {health_check: {type: tcp, interval: 100ms, timeout: 10ms, unhealthy: 1, healthy: 100}}
              c:
              d: {health_check: {type: http, path: /}}
            """)
        var expected = HealthCheckPolicy()
        #expect(policies["c"] == expected && expected.kind == nil)
        #expect(expected.interval == .seconds(5) && expected.timeout == .seconds(1))
        #expect(expected.unhealthy == 3 && expected.healthy == 2)
        (expected.kind, expected.path) = (.http, "/health?deep=1")
        #expect(policies["a"] == expected)
        expected.path = "/"
        #expect(policies["d"] == expected)
        expected = HealthCheckPolicy()
        (expected.kind, expected.interval, expected.timeout) = (.tcp, .milliseconds(100), .milliseconds(10))
        (expected.unhealthy, expected.healthy) = (1, 100)
        #expect(policies["b"] == expected)
    }

    @Test func aServiceInheritsKeyByKey() throws {
        let policies = try policies(
            """
              shop: {health_check: {interval: 1s}}
              quiet: {health_check: off}
              com.acme.Orders: {health_check: {type: dubbo}}
              "*": {health_check: {path: /health, unhealthy: 5}}
            """)
        let shop = try #require(policies["shop"])
        #expect(shop.kind == .http && shop.path == "/health" && shop.interval == .seconds(1) && shop.unhealthy == 5)
        #expect(policies["quiet"]?.kind == nil)
        let orders = try #require(policies["com.acme.Orders"])
        #expect(orders.kind == .dubbo && orders.path.isEmpty && orders.unhealthy == 5)
        #expect(orders.suits(.dubbo) && !orders.suits(.http) && !orders.suits(.bolt))
        #expect(shop.suits(.http) && !shop.suits(.dubbo))
    }

    @Test(arguments: [
        ("{health_check: on}", "is neither off nor a mapping"),
        ("{health_check: {interval: 1s}}", "needs a \"path\" for HTTP, or a \"type\""),
        ("{health_check: {type: http}}", "needs a \"path\" with the type http"),
        ("{health_check: {path: health}}", "must begin with \"/\""),
        ("{health_check: {path: \"/a b\"}}", "is not a path"),
        ("{health_check: {type: tpc}}", "did you mean \"tcp\"?"),
        ("{health_check: {type: tcp, path: /health}}", "has a \"path\", which is for the type http"),
        ("{health_check: {type: tcp, unhealthy: 0}}", "0 is out of range; 1 to 100"),
        ("{health_check: {type: tcp, timeout: 2m}}", "out of range"),
        ("{health_check: {type: tcp, healty: 2}}", "did you mean \"healthy\"?"),
        ("{health_check: {type: dubbo}, hosts: [a.b]}", "is of the type dubbo, and the service can only be HTTP"),
    ])
    func mistakesAreToldWithTheirLine(text: String, message: String) {
        var found: [String] = []
        do {
            _ = try Configuration.parse("services:\n  com.acme.Fine:\n  com.acme.Shop: \(text)\n", file: "f")
        } catch {
            found = error.errors.map { "\($0)" }
        }
        #expect(found.count == 1 && found[0].hasPrefix("f:3: ") && found[0].contains(message), "\(found)")
    }
}
