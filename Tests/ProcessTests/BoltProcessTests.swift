import Foundation
import Glibc
import Runtime
import TestSupport
import Testing

@Suite("SOFA RPC through the built program", .serialized)
struct BoltProcessTests {
    /// What `greymesh-sample call` tells.
    private struct Tally: Decodable {
        struct Answer: Decodable {
            let version: String
            let host: String
            let count: Int
        }
        let answered: Int
        let failed: Int
        let answers: [Answer]
        let failures: [String: Int]

        var hosts: Set<String> { Set(answers.map(\.host)) }
    }

    /// The program before sample services of `demo.Shop`, which a file lists.
    private final class Mesh {
        let directory = try! TemporaryDirectory()
        private var services: [SampleService] = []
        private(set) var greymesh: GreymeshProcess!

        /// - Parameters:
        ///   - hosts: what each service is started with.
        ///   - listed: the file's services, with `$NAME` for the address of the service of that name.
        init(
            _ hosts: [(name: String, options: [String])], listed: String, policy: String = "mode: strict",
            listener: String = "protocol: bolt, listen: 127.0.0.1:0"
        ) throws {
            var (file, listener) = ("services:\n" + listed, listener)
            for (name, options) in hosts {
                let service = try SampleService("bolt", name, ["--interface", "demo.Shop"] + options)
                services.append(service)
                file = file.replacing("$\(name)", with: service.address)
                listener = listener.replacing("$\(name)", with: service.address)
            }
            try directory.write("services.yaml", file)
            try directory.write(
                "greymesh.yaml",
                """
                registries: [file:services.yaml]
                workers: 2
                admin: {listen: 127.0.0.1:0}
                listeners: [{name: in, \(listener)}]
                services:
                  demo.Shop: {\(policy)}

                """)
            let process = try GreymeshProcess(
                ["run", "--config", directory.path(of: "greymesh.yaml")], directory: directory.path)
            greymesh = process
            try process.waitForLog("event=ready")
        }

        deinit {
            greymesh?.child.terminate()
        }

        func start(_ count: Int, _ options: [String] = [], interface: String = "demo.Shop") throws -> ChildProcess {
            try ChildProcess(
                BuiltProgram.path("greymesh-sample"),
                [
                    "call", "bolt", "--target", try greymesh.address(of: "in"), "--interface", interface, "--count",
                    "\(count)", "--json", "--timeout-ms", "20000", "--connections", "2",
                ] + options)
        }

        func finish(_ caller: ChildProcess) throws -> Tally {
            try caller.waitForExit(within: .seconds(60))
            return try JSONDecoder().decode(Tally.self, from: Data(caller.output.utf8))
        }

        func call(_ count: Int, _ options: [String] = [], interface: String = "demo.Shop") throws -> Tally {
            try finish(try start(count, options, interface: interface))
        }

        func header(_ version: String) -> [String] { ["--header", "x-version=\(version)"] }
    }

    private static func twoVersions(_ policy: String = "mode: strict", delay: Int = 0) throws -> Mesh {
        let hosts = ["v1", "v2"].map {
            (name: $0, options: ["--release", $0, "--delay-ms", "\(delay)"])
        }
        return try Mesh(
            hosts,
            listed: """
                  demo.Shop:
                    - {address: "$v1", metadata: {version: v1}}
                    - {address: "$v2", metadata: {version: v2}}

                """, policy: policy)
    }

    @Test("The header decides the version; one that nobody has is an error that names it, or falls back")
    func versions() throws {
        let strict = try Self.twoVersions()
        for version in ["v1", "v2"] {
            let tally = try strict.call(50, strict.header(version))
            #expect(tally.failed == 0 && tally.hosts == [version], "\(tally)")
        }
        let unknown = try strict.call(3, strict.header("v9"))
        #expect(unknown.answered == 0 && unknown.failed == 3)
        #expect(unknown.failures.keys.allSatisfy { $0.contains("demo.Shop") && $0.contains("v9") }, "\(unknown)")
        let fallback = try Self.twoVersions("mode: fallback, stable: v1")
        #expect(try fallback.call(20, fallback.header("v9")).hosts == ["v1"])
        #expect(try fallback.call(20).hosts == ["v1"])
    }

    @Test("Interface versions and unique ids are kept apart")
    func services() throws {
        let mesh = try Mesh(
            [
                ("one", []), ("two", ["--version", "2.0"]), ("blue", ["--unique-id", "blue"]),
                ("both", ["--version", "2.0", "--unique-id", "blue"]),
            ],
            listed: """
                  demo.Shop: [{address: "$one"}]
                  demo.Shop:2.0: [{address: "$two"}]
                  demo.Shop:1.0:blue: [{address: "$blue"}]
                  demo.Shop:2.0:blue: [{address: "$both"}]

                """)
        for (options, host) in [
            ([], "one"), (["--version", "2.0"], "two"), (["--unique-id", "blue"], "blue"),
            (["--version", "2.0", "--unique-id", "blue"], "both"),
        ] {
            let tally = try mesh.call(20, options)
            #expect(tally.failed == 0 && tally.hosts == [host], "\(options) \(tally)")
        }
        // The service that the call names is the host's then.
        #expect(try mesh.call(20, mesh.header("2.0")).hosts == ["two"])
        #expect(try mesh.call(20, ["--unique-id", "blue"] + mesh.header("2.0")).hosts == ["both"])
        let green = try mesh.call(3, ["--unique-id", "green"])
        #expect(green.answered == 0 && green.failures.keys.allSatisfy { $0.contains("demo.Shop") }, "\(green)")
    }

    @Test("A call of a service that nobody lists is answered, and the connection serves on")
    func unknownService() throws {
        let mesh = try Self.twoVersions()
        let tally = try mesh.call(20, interface: "demo.Nobody")
        #expect(tally.answered == 0 && tally.failed == 20)
        #expect(tally.failures.keys.allSatisfy { $0.contains("demo.Nobody") }, "\(tally)")
        #expect(try mesh.call(20, mesh.header("v1")).failed == 0)
    }

    @Test("All calls go to the application behind an inbound listener, whatever they name")
    func inbound() throws {
        let mesh = try Mesh(
            [("app", ["--version", "2.0", "--unique-id", "blue"])], listed: "  other: []\n",
            listener: "protocol: bolt, listen: 127.0.0.1:0, forward: \"$app\"")
        let tally = try mesh.call(20, ["--version", "2.0", "--unique-id", "blue"] + mesh.header("v9"))
        #expect(tally.failed == 0 && tally.hosts == ["app"], "\(tally)")
        // It is the application that knows no such service.
        let other = try mesh.call(3)
        #expect(other.failures.keys.allSatisfy { $0.hasPrefix("RPC-020100010") } && other.answered == 0, "\(other)")
    }

    @Test("A stop waits for the calls in flight")
    func drain() throws {
        let mesh = try Self.twoVersions(delay: 1500)
        let caller = try mesh.start(40, ["--concurrency", "40"] + mesh.header("v1"))
        let areInFlight = try waitUntil(within: .seconds(20)) {
            try mesh.greymesh.ask("/clusters").text.contains("\"active\": 40")
        }
        #expect(areInFlight)
        mesh.greymesh.child.signal(SIGTERM)
        let tally = try mesh.finish(caller)
        #expect(tally.answered == 40 && tally.failed == 0, "\(tally)")
        #expect(try mesh.greymesh.child.waitForExit() == .status(0), "\(mesh.greymesh.child.errors)")
    }

    @Test("Commands and pages tell of Bolt services")
    func telling() throws {
        let mesh = try Self.twoVersions()
        #expect(try mesh.call(10, mesh.header("v2")).failed == 0)
        let admin = ["--admin", try mesh.greymesh.admin]
        let services = try GreymeshProcess.command(["services"] + admin).output
        #expect(services.split(separator: "\n").contains { $0.hasPrefix("demo.Shop ") && $0.contains(" bolt ") })
        for question in [["--service", "demo.Shop"], ["--service", "demo.Shop:1.0", "--protocol", "bolt"]] {
            let answer = try GreymeshProcess.command(["explain", "--header", "x-version=v2"] + question + admin)
            #expect(answer.exit == .status(0) && answer.output.contains("=> demo.Shop version v2: "), "\(answer)")
        }
        let metrics = try mesh.greymesh.ask("/metrics").text
        #expect(metrics.contains(#"{service="demo.Shop",protocol="bolt",requested="v2","#), "\(metrics)")
    }
}
