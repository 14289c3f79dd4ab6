import Model
import Runtime
import TestSupport
import Testing

@testable import Discovery

@Suite(.enabled(if: ZooKeeperServer.isAvailable)) struct RealZooKeeperTests {
    @Test func followsChanges() throws {
        let zookeeper = try ZooKeeperFixture()
        let fixture = zookeeper.fixture
        let writer = try zookeeper.writer()
        let registry = try zookeeper.registry()
        defer { registry.stop() }
        let (echo, shop) = (ServiceKey.dubbo("demo.Echo"), ServiceKey.http("shop"))
        registry.subscribe(echo)
        registry.subscribe(shop)
        zookeeper.expect(echo, [])
        zookeeper.expect(shop, [])
        #expect(registry.status.state == .connected && registry.status.mode == .push)

        // Nothing was there, not even the nodes above.
        try writer.create(ZooKeeperFixture.provider("demo.Echo", 9001, "version=1.0.0&weight=200"), isEphemeral: true)
        zookeeper.expect(echo, ["127.0.0.1:9001"])
        #expect(fixture.told[echo]?.last?.first?.weight == 2)
        #expect(fixture.told[echo]?.last?.first?.interfaceVersion == "1.0.0")
        try writer.create(ZooKeeperFixture.provider("demo.Echo", 9002, "version=2.0.0&group=g"))
        zookeeper.expect(echo, ["127.0.0.1:9001", "127.0.0.1:9002"])
        try writer.delete(ZooKeeperFixture.provider("demo.Echo", 9001, "version=1.0.0&weight=200"))
        zookeeper.expect(echo, ["127.0.0.1:9002"])
        try writer.deleteAll("/dubbo/demo.Echo")
        zookeeper.expect(echo, [])
        try writer.create(ZooKeeperFixture.provider("demo.Echo", 9003))
        zookeeper.expect(echo, ["127.0.0.1:9003"])

        let spring = CuratorInstance(
            name: "shop", id: "a", host: "127.0.0.1", port: 8001, metadata: ["version": "v1"])
        try writer.create("/services/shop/a", spring.springData(registeredAt: 1))
        zookeeper.expect(shop, ["127.0.0.1:8001"])
        #expect(fixture.told[shop]?.last?.first?.metadata["version"] == "v1")
        // The data of a node changes, not the list.
        var moved = spring
        moved.port = 8002
        try writer.set("/services/shop/a", String(decoding: moved.springData(registeredAt: 1), as: UTF8.self))
        zookeeper.expect(shop, ["127.0.0.1:8002"])
        try writer.delete("/services/shop/a")
        zookeeper.expect(shop, [])

        registry.unsubscribe(echo)
        let told = fixture.told[echo]?.count
        try writer.create(ZooKeeperFixture.provider("demo.Echo", 9004))
        registry.subscribe(echo)
        zookeeper.expect(echo, ["127.0.0.1:9003", "127.0.0.1:9004"])
        #expect(fixture.told[echo]?.count == (told ?? 0) + 1)
        #expect(registry.status.subscriptions == 2 && registry.status.unsteadyAt == nil)
    }
}
