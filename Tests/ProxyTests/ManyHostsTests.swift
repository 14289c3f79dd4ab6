import Balancing
import Model
import Proxy
import Runtime
import TestSupport
import Testing

/// What is too much for one turn of a worker is taken over in steps, and nobody notices.
@Suite struct ManyHostsTests {
    /// One host that answers, and many that nobody asks for.
    private func hosts(_ live: SocketAddress, others: Int) -> [(version: String, address: SocketAddress)] {
        [("live", live)] + (1...others).map { ("other", SocketAddress(ipv4: 0x7f80_0000 + UInt32($0), port: 9)) }
    }

    private func waitForEndpoints(_ count: Int, _ mesh: TestMesh) throws -> Bool {
        try mesh.waitForReport { $0.endpoints.count == count }
    }

    @Test func theFirstRequestsWaitUntilAllHostsAreThere() throws {
        let live = try namedHost("live")
        let mesh = try TestMesh()
        mesh.update(hosts(live.address, others: 5000))
        #expect(try mesh.report().endpoints.isEmpty, "nobody needs them yet")
        let clients = try (0..<20).map { _ in try mesh.connect() }
        for client in clients { client.send("GET / HTTP/1.1\r\nHost: shop\r\nx-version: live\r\n\r\n") }
        for client in clients { #expect(try client.receiveAnswer().body == "live") }
        #expect(try waitForEndpoints(5001, mesh))
    }

    @Test func whatIsKnownServesWhileManyHostsComeAndGo() throws {
        let live = try namedHost("live")
        let mesh = try TestMesh()
        let client = try mesh.connect()
        for others in [1, 3000, 200, 4000, 2] {
            mesh.update(hosts(live.address, others: others))
            for _ in 0..<20 { #expect(try client.get("/", "x-version: live\r\n").body == "live") }
            #expect(try waitForEndpoints(others + 1, mesh))
        }
        #expect(live.accepted == 1, "its connection outlives every change")
    }

    @Test func manyHostsAreForgottenBeforeTheyAreThere() throws {
        let live = try namedHost("live")
        let mesh = try TestMesh { $0.limits.discoveryTimeout = .milliseconds(200) }
        mesh.update(hosts(live.address, others: 5000))
        let client = try mesh.connect()
        client.send("GET / HTTP/1.1\r\nHost: shop\r\nx-version: live\r\n\r\n")
        mesh.post(.remove(ServiceKey(kind: .http, name: "shop")))
        _ = try client.receiveAnswer()
        #expect(try waitForEndpoints(0, mesh))
        mesh.update(hosts(live.address, others: 2))
        #expect(try mesh.connect().get("/", "x-version: live\r\n").body == "live")
    }

    @Test func explainingNeedsNoRequestBefore() throws {
        let live = try namedHost("live")
        let mesh = try TestMesh()
        mesh.update(hosts(live.address, others: 3000))
        let key = ServiceKey(kind: .http, name: "shop")
        mesh.post(.explain(id: 1, ExplainRequest(key: key, headers: [("x-version", "live")])))
        let isThere = waitUntil(within: .seconds(10)) {
            mesh.events.contains { if case .explanation(1, let told) = $0 { told.version == "live" } else { false } }
        }
        #expect(isThere)
    }

    @Test func manyNamesOfAConfigurationReplaceTheOldOnes() throws {
        let live = try namedHost("live")
        let mesh = try TestMesh()
        let shop = ServiceKey(kind: .http, name: "shop")
        let many = (0..<20_000).map { ServiceKey(kind: .http, name: "service-\($0)") }
        mesh.update([("", live.address)])
        mesh.post(
            .routes(RouteTable(services: many + [shop], hosts: [("old.example", shop)], paths: [("/old", shop)])))
        mesh.post(.remove(shop))
        _ = try mesh.report()
        let client = try mesh.connect()
        #expect(try client.get("/", host: "old.example").body == "live", "it is named, so it stays")
        #expect(try client.get("/old/x", host: "a.b:1").body == "live")
        mesh.post(
            .routes(RouteTable(services: many.reversed() + [shop], hosts: [("new.example", shop)], paths: [])))
        _ = try mesh.report()
        #expect(try client.get("/", host: "new.example").body == "live")
        mesh.post(.routes(RouteTable(services: many)))
        mesh.post(.remove(shop))
        mesh.post(.remove(many[0]))
        _ = try mesh.report()
        mesh.update([("", live.address)])
        #expect(try client.get().body == "live", "known again, by its own name")
    }
}
