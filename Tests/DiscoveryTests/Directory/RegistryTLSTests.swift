import Configuration
import Model
import Runtime
import TestSupport
import Testing

@testable import Discovery

/// Registries behind TLS, set up by their address alone; etcd has tests with a real server.
@Suite(.enabled(if: TLSRelay.isAvailable)) struct RegistryTLSTests {
    let fixture: Fixture
    let order = ServiceKey.http("order")

    init() throws { fixture = try Fixture() }

    /// A server that lists one host of the service, and the object that must live as long.
    private func start(_ kind: String) throws -> (FakeServer, AnyObject) {
        switch kind {
        case "consul":
            let agent = try FakeConsulAgent(loop: fixture.loop)
            agent.consul.set("order", [FakeConsul.Entry()])
            return (agent.consul.server, agent)
        case "eureka":
            let eureka = try FakeEureka(loop: fixture.loop)
            eureka.put("ORDER", FakeEureka.Host())
            return (eureka.server, eureka)
        default:
            let nacos = try FakeNacos(loop: fixture.loop)
            nacos.set("order", "10.0.0.1")
            return (nacos.server, nacos)
        }
    }

    @Test(arguments: ["consul", "eureka", "nacos"]) func readsAndRegisters(kind: String) throws {
        let certificates = try Certificates()
        let (server, fake) = try start(kind)
        defer { withExtendedLifetime(fake) {} }
        let relay = try TLSRelay(
            to: server.port, certificate: try certificates.issue("server"), clients: certificates.authority)
        let own = try certificates.issue("client", for: "DNS:client")
        let url = "\(kind)://127.0.0.1:\(relay.port)?tls=on&ca=\(certificates.authority)&cert=\(own)"
        let registry = try RegistryConfiguration(url: url, poll: .milliseconds(20)).makeRegistry(
            fixture.context, reports: fixture.reports)
        defer { registry.stop() }
        registry.subscribe(order)
        #expect(fixture.wait { fixture.addresses(order) == ["10.0.0.1:8080"] })
        // Eureka is asked again after 5 s only.
        (fake as? FakeConsulAgent)?.consul.set("order", "10.0.0.2")
        (fake as? FakeNacos)?.set("order", "10.0.0.2")
        if kind != "eureka" { #expect(fixture.wait { fixture.addresses(order) == ["10.0.0.2:8080"] }) }
        let shop = Registration(service: .http("shop"), host: "10.0.0.7", port: 8080)
        try #require(registry as? any Registrar).register(shop)
        #expect(fixture.wait { fixture.registrations[shop.identity] == [nil] })
        #expect(fixture.wait { registry.status.state == .connected && registry.status.registered == 1 })
        guard kind == "nacos" else { return }
        #expect(registry.status.mode == .polling && registry.status.whyNoPush == "push needs a plain connection")
        #expect(fixture.log.split(separator: "\n").count { $0.contains("registry.push_unavailable") } == 1)
        #expect(fixture.wait { server.requests.count > 50 } && server.accepted <= 8)
    }
}
