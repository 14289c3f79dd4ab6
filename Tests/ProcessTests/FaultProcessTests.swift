import Foundation
import Glibc
import Runtime
import TestSupport
import Testing

/// What the documentation promises of `fault` and `stream_idle`.
@Suite("Faults and silent streams in the built program", .serialized)
struct FaultProcessTests {
    @Test("HTTP: what is delayed, what is aborted, what a version does, and where that is told")
    func http() throws {
        let (one, two) = (try HostThread("1.0"), try HostThread("2.0"))
        defer { one.stop(); two.stop() }
        let directory = try TemporaryDirectory()
        let hosts = [("1.0", one), ("2.0", two)].map { version, host in
            "{address: \"\(host.address)\", metadata: {version: \"\(version)\"}}"
        }
        let process = try GreymeshProcess.serve(
            in: directory, "http",
            services:
                "order-service: {stable: \"1.0\", fault: {delay: 150ms}, versions: {\"2.0\": {fault: {delay: off, abort: 418}}}}",
            hosts: "order-service: [\(hosts.joined(separator: ", "))]", more: "access_log: {path: access.log}")
        defer { process.child.terminate() }
        let begin = Clock.nanoseconds
        let delayed = try process.get()
        #expect(delayed.status == 200 && delayed.text == "1.0" && Clock.nanoseconds - begin >= 150_000_000)
        #expect(delayed.header("x-greymesh-error") == nil)
        let aborted = try process.get(headers: [("x-version", "2.0")])
        #expect(aborted.status == 418 && aborted.header("x-greymesh-error") == "fault" && two.requests == 0)
        let series = "greymesh_faults_total{service=\"order-service\",protocol=\"http\",version="
        let metrics = try process.ask("/metrics").text
        #expect(metrics.contains(series + "\"1.0\",fault=\"delay\"} 1\n"), "\(metrics)")
        #expect(metrics.contains(series + "\"2.0\",fault=\"abort\"} 1\n"))
        let shown = try process.ask("/config").text.filter { !$0.isWhitespace }
        #expect(shown.contains(#""fault":{"delay":"150ms","abort":null,"share":"100"}"#), "\(shown)")
        #expect(
            try process.ask("/explain?service=order-service").text.contains(
                "fault: 100 % of the requests are delayed for 150ms"))
        let explained = try process.ask("/explain?service=order-service&header=x-version:2.0").text
        #expect(explained.contains("fault: 100 % of the requests are aborted with 418"), "\(explained)")
        process.child.signal(SIGTERM)
        #expect(try process.child.waitForExit() == .status(0))
        let log = try String(contentsOfFile: directory.path(of: "access.log"), encoding: .utf8)
        #expect(log.contains("\"version\":\"2.0\",\"status\":418,"), "\(log)")
    }

    @Test("A stop waits for delayed requests, which are answered")
    func stop() throws {
        let host = try HostThread("1.0")
        defer { host.stop() }
        let directory = try TemporaryDirectory()
        let process = try GreymeshProcess.serve(
            in: directory, "http", services: "order-service: {fault: {delay: 700ms}, circuit_breaker: {requests: 5}}",
            hosts: "order-service: [{address: \"\(host.address)\"}]")
        defer { process.child.terminate() }
        let client = try Connection(to: try #require(SocketAddress(try process.http)))
        client.send("GET / HTTP/1.1\r\nHost: order-service\r\n\r\n")
        // It is in flight, though no host has it.
        let isInFlight = waitUntil(within: .seconds(10)) {
            let shown = (try? process.ask("/clusters").text.filter { !$0.isWhitespace }) ?? ""
            return shown.contains(#""inFlight":{"service":{"requests":1,"pending":0,"connections":0}"#)
        }
        #expect(isInFlight && host.requests == 0)
        process.child.signal(SIGTERM)
        #expect(client.receive(until: "\r\n\r\n").hasPrefix("HTTP/1.1 200 "))
        #expect(try process.child.waitForExit() == .status(0))
    }

    @Test(
        "Dubbo and Bolt: a share of the calls fails with the status that is named",
        arguments: [("dubbo", 80), ("bolt", 2)])
    func framed(listener: String, status: Int) throws {
        let service = try SampleService(listener, "a", ["--interface", "demo.Shop"])
        defer { withExtendedLifetime(service) {} }
        let directory = try TemporaryDirectory()
        let process = try GreymeshProcess.serve(
            in: directory, listener, services: "demo.Shop: {fault: {delay: 20ms, abort: \(status), share: 50}}",
            hosts: "demo.Shop: [{address: \"\(service.address)\"}]", workers: 2)
        defer { process.child.terminate() }
        let caller = try SampleCaller(listener, process.address(of: "in"), count: 200, ["--connections", "8"])
        let tally = try caller.tally()
        // Six standard deviations.
        #expect(tally.answered + tally.failed == 200 && abs(tally.failed - 100) <= 43, "\(caller.output)")
        let metrics = try process.ask("/metrics").text
        let labels = "{service=\"demo.Shop\",protocol=\"\(listener)\",version=\"unversioned\""
        for fault in ["delay", "abort"] {
            #expect(
                metrics.contains("greymesh_faults_total\(labels),fault=\"\(fault)\"} \(tally.failed)\n"), "\(metrics)")
        }
        #expect(
            metrics.contains("greymesh_responses_total\(labels),code=\"\(status)\"} \(tally.failed)\n"), "\(metrics)")
    }

    @Test("An answer may be silent as long as its service says, whatever holds for others")
    func streamIdle() throws {
        let host = try ScriptedServer { connection, _ in
            _ = connection.receive(until: "\r\n\r\n")
            connection.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n")
            _ = connection.receiveAll()
        }
        let directory = try TemporaryDirectory()
        let process = try GreymeshProcess.serve(
            in: directory, "http",
            services: "{\"*\": {stream_idle: 1h}, order-service: {stream_idle: 1s}, other-service: {}}",
            hosts: "{order-service: [{address: \"\(host.address)\"}], other-service: [{address: \"\(host.address)\"}]}",
            more: "limits: {idle_timeout: 1h}")
        defer { process.child.terminate() }
        func begin(_ service: String) throws -> Connection {
            let client = try Connection(to: try #require(SocketAddress(try process.http)))
            client.send("GET / HTTP/1.1\r\nHost: \(service)\r\n\r\n")
            #expect(client.receive(until: "a\r\n").hasPrefix("HTTP/1.1 200 "))
            return client
        }
        let other = try begin("other-service")
        let start = Clock.nanoseconds
        let cut = try begin("order-service")
        // The last chunk never comes: the client sees that the answer is cut.
        #expect(waitUntil(within: .seconds(60)) { cut.hasInput } && cut.receiveAll().isEmpty)
        #expect(Clock.nanoseconds - start >= 1_000_000_000 && !other.hasInput)
        #expect(try process.ask("/metrics").text.contains("version=\"unversioned\",code=\"599\"} 1\n"))
    }
}
