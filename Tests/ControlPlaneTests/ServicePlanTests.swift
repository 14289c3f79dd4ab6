import Configuration
import Model
import Runtime
import TestSupport
import Testing

@testable import ControlPlane

@Suite("What the configuration says about services")
struct ServicePlanTests {
    private func configuration(_ services: [String: ServiceConfiguration]) -> Configuration {
        var configuration = Configuration()
        configuration.services = services
        return configuration
    }

    private func section(hosts: [String] = [], paths: [String] = []) -> ServiceConfiguration {
        var section = ServiceConfiguration()
        section.hosts = hosts
        section.paths = paths
        return section
    }

    @Test("A name is watched as what it can be")
    func kinds() {
        let plan = ServicePlan(
            configuration([
                "order-service": section(), "com.acme.A": section(), "web": section(paths: ["/w"]), "1a": section(),
            ]))
        #expect(
            plan.required.map(\.description) == [
                "http:1a", "http:com.acme.A", "dubbo:com.acme.A", "http:order-service", "http:web",
            ])
        #expect(plan.routes.services == plan.required)
        for name in ["1a", "com.acme.A", "order-service", "web", "other"] {
            for key in [ServiceKey(kind: .http, name: name), ServiceKey(kind: .dubbo, name: name)] {
                #expect(plan.requires(key) == plan.required.contains(key))
            }
        }
    }

    @Test("With a Bolt listener an interface may be one of SOFA RPC as well")
    func boltKinds() {
        var configuration = configuration(["com.acme.A": section(), "order-service": section()])
        let bolt = ListenerConfiguration(name: "bolt", protocol: .bolt, address: SocketAddress("127.0.0.1:12200")!)
        configuration.listeners.append(bolt)
        let all = ServicePlan(configuration)
        #expect(
            all.required.map(\.description) == [
                "http:com.acme.A", "dubbo:com.acme.A", "bolt:com.acme.A", "http:order-service",
            ])
        #expect(all.likelyKind("com.acme.B") == .dubbo)
        configuration.listeners = [bolt]
        let only = ServicePlan(configuration)
        #expect(only.required.map(\.description) == ["bolt:com.acme.A"])
        #expect(only.likelyKind("com.acme.B") == .bolt && only.likelyKind("b") == .http)
        #expect(only.requires(ServiceKey(kind: .bolt, name: "com.acme.A")))
        #expect(only.policy(for: ServiceKey(kind: .bolt, name: "com.acme.A")) == ServicePolicy())
    }

    @Test("Without a listener of its protocol a service is not watched")
    func listeners() {
        var configuration = configuration(["a": section(), "b": section(hosts: ["b.example"])])
        configuration.listeners = [ListenerConfiguration.defaults[1]]
        let plan = ServicePlan(configuration)
        #expect(plan.required.map(\.description) == ["dubbo:a"])
        #expect(plan.routes.hosts.isEmpty)
    }

    @Test("Host names and paths lead to the HTTP service; a name with capitals is also found in lower case")
    func routes() {
        let plan = ServicePlan(
            configuration([
                "ORDER": section(hosts: ["o.example"], paths: ["/", "/api"]), "b": section(paths: ["/api/b"]),
            ]))
        let order = ServiceKey(kind: .http, name: "ORDER")
        #expect(plan.routes.hosts.map(\.name) == ["o.example", "order"])
        #expect(plan.routes.hosts.allSatisfy { $0.service == order })
        #expect(plan.routes.paths.map(\.prefix) == ["", "/api", "/api/b"])
        #expect(plan.route(path: "/api/b/1?x=/api")?.service.name == "b")
        #expect(plan.route(path: "/api/bc")?.service.name == "ORDER")
        #expect(plan.route(path: "/other")?.prefix == "")
    }

    @Test("An unknown name is taken for what it looks like")
    func likelyKinds() {
        let plan = ServicePlan(Configuration())
        #expect(plan.likelyKind("com.acme.OrderService") == .dubbo)
        for name in ["order-service", "Orders", "orders.example.com", "www.Example-shop.Com", ""] {
            #expect(plan.likelyKind(name) == .http)
        }
    }

    @Test("A policy is the service's own or that of the star")
    func policies() {
        var own = section()
        own.policy.stable = "1.0"
        var configuration = configuration(["com.acme.A": own])
        configuration.defaultPolicy.mode = .strict
        let plan = ServicePlan(configuration)
        #expect(plan.policy(for: ServiceKey(kind: .dubbo, name: "com.acme.A")).stable == "1.0")
        #expect(plan.policy(for: ServiceKey(kind: .http, name: "other")).mode == .strict)
    }
}

@Suite("What a changed configuration needs")
struct ConfigurationChangeTests {
    @Test("Services change live, listeners and the like wait for the next start")
    func change() {
        let old = Configuration()
        var new = old
        new.workers = 7
        new.listeners.removeLast()
        new.trustedProxies = [AddressRange(SocketAddress(ipv4: 0x0a00_0000, port: 0), length: 8)!]
        new.version.tell = false
        new.version.instance = ["v"]
        new.services["a"] = ServiceConfiguration()
        new.drainTimeout = .seconds(1)
        let change = ConfigurationChange(from: old, to: new)
        #expect(change.needRestart == ["workers", "listeners", "trusted_proxies", "version.tell"])
        #expect(change.effective.listeners == old.listeners && change.effective.workers == nil)
        #expect(change.effective.version.instance == ["v"] && change.effective.version.tell)
        #expect(change.effective.services.keys.contains("a") && change.effective.drainTimeout == .seconds(1))
        #expect(ConfigurationChange(from: old, to: old).needRestart.isEmpty)
    }
}

@Suite("What the system lets the process have")
struct ProcessLimitsTests {
    @Test(
        "A processor quota is rounded up; what is none sets no limit",
        arguments: [
            ("150000 100000\n", 2), ("100000 100000\n", 1), ("1000 100000\n", 1), ("max 100000\n", nil), ("", nil),
            ("5 0", nil), ("-1 5", nil),
        ] as [(String, Int?)])
    func quota(text: String, expected: Int?) throws {
        let directory = try TemporaryDirectory()
        let file = try directory.write("cpu.max", text)
        #expect(ControlGroup.quota(file) == expected)
    }

    @Test func limits() {
        #expect(ProcessLimits.processors >= 1)
        #expect(ProcessLimits.raiseDescriptorLimit() >= 256)
        #expect(ControlGroup.quota("/nowhere") == nil)
    }

    @Test(
        "The tightest group counts, of either version",
        arguments: [
            (["cpu.max": "150000 100000\n"], "", 2),
            (["cpu.max": "max 100000\n", "a/cpu.max": "400000 100000", "a/b/cpu.max": "max 100000"], "0::/a/b\n", 4),
            (["cpu/cpu.cfs_quota_us": "50000\n", "cpu/cpu.cfs_period_us": "100000\n"], "", 1),
            (["cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"], "4:cpu,cpuacct:/\n", nil),
            (
                ["cpu,cpuacct/d/cpu.cfs_quota_us": "250000\n", "cpu,cpuacct/d/cpu.cfs_period_us": "100000\n"],
                "5:memory:/x\n4:cpu,cpuacct:/d\n0::/y\n", 3
            ),
        ] as [([String: String], String, Int?)])
    func groups(files: [String: String], membership: String, expected: Int?) throws {
        let directory = try TemporaryDirectory()
        for (name, text) in files {
            try Folder.make(directory.path(of: String(name[..<(name.lastIndex(of: "/") ?? name.startIndex)])))
            try directory.write(name, text)
        }
        let file = try directory.write("membership", membership)
        #expect(ControlGroup.processors(root: directory.path, membership: file) == expected)
    }
}
