import Model
import Runtime
import TestSupport
import Testing

@testable import Discovery

/// Real Dubbo providers of both generations in a real ZooKeeper.
@Suite(.enabled(if: ZooKeeperServer.isAvailable && Peers.areAvailable)) struct RealDubboInZooKeeperTests {
    @Test func seesProvidersOfAllGenerations() throws {
        let zookeeper = try ZooKeeperFixture(tick: 2000)
        let fixture = zookeeper.fixture
        let registry = try zookeeper.registry()
        defer { registry.stop() }
        let echo = ServiceKey.dubbo("demo.EchoService")
        registry.subscribe(echo)
        let ports = try (0..<5).map { _ in Int(try FreePort.next()) }
        let address = "registry=zookeeper://\(zookeeper.server.address)"
        let programs = try [
            ("dubbo27-provider", ["port=\(ports[0])", "version=1.0.0", "tag=gray", "app=old", "weight=150"]),
            ("dubbo33-provider", ["port=\(ports[1])", "version=2.0.0", "group=g", "app=both"]),
            (
                "dubbo33-provider",
                [
                    "port=\(ports[2])", "version=2.5.0", "group=h", "tag=gray", "weight=40", "app=local",
                    "register=instance",
                ]
            ),
            (
                "dubbo33-provider",
                [
                    "port=\(ports[3])", "version=3.0.0", "tag=blue", "app=remote", "register=instance",
                    "metadata=remote",
                ]
            ),
            (
                "dubbo33-provider",
                [
                    "port=\(ports[4]),\(try FreePort.next())", "protocol=dubbo,tri", "version=4.0.0", "group=t",
                    "tag=gray", "weight=60", "app=triple", "register=instance", "sys.dubbo.application.protocol=tri",
                ]
            ),
        ].map { try Peers.launch($0.0, $0.1 + [address, "shutdown-wait=100"]) }
        defer { for program in programs { program.terminate(grace: .zero) } }
        let isComplete = fixture.wait(.seconds(60)) { fixture.told[echo]?.last?.count == 5 }
        #expect(isComplete, "\(fixture.addresses(echo) ?? []) \(programs.map(\.errors))")
        let hosts = Dictionary(
            (fixture.told[echo]?.last ?? []).map { (Int($0.address.port), $0) }, uniquingKeysWith: { first, _ in first }
        )
        let found = ports.map { hosts[$0] }
        // What the third and the fifth offer is only to be had by asking them, the fifth over Triple.
        #expect(found.map { $0?.interfaceVersion } == ["1.0.0", "2.0.0", "2.5.0", "3.0.0", "4.0.0"], "\(fixture.log)")
        #expect(found.map { $0?.group } == ["", "g", "h", "", "t"])
        #expect(found.map { $0?.weight } == [1.5, 1, 0.4, 1, 0.6])
        #expect(found.map { $0?.metadata["dubbo.tag"] } == ["gray", nil, "gray", "blue", "gray"])
        #expect(found.map { $0?.metadata["application"] } == ["old", "both", "local", "remote", "triple"])
        #expect(registry.status.unaskedRevisions == 0 && registry.status.unansweredRevisions == 0)

        for program in programs { program.signal(15) }
        zookeeper.expect(echo, [])
        #expect(registry.status.unsteadyAt == nil)
    }
}
