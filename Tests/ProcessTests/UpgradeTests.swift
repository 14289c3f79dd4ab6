import Discovery
import FoundationEssentials
import Glibc
import Runtime
import TestSupport
import Testing

@Suite("Upgrading the built program")
struct UpgradeTests {
    private static let web =
        "listeners: [{name: in, protocol: http, listen: 127.0.0.1:0}]\nservices: {shop: {hosts: [shop]}}"

    private static func host(_ address: String) -> String { "  shop: [{address: \"\(address)\"}]" }

    private struct Calls: Decodable {
        let answered: Int
        let failed: Int
        let max_us: Int
    }

    @Test(
        "Twenty in a row lose no call, and none waits for it",
        arguments: ["http", "dubbo", "bolt"], [0, 300])
    func twenty(kind: String, delay: Int) throws {
        let name = kind == "http" ? ["--service", "shop"] : ["--interface", "demo.Shop"]
        let service = try SampleService(kind, "one", name + ["--delay-ms", "\(delay)"])
        let key = kind == "http" ? "shop" : "demo.Shop"
        let metadata = kind == "http" ? "" : ", metadata: {version: \"1.0.0\"}"
        let mesh = try UpgradingProcess(
            "workers: 2\nlisteners: [{name: in, protocol: \(kind), listen: 127.0.0.1:0}]\nservices: {\(key): {}}",
            hosts: "  \(key): [{address: \"\(service.address)\"\(metadata)}]")
        let calls = try ChildProcess(
            BuiltProgram.path("greymesh-sample"),
            ["call", kind, "--target", try mesh.process.address(of: "in"), "--seconds", "300", "--json"] + name)
        defer { calls.signal(SIGKILL) }
        for _ in 0..<(delay == 0 ? 20 : 4) { _ = try mesh.mustUpgrade() }
        calls.signal(SIGTERM)
        try calls.waitForExit()
        let told = try JSONDecoder().decode(Calls.self, from: Data(calls.output.utf8))
        #expect(told.failed == 0 && told.answered > 8, "\(calls.output)\n\(mesh.process.child.errors)")
        #expect(told.max_us < delay * 1000 + 1_000_000)
        let pids = mesh.pids
        #expect(Set(pids).count == pids.count && pids.dropLast().allSatisfy(mesh.waitForEnd))
        #expect(!mesh.process.child.errors.contains("level=error"))
        #expect(mesh.process.child.errors.contains("event=upgrade.done"))
    }

    /// Sends a request on a connection of the test's own.
    private func ask(_ connection: Connection, _ path: String = "/") -> String {
        connection.send("GET \(path) HTTP/1.1\r\nHost: shop\r\n\r\n")
        return connection.receive(until: "answer")
    }

    @Test("A connection is served on by the next process, with what was read of its next request")
    func connection() throws {
        let host = try HostThread("answer")
        defer { host.stop() }
        let mesh = try UpgradingProcess("workers: 2\n" + Self.web, hosts: Self.host("\(host.address)"))
        let address = try #require(SocketAddress(try mesh.process.address(of: "in")))
        let (idle, begun) = (try Connection(to: address), try Connection(to: address))
        #expect(ask(idle).contains(" 200 ") && ask(begun).contains(" 200 "))
        begun.send("GET /two HTT")
        let first = try #require(mesh.pids.first)
        let second = try mesh.mustUpgrade()
        #expect(first != second && mesh.waitForEnd(first))
        #expect(ask(idle).contains(" 200 "))
        begun.send("P/1.1\r\nHost: shop\r\n\r\nGET /three HTTP/1.1\r\nHost: shop\r\n\r\n")
        let answers = begun.receive(until: "answer") + begun.receive(until: "answer")
        #expect(answers.split(separator: " 200 ").count == 3 && !answers.lowercased().contains("connection: close"))
        #expect(try mesh.process.child.waitForExit() == .status(0))
    }

    @Test("The number of workers and the listeners may differ")
    func settings() throws {
        let host = try HostThread("answer")
        defer { host.stop() }
        let mesh = try UpgradingProcess("workers: 3\n" + Self.web, hosts: Self.host("\(host.address)"))
        let address = try #require(SocketAddress(try mesh.process.address(of: "in")))
        let kept = try Connection(to: address)
        for workers in [1, 4, 2] {
            let more = "{name: more, protocol: dubbo, listen: 127.0.0.1:0}"
            try mesh.configure(
                "workers: \(workers)\n" + Self.web.replacing("[{", with: workers == 4 ? "[\(more), {" : "[{"))
            _ = try mesh.mustUpgrade()
            #expect(ask(kept).contains(" 200 "))
            // Whichever socket they come to, somebody accepts.
            for _ in 0..<20 { #expect(try ask(Connection(to: address)).contains(" 200 ")) }
        }
        #expect(mesh.process.child.errors.contains("name=more"))
    }

    /// A copy of the program that can be replaced.
    private func copy(_ directory: TemporaryDirectory) throws -> String {
        let path = directory.path(of: "greymesh")
        try #require(link(try BuiltProgram.path("greymesh"), path) == 0 || copyAcross(path))
        return path
    }

    private func copyAcross(_ path: String) throws -> Bool {
        try ChildProcess("cp", [try BuiltProgram.path("greymesh"), path]).waitForExit() == .status(0)
    }

    @Test("What lies at the program's path and is no good changes nothing")
    func wrongFile() throws {
        let host = try HostThread("answer")
        defer { host.stop() }
        let programs = try TemporaryDirectory()
        let path = try copy(programs)
        let mesh = try UpgradingProcess(program: path, Self.web, hosts: Self.host("\(host.address)"))
        let address = try #require(SocketAddress(try mesh.process.address(of: "in")))
        let kept = try Connection(to: address)
        #expect(ask(kept).contains(" 200 "))
        for script in ["#!/bin/sh\nexit 3\n", "no program\n", "#!/bin/sh\nkill -11 $$\n"] {
            try programs.replace("greymesh", script)
            chmod(path, 0o755)
            let result = try mesh.upgrade()
            #expect(result.exit == .status(1) && result.errors.contains("refused /upgrade: "), "\(result.errors)")
            #expect(ask(kept).contains(" 200 "))
            #expect(try ask(Connection(to: address)).contains(" 200 "))
        }
        // A greymesh that finds its configuration wrong.
        unlink(path)
        _ = try copy(programs)
        let right = "workers: 1\n" + Self.web
        try mesh.configure("workers: many\n" + Self.web)
        let result = try mesh.upgrade()
        #expect(result.exit == .status(1) && result.errors.contains("workers"), "\(result.errors)")
        #expect(mesh.pids.count == 1)
        try mesh.configure(right)
        _ = try mesh.mustUpgrade()
        #expect(ask(kept).contains(" 200 "))
        let metrics = try mesh.process.ask("/metrics").text
        #expect(metrics.contains("greymesh_upgrade_connections_total "))
        #expect(!metrics.contains("greymesh_upgrade_connections_total 0\n"))
    }

    @Test("One at a time; a stop ends the one that has begun")
    func stops() throws {
        let programs = try TemporaryDirectory()
        let path = try copy(programs)
        let mesh = try UpgradingProcess(program: path, Self.web, hosts: "  shop: []")
        try programs.replace("greymesh", "#!/bin/sh\nexec sleep 100\n")
        chmod(path, 0o755)
        mesh.process.child.signal(SIGUSR2)
        try mesh.process.waitForLog("event=upgrade.started")
        #expect(try mesh.upgrade().errors.contains("another upgrade is under way"))
        let started = try #require(pid_t(try mesh.process.logged("upgrade.started", "pid")))
        mesh.process.child.signal(SIGTERM)
        #expect(try mesh.process.child.waitForExit() == .status(0))
        #expect(mesh.waitForEnd(started))
    }

    @Test("A new process that ends while the old one is still there is replaced by the old program")
    func lost() throws {
        let slow = try SampleService("http", "answer", ["--service", "shop", "--delay-ms", "4000"])
        let mesh = try UpgradingProcess("workers: 2\n" + Self.web, hosts: Self.host(slow.address))
        let address = try #require(SocketAddress(try mesh.process.address(of: "in")))
        let busy = try Connection(to: address)
        busy.send("GET / HTTP/1.1\r\nHost: shop\r\n\r\n")
        #expect(
            try waitUntil(within: .seconds(10)) {
                try mesh.process.ask("/clusters").text.contains("\"active\": 1")
            })
        let second = try mesh.mustUpgrade()
        kill(second, SIGKILL)
        try mesh.process.waitForLog("event=upgrade.lost")
        #expect(busy.receive(until: "answer").contains(" 200 "))
        #expect(waitUntil(within: .seconds(20)) { mesh.pids.count == 3 })
        #expect(try ask(Connection(to: address)).contains(" 200 "))
        #expect(ask(busy).contains(" 200 "))
    }

    @Test("A stop of the new process while the old one is still there ends both, and what is in progress before")
    func stopsBoth() throws {
        let slow = try SampleService("http", "answer", ["--service", "shop", "--delay-ms", "2000"])
        let mesh = try UpgradingProcess("workers: 2\n" + Self.web, hosts: Self.host(slow.address))
        let busy = try Connection(to: try #require(SocketAddress(try mesh.process.address(of: "in"))))
        busy.send("GET / HTTP/1.1\r\nHost: shop\r\n\r\n")
        #expect(
            try waitUntil(within: .seconds(10)) {
                try mesh.process.ask("/clusters").text.contains("\"active\": 1")
            })
        let second = try mesh.mustUpgrade()
        kill(second, SIGTERM)
        #expect(mesh.waitForEnd(second))
        #expect(busy.receive(until: "answer").contains(" 200 "))
        #expect(try mesh.process.child.waitForExit() == .status(0))
        #expect(mesh.pids.count == 2 && !mesh.process.child.errors.contains("level=error"))
    }

    @Test("The first process of a container stays, serves nothing itself, and ends as the last one that served")
    func stays() throws {
        let host = try HostThread("answer")
        defer { host.stop() }
        let mesh = try UpgradingProcess(
            Self.web, hosts: Self.host("\(host.address)"), environment: ["GREYMESH_STAY": "1"])
        try checkStaying(mesh)
        mesh.process.child.signal(SIGTERM)
        #expect(try mesh.process.child.waitForExit() == .status(0))
        #expect(mesh.pids.allSatisfy(mesh.waitForEnd))
    }

    private func checkStaying(_ mesh: UpgradingProcess) throws {
        let address = try #require(SocketAddress(try mesh.process.address(of: "in")))
        let kept = try Connection(to: address)
        for number in 1...3 {
            if number == 2 {
                mesh.process.child.signal(SIGUSR2)
                #expect(waitUntil(within: .seconds(20)) { mesh.pids.count == 3 })
            } else {
                _ = try mesh.mustUpgrade()
            }
            #expect(ask(kept).contains(" 200 "))
        }
        #expect(!mesh.pids.contains(mesh.process.child.processIdentifier) && Set(mesh.pids).count == 4)
        #expect(mesh.process.child.processIdentifier > 0 && mesh.isRunning(mesh.process.child.processIdentifier))
    }

    private static let namespaces: Bool = {
        let child = try? ChildProcess("unshare", ["--fork", "--pid", "true"])
        let works = (try? child?.waitForExit()) == .status(0)
        if !works { print("SKIPPED: no pid namespaces here, process 1 of a container is not tested") }
        return works
    }()

    @Test("As process 1 of a pid namespace it does so by itself", .enabled(if: namespaces))
    func container() throws {
        let host = try HostThread("answer")
        defer { host.stop() }
        let mesh = try UpgradingProcess(
            Self.web, hosts: Self.host("\(host.address)"), before: ["unshare", "--fork", "--pid", "--kill-child"])
        #expect(mesh.pids == [2])
        let kept = try Connection(to: try #require(SocketAddress(try mesh.process.address(of: "in"))))
        for _ in 0..<3 {
            let count = mesh.pids.count
            _ = try mesh.mustUpgrade()
            #expect(mesh.pids.count == count + 1 && ask(kept).contains(" 200 "))
        }
    }

    @Test("What is registered never vanishes")
    func registered() throws {
        let host = try HostThread("answer")
        defer { host.stop() }
        let registry = try ChildProcess(BuiltProgram.path("greymesh"), ["registry", "--listen", "127.0.0.1:0"])
        defer { registry.terminate() }
        let address = String(try registry.waitForLine("READY registry nacos://").dropFirst(23))
        let url = "http://\(address)/nacos/v1/ns/instance/list?serviceName=shop"
        let mesh = try UpgradingProcess(
            registry: "nacos://\(address)",
            Self.web + "\nregister: [{service: shop, port: \(host.address.port), address: 127.0.0.1}]")
        func isListed() throws -> Bool {
            try HTTPClient.perform(HTTPRequest("GET", url)).text.contains("\"port\":\(host.address.port)")
        }
        #expect(try waitUntil(within: .seconds(20)) { try isListed() })
        for _ in 0..<5 {
            let count = mesh.pids.count
            kill(try #require(mesh.pids.last), SIGUSR2)
            var misses = 0
            let hasCome = try waitUntil(within: .seconds(20)) {
                if try !isListed() { misses += 1 }
                return mesh.pids.count == count + 1
            }
            #expect(hasCome && misses == 0)
        }
        #expect(!mesh.process.child.errors.contains("registration.withdrawn"))
    }

    @Test("While the registry is away there is none: only the process that serves knows the hosts")
    func registryAway() throws {
        let host = try HostThread("answer")
        defer { host.stop() }
        let registry = try ChildProcess(BuiltProgram.path("greymesh"), ["registry", "--listen", "127.0.0.1:0"])
        defer { registry.terminate() }
        let address = String(try registry.waitForLine("READY registry nacos://").dropFirst(23))
        let mesh = try UpgradingProcess(
            registry: "nacos://\(address)",
            Self.web + "\nregister: [{service: shop, port: \(host.address.port), address: 127.0.0.1}]")
        let kept = try Connection(to: try #require(SocketAddress(try mesh.process.address(of: "in"))))
        #expect(waitUntil(within: .seconds(20)) { ask(kept).contains(" 200 ") })
        registry.terminate()
        // The first time only the new process may see it, the second time the old one has.
        for _ in 0..<2 {
            let upgrade = try mesh.upgrade()
            #expect(upgrade.exit == .status(1) && (upgrade.output + upgrade.errors).contains("is away"))
            #expect(ask(kept).contains(" 200 ") && mesh.pids.count == 1)
            try mesh.process.waitForLog("event=registry.failed")
        }
    }
}
