import Model
import Runtime
import Testing

@testable import Discovery

/// Dubbo's application level in Nacos.
@Suite struct NacosApplicationTests {
    let fixture: Fixture
    let nacos: FakeNacos
    let push: FakeNacosPush
    let echo = ServiceKey.dubbo("a.Echo")

    init() throws {
        fixture = try Fixture()
        nacos = try FakeNacos(loop: fixture.loop)
        push = try FakeNacosPush(nacos, loop: fixture.loop)
        nacos.configs["mapping/a.Echo"] = "shop, other"
        nacos.configs["r1/shop"] = Self.metadata("1.0.0")
        nacos.services["shop"] = [.init(ip: "10.0.0.1", port: 20881, metadata: Self.instance("r1"))]
    }

    private static func metadata(_ version: String) -> String {
        #"""
        {"app":"shop","services":{"a.Echo:\#(version):dubbo":{"name":"a.Echo","version":"\#(version)",
        "protocol":"dubbo","port":20881,"params":{"dubbo.tag":"gray","weight":"50"}}}}
        """#
    }

    private static func instance(_ revision: String) -> String {
        #"""
        {"dubbo.endpoints":"[{\"port\":20881,\"protocol\":\"dubbo\"}]","dubbo.metadata.revision":"\#(revision)",
        "dubbo.metadata.storage-type":"remote"}
        """#
    }

    private func registry(isPushed: Bool) -> NacosRegistry {
        fixture.nacos(nacos) { settings in
            if isPushed { settings.pushServers = [.init(host: "127.0.0.1", port: push.port)] }
            settings.quicken()
        }
    }

    @Test(arguments: ["push", "v1", "v3"])
    func findsWhatApplicationsOffer(way: String) throws {
        (nacos.hasV1, nacos.hasV3) = (way == "v1", way == "v3")
        let registry = registry(isPushed: way == "push")
        if way != "push" { registry.subscribe(.http("x")) }
        registry.subscribe(echo)
        #expect(fixture.wait { fixture.addresses(echo) == ["10.0.0.1:20881"] })
        let instance = try #require(fixture.told[echo]?.last?.first)
        #expect(instance.interfaceVersion == "1.0.0" && instance.weight == 0.5)
        #expect(instance.metadata["dubbo.tag"] == "gray" && instance.metadata["application"] == "shop")
        registry.stop()
    }

    @Test(arguments: [true, false])
    func oneThatJoinsLaterIsToldWhatIsKnown(isHTTPFirst: Bool) throws {
        nacos.hasV1 = true
        nacos.services["shop"]?.append(
            .init(ip: "10.0.0.2", port: 8080, metadata: #"{"preserved.register.source":"SPRING_CLOUD"}"#))
        let registry = registry(isPushed: false)
        let shop = ServiceKey.http("shop")
        for service in isHTTPFirst ? [shop, echo] : [echo, shop] {
            registry.subscribe(service)
            #expect(fixture.wait { fixture.told[service]?.last?.isEmpty == false })
        }
        #expect(fixture.addresses(shop) == ["10.0.0.2:8080"])
        #expect(fixture.wait { fixture.told[echo]?.last?.first?.interfaceVersion == "1.0.0" })
        registry.stop()
    }

    @Test func theInterfacesOwnEntryGoesBefore() throws {
        nacos.set(
            "providers:a.Echo:1.0.0:", "10.0.0.1", "10.0.0.2", metadata: #"{"protocol":"dubbo","dubbo.tag":"own"}"#)
        for index in 0..<2 { nacos.services["providers:a.Echo:1.0.0:"]?[index].port = 20881 }
        let registry = registry(isPushed: true)
        registry.subscribe(echo)
        #expect(fixture.wait { fixture.addresses(echo) == ["10.0.0.1:20881", "10.0.0.2:20881"] })
        #expect(fixture.told[echo]?.last?.map { $0.metadata["dubbo.tag"] } == ["own", "own"])
        registry.stop()
    }

    @Test func changesOfAllPartsAreSeen() throws {
        let registry = registry(isPushed: true)
        registry.subscribe(echo)
        #expect(fixture.wait { fixture.addresses(echo) == ["10.0.0.1:20881"] })
        // A new revision, whose metadata comes a moment later.
        nacos.configs["r2/shop"] = Self.metadata("2.0.0")
        nacos.services["shop"] = [.init(ip: "10.0.0.1", port: 20881, metadata: Self.instance("r2"))]
        push.push("shop")
        #expect(fixture.wait { fixture.told[echo]?.last?.first?.interfaceVersion == "2.0.0" })
        // It offers nothing any more.
        nacos.services["shop"] = [.init(ip: "10.0.0.1", port: 20881, metadata: Self.instance("0"))]
        push.push("shop")
        #expect(fixture.wait { fixture.addresses(echo) == [] })
        // Another application offers the interface, and the server tells.
        nacos.configs["mapping/a.Echo"] = "new"
        nacos.configs["r9/new"] = Self.metadata("9.0.0")
        nacos.services["new"] = [.init(ip: "10.0.0.9", port: 20881, metadata: Self.instance("r9"))]
        let client = try #require(push.clients.first)
        push.request(client, "ConfigChangeNotifyRequest", #""dataId":"a.Echo","group":"mapping""#)
        #expect(fixture.wait { fixture.addresses(echo) == ["10.0.0.9:20881"] })
        // The other is looked at until it lists nothing.
        nacos.services["shop"] = []
        push.push("shop")
        #expect(fixture.wait { client.subscribed == ["new"] })
        registry.unsubscribe(echo)
        #expect(fixture.wait { client.subscribed.isEmpty })
        registry.stop()
    }

    @Test func metadataThatIsMissingOrBrokenHoldsNothingUp() throws {
        nacos.configs["r1/shop"] = "{"
        let registry = registry(isPushed: true)
        registry.subscribe(echo)
        // What it offers is not known; where it listens is.
        #expect(fixture.wait { fixture.addresses(echo) == ["10.0.0.1:20881"] })
        #expect(fixture.told[echo]?.last?.first?.interfaceVersion == "")
        nacos.services["shop"] = [.init(ip: "10.0.0.2", port: 20881, metadata: Self.instance("gone"))]
        push.push("shop")
        #expect(fixture.wait { fixture.addresses(echo) == ["10.0.0.2:20881"] })
        registry.stop()
    }

    /// Metadata type `local`, Dubbo's default: the instance is asked, and the configurations are left alone.
    @Test(arguments: [true, false]) func asksInstancesWhereNacosDoesNotKnow(isPushed: Bool) throws {
        let provider = try FakeDubbo(loop: fixture.loop)
        provider.offers = ["r1": "1.0.0", "r2": "2.0.0"]
        func list(_ revisions: String...) {
            nacos.services["shop"] = revisions.enumerated().map { index, revision in
                let metadata = NacosJSON.object(provider.instance(revision).map { ($0.key, .string($0.value)) })
                return .init(
                    ip: "127.0.0.1", port: Int(provider.port), weight: "\(1 - index).0", metadata: metadata.text)
            }
            push.push("shop")
        }
        list("r1")
        var asked: [String] = []
        nacos.fault = { request in
            if request.path.contains("/cs/") { asked.append(request.query["group"] ?? "") }
            return nil
        }
        let registry = registry(isPushed: isPushed)
        registry.subscribe(echo)
        #expect(fixture.wait { fixture.addresses(echo) == ["127.0.0.1:\(provider.port)"] })
        let instance = try #require(fixture.told[echo]?.last?.first)
        #expect(instance.interfaceVersion == "1.0.0" && instance.weight == 0.5)
        #expect(instance.metadata["dubbo.tag"] == "gray" && instance.metadata["application"] == "shop")
        // Never without its version, not even for a moment.
        #expect(fixture.told[echo]?.contains { $0.contains { $0.interfaceVersion.isEmpty } } == false)
        list("r2")
        #expect(fixture.wait { fixture.told[echo]?.last?.first?.interfaceVersion == "2.0.0" })
        #expect(provider.asked == ["r1", "r2"] && asked.allSatisfy { $0 == "mapping" })
        #expect(fixture.context.inquiries.count == 1)
        #expect(push.calls.allSatisfy { $0.member("group") == nil || $0.member("dataId") != "shop" })
        registry.unsubscribe(echo)
        #expect(fixture.context.inquiries.count == 0)
        registry.stop()
    }

    @Test func theInterfacesOwnEntryNeedsNobodyAsked() throws {
        let provider = try FakeDubbo(loop: fixture.loop)
        let metadata = NacosJSON.object(provider.instance("r1").map { ($0.key, .string($0.value)) })
        nacos.services["shop"] = [.init(ip: "127.0.0.1", port: Int(provider.port), metadata: metadata.text)]
        nacos.set("providers:a.Echo:1.0.0:", "127.0.0.1", metadata: #"{"protocol":"dubbo","dubbo.tag":"own"}"#)
        nacos.services["providers:a.Echo:1.0.0:"]?[0].port = Int(provider.port)
        let registry = registry(isPushed: true)
        registry.subscribe(echo)
        #expect(fixture.wait { fixture.told[echo]?.last?.first?.metadata["dubbo.tag"] == "own" })
        #expect(fixture.context.inquiries.count == 0 && provider.accepted == 0)
        registry.stop()
    }

    @Test func theApplicationIsNoHTTPService() throws {
        let registry = registry(isPushed: true)
        registry.subscribe(.http("shop"))
        registry.subscribe(echo)
        #expect(fixture.wait { fixture.told[.http("shop")] == [[]] && fixture.addresses(echo) == ["10.0.0.1:20881"] })
        registry.unsubscribe(echo)
        nacos.services["shop"]?.append(.init(ip: "10.0.0.3"))
        push.push("shop")
        #expect(fixture.wait { fixture.addresses(.http("shop")) == ["10.0.0.3:8080"] })
        registry.stop()
    }

    @Test(arguments: [
        ("", NacosConfig.Content.missing), ("a,b", .text(Array("a,b".utf8))),
        (#"{"code":20004,"data":null}"#, .missing),
        (#"{"code":0,"data":{"content":"x\ny"}}"#, .text(Array("x\ny".utf8))),
        (#"{"app":"x"}"#, .text(Array(#"{"app":"x"}"#.utf8))),
    ])
    func readsConfigurations(body: String, content: NacosConfig.Content) {
        #expect(NacosAnswer.config(Array(body.utf8)) == content)
    }
}
