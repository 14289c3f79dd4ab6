import Configuration
import Model
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
            // Longer than any pause of a busy machine.
            $0.leaseSeconds = 60
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
        #expect(fixture.wait { registry.status.registered == 1 })
        registry.subscribe(shop.service)
        #expect(fixture.wait { fixture.ports(shop.service) == [9100] })
        let key = try tool.call("/v3/kv/range", "{\(EtcdSpan(prefix: "/microservices/shop/").members())}")
        let lease = try #require(key.elements("kvs")?.first.flatMap { EtcdText(key.text, in: $0) }?.record?.lease)
        // Renewed: otherwise it would never again have so much time left.
        let begun = Clock.nanoseconds
        var left: Int64 = 0
        while Clock.nanoseconds - begun < 2_000_000_000 || left < 59, Clock.nanoseconds - begun < 30_000_000_000 {
            left = try tool.call("/v3/lease/timetolive", #"{"ID":"\#(lease)"}"#).number("TTL") ?? 0
            _ = fixture.loop.run(for: .milliseconds(50)) { false }
        }
        #expect(left >= 59)
        #expect(fixture.wait { registry.status.state == .connected } && fixture.told[shop.service]?.count == 1)

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
            (server.base, TLSSettings(authorities: certificates.authority), "may want a client certificate"),
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
            let isTold = fixture.wait {
                registry.status.failures >= 3 && registry.status.lastError?.contains(reason) == true
                    && fixture.failures[order]?.contains(reason) == true
            }
            #expect(isTold, "\(registry.status.lastError ?? "")")
            #expect(registry.status.lastError?.hasPrefix("\(base): ") == true)
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
