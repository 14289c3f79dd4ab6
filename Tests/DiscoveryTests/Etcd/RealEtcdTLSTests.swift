import Configuration
import Runtime
import TestSupport
import Testing

@testable import Discovery

/// A real etcd that speaks TLS only, to clients with a certificate only.
@Suite(.enabled(if: EtcdServer.isAvailable)) struct RealEtcdTLSTests {
    let fixture: Fixture
    let certificates: Certificates
    let server: EtcdServer
    let tls: TLSSettings
    let tool: EtcdTool
    let order = ServiceKey.http("order")

    init() throws {
        fixture = try Fixture()
        certificates = try Certificates()
        let own = try certificates.issue("server")
        tls = TLSSettings(
            authorities: certificates.authority, certificate: try certificates.issue("client", for: "DNS:client"))
        server = try EtcdServer([
            "--cert-file", own, "--key-file", own, "--trusted-ca-file", certificates.authority, "--client-cert-auth",
        ])
        try server.start()
        tool = EtcdTool(server, fixture, http: try HTTPClient(loop: fixture.loop, tls: tls))
        try tool.waitUntilReady()
    }

    @Test func followsRegistersAndReturnsToANewCertificate() throws {
        let registry = fixture.etcd([server.base], context: try fixture.context.over(tls)) {
            $0.leaseSeconds = 3
            $0.renewalPeriod = .milliseconds(300)
        }
        defer { registry.stop() }
        try tool.putKratos("order", 9001)
        registry.subscribe(order)
        #expect(fixture.wait { fixture.ports(order) == [9001] })
        try tool.putKratos("order", 9002)
        #expect(fixture.wait { fixture.ports(order) == [9001, 9002] })
        var shop = Registration(service: .http("shop"), host: "127.0.0.1", port: 9100)
        shop.metadata = ["version": "v1"]
        registry.register(shop)
        registry.subscribe(shop.service)
        #expect(fixture.wait { registry.status.registered == 1 && fixture.ports(shop.service) == [9100] })
        // After its lease it is still there.
        #expect(!fixture.wait(.seconds(4)) { fixture.told[shop.service]?.count != 1 })
        #expect(registry.status.failures == 0 && registry.status.state == .connected)

        try server.kill()
        #expect(fixture.wait { registry.status.state == .failed })
        #expect(registry.status.lastError?.hasPrefix("https://127.0.0.1:") == true)
        try certificates.issue("server")
        try certificates.issue("client", for: "DNS:client")
        try server.start()
        #expect(fixture.wait { registry.status.state == .connected })
        try tool.waitUntilReady()
        try tool.delete("/microservices/order/9001")
        #expect(fixture.wait { fixture.ports(order) == [9002] && registry.status.registered == 1 })
    }

    @Test func saysOnceWhatIsWrong() throws {
        let others = try Certificates()
        let host = server.base.replacing("127.0.0.1", with: "localhost")
        let cases: [(String, TLSSettings, String)] = [
            (server.base, TLSSettings(authorities: certificates.authority), "certificate"),
            (
                server.base, TLSSettings(authorities: others.authority, certificate: tls.certificate),
                "cannot connect: SSL certificate problem: unable to get local issuer certificate"
            ),
            (
                host, tls,
                "cannot connect: SSL: no alternative certificate subject name matches target host name 'localhost'"
            ),
        ]
        for (base, tls, reason) in cases {
            let fixture = try Fixture()
            let registry = fixture.etcd([base], context: try fixture.context.over(tls))
            registry.subscribe(order)
            #expect(fixture.wait { registry.status.failures >= 3 })
            #expect(registry.status.lastError?.hasPrefix("\(base): ") == true)
            #expect(registry.status.lastError?.contains(reason) == true, "\(registry.status.lastError ?? "")")
            #expect(fixture.failures[order]?.contains(reason) == true)
            #expect(fixture.log.split(separator: "\n").count { $0.contains("registry.failed") } == 1)
            registry.stop()
        }
        // In plain.
        let plain = fixture.etcd([server.base.replacing("https", with: "http")])
        plain.subscribe(order)
        #expect(fixture.wait { plain.status.failures >= 1 })
        #expect(plain.status.lastError?.hasSuffix("; does it speak TLS only?") == true)
        plain.stop()
    }
}
