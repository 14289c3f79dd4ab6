import Configuration
import Model
import Runtime
import Testing

/// The errors of a file, one line each.
func errors(_ text: String, file: String = "greymesh.yaml") -> [String] {
    do throws(ConfigurationErrors) {
        _ = try Configuration.parse(text, file: file)
        return []
    } catch {
        return error.errors.map(\.description)
    }
}

@Suite struct ConfigurationFileTests {
    @Test func readsTheShapeOfTheManual() throws {
        let configuration = try Configuration.parse(
            """
            admin: {listen: 127.0.0.1:15001}
            workers: 2
            registries:
              - url: nacos://127.0.0.1:8848?namespace=public&group=DEFAULT_GROUP
                poll: 5s
              - url: file:services.yaml
              - nacos://user:p%40ss@[::1]:8849,second/nacos
            listeners:
              - {name: http,  protocol: http,  listen: 127.0.0.1:8081}
              - {name: dubbo, protocol: dubbo, listen: "[::1]:20880"}
              - {name: sofa, protocol: bolt, listen: 127.0.0.1:12200}
              - {name: mesh, protocol: bolt, listen: 127.0.0.1:12201, bolt_goaway: true}
            version:
              request:  [X-Version, dubbo.tag]
              instance: [dubbo.tag, Version]
              tell: false
            services:
              order-service:
                stable: 1.0
                split: {"2.0": 10, 1.0: 90, 1.10: 0}
                sticky: header:X-User-Id
                hosts: [Orders.Example.com, "[::1]"]
                paths: [/api/orders, /]
                timeout: 3s
              plain:
              "*": {mode: strict, balancer: random, timeout: 500ms}
              com.acme.OrderService: {sticky: client-address, split: {a: 1}, mode: fallback}
            access_log: {path: "-"}
            limits: {http_head: 32KiB, dubbo_body: 1MiB, bolt_body: 2MiB, head_timeout: 5s, idle_timeout: 1m, connect_timeout: 250ms,
              discovery_timeout: 1s, services: 100, service_idle: 1h}
            drain_timeout: 0s
            log: {level: debug}
            """, file: "conf/greymesh.yaml")
        #expect(configuration.admin == SocketAddress("127.0.0.1:15001"))
        #expect(configuration.workers == 2)
        #expect(
            configuration.registries == [
                RegistryConfiguration(
                    url: "nacos://127.0.0.1:8848?namespace=public&group=DEFAULT_GROUP", poll: .seconds(5)),
                RegistryConfiguration(url: "file:conf/services.yaml"),
                RegistryConfiguration(url: "nacos://user:p%40ss@[::1]:8849,second/nacos"),
            ])
        var mesh = ListenerConfiguration(name: "mesh", protocol: .bolt, address: SocketAddress("127.0.0.1:12201")!)
        mesh.boltGoaway = true
        #expect(
            configuration.listeners == [
                ListenerConfiguration(name: "http", protocol: .http, address: SocketAddress("127.0.0.1:8081")!),
                ListenerConfiguration(name: "dubbo", protocol: .dubbo, address: SocketAddress("[::1]:20880")!),
                ListenerConfiguration(name: "sofa", protocol: .bolt, address: SocketAddress("127.0.0.1:12200")!),
                mesh,
            ])
        #expect(configuration.version.request == ["x-version", "dubbo.tag"])
        #expect(configuration.version.instance == ["dubbo.tag", "Version"])
        #expect(!configuration.version.tell)
        #expect(configuration.accessLog == AccessLogConfiguration(path: "-"))
        #expect(configuration.drainTimeout == .zero)
        #expect(configuration.logLevel == .debug)
        expectLimits(configuration.limits)
        expectServices(configuration)
    }

    private func expectLimits(_ limits: LimitConfiguration) {
        #expect(limits.httpHead == 32_768)
        #expect(limits.dubboBody == 1_048_576)
        #expect(limits.boltBody == 2_097_152)
        #expect(limits.headTimeout == .seconds(5))
        #expect(limits.idleTimeout == .seconds(60))
        #expect(limits.connectTimeout == .milliseconds(250))
        #expect(limits.discoveryTimeout == .seconds(1))
        #expect(limits.services == 100)
        #expect(limits.serviceIdle == .seconds(3600))
    }

    private func expectServices(_ configuration: Configuration) {
        #expect(configuration.defaultPolicy.mode == .strict)
        #expect(configuration.defaultPolicy.balancer == .random)
        #expect(configuration.services.keys.sorted() == ["com.acme.OrderService", "order-service", "plain"])
        let order = configuration.services["order-service"]
        #expect(order?.policy.mode == .strict)
        #expect(order?.policy.balancer == .random)
        #expect(order?.policy.stable == "1.0")
        #expect(
            order?.policy.split == [
                VersionWeight(version: "2.0", weight: 10), VersionWeight(version: "1.0", weight: 90),
                VersionWeight(version: "1.10", weight: 0),
            ])
        #expect(order?.policy.sticky == .header("x-user-id"))
        #expect(order?.policy.traffic.timeout == .seconds(3))
        #expect(order?.hosts == ["orders.example.com", "[::1]"])
        #expect(order?.paths == ["/api/orders", "/"])
        #expect(configuration.services["plain"]?.policy == configuration.defaultPolicy)
        let acme = configuration.services["com.acme.OrderService"]?.policy
        #expect(acme?.mode == .fallback)
        #expect(acme?.traffic.timeout == .milliseconds(500))
        #expect(acme?.sticky == .clientAddress)
    }

    @Test(arguments: ["", "\n", "# nothing\n", "---\n", "---\n...\n", "\u{feff}", "~", "services:\n", "{}"])
    func emptyFilesGiveTheDefaults(text: String) throws {
        #expect(try Configuration.parse(text, file: "f") == Configuration())
    }

    @Test(arguments: [
        "\u{feff}workers: 3\n", "workers: 3\r\nlog: {level: info}\r\n", "---\nworkers: 3", "%YAML 1.1\n---\nworkers: 3",
    ])
    func acceptsMarksAndLineEnds(text: String) throws {
        #expect(try Configuration.parse(text, file: "f").workers == 3)
    }

    @Test func tellsEverythingThatIsWrongInTheOrderOfLines() {
        let text = """
            workerz: 2
            services:
              order-service:
                balancr: random
                timeout: 3
              "*": {mode: loose}
            drain_timeout: 2h
            """
        #expect(
            errors(text) == [
                #"greymesh.yaml:1: unknown key "workerz"; did you mean "workers"?"#,
                #"greymesh.yaml:4: unknown key "balancr" in services.order-service; did you mean "balancer"?"#,
                #"greymesh.yaml:5: services.order-service.timeout: "3" has no unit; did you mean "3s"?"#,
                #"greymesh.yaml:6: services.*.mode: "loose" is not one of strict, fallback"#,
                #"greymesh.yaml:7: drain_timeout: "2h" is out of range; 0s to 1h"#,
            ])
    }
}
