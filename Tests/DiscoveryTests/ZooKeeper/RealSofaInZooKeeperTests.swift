import Model
import Runtime
import TestSupport
import Testing

@testable import Discovery

/// Real SOFA RPC programs and a real ZooKeeper.
@Suite(.enabled(if: ZooKeeperServer.isAvailable && Peers.areAvailable)) struct RealSofaInZooKeeperTests {
    @Test func seesProvidersAndIsFoundByConsumers() throws {
        let zookeeper = try ZooKeeperFixture(tick: 2000)
        let fixture = zookeeper.fixture
        let registry = try zookeeper.registry()
        defer { registry.stop() }
        let echo = ServiceKey.bolt("demo.EchoService")
        registry.subscribe(echo)
        let logs = try TemporaryDirectory()
        let address = "registry=zookeeper://\(zookeeper.server.address)"
        let ports = try (0..<3).map { _ in try FreePort.next() }
        let programs = try [
            [address, "port=\(ports[0])", "name=a", "uniqueId=blue", "weight=150", "param.release=r1", "app=shop"],
            [address, "port=\(ports[1])", "name=b", "param.version=v7"],
            ["port=\(ports[2])", "name=c", "uniqueId=green"],
        ].map { try Peers.launch("sofa-provider", $0 + ["logs=\(logs.path)", "text=false"]) }
        defer { for program in programs { program.terminate(grace: .zero) } }
        for program in programs { _ = try program.waitForLine("READY", within: .seconds(90)) }
        let isComplete = fixture.wait(.seconds(60)) { fixture.told[echo]?.last?.count == 2 }
        #expect(isComplete, "\(fixture.addresses(echo) ?? []) \(programs.map(\.errors))")
        let hosts = Dictionary(
            (fixture.told[echo]?.last ?? []).map { ($0.address.port, $0) }, uniquingKeysWith: { first, _ in first })
        let found = ports.prefix(2).map { hosts[$0] }
        #expect(found.map { $0?.group } == ["blue", ""] && found.map { $0?.weight } == [1.5, 1])
        #expect(found.map { $0?.metadata["version"] } == [nil, "v7"])
        #expect(found[0]?.metadata["release"] == "r1" && found[0]?.metadata["application"] == "shop")

        // The third knows no registry: a consumer finds it by what is registered for it.
        var registration = Registration(service: echo, host: "127.0.0.1", port: ports[2])
        registration.group = "green"
        registration.metadata = ["version": "v8", "application": "mesh"]
        registry.register(registration)
        #expect(fixture.wait { registry.status.registered == 1 })
        let isListed = fixture.wait {
            fixture.told[echo]?.last?.contains { $0.group == "green" && $0.metadata["version"] == "v8" } == true
        }
        #expect(isListed)
        let consumer = try Peers.launch(
            "sofa-consumer", [address, "uniqueId=green", "calls=20", "logs=\(logs.path)", "wait=30000"])
        defer { consumer.terminate(grace: .zero) }
        // The registry's session lives on this loop.
        #expect(fixture.wait(.seconds(90)) { consumer.output.contains("calls=") })
        #expect(
            consumer.output.contains("answer c|green 20\ncalls=20 errors=0"), "\(consumer.output)\(consumer.errors)")
        var outcome: [String?] = []
        registry.deregister(registration.identity) { outcome.append($0) }
        #expect(fixture.wait { outcome == [nil] && fixture.told[echo]?.last?.count == 2 })
        for program in programs { program.signal(15) }
        zookeeper.expect(echo, [])
    }
}
