import Glibc
import Runtime
import TestSupport
import Testing

/// Java consumers that find in a registry what Greymesh alone has registered there.
@Suite(.serialized, .enabled(if: Peers.areAvailable && ZooKeeperServer.isAvailable)) struct RegisteredPeerTests {
    /// A provider that knows no registry, with a Greymesh before it that registers itself in all.
    private struct Sidecar {
        let provider: ChildProcess
        let greymesh: ChildProcess
    }

    private func startSidecar(_ dubbo: String, _ name: String, _ registries: [String], _ directory: TemporaryDirectory)
        throws -> Sidecar
    {
        let port = try FreePort.next()
        let provider = try Peers.launch(
            "\(dubbo)-provider", ["port=\(port)", "name=\(name)", "version=1.0.0", "registry=N/A"])
        let urls = registries.map { "\"\($0)\"" }.joined(separator: ", ")
        let path = try directory.write(
            "\(name).yaml",
            """
            registries: [\(urls)]
            listeners: [{name: inbound, protocol: dubbo, listen: 127.0.0.1:0, forward: 127.0.0.1:\(port)}]
            register: [{service: "demo.EchoService:1.0.0", listener: inbound, metadata: {application: echo}}]
            withdraw_wait: 3s
            """)
        let greymesh = try ChildProcess(
            BuiltProgram.path("greymesh"), ["run", "--config", path, "--admin", "127.0.0.1:0", "--workers", "1"])
        return Sidecar(provider: provider, greymesh: greymesh)
    }

    /// It is listed as soon as the registries serve and the provider takes connections.
    private func waitUntilListed(_ sidecar: Sidecar, in count: Int) throws {
        let isListed = waitUntil(within: .seconds(60)) {
            let lines = sidecar.greymesh.errors.split(separator: "\n")
            return lines.count { $0.contains("event=registration.registered ") } == count
        }
        try #require(isListed, "\(sidecar.greymesh.errors)\(sidecar.provider.errors)")
    }

    @Test func javaConsumersFindItAndLoseNoCallWhenItStops() throws {
        let zooKeeper = try ZooKeeperServer(tick: 2000)
        let directory = try TemporaryDirectory()
        let port = try FreePort.next(offsets: [0, 1000, 1001, -1000])
        let nacos = try Peers.launch("nacos3", ["port=\(port)", "data=\(directory.path)"])
        defer { nacos.terminate(grace: .zero) }
        let registries = ["zookeeper://\(zooKeeper.address)", "nacos://127.0.0.1:\(port)"]
        let first = try startSidecar("dubbo27", "first", registries, directory)
        let second = try startSidecar("dubbo33", "second", registries, directory)
        defer {
            for process in [first.greymesh, second.greymesh, first.provider, second.provider] {
                process.terminate(grace: .zero)
            }
        }
        try zooKeeper.start()
        _ = try nacos.waitForLine("READY", within: .seconds(90))
        try waitUntilListed(first, in: registries.count)
        try waitUntilListed(second, in: registries.count)
        let consumers = try registries.flatMap { registry in
            try ["dubbo27", "dubbo33"].map { dubbo in
                (
                    "\(dubbo) with \(registry)",
                    try Peers.launch(
                        "\(dubbo)-consumer",
                        [
                            "registry=\(registry)", "version=1.0.0", "timeout=4000", "mode=steady", "seconds=14",
                            "rate=50", "each=true", "home=\(directory.path)",
                        ])
                )
            }
        }
        defer { for (_, consumer) in consumers { consumer.terminate(grace: .zero) } }
        for (name, consumer) in consumers {
            let isServed = waitUntil(within: .seconds(60)) {
                consumer.output.contains(" first|") && consumer.output.contains(" second|")
            }
            #expect(isServed, "\(name)\n\(consumer.output.suffix(2000))\(consumer.errors)\(first.greymesh.errors)")
        }
        first.greymesh.signal(SIGTERM)
        #expect(try first.greymesh.waitForExit(within: .seconds(40)) == .status(0), "\(first.greymesh.errors)")
        for (name, consumer) in consumers {
            let exit = try consumer.waitForExit(within: .seconds(60))
            let end = consumer.output.split(separator: "\n").filter { $0.hasPrefix("calls=") || $0.hasPrefix("error ") }
            #expect(exit == .status(0) && end.first?.hasPrefix("calls=700 errors=0 ") == true, "\(name) \(end)")
        }
        #expect(second.greymesh.terminate(grace: .seconds(40)) == .status(0))
    }
}
