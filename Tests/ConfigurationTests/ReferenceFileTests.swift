import Model
import Runtime
import Testing

@testable import Configuration

/// `deploy/greymesh.yaml` says what the defaults are and names every key: it must not fall behind the code.
@Suite struct ReferenceFileTests {
    private static let path = #filePath.replacing(
        "Tests/ConfigurationTests/ReferenceFileTests.swift", with: "deploy/greymesh.yaml")

    /// The file with its examples: `#` is taken away where anything but one blank and text follows.
    private func withExamples() throws -> String {
        let text = String(decoding: try Configuration.contents(of: Self.path), as: UTF8.self)
        return text.split(separator: "\n", omittingEmptySubsequences: false).map { line in
            guard line.hasPrefix("#"), line.count > 1 else { return line }
            let explains = line.hasPrefix("# ") && !line.hasPrefix("#  ")
            return explains ? line : line.dropFirst()
        }.joined(separator: "\n")
    }

    @Test func asItStandsItSaysTheDefaults() throws {
        var expected = Configuration()
        expected.registries = [RegistryConfiguration(url: "nacos://127.0.0.1:8848")]
        #expect(try Configuration.load(path: Self.path) == expected)
    }

    @Test func itsExamplesAreValid() throws {
        var expected = Configuration()
        expected.workers = 2
        expected.registries = [
            RegistryConfiguration(url: "nacos://127.0.0.1:8848"),
            RegistryConfiguration(
                url: "nacos://reader:secret@nacos-1,nacos-2:8848/nacos?namespace=staging&group=DEFAULT_GROUP"),
        ]
        expected.state = "/var/lib/greymesh"
        expected.trustedProxies = [try #require(AddressRange("10.0.0.0/8"))]
        expected.listeners.append(
            ListenerConfiguration(name: "bolt", protocol: .bolt, address: SocketAddress("127.0.0.1:12200")!))
        expected.listeners.append(
            ListenerConfiguration(
                name: "inbound", protocol: .dubbo, address: SocketAddress("0.0.0.0:20881")!,
                forward: SocketAddress("127.0.0.1:20882")!))
        var order = RegistrationConfiguration(service: "order-service", port: .application(8081))
        order.protocol = .http
        order.address = .named("eth0")
        order.version = "2.0"
        order.weight = 50
        order.metadata = ["zone": "a"]
        order.registries = ["nacos"]
        order.health?.path = "/actuator/health"
        order.health?.port = 8081
        order.health?.interval = .seconds(10)
        order.health?.timeout = .seconds(2)
        order.health?.failures = 2
        var provider = RegistrationConfiguration(service: "com.acme.OrderService", port: .listener("inbound"))
        (provider.version, provider.group, provider.health) = ("1.0.0", "blue", nil)
        var inventory = RegistrationConfiguration(service: "inventory", port: .application(8082))
        (inventory.protocol, inventory.version) = (.http, "2.0")
        inventory.health?.path = "/health"
        expected.registrations = [order, provider, inventory]
        expected.accessLog = AccessLogConfiguration(path: "-")
        var service = ServiceConfiguration()
        service.policy.stable = "1.0"
        service.policy.split = [VersionWeight(version: "1.0", weight: 90), VersionWeight(version: "2.0", weight: 10)]
        service.policy.sticky = .header("x-user-id")
        service.policy.warmup = .seconds(120)
        service.policy.traffic.timeout = .seconds(3)
        service.policy.traffic.retries.methods = ["GET", "HEAD", "find*"]
        service.policy.traffic.retries.backoff = .milliseconds(25)
        service.policy.traffic.retries.hedge = .milliseconds(200)
        service.policy.traffic.retries.perTryTimeout = .seconds(1)
        service.policy.traffic.retries.budget = 10
        service.policy.traffic.healthCheck.kind = .http
        service.policy.traffic.healthCheck.path = "/health"
        service.policy.traffic.outlierDetection.isOn = true
        service.policy.traffic.outlierDetection.latency = 3
        expected.defaultPolicy.traffic.retries = service.policy.traffic.retries
        expected.defaultPolicy.traffic.healthCheck = service.policy.traffic.healthCheck
        expected.defaultPolicy.traffic.outlierDetection = service.policy.traffic.outlierDetection
        service.policy.traffic.retries.onReset = true
        service.policy.traffic.retries.statuses = [502, 503, 504]
        service.policy.traffic.circuitBreaker.requests = 1024
        service.policy.traffic.circuitBreaker.pending = 256
        service.policy.traffic.circuitBreaker.connections = 256
        service.policy.traffic.adaptsConcurrency = true
        service.policy.traffic.rateLimit.rate = RateLimitPolicy.Rate(requests: 100, per: .second)
        service.policy.traffic.rateLimit.burst = 200
        service.policy.traffic.rateLimit.key = .header("x-user-id")
        service.policy.traffic.streamIdle = .seconds(300)
        service.policy.traffic.fault.delay = .milliseconds(100)
        service.policy.traffic.fault.abort = 503
        service.policy.traffic.fault.share = 100
        service.policy.traffic.mirror.version = "2.0"
        service.policy.traffic.mirror.share = 10_000
        service.policy.traffic.access.allow = [try #require(AddressRange("10.0.0.0/8"))]
        service.policy.traffic.access.deny = [try #require(AddressRange("10.0.66.0/24"))]
        var canary = service.policy.traffic
        canary.rateLimit.rate = RateLimitPolicy.Rate(requests: 10, per: .second)
        canary.rateLimit.burst = nil
        canary.hasOwnRate = true
        canary.timeout = .seconds(1)
        canary.retries.attempts = 1
        service.policy.versions = ["2.0": canary]
        service.hosts = ["orders.example.com"]
        service.paths = ["/api/orders"]
        expected.services = ["order-service": service]
        #expect(try Configuration.parse(try withExamples(), file: "greymesh.yaml") == expected)
    }

    @Test func itNamesEveryKey() throws {
        let root = try #require(YAMLDocument(Array(try withExamples().utf8), file: "f").root)
        var written: Set<String> = []
        collect(root, "", into: &written)
        #expect(Configuration.knownKeys.filter { !written.contains($0) } == [])
        #expect(Configuration.knownKeys.count > 25)
        #expect(Set(Configuration.knownKeys).count == Configuration.knownKeys.count)
    }

    /// The paths of all leaves in the notation of `knownKeys`, and of what stands above them.
    private func collect(_ node: YAMLNode, _ path: String, into written: inout Set<String>) {
        written.insert(path)
        switch node.content {
        case .mapping(let entries):
            for entry in entries {
                let name = path == "services" ? "*" : entry.name
                collect(entry.value, path.isEmpty ? name : "\(path).\(name)", into: &written)
            }
        case .sequence(let items): for item in items { collect(item, path + "[]", into: &written) }
        case .scalar, .refused: break
        }
    }
}
