import Foundation
import Glibc
import Runtime
import TestSupport
import Testing

/// Hosts that are checked, seen through the built program with two workers.
@Suite("Health checks of the built program", .serialized)
struct HealthProcessTests {
    private func entry(_ address: SocketAddress, _ version: String = "1.0") -> String {
        "{address: \"\(address)\", metadata: {version: \"\(version)\"}}"
    }

    private func lines(_ event: String, _ process: GreymeshProcess) -> [Substring] {
        process.child.errors.split(separator: "\n").filter { $0.contains("event=\(event) ") }
    }

    /// Whether requests go to one of two hosts alone.
    private func isAlone(_ process: GreymeshProcess, _ host: StatusThread, besides other: StatusThread) -> Bool {
        let before = (host.requests, other.requests)
        for _ in 0..<16 { _ = try? process.get() }
        return host.requests == before.0 + 16 && other.requests == before.1
    }

    @Test(
        "HTTP: a host whose path fails gets no requests, is checked once for all workers and versions, and comes back")
    func http() throws {
        let (ill, well, new) = (try StatusThread(), try StatusThread(), try StatusThread())
        defer { for host in [ill, well, new] { host.stop() } }
        new.checkStatus = 500
        let directory = try TemporaryDirectory()
        defer { withExtendedLifetime(directory) {} }
        let hosts = [entry(ill.address), entry(well.address), entry(new.address, "2.0")].joined(separator: ", ")
        let process = try GreymeshProcess.serve(
            in: directory, "http",
            services:
                "order-service: {health_check: {path: /health, interval: 200ms, unhealthy: 3, healthy: 2}, stable: \"1.0\"}",
            hosts: "order-service: [\(hosts)]", workers: 2)
        defer { process.child.terminate() }
        // Nobody uses the service so far: its hosts are not asked.
        #expect(ill.checks == 0 && well.checks == 0)
        for _ in 0..<4 { #expect(try process.get().status == 200) }
        #expect(waitUntil(within: .seconds(20)) { ill.checks >= 3 && well.checks >= 3 })
        ill.checkStatus = 503
        #expect(
            waitUntil(within: .seconds(20)) {
                lines("host.unhealthy", process).contains { $0.contains("address=\(ill.address) ") }
            })
        #expect(waitUntil(within: .seconds(10)) { isAlone(process, well, besides: ill) })
        let admin = ["--admin", try process.admin]
        let table = try GreymeshProcess.command(["clusters", "order-service"] + admin).output
        #expect(table.contains("unhealthy") && table.contains("answers 503"), "\(table)")
        let shown = try process.ask("/clusters").text.filter { !$0.isWhitespace }
        #expect(
            shown.contains("\"health\":\"unhealthy\",\"why\":\"GET/healthat\(ill.address):answers503\""), "\(shown)")
        let metrics = try process.ask("/metrics").text
        #expect(
            metrics.contains("greymesh_host_healthy{host=\"\(ill.address)\",check=\"GET /health\"} 0\n"), "\(metrics)")
        #expect(metrics.contains("greymesh_host_healthy{host=\"\(well.address)\",check=\"GET /health\"} 1\n"))
        for version in ["1.0", "2.0"] {
            #expect(
                metrics.contains(
                    "greymesh_version_hosts_unhealthy{service=\"order-service\",protocol=\"http\",version=\"\(version)\"} 1\n"
                ))
        }
        let explained = try process.ask("/explain?service=order-service").text
        #expect(explained.contains("\(ill.address) of version 1.0 is unhealthy"), "\(explained)")
        // A list that changes, and a configuration that is read again, make no host well.
        let file = try String(contentsOfFile: directory.path(of: "services.yaml"), encoding: .utf8)
        try directory.replace(
            "services.yaml", file.replacing("metadata: {version: \"2.0\"}", with: "metadata: {version: \"3.0\"}"))
        process.child.signal(SIGHUP)
        try process.waitForLog("event=configuration.loaded ")
        #expect(waitUntil(within: .seconds(10)) { (try? process.ask("/clusters").text.contains("3.0")) == true })
        #expect(isAlone(process, well, besides: ill))
        ill.checkStatus = 200
        try process.waitForLog("event=host.healthy ")
        let before = ill.requests
        #expect(
            waitUntil(within: .seconds(10)) {
                _ = try? process.get()
                return ill.requests > before
            })
        #expect(lines("host.unhealthy", process).count == 2 && lines("host.healthy", process).count == 1)
    }

    @Test("when all checks fail all hosts are used, and a new host is out from its first check on where that fails")
    func all() throws {
        let (one, two) = (try StatusThread(), try StatusThread())
        defer { for host in [one, two] { host.stop() } }
        (one.checkStatus, two.checkStatus) = (500, 500)
        let directory = try TemporaryDirectory()
        defer { withExtendedLifetime(directory) {} }
        let process = try GreymeshProcess.serve(
            in: directory, "http",
            services: "order-service: {mode: strict, health_check: {path: /health, interval: 10m}}",
            hosts: "order-service: [\(entry(one.address)), \(entry(two.address))]", workers: 2)
        defer { process.child.terminate() }
        _ = try process.get()
        #expect(waitUntil(within: .seconds(20)) { lines("host.unhealthy", process).count == 2 })
        #expect(one.checks == 1 && two.checks == 1)
        // Changes are gathered for a moment after they are logged.
        let isTold = waitUntil(within: .seconds(20)) {
            (try? process.ask("/explain?service=order-service").text.contains("no host of version 1.0 is left")) == true
        }
        #expect(isTold)
        let before = (one.requests, two.requests)
        for _ in 0..<64 { #expect(try process.get().status == 200) }
        #expect(one.requests > before.0 && two.requests > before.1)
        #expect(
            try process.ask("/metrics").text.contains(
                "greymesh_regardless_requests_total{service=\"order-service\",protocol=\"http\"} "))
    }

    @Test(
        "Dubbo and Bolt heartbeats, and tcp: a host that is stopped or gone is out, and back when it answers again",
        arguments: [("dubbo", "dubbo"), ("bolt", "bolt"), ("dubbo", "tcp")])
    func heartbeats(listener: String, type: String) throws {
        let stopped = try SampleService(listener, "stopped", ["--interface", "demo.Shop"])
        let well = try SampleService(listener, "well", ["--interface", "demo.Shop"])
        defer { withExtendedLifetime((stopped, well)) {} }
        let directory = try TemporaryDirectory()
        defer { withExtendedLifetime(directory) {} }
        let process = try GreymeshProcess.serve(
            in: directory, listener,
            services: "demo.Shop: {health_check: {type: \(type), interval: 200ms, timeout: 300ms, unhealthy: 2}}",
            hosts: "demo.Shop: [{address: \"\(stopped.address)\"}, {address: \"\(well.address)\"}]", workers: 2)
        defer { process.child.terminate() }
        func call(_ count: Int) throws -> String {
            let caller = try SampleCaller(
                listener, process.address(of: "in"), count: count,
                ["--timeout-ms", "20000", "--connections", "1", "--concurrency", "1"])
            _ = try caller.tally()
            return caller.output
        }
        _ = try call(4)
        let label = type == "tcp" ? "tcp" : "\(type) heartbeat"
        func good(_ address: String) -> Bool {
            guard let text = try? process.ask("/metrics").text else { return false }
            return text.contains("greymesh_host_healthy{host=\"\(address)\",check=\"\(label)\"} 1\n")
                && !text.contains(
                    "greymesh_health_checks_total{host=\"\(address)\",check=\"\(label)\",result=\"good\"} 0\n")
        }
        #expect(waitUntil(within: .seconds(20)) { good(stopped.address) && good(well.address) })
        // A stopped process' port goes on taking connections.
        stopped.child.signal(type == "tcp" ? SIGKILL : SIGSTOP)
        try process.waitForLog("event=host.unhealthy ")
        #expect(try process.logged("host.unhealthy", "address") == stopped.address)
        let answers = try call(10)
        #expect(answers.contains("\"answered\":10") && !answers.contains("\"stopped\""), "\(answers)")
        if type == "tcp" { return }
        stopped.child.signal(SIGCONT)
        try process.waitForLog("event=host.healthy ")
        #expect(
            waitUntil(within: .seconds(20)) { (try? call(10))?.contains("\"stopped\"") == true })
    }
}
