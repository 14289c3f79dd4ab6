import Glibc
import Runtime
import TestSupport
import Testing

/// Java providers with paths and groups of their own in ZooKeeper, and Java consumers that know the interface only.
@Suite(.serialized, .enabled(if: Peers.areAvailable && ZooKeeperServer.isAvailable)) struct DubboNamePeerTests {
    private final class Mesh {
        private let zooKeeper: ZooKeeperServer
        private let directory: TemporaryDirectory
        private var processes: [ChildProcess] = []
        private let dubbo: String

        /// - Parameter providers: `dubbo27` or `dubbo33`, and arguments.
        init(_ providers: [(dubbo: String, arguments: [String])]) throws {
            let zooKeeper = try ZooKeeperServer(tick: 2000)
            let directory = try TemporaryDirectory()
            (self.zooKeeper, self.directory) = (zooKeeper, directory)
            try zooKeeper.start()
            let registry = "zookeeper://\(zooKeeper.address)"
            let started = try providers.map { provider in
                try Peers.launch(
                    "\(provider.dubbo)-provider",
                    ["port=\(try FreePort.next())", "registry=\(registry)", "home=\(directory.path)"]
                        + provider.arguments)
            }
            let greymesh = try ChildProcess(
                BuiltProgram.path("greymesh"),
                ["run", "--registry", registry, "--dubbo", "127.0.0.1:0", "--http", "off", "--admin", "127.0.0.1:0"])
            processes = started + [greymesh]
            dubbo = try PeerTests.Mesh.address(of: "dubbo", in: greymesh)
            for process in started { _ = try process.waitForLine("READY", within: .seconds(90)) }
        }

        deinit {
            for process in processes.reversed() { process.signal(SIGKILL) }
            for process in processes { _ = try? process.waitForExit() }
        }

        /// The names of those that have answered calls until all have; a call that fails ends it.
        func servers(_ consumer: String, _ query: String, until wanted: Set<String>) throws -> Set<String> {
            var servers: Set<String> = []
            for _ in 0..<5 where servers != wanted {
                let consumer = try Peers.launch(
                    "\(consumer)-consumer",
                    [
                        "url=dubbo://\(dubbo)/demo.EchoService?\(query)", "timeout=10000", "home=\(directory.path)",
                        "mode=say", "calls=100",
                    ])
                let exit = try consumer.waitForExit(within: .seconds(120))
                guard exit == .status(0) else { throw TestFailure("\(consumer.output)\(consumer.errors)") }
                for line in consumer.output.split(separator: "\n") where line.hasPrefix("answer ") {
                    servers.insert(String(line.dropFirst("answer ".count).prefix { $0 != "|" }))
                }
            }
            return servers
        }
    }

    @Test func pathsOfTheirOwn() throws {
        let mesh = try Mesh([
            ("dubbo27", ["name=plain", "version=1.0.0"]), ("dubbo27", ["name=old", "version=1.0.0", "path=orders/v1"]),
            ("dubbo33", ["name=new", "version=1.0.0", "path=orders/v1", "register=interface"]),
            (
                "dubbo33",
                [
                    "name=context", "version=1.0.0", "path=orders", "register=interface",
                    "sys.dubbo.protocol.contextpath=ctx",
                ]
            ),
            ("dubbo33", ["name=application", "version=1.0.0", "path=a/b", "register=instance", "app=other"]),
        ])
        let all: Set = ["plain", "old", "new", "context", "application"]
        for consumer in ["dubbo27", "dubbo33"] {
            #expect(try mesh.servers(consumer, "version=1.0.0", until: all) == all)
        }
    }

    @Test func severalGroupsAndAnyVersion() throws {
        let mesh = try Mesh([
            ("dubbo27", ["name=one", "version=1.0.0", "group=g1"]),
            ("dubbo33", ["name=two", "version=1.0.0", "group=g2", "path=orders/v1", "register=interface"]),
            ("dubbo33", ["name=none", "version=2.0.0", "register=interface"]),
        ])
        for consumer in ["dubbo27", "dubbo33"] {
            #expect(try mesh.servers(consumer, "version=1.0.0&group=g1", until: ["one"]) == ["one"])
            let both: Set = ["one", "two"]
            #expect(try mesh.servers(consumer, "version=1.0.0&group=g1,g2", until: both) == both)
            #expect(try mesh.servers(consumer, "version=1.0.0&group=*", until: both) == both)
            let any = both.union(["none"])
            #expect(try mesh.servers(consumer, "version=*&group=*", until: any) == any)
        }
    }
}
