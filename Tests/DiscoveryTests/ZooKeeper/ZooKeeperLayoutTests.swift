import Model
import Runtime
import TestSupport
import Testing

@testable import Discovery

/// Layouts as real programs write them, put into a real server by hand.
@Suite(.enabled(if: ZooKeeperServer.isAvailable)) struct ZooKeeperLayoutTests {
    let echo = ServiceKey.dubbo("demo.EchoService")

    /// Writes everything that a capture holds.
    private func restore(_ file: String, _ writer: ZooKeeperWriter) throws {
        for line in try Fixture.resource(file).split(separator: "\n") where !line.hasPrefix("#") {
            let parts = line.dropFirst(2).split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            let path = parts[0].trimmingSuffix(" ")
            let data = parts.count == 2 ? String(parts[1].drop { $0 == " " }) : ""
            do {
                try writer.create(path, data, isEphemeral: line.hasPrefix("E"))
            } catch let refusal as ZooKeeperWriter.Refusal where refusal.code == -110 {
                try writer.set(path, data)
            }
        }
    }

    @Test func mergesInterfacesAndApplications() throws {
        var inquiries = DubboInquiries.Settings()
        inquiries.patience = .milliseconds(100)
        let zookeeper = try ZooKeeperFixture(inquiries: inquiries)
        let fixture = zookeeper.fixture
        let writer = try zookeeper.writer()
        let registry = try zookeeper.registry()
        defer { registry.stop() }
        registry.subscribe(echo)
        registry.subscribe(.http("shop"))
        zookeeper.expect(echo, [])
        // 2.7 at interface level.
        try restore("zookeeper-dubbo27.txt", writer)
        zookeeper.expect(echo, ["127.0.0.1:20761"])
        // 3.3 at both levels: one host, not two; the other protocol is not ours.
        try restore("zookeeper-dubbo33-all.txt", writer)
        zookeeper.expect(echo, ["127.0.0.1:20761", "127.0.0.1:20765"])
        let isCounted = fixture.wait { registry.status.dropped == [.unsupportedProtocol: 2] }
        #expect(isCounted, "\(registry.status.dropped)")
        // 3.3 at application level, with metadata in the registry: the 2.7 host is not hidden.
        try restore("zookeeper-dubbo33-remote.txt", writer)
        zookeeper.expect(echo, ["127.0.0.1:20761", "127.0.0.1:20764", "127.0.0.1:20765"])
        for host in try #require(fixture.told[echo]?.last) {
            #expect(host.interfaceVersion == "1.0.0" && host.group == "g" && host.weight == 1.5)
            #expect(host.metadata["dubbo.tag"] == "gray" && host.metadata["env"] == "blue")
            #expect(host.metadata["application"] == "shop" && host.metadata["methods"] == nil)
        }
        // 3.3 at application level alone: version, group and tag are not known where no instance answers.
        try restore("zookeeper-dubbo33-instance.txt", writer)
        zookeeper.expect(echo, ["127.0.0.1:20761", "127.0.0.1:20763", "127.0.0.1:20764", "127.0.0.1:20765"])
        let unknown = try #require(fixture.told[echo]?.last?.first { $0.address.port == 20763 })
        #expect(unknown.interfaceVersion.isEmpty && unknown.metadata["dubbo.tag"] == nil)
        // They are no HTTP application.
        #expect(fixture.addresses(.http("shop")) == [])

        // The instance has moved to another revision whose metadata comes later than itself.
        let node = "/services/shop/127.0.0.1:20763"
        let data = try #require(try writer.data(node)).text
        let stored = data.replacing("61693bacd7e069686a6caa5f6f9d5fd8", with: "feed")
            .replacing(#"storage-type":"local""#, with: #"storage-type":"remote""#)
        try writer.set(node, stored)
        let metadata =
            #"{"app":"shop","revision":"feed","services":{"demo.EchoService:2.0.0:dubbo":{"name":"demo.EchoService","#
            + #""version":"2.0.0","protocol":"dubbo","port":20763,"params":{"weight":"50"}}}}"#
        try writer.create("/dubbo/metadata/shop/feed", metadata)
        let isKnown = fixture.wait {
            fixture.told[echo]?.last?.first { $0.address.port == 20763 }?.interfaceVersion == "2.0.0"
        }
        #expect(isKnown && fixture.told[echo]?.last?.first { $0.address.port == 20763 }?.weight == 0.5)
        // No mapping, no application.
        try writer.delete("/dubbo/mapping/demo.EchoService")
        zookeeper.expect(echo, ["127.0.0.1:20761", "127.0.0.1:20765"])
    }

    /// Metadata type `local`, Dubbo's default.
    @Test func asksInstancesWhereTheRegistryDoesNotKnow() throws {
        let zookeeper = try ZooKeeperFixture()
        let fixture = zookeeper.fixture
        let writer = try zookeeper.writer()
        let (first, second) = (try FakeDubbo(loop: fixture.loop), try FakeDubbo(loop: fixture.loop))
        for provider in [first, second] { provider.offers = ["r1": "1.0.0", "r2": "2.0.0"] }
        func register(_ provider: FakeDubbo, _ revision: String, storage: String = "local") -> String {
            let instance = CuratorInstance(
                name: "shop", id: "x", host: "127.0.0.1", port: provider.port,
                metadata: provider.instance(revision, storage: storage))
            return String(decoding: instance.springData(registeredAt: 1), as: UTF8.self)
        }
        try writer.create("/dubbo/mapping/a.Echo", "shop")
        try writer.create("/services/shop/1", register(first, "r1"))
        try writer.create("/services/shop/2", register(second, "r1"))
        let registry = try zookeeper.registry()
        defer { registry.stop() }
        let service = ServiceKey.dubbo("a.Echo")
        registry.subscribe(.http("shop"))
        registry.subscribe(service)
        let isListed = fixture.wait { fixture.told[service]?.last?.count == 2 }
        #expect(isListed && fixture.told[service]?.last?.map(\.interfaceVersion) == ["1.0.0", "1.0.0"])
        #expect(fixture.told[service]?.last?.map { $0.metadata["dubbo.tag"] } == ["gray", "gray"])
        // Its own port, not that of the one who was asked.
        #expect(Set(fixture.told[service]?.last?.map(\.address.port) ?? []) == [first.port, second.port])
        #expect(first.asked + second.asked == ["r1"])
        // One has changed; metadata that should be in the registry and is not can be asked for as well.
        try writer.set("/services/shop/2", register(second, "r2", storage: "remote"))
        let isNew = fixture.wait {
            Set(fixture.told[service]?.last?.map(\.interfaceVersion) ?? []) == ["1.0.0", "2.0.0"]
        }
        #expect(isNew && second.asked.last == "r2" && fixture.context.inquiries.count == 2)
        #expect(fixture.told[service]?.contains { $0.contains { $0.interfaceVersion.isEmpty } } == false)
        // Both say it now; the registry goes before.
        let metadata =
            #"{"services":{"a.Echo:3.0.0:dubbo":{"version":"3.0.0","protocol":"dubbo","port":1}}}"#
        try writer.create("/dubbo/metadata/shop/r2", metadata)
        let isStored = fixture.wait {
            Set(fixture.told[service]?.last?.map(\.interfaceVersion) ?? []) == ["1.0.0", "3.0.0"]
        }
        #expect(isStored && fixture.context.inquiries.count == 1)
        try writer.delete("/services/shop/1")
        #expect(fixture.wait { fixture.told[service]?.last?.count == 1 && fixture.context.inquiries.count == 0 })
        #expect(first.asked.count + second.asked.count == 2 && registry.status.unansweredRevisions == 0)
    }

    /// Who has not said yet what it offers keeps nobody waiting for the others.
    @Test func silentInstancesDoNotHoldChangesBack() throws {
        var inquiries = DubboInquiries.Settings()
        inquiries.patience = .seconds(600)
        let zookeeper = try ZooKeeperFixture(inquiries: inquiries)
        let fixture = zookeeper.fixture
        let writer = try zookeeper.writer()
        let (provider, silent) = (try FakeDubbo(loop: fixture.loop), try FakeDubbo(loop: fixture.loop))
        provider.offers = ["r1": "1.0.0"]
        let newcomer = try FakeDubbo(loop: fixture.loop)
        for provider in [silent, newcomer] { provider.answer = { _, _ in .silence } }
        func data(_ port: UInt16, _ parameters: [String: String]) -> String {
            let instance = CuratorInstance(
                name: "shop", id: "x", host: "127.0.0.1", port: port, metadata: parameters)
            return String(decoding: instance.springData(registeredAt: 1), as: UTF8.self)
        }
        try writer.create("/dubbo/mapping/a.Echo", "shop")
        try writer.create("/services/shop/1", data(provider.port, provider.instance("r1")))
        let registry = try zookeeper.registry()
        defer { registry.stop() }
        let service = ServiceKey.dubbo("a.Echo")
        registry.subscribe(service)
        zookeeper.expect(service, ["127.0.0.1:\(provider.port)"])
        // One more of what is known, one that does not say, and the first one goes.
        try writer.create("/services/shop/2", data(silent.port, silent.instance("r1")))
        zookeeper.expect(service, ["127.0.0.1:\(provider.port)", "127.0.0.1:\(silent.port)"].sorted())
        try writer.create("/services/shop/3", data(newcomer.port, newcomer.instance("r2")))
        #expect(fixture.wait { newcomer.asked == ["r2"] })
        try writer.delete("/services/shop/1")
        zookeeper.expect(service, ["127.0.0.1:\(silent.port)"])
        // What it was before holds until it has said what it is now.
        try writer.set("/services/shop/2", data(silent.port, silent.instance("r2")))
        try writer.create("/services/shop/4", data(provider.port, provider.instance("r1")))
        zookeeper.expect(service, ["127.0.0.1:\(provider.port)", "127.0.0.1:\(silent.port)"].sorted())
        #expect(fixture.told[service]?.last?.map(\.interfaceVersion) == ["1.0.0", "1.0.0"])
        // Nobody would be left: what is told stays.
        try writer.set("/services/shop/4", data(provider.port, provider.instance("r2")))
        try writer.delete("/services/shop/2")
        zookeeper.expect(service, ["127.0.0.1:\(provider.port)"])
        try writer.delete("/services/shop/4")
        try writer.set("/services/shop/3", data(provider.port, provider.instance("r1")))
        #expect(fixture.wait { provider.asked.count == 2 })
        #expect(fixture.told[service]?.contains(where: \.isEmpty) == false)
    }

    @Test func obeysConfigurators() throws {
        let zookeeper = try ZooKeeperFixture()
        let fixture = zookeeper.fixture
        let writer = try zookeeper.writer()
        let registry = try zookeeper.registry()
        defer { registry.stop() }
        let service = ServiceKey.dubbo("demo.Echo")
        try writer.create(ZooKeeperFixture.provider("demo.Echo", 9001, "version=1.0.0&application=a"))
        try writer.create(ZooKeeperFixture.provider("demo.Echo", 9002, "version=1.0.0&application=b"))
        registry.subscribe(service)
        zookeeper.expect(service, ["127.0.0.1:9001", "127.0.0.1:9002"])
        func weights(_ expected: [Double], at location: SourceLocation = #_sourceLocation) {
            let isRight = fixture.wait { fixture.told[service]?.last?.map(\.weight) == expected }
            #expect(isRight, "\(fixture.told[service]?.last?.map(\.weight) ?? [])", sourceLocation: location)
        }
        func override(_ text: String) -> String {
            "/dubbo/demo.Echo/configurators/" + PercentEncoding.encode("override://\(text)")
        }
        let all = override("0.0.0.0/demo.Echo?category=configurators&dynamic=false&version=1.0.0&weight=10")
        try writer.create(all)
        weights([0.1, 0.1])
        let one = override("127.0.0.1:9002/demo.Echo?category=configurators&version=1.0.0&weight=400")
        try writer.create(one)
        weights([0.1, 4])
        try writer.create(override("0.0.0.0/demo.Echo?version=1.0.0&enabled=false&disabled=true"))
        try writer.create("/dubbo/demo.Echo/configurators/%zz")
        try writer.delete(all)
        weights([1, 4])
        let off = override("127.0.0.1/demo.Echo?version=1.0.0&application=a&disabled=true")
        try writer.create(off)
        zookeeper.expect(service, ["127.0.0.1:9002"])
        #expect(registry.status.dropped == [.disabled: 1])
        try writer.delete(off)
        try writer.delete(one)
        weights([1, 1])

        let key = "/dubbo/config/dubbo/demo.Echo:1.0.0:.configurators"
        try writer.create(
            key,
            """
            configVersion: v2.7
            scope: service
            key: demo.Echo:1.0.0
            enabled: true
            configs:
              - side: provider
                addresses: ["127.0.0.1:9001"]
                parameters: {weight: 30}
            """)
        weights([0.3, 1])
        try writer.set(key, "configs: [{side: provider, parameters: {disabled: true}, addresses: ['127.0.0.1:9002']}]")
        zookeeper.expect(service, ["127.0.0.1:9001"])
        // What cannot be read leaves the last rule in force.
        try writer.set(key, "configs: [")
        #expect(fixture.wait { fixture.log.contains("registry.rule_unreadable") })
        #expect(fixture.addresses(service) == ["127.0.0.1:9001"])
        try writer.delete(key)
        weights([1, 1])
    }

    @Test func survivesGarbageAndLongLists() throws {
        let zookeeper = try ZooKeeperFixture()
        let fixture = zookeeper.fixture
        let writer = try zookeeper.writer()
        let registry = try zookeeper.registry()
        defer { registry.stop() }
        let (service, shop, sofa) = (
            ServiceKey.dubbo("demo.Echo"), ServiceKey.http("shop"), ServiceKey.bolt("demo.Echo")
        )
        try writer.create(ZooKeeperFixture.provider("demo.Echo", 9001))
        for name in ["%zz", "%", "dubbo%3A%2F%2F", "dubbo%3A%2F%2Fh%3A99999%2Fa", "\u{e9}", "x"] {
            try writer.create("/dubbo/demo.Echo/providers/" + name)
        }
        try writer.create(ZooKeeperFixture.provider("demo.Other", 1).replacing("/demo.Other/p", with: "/demo.Echo/p"))
        try writer.create("/dubbo/demo.Echo/providers/" + String(repeating: "%41", count: 200_000))
        registry.subscribe(service)
        zookeeper.expect(service, ["127.0.0.1:9001"])
        #expect(registry.status.dropped == [.unreadable: 8])

        let good = CuratorInstance(name: "shop", id: "a", host: "127.0.0.1", port: 8001, isEnabled: true)
        try writer.create("/services/shop/good", good.springData(registeredAt: 1))
        let junk: [[UInt8]] = [
            [], [0xff, 0xfe, 0, 1], Array("[]".utf8), Array(#"{"address":"h"}"#.utf8), Array(#"{"port":1}"#.utf8),
            Array(#"{"address":"h","port":99999}"#.utf8), Array(repeating: UInt8(ascii: "["), count: 500_000),
        ]
        for (index, data) in junk.enumerated() { try writer.create("/services/shop/junk\(index)", data) }
        try writer.create("/services/shop/off", #"{"address":"h","port":1,"enabled":false}"#)
        registry.subscribe(shop)
        zookeeper.expect(shop, ["127.0.0.1:8001"])
        #expect(registry.status.dropped == [.unreadable: 15, .disabled: 1])

        for name in [
            "bolt://127.0.0.1:1?uniqueId=blue&version=v7&version=1.0&weight=50", "bolt://127.0.0.1:2", "dubbo://h:1",
        ] {
            try writer.create("/sofa-rpc/demo.Echo/providers/" + PercentEncoding.encode(name))
        }
        registry.subscribe(sofa)
        zookeeper.expect(sofa, ["127.0.0.1:1"])
        let host = try #require(fixture.told[sofa]?.last?.first)
        #expect(host.group == "blue" && host.metadata["version"] == "v7" && host.weight == 0.5)
        // Names that cannot be: they have no hosts, and nothing breaks.
        for name in ["", "..", "a//b", "a/../b", "\u{1}", "zookeeper\u{0}x", String(repeating: "x", count: 5000)] {
            for kind in [ServiceKey.Kind.http, .dubbo, .bolt] {
                let key = ServiceKey(kind: kind, name: name)
                registry.subscribe(key)
                zookeeper.expect(key, [])
                registry.refresh(key)
                #expect(fixture.wait { fixture.told[key]?.count == 2 })
                registry.unsubscribe(key)
            }
        }
        try expectStorms(zookeeper, writer, service)
    }

    /// Many changes in a row are read together; the last state is what is told.
    private func expectStorms(_ zookeeper: ZooKeeperFixture, _ writer: ZooKeeperWriter, _ service: ServiceKey) throws {
        let before = zookeeper.fixture.told[service]?.count ?? 0
        try writer.createAll((10_000..<11_000).map { ZooKeeperFixture.provider("demo.Echo", $0) })
        #expect(zookeeper.fixture.wait { zookeeper.fixture.told[service]?.last?.count == 1001 })
        #expect((zookeeper.fixture.told[service]?.count ?? 0) - before < 300)
        let node = ZooKeeperFixture.provider("demo.Echo", 9001)
        for _ in 0..<50 {
            try writer.delete(node)
            try writer.create(node)
        }
        #expect(zookeeper.fixture.wait { zookeeper.fixture.told[service]?.last?.count == 1001 })
    }

    @Test func asksForCredentialsAndServesManyServices() throws {
        let zookeeper = try ZooKeeperFixture()
        let fixture = zookeeper.fixture
        let owner = try zookeeper.writer(credentials: "owner:secret")
        try owner.create(ZooKeeperFixture.provider("demo.Secret", 9001))
        let secret = ServiceKey.dubbo("demo.Secret")
        for user in ["", "owner:wrong@"] {
            let registry = try zookeeper.registry(user: user)
            registry.subscribe(secret)
            #expect(fixture.wait { registry.status.lastError?.contains("NoAuth") == true })
            #expect(registry.status.state == .connected)
            #expect(fixture.wait { fixture.failures[secret]?.contains("NoAuth") == true })
            registry.stop()
        }
        #expect(fixture.told[secret] == nil && fixture.log.contains("registry.service_failed"))
        let registry = try zookeeper.registry(user: "owner:secret@")
        defer { registry.stop() }
        registry.subscribe(secret)
        zookeeper.expect(secret, ["127.0.0.1:9001"])

        let names = (0..<2000).map { "many.Service\($0)" }
        let writer = try zookeeper.writer(credentials: "owner:secret")
        try writer.createAll(
            names.flatMap { name in
                ["/dubbo/\(name)", "/dubbo/\(name)/providers", ZooKeeperFixture.provider(name, 9001)]
            })
        let keys = names.map { ServiceKey.dubbo($0) }
        for key in keys { registry.subscribe(key) }
        #expect(fixture.wait { keys.allSatisfy { fixture.addresses($0) == ["127.0.0.1:9001"] } })
        #expect(registry.status.instances == 2001)
        #expect(!fixture.log.contains("secret") && !fixture.log.contains("wrong"))
    }
}

extension Substring {
    fileprivate func trimmingSuffix(_ blank: Character) -> String {
        var text = self
        while text.last == blank { text.removeLast() }
        return String(text)
    }
}
