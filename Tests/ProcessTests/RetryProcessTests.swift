import Foundation
import Glibc
import Runtime
import Synchronization
import TestSupport
import Testing

/// Hosts that fail with requests in flight: whatever the policy lets go elsewhere is answered by others.
@Suite("Further tries through the built program", .serialized)
struct RetryProcessTests {
    @Test("HTTP: a host that says 503 is passed over, and the answer tells how many tries it took")
    func http() throws {
        let seen = Atomic<Int>(0)
        let bad = try ScriptedServer { connection, _ in
            while !connection.receive(until: "\r\n\r\n").isEmpty {
                seen.add(1, ordering: .sequentiallyConsistent)
                connection.send("HTTP/1.1 503 No\r\nContent-Length: 3\r\n\r\nbad")
            }
        }
        let good = try HostThread("good")
        defer { good.stop() }
        let directory = try TemporaryDirectory()
        let process = try GreymeshProcess.serve(
            in: directory, "http",
            services: "order-service: {balancer: round-robin, retries: {on: [connect, 503], attempts: 1}}",
            hosts: "order-service: [{address: \"\(bad.address)\"}, {address: \"\(good.address)\"}]")
        defer { process.child.terminate() }
        var twice = 0
        for _ in 0..<10 {
            let answer = try process.get()
            #expect(answer.status == 200 && answer.text == "good")
            if answer.header("x-greymesh-attempts") == "2" { twice += 1 }
        }
        let count = seen.load(ordering: .sequentiallyConsistent)
        #expect(twice == count && count > 0 && good.requests == 10)
        let metrics = try process.ask("/metrics").text
        let series = "greymesh_retries_total{service=\"order-service\",protocol=\"http\",cause=\"status\"} \(count)\n"
        #expect(metrics.contains(series), "\(metrics)")
        let shown = try process.ask("/clusters").text.filter { !$0.isWhitespace }
        #expect(shown.contains(#""retries":{"attempts":1,"on":["connect","503"],"methods":null"#), "\(shown)")
        // A policy that changes is in force with the next request.
        let file = try String(contentsOfFile: directory.path(of: "greymesh.yaml"), encoding: .utf8)
        try directory.write("greymesh.yaml", file.replacing("{on: [connect, 503], attempts: 1}", with: "off"))
        process.child.signal(SIGHUP)
        let isOff = waitUntil(within: .seconds(20)) {
            (0..<2).contains { _ in (try? process.get())?.status == 503 }
        }
        #expect(isOff)
    }

    @Test(
        "Dubbo and Bolt: calls in flight at a host that is killed are answered by another one",
        arguments: ["dubbo", "bolt"])
    func killed(listener: String) throws {
        // It never comes to answering.
        let dying = try SampleService(listener, "dying", ["--interface", "demo.Shop", "--delay-ms", "600000"])
        let living = try SampleService(listener, "living", ["--interface", "demo.Shop"])
        defer { withExtendedLifetime((dying, living)) {} }
        let directory = try TemporaryDirectory()
        // The file is watched.
        defer { withExtendedLifetime(directory) {} }
        let process = try GreymeshProcess.serve(
            in: directory, listener,
            services: "demo.Shop: {balancer: round-robin, retries: {on: [connect, reset], methods: [\"s*\"]}}",
            hosts: "demo.Shop: [{address: \"\(dying.address)\"}, {address: \"\(living.address)\"}]")
        defer { process.child.terminate() }
        let caller = try SampleCaller(
            listener, process.address(of: "in"), count: 40,
            ["--timeout-ms", "30000", "--connections", "2", "--concurrency", "2"])
        let inFlight = "greymesh_host_active_requests{host=\"\(dying.address)\",protocol=\"\(listener)\"} 2\n"
        #expect(waitUntil(within: .seconds(20)) { (try? process.ask("/metrics").text.contains(inFlight)) == true })
        dying.child.signal(SIGKILL)
        let tally = try caller.tally()
        #expect(tally.answered == 40 && tally.failed == 0, "\(caller.output)")
        #expect(tally.answers.allSatisfy { $0.host == "living" })
        let metrics = try process.ask("/metrics").text
        let series = "greymesh_retries_total{service=\"demo.Shop\",protocol=\"\(listener)\",cause=\"reset\"} 2\n"
        #expect(metrics.contains(series), "\(metrics)")
    }
}
