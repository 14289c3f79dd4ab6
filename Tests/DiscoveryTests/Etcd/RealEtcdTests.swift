import Glibc
import Model
import Runtime
import TestSupport
import Testing

@testable import Discovery

/// Against real etcd servers.
@Suite(.enabled(if: EtcdServer.isAvailable)) struct RealEtcdTests {
    let fixture: Fixture
    let order = ServiceKey.http("order")
    let echo = ServiceKey.dubbo("demo.Echo")

    init() throws { fixture = try Fixture() }

    private func started(_ arguments: String...) throws -> (EtcdServer, EtcdTool) {
        let server = try EtcdServer(arguments)
        try server.start()
        let tool = EtcdTool(server, fixture)
        try tool.waitUntilReady()
        return (server, tool)
    }

    private static func provider(_ port: Int, _ parameters: String = "version=1.0.0") -> String {
        let url = "dubbo://127.0.0.1:\(port)/demo.Echo?application=shop&interface=demo.Echo&\(parameters)"
        return "/dubbo/demo.Echo/providers/" + PercentEncoding.encode(url)
    }

    @Test func followsChanges() throws {
        let (server, tool) = try started()
        try tool.putKratos("order", 9001)
        try tool.put("/dubbo/demo.Echo/providers", "")
        try tool.put(Self.provider(9101), "123")
        let registry = fixture.etcd([server.base])
        defer { registry.stop() }
        for service in [order, echo, .http("none"), .dubbo("demo.None")] { registry.subscribe(service) }
        #expect(fixture.wait { fixture.told.count == 4 })
        #expect(fixture.ports(order) == [9001] && fixture.ports(echo) == [9101])
        #expect(fixture.told[.http("none")] == [[]] && fixture.told[.dubbo("demo.None")] == [[]])
        #expect(fixture.wait { registry.status.state == .connected && registry.status.mode == .push })

        try tool.putKratos("order", 9002, version: "v2", weight: 250)
        try tool.putKratos("order2", 9003)
        try tool.put("/microservices/order/deeper/9004", EtcdTool.kratos("order", 9004, "v1", nil))
        try tool.put("/microservices/order/grpc", #"{"endpoints":["grpc://127.0.0.1:9005"]}"#)
        try tool.put("/microservices/order/bad", "garbage")
        #expect(fixture.wait { registry.status.dropped == [.unsupportedProtocol: 1, .unreadable: 1] })
        #expect(fixture.ports(order) == [9001, 9002])
        #expect(fixture.told[order]?.last?.map(\.metadata) == [["version": "v1"], ["version": "v2", "weight": "250"]])
        #expect(fixture.told[order]?.last?.map(\.weight) == [1, 2.5])

        try tool.put(Self.provider(9102, "version=2.0.0&group=blue&weight=200&dubbo.tag=gray"), "")
        try tool.put("/dubbo/demo.Echo/providers/" + PercentEncoding.encode("tri://127.0.0.1:9103/demo.Echo"), "")
        try tool.put("/dubbo/demo.Echo/configurators/" + PercentEncoding.encode("override://0.0.0.0/demo.Echo"), "")
        #expect(fixture.wait { fixture.ports(echo) == [9101, 9102] })
        let echoes = try #require(fixture.told[echo]?.last)
        #expect(echoes.map(\.interfaceVersion) == ["1.0.0", "2.0.0"] && echoes.map(\.group) == ["", "blue"])
        #expect(echoes.map(\.weight) == [1, 2])

        try tool.delete("/microservices/order/9001")
        try tool.delete(Self.provider(9101))
        #expect(fixture.wait { fixture.ports(order) == [9002] && fixture.ports(echo) == [9102] })
        // Many keys in one revision, and a service that is asked for now.
        registry.subscribe(.http("order2"))
        #expect(fixture.wait { fixture.ports(.http("order2")) == [9003] })
        try tool.deleteAll()
        #expect(fixture.wait { fixture.ports(order) == [] && fixture.ports(echo) == [] })
        // Nothing is told for nothing; a doubted list is told again.
        let count = fixture.told[order]?.count ?? 0
        registry.refresh(order)
        #expect(fixture.wait { fixture.told[order]?.count == count + 1 })
        registry.unsubscribe(order)
        try tool.putKratos("order", 9009)
        try tool.putKratos("none", 9010)
        #expect(fixture.wait { fixture.ports(.http("none")) == [9010] })
        #expect(fixture.told[order]?.count == count + 1)
        #expect(registry.status.unsteadyAt == nil && registry.status.failures == 0)
    }

    /// dubbo-go 3: instances of applications, which interfaces they offer, and what is known of a revision.
    @Test func dubboApplicationsAndOverrides() throws {
        let (server, tool) = try started()
        let registry = fixture.etcd([server.base])
        defer { registry.stop() }
        registry.subscribe(echo)
        #expect(fixture.wait { fixture.told[echo] == [[]] })
        func put(_ port: Int, _ revision: String, _ storage: String) throws {
            let endpoints = "[{\\\"port\\\":\(port),\\\"protocol\\\":\\\"dubbo\\\"}]"
            try tool.put(
                "/services/shop/127.0.0.1:\(port)",
                #"{"ServiceName":"shop","Host":"127.0.0.1","Port":\#(port),"Enable":true,"Healthy":true,"Metadata":"#
                    + #"{"dubbo.endpoints":"\#(endpoints)","dubbo.metadata.revision":"\#(revision)","#
                    + #""dubbo.metadata.storage-type":"\#(storage)"}}"#)
        }
        try put(9201, "r1", "remote")
        try tool.put(
            "/dubbo/metadata/shop/r1",
            #"{"app":"shop","revision":"r1","services":{"g/demo.Echo:2.0.0:dubbo":{"name":"demo.Echo","group":"g","#
                + #""version":"2.0.0","protocol":"dubbo","params":{"weight":"50"}}}}"#)
        try tool.put("/dubbo/mapping/demo.Echo", "shop")
        #expect(fixture.wait { fixture.ports(echo) == [9201] })
        let host = try #require(fixture.told[echo]?.last?.first)
        #expect(host.interfaceVersion == "2.0.0" && host.group == "g" && host.weight == 0.5)
        // A second instance, a revision that offers it no more, and one that nothing is known of.
        try put(9202, "r1", "remote")
        #expect(fixture.wait { fixture.ports(echo) == [9201, 9202] })
        try tool.put("/dubbo/metadata/shop/r2", #"{"app":"shop","revision":"r2","services":{}}"#)
        try put(9201, "r2", "remote")
        #expect(fixture.wait { fixture.ports(echo) == [9202] })
        try put(9203, "r3", "local")
        #expect(fixture.wait { fixture.ports(echo) == [9202, 9203] })
        // A provider that stands at both levels counts once.
        try tool.put(Self.provider(9202, "version=2.0.0&group=g"), "1")
        #expect(fixture.wait { registry.status.dropped == [.duplicate: 1] })
        #expect(fixture.told[echo]?.last?.map(\.weight) == [1, 1])
        // An operator's rule, and its end.
        let rule = "/dubbo/demo.Echo/configurators/" + PercentEncoding.encode("override://127.0.0.1:9202/demo.Echo?")
        try tool.put(rule + PercentEncoding.encode("category=configurators&version=2.0.0&group=g&weight=7"), "1")
        #expect(fixture.wait { fixture.told[echo]?.last?.map(\.weight) == [0.07, 1] })
        try tool.delete(rule + PercentEncoding.encode("category=configurators&version=2.0.0&group=g&weight=7"))
        #expect(fixture.wait { fixture.told[echo]?.last?.map(\.weight) == [1, 1] })
        try tool.delete("/dubbo/mapping/demo.Echo")
        #expect(fixture.wait { fixture.ports(echo) == [9202] && registry.status.dropped.isEmpty })
    }

    /// Applications of dubbo-go that keep their metadata to themselves.
    @Test func asksInstancesOfApplications() throws {
        let (server, tool) = try started()
        let provider = try FakeDubbo(loop: fixture.loop)
        provider.offers = ["r1": "1.0.0", "r2": "2.0.0"]
        func put(_ revision: String, storage: String = "local") throws {
            let metadata = JSONWriter.object(provider.instance(revision, storage: storage))
            try tool.put(
                "/services/shop/127.0.0.1:\(provider.port)",
                #"{"ServiceName":"shop","Host":"127.0.0.1","Port":\#(provider.port),"Metadata":\#(metadata)}"#)
        }
        try tool.put("/dubbo/mapping/a.Echo", "shop")
        try put("r1")
        let registry = fixture.etcd([server.base])
        defer { registry.stop() }
        let service = ServiceKey.dubbo("a.Echo")
        registry.subscribe(service)
        #expect(fixture.wait { fixture.ports(service) == [provider.port] })
        let host = try #require(fixture.told[service]?.last?.first)
        #expect(host.interfaceVersion == "1.0.0" && host.weight == 0.5 && host.metadata["dubbo.tag"] == "gray")
        try put("r2", storage: "remote")
        #expect(fixture.wait { fixture.told[service]?.last?.first?.interfaceVersion == "2.0.0" })
        #expect(fixture.told[service]?.contains { $0.contains { $0.interfaceVersion.isEmpty } } == false)
        #expect(provider.asked == ["r1", "r2"] && fixture.context.inquiries.count == 1)
        registry.unsubscribe(service)
        #expect(fixture.context.inquiries.count == 0)
    }
}
