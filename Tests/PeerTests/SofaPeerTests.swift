import Glibc
import Runtime
import TestSupport
import Testing

/// SOFA RPC applications in Java, with Greymesh as built between them.
@Suite(.serialized, .enabled(if: Peers.areAvailable && ZooKeeperServer.isAvailable)) struct SofaPeerTests {
    /// A consumer's settings, and who has to answer it.
    struct Case {
        var arguments: [String] = []
        let answers: String
    }

    /// All processes of a test; they end with the object.
    private final class World {
        let directory: TemporaryDirectory
        private(set) var processes: [ChildProcess] = []

        init() throws { directory = try TemporaryDirectory() }

        deinit {
            for process in processes.reversed() { process.signal(SIGKILL) }
            for process in processes { _ = try? process.waitForExit() }
        }

        func launch(_ name: String, _ arguments: [String]) throws -> ChildProcess {
            let process = try Peers.launch(name, arguments + ["logs=\(directory.path)"])
            processes.append(process)
            return process
        }

        func greymesh(_ arguments: [String]) throws -> ChildProcess {
            let process = try ChildProcess(
                BuiltProgram.path("greymesh"), ["run"] + arguments + ["--admin", "127.0.0.1:0"],
                directory: directory.path)
            processes.append(process)
            return process
        }

        /// Starts providers at the same time, and waits until they serve.
        func providers(_ all: [[String]]) throws {
            let started = try all.map { try launch("sofa-provider", $0) }
            for process in started { _ = try process.waitForLine("READY", within: .seconds(90)) }
        }
    }

    private static let outbound = ["--bolt", "127.0.0.1:0", "--http", "off", "--dubbo", "off"]

    /// `all` makes one call of each kind, `say` many that tell who answered.
    private func expectAnswers(_ wanted: Case, _ world: World, _ greymesh: ChildProcess) throws {
        let address = try Mesh.address(of: "bolt", in: greymesh)
        // A first call loads classes on both sides, which takes seconds when other tests keep the machine busy.
        let consumers = try ["all", "say"].map {
            try world.launch(
                "sofa-consumer",
                ["url=bolt://\(address)", "timeout=4000", "mode=\($0)", "calls=200", "threads=4"] + wanted.arguments)
        }
        for (kind, consumer) in zip(["all", "say"], consumers) {
            let exit = try consumer.waitForExit(within: .seconds(120))
            let story = "\(wanted)\n\(consumer.output)\(consumer.errors)\(greymesh.errors)"
            #expect(exit == .status(0), "\(story)")
            let lines = consumer.output.split(separator: "\n")
            if kind == "all" {
                let end = lines.first { $0.hasPrefix("checks=") } ?? ""
                #expect(end.hasSuffix(" failed=0") && !end.hasPrefix("checks=0 "), "\(story)")
            } else {
                #expect(lines.filter { $0.hasPrefix("answer ") } == ["answer \(wanted.answers) 200"], "\(story)")
            }
        }
    }

    @Test func everyKindOfCallReachesTheVersionItAsksFor() throws {
        let zooKeeper = try ZooKeeperServer(tick: 2000)
        try zooKeeper.start()
        let world = try World()
        let registry = "zookeeper://\(zooKeeper.address)"
        let greymesh = try world.greymesh(Self.outbound + ["--registry", registry])
        let ports = try (0..<3).map { _ in try FreePort.next() }
        try world.providers([
            ["registry=\(registry)", "port=\(ports[0])", "name=old"],
            ["registry=\(registry)", "port=\(ports[1])", "name=new", "param.version=v2", "baggage=true"],
            ["registry=\(registry)", "port=\(ports[2])", "name=blue", "uniqueId=blue"],
        ])
        for wanted in [
            Case(answers: "old|1.0"), Case(arguments: ["header.x-version=v2"], answers: "new|1.0"),
            Case(arguments: ["header.x-version=v2", "invoke=callback"], answers: "new|1.0"),
            Case(arguments: ["header.x-version=v2", "serialization=json"], answers: "new|1.0"),
            Case(arguments: ["header.x-version=v2", "serialization=protobuf"], answers: "new|1.0"),
            Case(arguments: ["baggage.x-version=v2", "invoke=future"], answers: "new|1.0"),
            Case(arguments: ["uniqueId=blue"], answers: "blue|blue"),
        ] { try expectAnswers(wanted, world, greymesh) }
        #expect(greymesh.terminate(grace: .seconds(40)) == .status(0))
    }

    @Test func interfaceVersionsOfAFileAreKeptApart() throws {
        let world = try World()
        let ports = try (0..<2).map { _ in try FreePort.next() }
        try world.directory.write(
            "services.yaml",
            """
            services:
              demo.EchoService: [{address: 127.0.0.1:\(ports[0])}]
              demo.EchoService:2.0: [{address: 127.0.0.1:\(ports[1])}]

            """)
        let greymesh = try world.greymesh(Self.outbound + ["--registry", "file:services.yaml"])
        try world.providers([
            ["port=\(ports[0])", "name=old"], ["port=\(ports[1])", "name=next", "version=2.0"],
        ])
        for wanted in [
            Case(answers: "old|1.0"), Case(arguments: ["version=2.0"], answers: "next|2.0"),
            // The service that the call names is the host's then.
            Case(arguments: ["header.x-version=2.0"], answers: "next|2.0"),
        ] { try expectAnswers(wanted, world, greymesh) }
        #expect(greymesh.terminate(grace: .seconds(40)) == .status(0))
    }

    @Test func consumersFindWhatIsRegisteredAndLoseNoCallWhenItStops() throws {
        let zooKeeper = try ZooKeeperServer(tick: 2000)
        try zooKeeper.start()
        let world = try World()
        let registry = "zookeeper://\(zooKeeper.address)"
        let sidecars = try ["first", "second"].map { name in
            let port = try FreePort.next()
            try world.providers([["port=\(port)", "name=\(name)", "uniqueId=blue"]])
            try world.directory.write(
                "\(name).yaml",
                """
                registries: ["\(registry)"]
                listeners: [{name: inbound, protocol: bolt, listen: 127.0.0.1:0, forward: 127.0.0.1:\(port)}]
                register: [{service: "demo.EchoService:1.0:blue", listener: inbound, metadata: {application: echo}}]
                withdraw_wait: 3s
                """)
            return try world.greymesh(["--config", "\(name).yaml", "--workers", "1"])
        }
        for sidecar in sidecars {
            let isListed = waitUntil(within: .seconds(60)) { sidecar.errors.contains("event=registration.registered ") }
            try #require(isListed, "\(sidecar.errors)")
        }
        let consumer = try world.launch(
            "sofa-consumer",
            [
                "registry=\(registry)", "uniqueId=blue", "timeout=4000", "mode=steady", "seconds=14", "rate=50",
                "wait=30000",
            ])
        let isServed = waitUntil(within: .seconds(60)) {
            consumer.output.contains(" first|") && consumer.output.contains(" second|")
        }
        #expect(isServed, "\(consumer.output)\(consumer.errors)\(sidecars[0].errors)")
        sidecars[0].signal(SIGTERM)
        #expect(try sidecars[0].waitForExit(within: .seconds(40)) == .status(0), "\(sidecars[0].errors)")
        let exit = try consumer.waitForExit(within: .seconds(60))
        let end = consumer.output.split(separator: "\n").filter { $0.hasPrefix("calls=") || $0.hasPrefix("error ") }
        #expect(exit == .status(0) && end.count == 1 && end[0].hasSuffix(" errors=0"), "\(end)")
        #expect(sidecars[1].terminate(grace: .seconds(40)) == .status(0))
    }
}
