import Foundation
import Glibc
import Runtime
import TestSupport
import Testing

/// Shares through the built program. Bounds of what chance decides are more than four standard deviations.
@Suite("Shares of the built program", .serialized)
struct ShareTests {
    /// Which share of the answers came from a host or version.
    private struct Tally: Decodable {
        struct Answer: Decodable {
            let version: String
            let host: String
            let count: Int
        }
        let answered: Int
        let failed: Int
        let answers: [Answer]

        func count(host: String) -> Int { answers.reduce(0) { $0 + ($1.host == host ? $1.count : 0) } }
        func count(version: String) -> Int { answers.reduce(0) { $0 + ($1.version == version ? $1.count : 0) } }
    }

    /// The program with a service `demo.Shop`: version `equal` has hosts a and b, `unequal` has c and d, of weights 1 and 3.
    private final class Mesh {
        let kind: String
        let directory = try! TemporaryDirectory()
        private(set) var hosts: [String: SampleService] = [:]
        private var greymesh: GreymeshProcess?

        init(_ kind: String, delay milliseconds: Int = 0) throws {
            self.kind = kind
            for (name, version) in [("a", "equal"), ("b", "equal"), ("c", "unequal"), ("d", "unequal")] {
                let service =
                    switch kind {
                    case "http": ["--service", "demo.Shop", "--version", version]
                    case "bolt": ["--interface", "demo.Shop", "--release", version]
                    default: ["--interface", "demo.Shop"]
                    }
                hosts[name] = try SampleService(kind, name, ["--delay-ms", "\(milliseconds)"] + service)
            }
        }

        deinit {
            greymesh?.child.terminate()
        }

        private func entry(_ name: String) -> String {
            let version = name < "c" ? "equal" : "unequal"
            let metadata = kind == "dubbo" ? "dubbo.tag: \(version)" : "version: \(version)"
            return
                "    - {address: \"\(hosts[name]!.address)\", weight: \(name == "d" ? 300 : 100), metadata: {\(metadata)}}\n"
        }

        /// Lists hosts, and others at addresses where nobody listens.
        func list(_ names: String, nobody: [UInt16] = []) throws {
            var text = "services:\n  demo.Shop:\n" + names.map { entry(String($0)) }.joined()
            for port in nobody {
                text += "    - {address: \"127.0.0.1:\(port)\", weight: 100, metadata: {version: equal}}\n"
            }
            try directory.replace("services.yaml", text)
        }

        /// Starts the program or has it load this policy.
        func use(_ policy: String, workers: Int = 1) throws {
            try directory.replace(
                "greymesh.yaml",
                """
                registries: [file:services.yaml]
                workers: \(workers)
                admin: {listen: 127.0.0.1:0}
                listeners: [{name: in, protocol: \(kind), listen: 127.0.0.1:0}]
                services:
                  demo.Shop: {\(policy)}

                """)
            if let greymesh {
                let loaded = { greymesh.child.errors.split(separator: "event=configuration.loaded").count }
                let before = loaded()
                greymesh.child.signal(SIGHUP)
                guard waitUntil(within: .seconds(20), { loaded() > before }) else { throw TestFailure("not loaded") }
            } else {
                let process = try GreymeshProcess(
                    ["run", "--config", directory.path(of: "greymesh.yaml")], directory: directory.path)
                greymesh = process
                try process.waitForLog("event=ready")
            }
            try settle()
        }

        /// All workers have done what they were told: counters are told after that.
        func settle() throws { _ = try greymesh!.ask("/metrics") }

        /// Waits until the hosts are so many.
        func wait(forHosts count: Int) throws {
            let arguments = ["services", "--admin", try greymesh!.admin]
            let came = try waitUntil(within: .seconds(20)) {
                let lines = try GreymeshProcess.command(arguments).output.split(separator: "\n")
                return lines.contains { $0.split(separator: " ").dropFirst(3).first == "\(count)" }
            }
            guard came else { throw TestFailure("there are never \(count) hosts") }
            try settle()
        }

        func call(_ count: Int, connections: Int = 1, _ headers: [String], mayFail: Bool = false) throws -> Tally {
            var arguments = ["call", kind, "--target", try greymesh!.address(of: "in"), "--count", "\(count)"]
            arguments += ["--connections", "\(connections)", "--json", "--timeout-ms", "20000"]
            arguments +=
                kind == "http"
                ? ["--service", "demo.Shop"] : ["--interface", "demo.Shop", "--concurrency", "\(connections)"]
            let caller = try ChildProcess(
                BuiltProgram.path("greymesh-sample"), arguments + headers.flatMap { ["--header", $0] })
            try caller.waitForExit(within: .seconds(60))
            let tally = try JSONDecoder().decode(Tally.self, from: Data(caller.output.utf8))
            #expect(mayFail || tally.failed == 0 && tally.answered == count)
            return tally
        }
    }

    private func versionHeader(_ kind: String, _ version: String) -> String {
        (kind == "dubbo" ? "dubbo.tag=" : "x-version=") + version
    }

    @Test("Hosts have their weights' parts", arguments: ["http", "dubbo", "bolt"], [1, 2])
    func weights(kind: String, workers: Int) throws {
        let mesh = try Mesh(kind)
        try mesh.list("abcd")
        for balancer in ["round-robin", "random"] {
            try mesh.use("balancer: \(balancer)", workers: workers)
            let bound = balancer == "random" ? 95 : workers - 1
            for connections in [1, 16, 200] { try expectParts(of: mesh, balancer, connections, bound: bound) }
        }
        try mesh.use("balancer: least-request", workers: workers)
        try expectParts(of: mesh, "least-request", 1, bound: 95)
    }

    /// Under load least request follows how fast hosts are. Here they are equally fast on a busy machine, too, since nearly all of
    /// the time of a request is a delay. Parts that leave the weights out are 18 points off.
    @Test("Least request has the weights' parts under load", arguments: ["http", "dubbo", "bolt"], [1, 2])
    func leastRequest(kind: String, workers: Int) throws {
        let mesh = try Mesh(kind, delay: 20)
        try mesh.list("abcd")
        try mesh.use("balancer: least-request", workers: workers)
        for connections in [16, 200] { try expectParts(of: mesh, "least-request", connections, bound: 240) }
    }

    private func expectParts(of mesh: Mesh, _ balancer: String, _ connections: Int, bound: Int) throws {
        for (version, host, part) in [("equal", "a", 2), ("unequal", "c", 4)] {
            let tally = try mesh.call(2000, connections: connections, [versionHeader(mesh.kind, version)])
            let difference = abs(tally.count(host: host) - 2000 / part)
            #expect(difference <= bound, "\(balancer) \(version) \(connections) connections: \(tally.answers)")
        }
    }

    @Test("Round robin stays exact while hosts come and go")
    func changes() throws {
        let mesh = try Mesh("http")
        try mesh.list("ab")
        try mesh.use("balancer: round-robin")
        for (hosts, expected) in [("ab", 150), ("abc", 100), ("ab", 150), ("a", 300), ("ab", 150)] {
            try mesh.list(hosts)
            try mesh.wait(forHosts: hosts.count)
            let tally = try mesh.call(300, [])
            for host in hosts { #expect(tally.count(host: String(host)) == expected, "\(tally.answers)") }
        }
    }

    @Test("With 8 of 10 hosts down the others share alike", arguments: ["round-robin", "random", "least-request"])
    func down(balancer: String) throws {
        let mesh = try Mesh("http")
        try mesh.list("ab", nobody: try (0..<8).map { _ in try FreePort.next() })
        try mesh.use("balancer: \(balancer)")
        // A request gives up when several hosts in a row refuse it: so it is until all of them are known to be down.
        let tally = try mesh.call(2000, connections: 4, [], mayFail: true)
        #expect(tally.answered > 1950)
        #expect(abs(tally.count(host: "a") - 1000) <= 95, "\(tally.answers)")
    }

    @Test(
        "A split gives versions their parts, and a sticky key one version that survives reloads",
        arguments: ["http", "bolt"])
    func split(kind: String) throws {
        let mesh = try Mesh(kind)
        try mesh.list("abcd")
        try mesh.use("split: {equal: 3, unequal: 1}", workers: 2)
        #expect(abs(try mesh.call(4000, connections: 8, []).count(version: "unequal") - 1000) <= 120)
        func versions(_ split: String) throws -> [String] {
            try mesh.use("split: {\(split)}, sticky: 'header:x-user-id'", workers: 2)
            return try (0..<40).map { user in
                let tally = try mesh.call(4, connections: 4, ["x-user-id=user-\(user)"])
                #expect(tally.answers.allSatisfy { $0.version == tally.answers[0].version })
                return tally.answers[0].version
            }
        }
        let before = try versions("equal: 9, unequal: 3")
        #expect(try versions("unequal: 100, equal: 300") == before)
        let after = try versions("equal: 100, unequal: 100")
        #expect(zip(before, after).allSatisfy { $0 == $1 || $1 == "unequal" })
        #expect(Set(before).count == 2 && before != after)
    }

    @Test("A Dubbo call's sticky key has one version, on all workers")
    func stickyDubbo() throws {
        let mesh = try Mesh("dubbo")
        try mesh.list("abcd")
        try mesh.use("split: {equal: 50, unequal: 50}, sticky: 'header:user'", workers: 2)
        var sides: Set<Bool> = []
        for user in 0..<12 {
            let tally = try mesh.call(20, connections: 4, ["user=\(user)"])
            let isEqual = tally.count(host: "a") + tally.count(host: "b")
            #expect(isEqual == 0 || isEqual == 20, "\(tally.answers)")
            sides.insert(isEqual == 20)
        }
        #expect(sides.count == 2)
    }
}
