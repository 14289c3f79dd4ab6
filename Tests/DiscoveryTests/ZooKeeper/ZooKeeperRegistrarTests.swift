import Model
import Runtime
import TestSupport
import Testing

@testable import Discovery

@Suite(.enabled(if: ZooKeeperServer.isAvailable)) struct ZooKeeperRegistrarTests {
    @Test func registersDubboProviders() throws {
        let zookeeper = try ZooKeeperFixture()
        let fixture = zookeeper.fixture
        let writer = try zookeeper.writer()
        let registry = try zookeeper.registry("/app?group=prod")
        defer { registry.stop() }
        let echo = ServiceKey.dubbo("demo.Echo")
        registry.subscribe(echo)
        var registration = Registration(service: echo, host: "127.0.0.1", port: 20880)
        (registration.interfaceVersion, registration.group, registration.weight) = ("1.0.0", "g", 1.5)
        registration.metadata = ["application": "shop", "methods": "say,count", "note": "a b&c", "bad key=": "x"]
        let identity = registration.identity
        // The chroot itself is not there either.
        registry.register(registration)
        zookeeper.expect(echo, ["127.0.0.1:20880"])
        #expect(fixture.wait { fixture.registrations[identity] == [nil] })
        #expect(registry.status.registrations == 1 && registry.status.registered == 1)
        let folder = "/app/prod/demo.Echo/providers"
        let name = try #require(try writer.children(folder).first)
        let url = try #require(DubboURL(encoded: name))
        #expect(url.scheme == "dubbo" && url.host == "127.0.0.1" && url.port == 20880 && url.path == "demo.Echo")
        for (key, value) in [
            ("side", "provider"), ("interface", "demo.Echo"), ("methods", "say,count"), ("version", "1.0.0"),
            ("group", "g"), ("weight", "150"), ("dubbo", "2.0.2"), ("application", "shop"), ("note", "a b&c"),
        ] {
            #expect(url.parameters[key] == value)
        }
        #expect(url.parameters["timestamp"].flatMap { Int64($0) } ?? 0 > 1_600_000_000_000)
        #expect(url.parameters.keys.contains { $0.contains("bad") } == false)
        #expect(try #require(try writer.data("\(folder)/\(name)")).owner != 0)

        // Somebody deletes it.
        try writer.delete("\(folder)/\(name)")
        try expectChildren(writer, zookeeper, folder, [name])
        // Another weight is another name: never none, and the old one goes.
        registration.weight = 0.2
        registry.register(registration)
        let isReplaced = fixture.wait { fixture.told[echo]?.last?.map(\.weight) == [0.2] }
        #expect(isReplaced)
        let changed = try #require(try onlyChild(writer, zookeeper, folder))
        #expect(DubboURL(encoded: changed)?.parameters["weight"] == "20" && changed != name)

        var outcome: [String?] = []
        registry.deregister(identity) { outcome.append($0) }
        #expect(fixture.wait { outcome == [nil] })
        #expect(try writer.children(folder).isEmpty && registry.status.registrations == 0)
        registry.deregister(identity) { outcome.append($0) }
        #expect(fixture.wait { outcome == [nil, nil] })
    }

    @Test func registersSofaProviders() throws {
        let zookeeper = try ZooKeeperFixture()
        let fixture = zookeeper.fixture
        let writer = try zookeeper.writer()
        let registry = try zookeeper.registry("/app")
        defer { registry.stop() }
        let echo = ServiceKey.bolt("demo.Echo")
        registry.subscribe(echo)
        var registration = Registration(service: echo, host: "127.0.0.1", port: 12200)
        (registration.interfaceVersion, registration.group, registration.weight) = ("2.0", "blue", 1.5)
        registration.metadata = ["application": "shop", "version": "v7"]
        registry.register(registration)
        zookeeper.expect(echo, ["127.0.0.1:12200"])
        let name = try #require(try writer.children("/app/sofa-rpc/demo.Echo/providers").first)
        let url = try #require(DubboURL.decode(name))
        // Consumers want the constant version first and a unique id, whatever it is.
        #expect(url.hasPrefix("bolt://127.0.0.1:12200?version=1.0&"))
        for parameter in ["uniqueId=blue", "weight=150", "appName=shop", "interfaceVersion=2.0", "version=v7"] {
            #expect(url.contains("&\(parameter)"), "\(url)")
        }
        let host = try #require(fixture.told[echo]?.last?.first)
        #expect(host.interfaceVersion == "2.0" && host.group == "blue" && host.weight == 1.5)
        #expect(host.metadata["version"] == "v7" && host.metadata["application"] == "shop")
        var outcome: [String?] = []
        registry.deregister(registration.identity) { outcome.append($0) }
        #expect(fixture.wait { outcome == [nil] })
        zookeeper.expect(echo, [])
    }

    /// The service that is let go has the registrar's node among its own.
    @Test func keepsItsWatchWhenTheServiceIsLetGo() throws {
        let zookeeper = try ZooKeeperFixture()
        let writer = try zookeeper.writer()
        let registry = try zookeeper.registry()
        defer { registry.stop() }
        let shop = ServiceKey.http("shop")
        registry.register(Registration(service: shop, host: "127.0.0.1", port: 8001))
        registry.subscribe(shop)
        zookeeper.expect(shop, ["127.0.0.1:8001"])
        let name = try #require(try writer.children("/services/shop").first)
        registry.unsubscribe(shop)
        // What follows is behind the taking back of watches.
        let other = ServiceKey.http("other")
        registry.subscribe(other)
        zookeeper.expect(other, [])
        try writer.delete("/services/shop/\(name)")
        try expectChildren(writer, zookeeper, "/services/shop", [name])
    }

    @Test func registersHTTPApplications() throws {
        let zookeeper = try ZooKeeperFixture()
        let fixture = zookeeper.fixture
        let writer = try zookeeper.writer()
        let registry = try zookeeper.registry()
        let shop = ServiceKey.http("shop")
        var registration = Registration(service: shop, host: "127.0.0.1", port: 8001)
        registration.metadata = ["version": "v\"1\""]
        registry.register(registration)
        let name = try #require(try onlyChild(writer, zookeeper, "/services/shop"))
        let node = try #require(try writer.data("/services/shop/\(name)"))
        let instance = try #require(CuratorInstance(Array(node.text.utf8)))
        #expect(instance.id == name && instance.name == "shop" && instance.port == 8001)
        #expect(instance.metadata == ["version": "v\"1\"", "instance_status": "UP"])
        #expect(node.text.contains(#""serviceType":"DYNAMIC","uriSpec":{"parts""#))

        registration.weight = 3
        registry.register(registration)
        let isChanged = try waitUntil(within: .seconds(10)) {
            _ = fixture.wait(.milliseconds(5)) { false }
            return try writer.data("/services/shop/\(name)")?.text.contains(#""weight":"3""#) == true
        }
        #expect(isChanged && fixture.registrations[registration.identity] == [nil])
        // What is left of an older session goes away with it, so it is replaced.
        try writer.delete("/services/shop/\(name)")
        let stranger = try zookeeper.writer()
        var isStranger = false
        while !isStranger {
            do {
                try stranger.create("/services/shop/\(name)", "{}", isEphemeral: true)
                isStranger = true
            } catch let refusal as ZooKeeperWriter.Refusal where refusal.code == -110 {
                try writer.delete("/services/shop/\(name)")
            }
        }
        try stranger.set("/services/shop/\(name)", "{ }")
        let isOurs = try waitUntil(within: .seconds(10)) {
            _ = fixture.wait(.milliseconds(5)) { false }
            return try writer.data("/services/shop/\(name)")?.text.contains("shop") == true
        }
        #expect(isOurs)

        // A name that no node can have is refused in words; stopping ends the session and with it the entry.
        let wrong = Registration(service: .http("a//b"), host: "127.0.0.1", port: 1)
        registry.register(wrong)
        #expect(fixture.wait { fixture.registrations[wrong.identity]?.first??.contains("node's name") == true })
        registry.stop()
        let isEmpty = try waitUntil(within: .seconds(10)) { try writer.children("/services/shop").isEmpty }
        #expect(isEmpty)
    }

    @Test func registersWhenTheServerComesAndTellsWhatIsNotAllowed() throws {
        let zookeeper = try ZooKeeperFixture()
        let fixture = zookeeper.fixture
        try zookeeper.writer(credentials: "owner:secret").create("/dubbo/demo.Echo/providers")
        try zookeeper.server.kill()
        let registry = try zookeeper.registry()
        let owner = try zookeeper.registry(user: "owner:secret@")
        let echo = ServiceKey.dubbo("demo.Echo")
        let registration = Registration(service: echo, host: "127.0.0.1", port: 20880)
        registry.register(registration)
        registry.register(Registration(service: .http("shop"), host: "127.0.0.1", port: 8001))
        #expect(fixture.wait { registry.status.state == .failed })
        #expect(registry.status.registrations == 2 && registry.status.registered == 0)
        try zookeeper.server.start()
        #expect(fixture.wait { fixture.registrations[registration.identity]?.first??.contains("NoAuth") == true })
        #expect(fixture.wait { registry.status.registered == 1 })
        owner.subscribe(echo)
        owner.register(registration)
        zookeeper.expect(echo, ["127.0.0.1:20880"])
        // What was made belongs to its maker.
        #expect(throws: ZooKeeperWriter.Refusal(code: -102)) {
            let name = try zookeeper.writer(credentials: "owner:secret").children("/dubbo/demo.Echo/providers")[0]
            _ = try zookeeper.writer().data("/dubbo/demo.Echo/providers/\(name)")
        }
        try zookeeper.server.kill()
        #expect(fixture.wait { owner.status.state == .failed })
        var outcome: String?
        owner.deregister(registration.identity) { outcome = $0 }
        #expect(fixture.wait { outcome?.contains("away") == true })
        try zookeeper.server.start()
        // It is made up for in the same session.
        zookeeper.expect(echo, [])
        registry.stop()
        owner.stop()
        #expect(!fixture.log.contains("secret"))
    }

    private func expectChildren(
        _ writer: ZooKeeperWriter, _ zookeeper: ZooKeeperFixture, _ path: String, _ names: [String]
    ) throws {
        let isRight = try waitUntil(within: .seconds(10)) {
            _ = zookeeper.fixture.wait(.milliseconds(5)) { false }
            return try writer.children(path) == names
        }
        #expect(isRight)
    }

    private func onlyChild(_ writer: ZooKeeperWriter, _ zookeeper: ZooKeeperFixture, _ path: String) throws -> String? {
        var found: [String] = []
        _ = waitUntil(within: .seconds(10)) {
            _ = zookeeper.fixture.wait(.milliseconds(5)) { false }
            found = (try? writer.children(path)) ?? []
            return found.count == 1
        }
        return found.first
    }
}
