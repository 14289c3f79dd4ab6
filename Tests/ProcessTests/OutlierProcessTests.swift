import Foundation
import Glibc
import Runtime
import TestSupport
import Testing

/// Hosts that answer badly, seen through the built program with two workers.
@Suite("Outlier detection of the built program", .serialized)
struct OutlierProcessTests {
    private func get(_ process: GreymeshProcess, version: String) throws -> Int {
        try process.get(headers: [("x-version", version)]).status
    }

    private func entry(_ address: SocketAddress, _ version: String) -> String {
        "{address: \"\(address)\", metadata: {version: \"\(version)\"}}"
    }

    private func lines(_ event: String, _ process: GreymeshProcess) -> [Substring] {
        process.child.errors.split(separator: "\n").filter { $0.contains("event=\(event) ") }
    }

    @Test("a host that fails in a row is ejected and told once, and comes back; the others and other versions serve on")
    func consecutive() throws {
        let (bad, good, old) = (try StatusThread(503), try StatusThread(), try StatusThread())
        defer { for host in [bad, good, old] { host.stop() } }
        let directory = try TemporaryDirectory()
        defer { withExtendedLifetime(directory) {} }
        let process = try GreymeshProcess.serve(
            in: directory, "http",
            services:
                "order-service: {retries: off, outlier_detection: {consecutive: 4, error_rate: off, ejection: 3s}}",
            hosts: "order-service: ["
                + [
                    entry(bad.address, "2.0"), entry(good.address, "2.0"), entry(old.address, "1.0"),
                ]
                .joined(separator: ", ") + "]",
            workers: 2)
        defer { process.child.terminate() }
        let isEjected = waitUntil(within: .seconds(20)) {
            _ = try? get(process, version: "2.0")
            return process.child.errors.contains("event=host.ejected ")
        }
        #expect(isEjected, "\(process.child.errors)")
        #expect(try process.logged("host.ejected", "address") == "\(bad.address)")
        #expect(try process.logged("host.ejected", "version") == "2.0")
        #expect(try process.logged("host.ejected", "reason") == "consecutive")
        #expect(try process.logged("host.ejected", "ejection_ms") == "3000")
        let admin = ["--admin", try process.admin]
        #expect(
            waitUntil(within: .seconds(20)) {
                (try? GreymeshProcess.command(["clusters", "order-service"] + admin).output)?.contains(
                    "4 failures in a row") == true
            })
        // All workers know a moment later, and for the ejection's time 2.0 is the good host alone.
        let isLeft = waitUntil(within: .seconds(2)) {
            (0..<8).allSatisfy { _ in (try? get(process, version: "2.0")) == 200 }
        }
        #expect(isLeft)
        let explained = try process.ask("/explain?service=order-service&header=x-version:2.0").text
        #expect(explained.contains("\(bad.address) of version 2.0 is ejected for"), "\(explained)")
        let metrics = try process.ask("/metrics").text
        let labels = "service=\"order-service\",protocol=\"http\",version="
        #expect(metrics.contains("greymesh_version_hosts_ejected{\(labels)\"2.0\"} 1\n"), "\(metrics)")
        #expect(metrics.contains("greymesh_version_hosts_ejected{\(labels)\"1.0\"} 0\n"))
        #expect(
            metrics.contains(
                "greymesh_ejections_total{\(labels)\"2.0\",host=\"\(bad.address)\",reason=\"consecutive\"} 1\n"))
        // Back it is when its time is over, and told once.
        bad.status = 200
        let before = bad.requests
        let isBack = waitUntil(within: .seconds(20)) {
            _ = try? get(process, version: "2.0")
            return bad.requests > before
        }
        #expect(isBack)
        try process.waitForLog("event=host.returned ")
        #expect(lines("host.ejected", process).count == 1 && lines("host.returned", process).count == 1)
    }

    @Test(
        "never more of a version than max_ejected, and a failing 2.0 touches no host of 1.0")
    func share() throws {
        let bad = try (0..<3).map { _ in try StatusThread(500) }
        let old = try (0..<3).map { _ in try StatusThread() }
        defer { for host in bad + old { host.stop() } }
        let directory = try TemporaryDirectory()
        defer { withExtendedLifetime(directory) {} }
        let hosts = bad.map { entry($0.address, "2.0") } + old.map { entry($0.address, "1.0") }
        let process = try GreymeshProcess.serve(
            in: directory, "http",
            services: """
                order-service: {mode: strict, retries: off, outlier_detection: {consecutive: 2, error_rate: 50, requests: 10, interval: 1s, max_ejected: 67}}
                """,
            hosts: "order-service: [" + hosts.joined(separator: ", ") + "]", workers: 2)
        defer { process.child.terminate() }
        let isEjected = waitUntil(within: .seconds(20)) {
            _ = try? get(process, version: "2.0")
            return lines("host.ejected", process).count == 2
        }
        #expect(isEjected, "\(process.child.errors)")
        for _ in 0..<60 { #expect(try get(process, version: "2.0") == 500) }
        for _ in 0..<60 { #expect(try get(process, version: "1.0") == 200) }
        #expect(lines("host.ejected", process).count == 2)
        #expect(lines("host.ejected", process).allSatisfy { $0.contains("version=2.0") })
        let metrics = try process.ask("/metrics").text
        #expect(
            metrics.contains(
                "greymesh_version_hosts_ejected{service=\"order-service\",protocol=\"http\",version=\"2.0\"} 2\n"))
        #expect(
            metrics.contains(
                "greymesh_version_hosts_ejected{service=\"order-service\",protocol=\"http\",version=\"1.0\"} 0\n"))
        #expect(old.allSatisfy { $0.requests > 0 })
        // Switched off, all hosts serve again.
        let file = try String(contentsOfFile: directory.path(of: "greymesh.yaml"), encoding: .utf8)
        let plain = "order-service: {mode: strict, retries: off}"
        let start = try #require(file.range(of: "order-service: {mode"))
        let end = try #require(file[start.lowerBound...].firstIndex(of: "\n"))
        try directory.write("greymesh.yaml", file.replacingCharacters(in: start.lowerBound..<end, with: plain))
        process.child.signal(SIGHUP)
        #expect(waitUntil(within: .seconds(20)) { lines("host.returned", process).count == 2 })
    }

    @Test(
        "a rate of failures over all workers has a host ejected; when all hosts of all versions are out all are used, and that is told"
    )
    func rate() throws {
        let (bad, good) = (try StatusThread(500), try StatusThread())
        defer { for host in [bad, good] { host.stop() } }
        let directory = try TemporaryDirectory()
        defer { withExtendedLifetime(directory) {} }
        let process = try GreymeshProcess.serve(
            in: directory, "http",
            services:
                "order-service: {balancer: round-robin, retries: off, outlier_detection: {consecutive: off, error_rate: 40, requests: 10, max_ejected: 100}}",
            hosts: "order-service: [" + [entry(bad.address, "1.0"), entry(good.address, "1.0")].joined(separator: ", ")
                + "]",
            workers: 2)
        defer { process.child.terminate() }
        func isOut(_ count: Int) -> Bool {
            waitUntil(within: .seconds(20)) {
                _ = try? get(process, version: "1.0")
                return lines("host.ejected", process).count == count
            }
        }
        #expect(isOut(1))
        #expect(try process.logged("host.ejected", "reason") == "error_rate")
        good.status = 500
        #expect(isOut(2))
        (bad.status, good.status) = (200, 200)
        let before = (bad.requests, good.requests)
        #expect(
            waitUntil(within: .seconds(20)) {
                _ = try? get(process, version: "1.0")
                return bad.requests > before.0 && good.requests > before.1
            })
        #expect(lines("host.returned", process).isEmpty)
        #expect(
            try process.ask("/metrics").text.contains(
                "greymesh_regardless_requests_total{service=\"order-service\",protocol=\"http\"} "))
        let explained = try process.ask("/explain?service=order-service").text
        #expect(explained.contains("no host of version 1.0 is left"), "\(explained)")
    }

    @Test("a host that is slow in comparison with the others of its version is ejected")
    func latency() throws {
        let slow = try StatusThread(delay: .milliseconds(60))
        let fast = try (0..<2).map { _ in try StatusThread(delay: .milliseconds(5)) }
        defer { for host in fast + [slow] { host.stop() } }
        let directory = try TemporaryDirectory()
        defer { withExtendedLifetime(directory) {} }
        let hosts = (fast + [slow]).map { entry($0.address, "1.0") }
        let process = try GreymeshProcess.serve(
            in: directory, "http",
            services:
                "order-service: {balancer: round-robin, outlier_detection: {requests: 5, interval: 2s, latency: 3}}",
            hosts: "order-service: [" + hosts.joined(separator: ", ") + "]", workers: 2)
        defer { process.child.terminate() }
        let isEjected = waitUntil(within: .seconds(40)) {
            _ = try? get(process, version: "1.0")
            return process.child.errors.contains("event=host.ejected ")
        }
        #expect(isEjected)
        #expect(try process.logged("host.ejected", "address") == "\(slow.address)")
        #expect(try process.logged("host.ejected", "reason") == "latency")
    }

    @Test("Dubbo and Bolt: a host that answers nothing in time is ejected", arguments: ["dubbo", "bolt"])
    func silent(listener: String) throws {
        let silent = try SampleService(listener, "silent", ["--interface", "demo.Shop", "--delay-ms", "600000"])
        let well = try SampleService(listener, "well", ["--interface", "demo.Shop"])
        defer { withExtendedLifetime((silent, well)) {} }
        let directory = try TemporaryDirectory()
        defer { withExtendedLifetime(directory) {} }
        let process = try GreymeshProcess.serve(
            in: directory, listener,
            services: "demo.Shop: {timeout: 200ms, balancer: round-robin, outlier_detection: {consecutive: 3}}",
            hosts: "demo.Shop: [{address: \"\(silent.address)\"}, {address: \"\(well.address)\"}]", workers: 2)
        defer { process.child.terminate() }
        let caller = try SampleCaller(
            listener, process.address(of: "in"), count: 24,
            ["--timeout-ms", "1000", "--connections", "1", "--concurrency", "1"])
        let tally = try caller.tally()
        try process.waitForLog("event=host.ejected ")
        #expect(try process.logged("host.ejected", "address") == silent.address)
        #expect(try process.logged("host.ejected", "reason") == "consecutive")
        #expect(lines("host.ejected", process).count == 1)
        #expect(tally.failed == 3, "\(caller.output)")
    }
}
