import Configuration
import Model
import Runtime
import TestSupport
import Testing

@testable import Discovery

@Suite(.enabled(if: ZooKeeperServer.isAvailable)) struct ZooKeeperFaultTests {
    let echo = ServiceKey.dubbo("demo.Echo")
    let order = ServiceKey(kind: .http, name: "order")

    /// Killed and started again: hosts stay, the session goes on, nothing is missed. Then its data is lost.
    @Test func keepsItsSessionOverARestartAndNoticesLostData() throws {
        let zookeeper = try ZooKeeperFixture()
        let fixture = zookeeper.fixture
        let registry = try zookeeper.registry()
        defer { registry.stop() }
        try zookeeper.writer().create(ZooKeeperFixture.provider("demo.Echo", 9001))
        registry.subscribe(echo)
        var registration = Registration(service: order, host: "127.0.0.1", port: 8001)
        registration.metadata = ["version": "v1"]
        registry.register(registration)
        zookeeper.expect(echo, ["127.0.0.1:9001"])
        #expect(fixture.wait { registry.status.registered == 1 })

        try zookeeper.server.kill()
        #expect(fixture.wait { registry.status.state == .failed })
        let late = ServiceKey.dubbo("demo.Late")
        registry.subscribe(late)
        #expect(fixture.wait { fixture.failures[late] != nil })
        #expect(fixture.addresses(echo) == ["127.0.0.1:9001"] && fixture.told[late] == nil)
        try zookeeper.server.start()
        #expect(fixture.wait { registry.status.state == .connected })
        zookeeper.expect(late, [])
        let writer = try zookeeper.writer()
        try writer.create(ZooKeeperFixture.provider("demo.Echo", 9002))
        zookeeper.expect(echo, ["127.0.0.1:9001", "127.0.0.1:9002"])
        #expect(registry.status.unsteadyAt == nil && fixture.told[echo]?.count == 2)
        #expect(try writer.children("/services/order").count == 1)

        try zookeeper.server.kill()
        try zookeeper.server.wipe()
        #expect(fixture.wait { registry.status.state == .failed })
        try zookeeper.server.start()
        zookeeper.expect(echo, [])
        #expect(registry.status.unsteadyAt != nil)
        #expect(fixture.wait { registry.status.registered == 1 })
        #expect(try zookeeper.writer().children("/services/order").count == 1)
        #expect(fixture.log.contains("registry.session_expired"))
    }

    /// An application that may not be read does not keep a doubted list of its interface from being confirmed.
    @Test func anUnreadableApplicationLeavesTheOthersAlone() throws {
        let zookeeper = try ZooKeeperFixture()
        let fixture = zookeeper.fixture
        let writer = try zookeeper.writer()
        try zookeeper.writer(credentials: "u:p").create("/services/closed")
        try writer.create("/dubbo/mapping/demo.Echo", "closed")
        let provider = ZooKeeperFixture.provider("demo.Echo", 9001)
        try writer.create(provider)
        let registry = try zookeeper.registry()
        defer { registry.stop() }
        registry.subscribe(echo)
        zookeeper.expect(echo, ["127.0.0.1:9001"])
        try writer.delete(provider)
        zookeeper.expect(echo, [])
        let count = fixture.told[echo]?.count ?? 0
        registry.refresh(echo)
        #expect(fixture.wait { fixture.told[echo]?.count ?? 0 > count })
    }

    /// Nor do providers that may not be read keep an application's hosts that are gone.
    @Test func unreadableProvidersLeaveTheOthersAlone() throws {
        let zookeeper = try ZooKeeperFixture()
        let fixture = zookeeper.fixture
        let writer = try zookeeper.writer()
        try writer.create("/dubbo/mapping/demo.Echo", "shop")
        try zookeeper.writer(credentials: "u:p").create("/dubbo/demo.Echo/providers")
        let instance = CuratorInstance(
            name: "shop", id: "1", host: "127.0.0.1", port: 9001,
            metadata: ["dubbo.endpoints": #"[{"port":9001,"protocol":"dubbo"}]"#])
        try writer.create("/services/shop/1", instance.springData(registeredAt: 1))
        let registry = try zookeeper.registry()
        defer { registry.stop() }
        registry.subscribe(echo)
        zookeeper.expect(echo, ["127.0.0.1:9001"])
        try writer.delete("/services/shop/1")
        zookeeper.expect(echo, [])
        #expect(fixture.failures.isEmpty)
    }

    /// Who waits for a read of a node hears of it when the node is forgotten.
    @Test func aForgottenNodeCompletesThoseWhoWait() throws {
        let zookeeper = try ZooKeeperFixture()
        let relay = try FreezingRelay(to: zookeeper.server.address)
        let settings = try ZooKeeperSettings(RegistryURL("zookeeper://\(relay.address)"))
        let client = ZooKeeperClient(settings, url: "z", context: zookeeper.fixture.context)
        defer { client.stop() }
        let tree = ZooKeeperTree(client: client, loop: zookeeper.fixture.loop, chroot: "")
        client.onReady = { _ in tree.readAll() }
        client.start()
        let node = tree.watch("/", .children) { _, _ in
        } onFailure: { _, _ in
        }
        #expect(zookeeper.fixture.wait { node.state == .known })
        relay.freeze()
        var readings: [ZooKeeperNode.Reading] = []
        tree.refresh(node) { readings.append($0) }
        #expect(readings.isEmpty)
        tree.forget(node)
        tree.refresh(node) { readings.append($0) }
        #expect(readings == [.impossible, .impossible])
    }

    /// A server that grants much less than was asked for hears from a quiet client in time.
    @Test func keepsAShortSessionAlive() throws {
        let zookeeper = try ZooKeeperFixture(tick: 100, longestSession: 800)
        let registry = try zookeeper.registry(session: .seconds(30))
        defer { registry.stop() }
        registry.subscribe(echo)
        zookeeper.expect(echo, [])
        #expect(!zookeeper.fixture.wait(.seconds(2)) { registry.status.failures > 0 }, "\(zookeeper.fixture.log)")
        #expect(registry.status.unsteadyAt == nil)
    }

    /// The network is gone for longer than the session lives, while the server goes on.
    @Test func beginsAnewAfterItsSessionHasExpired() throws {
        let zookeeper = try ZooKeeperFixture(tick: 100)
        let fixture = zookeeper.fixture
        let relay = try FreezingRelay(to: zookeeper.server.address)
        let registry = try zookeeper.registry(at: relay.address, session: .milliseconds(600))
        defer { registry.stop() }
        let writer = try zookeeper.writer()
        try writer.create(ZooKeeperFixture.provider("demo.Echo", 9001))
        registry.subscribe(echo)
        let registration = Registration(service: order, host: "127.0.0.1", port: 8001)
        registry.register(registration)
        zookeeper.expect(echo, ["127.0.0.1:9001"])
        #expect(fixture.wait { registry.status.registered == 1 })
        let name = try #require(try writer.children("/services/order").first)
        let owner = try #require(try writer.data("/services/order/\(name)")).owner

        // A lost connection alone is nothing: what has happened meanwhile is found.
        relay.freeze()
        relay.cut()
        try writer.create(ZooKeeperFixture.provider("demo.Echo", 9002))
        relay.resume()
        zookeeper.expect(echo, ["127.0.0.1:9001", "127.0.0.1:9002"])
        #expect(registry.status.unsteadyAt == nil)
        #expect(try writer.data("/services/order/\(name)")?.owner == owner)

        relay.freeze()
        let isGone = try waitUntil(within: .seconds(20)) {
            _ = fixture.wait(.milliseconds(10)) { false }
            return try writer.children("/services/order").isEmpty
        }
        #expect(isGone && fixture.addresses(echo)?.count == 2)
        try writer.delete(ZooKeeperFixture.provider("demo.Echo", 9001))
        relay.resume()
        zookeeper.expect(echo, ["127.0.0.1:9002"])
        #expect(registry.status.unsteadyAt != nil)
        let isBack = try waitUntil(within: .seconds(20)) {
            _ = fixture.wait(.milliseconds(10)) { false }
            return try !writer.children("/services/order").isEmpty
        }
        #expect(isBack && registry.status.state == .connected)
    }

    @Test func takesAnotherServerWhenOneIsStuckOrIsNone() throws {
        let zookeeper = try ZooKeeperFixture()
        let fixture = zookeeper.fixture
        try zookeeper.writer().create(ZooKeeperFixture.provider("demo.Echo", 9001))
        let web = try ScriptedServer { connection, _ in
            _ = connection.receive()
            connection.send("HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\nno ZooKeeper here at all")
        }
        let silent = try ScriptedServer { connection, _ in while !connection.receive().isEmpty {} }
        let noise = try ScriptedServer { connection, _ in
            connection.send([0, 0, 0, 37] + (0..<200).map { UInt8(truncatingIfNeeded: $0 &* 37) })
            _ = connection.receive()
        }
        let short = try ScriptedServer { connection, _ in
            _ = connection.receive()
            connection.send([0, 0, 0])
        }
        let dead = try FreePort.next()
        let others = "127.0.0.1:\(dead),\(web.address),\(silent.address),\(noise.address),\(short.address),"
        // The order is left to chance, so each begins elsewhere.
        for _ in 0..<3 {
            let registry = try zookeeper.registry(servers: others)
            registry.subscribe(echo)
            #expect(fixture.wait { registry.status.instances == 1 })
            #expect(registry.status.state == .connected && registry.status.unsteadyAt == nil)
            registry.stop()
        }
        for (address, words) in [
            (web.address, "no ZooKeeper server"), (silent.address, "does not answer"), (noise.address, "no ZooKeeper"),
            (short.address, "no ZooKeeper"), (SocketAddress(ipv4: 0x7f00_0001, port: dead), "refused"),
        ] {
            let service = ServiceKey.dubbo("demo.At\(address.port)")
            let registry = try zookeeper.registry(at: address)
            registry.subscribe(service)
            #expect(fixture.wait { fixture.failures[service] != nil })
            #expect(fixture.failures[service]?.contains(words) == true, "\(fixture.failures[service] ?? "")")
            #expect(registry.status.state == .failed)
            registry.stop()
        }
        #expect(fixture.log.utf8.count < 20_000)
    }

    @Test func asksOneServerForAllAddressesOfItsName() throws {
        let zookeeper = try ZooKeeperFixture(names: ["zoo.test": ["127.0.0.2", "127.0.0.1"]])
        try zookeeper.writer().create(ZooKeeperFixture.provider("demo.Echo", 9001))
        let url = "zookeeper://zoo.test:\(zookeeper.server.port)"
        let settings = try ZooKeeperSettings(RegistryURL(url))
        let registry = ZooKeeperRegistry(
            settings, url: url, context: zookeeper.fixture.context, reports: zookeeper.fixture.reports)
        defer { registry.stop() }
        registry.subscribe(echo)
        zookeeper.expect(echo, ["127.0.0.1:9001"])
        let unknown = ZooKeeperRegistry(
            try ZooKeeperSettings(RegistryURL("zookeeper://nowhere.test")), url: "zookeeper://nowhere.test",
            context: zookeeper.fixture.context, reports: zookeeper.fixture.reports)
        defer { unknown.stop() }
        unknown.subscribe(order)
        #expect(zookeeper.fixture.wait { zookeeper.fixture.failures[order]?.contains("unknown name") == true })
    }
}
