import Foundation
import Glibc
import Runtime
import Synchronization
import TestSupport
import Testing

/// What the documentation promises of `mirror`.
@Suite("Mirrors in the built program", .serialized)
struct MirrorProcessTests {
    /// How many copies have come to what end.
    private func copies(_ process: GreymeshProcess, _ result: String) throws -> Int {
        let lines = try process.ask("/metrics").text.split(separator: "\n")
        return lines.filter {
            $0.hasPrefix("greymesh_mirrored_requests_total{") && $0.contains(",version=\"2.0\",result=\"\(result)\"}")
        }.reduce(0) { $0 + (Int($1.split(separator: " ").last ?? "") ?? 0) }
    }

    private func waits(_ process: GreymeshProcess, _ result: String, _ count: Int) -> Bool {
        waitUntil(within: .seconds(20)) { (try? copies(process, result)) == count }
    }

    /// Requests that a host has got.
    private func requests(_ process: GreymeshProcess, of address: String) throws -> Int {
        let lines = try process.ask("/metrics").text.split(separator: "\n")
        let line = lines.first { $0.hasPrefix("greymesh_host_requests_total{host=\"\(address)\"") }
        return line.flatMap { Int($0.split(separator: " ").last ?? "") } ?? 0
    }

    /// Memory of a process in KiB.
    private func memory(_ process: GreymeshProcess) throws -> Int {
        let status = try String(contentsOfFile: "/proc/\(process.child.processIdentifier)/status", encoding: .utf8)
        let line = status.split(separator: "\n").first { $0.hasPrefix("VmRSS:") }
        return try #require(line.flatMap { Int($0.split(whereSeparator: { $0 == " " || $0 == "\t" })[1]) })
    }

    private func hosts(_ name: String, _ old: String, _ new: String) -> String {
        let list = [("1.0", old), ("2.0", new)].map { "{address: \"\($1)\", metadata: {version: \"\($0)\"}}" }
        return "\(name): [\(list.joined(separator: ", "))]"
    }

    @Test("HTTP: copies, their mark, what is too large, and where it is told")
    func http() throws {
        let old = try HostThread("1.0")
        let marks = Counter()
        let new = try ScriptedServer { connection, _ in
            while true {
                let head = connection.receive(until: "\r\n\r\n")
                if head.isEmpty { return }
                if head.contains("\r\nx-greymesh-mirror: 1\r\n") { marks.count() }
                connection.send("HTTP/1.1 500 Bad\r\nContent-Length: 3\r\n\r\nbad")
            }
        }
        defer { old.stop() }
        let directory = try TemporaryDirectory()
        let process = try GreymeshProcess.serve(
            in: directory, "http",
            services: "order-service: {mode: strict, stable: \"1.0\", mirror: {version: \"2.0\"}}",
            hosts: hosts("order-service", "\(old.address)", "\(new.address)"), more: "access_log: {path: access.log}",
            workers: 2)
        defer { process.child.terminate() }
        for _ in 0..<100 {
            let answer = try process.get()
            #expect(answer.status == 200 && answer.text == "1.0")
        }
        #expect(waits(process, "sent", 100) && marks.value == 100 && old.requests == 100)
        let client = try Connection(to: try #require(SocketAddress(try process.http)))
        client.send(
            "POST / HTTP/1.1\r\nHost: order-service\r\nContent-Length: 100000\r\n\r\n"
                + String(repeating: "x", count: 100_000))
        #expect(client.receive(until: "\r\n\r\n").hasPrefix("HTTP/1.1 200 "))
        #expect(try waits(process, "too_large", 1) && copies(process, "sent") == 100 && marks.value == 100)
        let metrics = try process.ask("/metrics").text
        #expect(
            metrics.contains("greymesh_responses_total{service=\"order-service\",protocol=\"http\",version=\"1.0\""))
        #expect(!metrics.contains("version=\"2.0\",code=") && !metrics.contains("requested=\"\",version=\"2.0\""))
        let shown = try process.ask("/config").text.filter { !$0.isWhitespace }
        #expect(shown.contains(#""mirror":{"version":"2.0","share":"100"}"#), "\(shown)")
        let explained = try process.ask("/explain?service=order-service").text
        #expect(explained.contains("mirror: 100 % of the requests are copied to version 2.0"), "\(explained)")
        process.child.signal(SIGTERM)
        #expect(try process.child.waitForExit() == .status(0))
        let log = try String(contentsOfFile: directory.path(of: "access.log"), encoding: .utf8)
        #expect(log.split(separator: "\n").count == 101 && !log.contains("\"version\":\"2.0\""))
    }

    @Test(
        "Dubbo and Bolt: each call reaches the other version once, and a share of them", arguments: ["dubbo", "bolt"])
    func framed(listener: String) throws {
        let (old, new) = (
            try SampleService(listener, "old", ["--interface", "demo.Shop"]),
            try SampleService(listener, "new", ["--interface", "demo.Shop"])
        )
        defer { withExtendedLifetime((old, new)) {} }
        for share in [100, 10] {
            let directory = try TemporaryDirectory()
            let process = try GreymeshProcess.serve(
                in: directory, listener,
                services: "demo.Shop: {mode: strict, stable: \"1.0\", mirror: {version: \"2.0\", share: \(share)}}",
                hosts: hosts("demo.Shop", old.address, new.address), workers: 2)
            defer { process.child.terminate() }
            let caller = try SampleCaller(listener, process.address(of: "in"), count: 1000, ["--connections", "4"])
            let tally = try caller.tally()
            #expect(tally.answered == 1000 && tally.counts["old"] == 1000, "\(caller.output)")
            let sent = try copies(process, "sent")
            if share == 100 { #expect(waits(process, "sent", 1000)) }
            // Six standard deviations.
            if share == 10 { #expect(abs(sent - 100) <= 57) }
            #expect(try requests(process, of: new.address) == copies(process, "sent"))
        }
    }

    @Test(
        "A version that is frozen, comes back, or is dead: clients are served as before, and what is kept for it is bounded",
        arguments: ["http", "dubbo", "bolt"])
    func frozen(listener: String) throws {
        let name = listener == "http" ? "order-service" : "demo.Shop"
        let options = listener == "http" ? ["--service", name] : ["--interface", name]
        let (old, new) = (try SampleService(listener, "old", options), try SampleService(listener, "new", options))
        defer { withExtendedLifetime((old, new)) {} }
        let directory = try TemporaryDirectory()
        let process = try GreymeshProcess.serve(
            in: directory, listener,
            services: "\(name): {mode: strict, stable: \"1.0\", timeout: 5s, mirror: {version: \"2.0\"}}",
            hosts: hosts(name, old.address, new.address))
        defer { process.child.terminate() }
        var called = 0
        func call(_ count: Int) throws {
            called += count
            let begin = Clock.nanoseconds
            if listener == "http" {
                let client = try Connection(to: try #require(SocketAddress(try process.http)))
                for _ in 0..<count {
                    client.send("GET / HTTP/1.1\r\nHost: \(name)\r\n\r\n")
                    #expect(client.receive(until: "\r\n\r\n").hasPrefix("HTTP/1.1 200 "))
                    #expect(client.receive(until: "}").contains("\"old\""))
                }
            } else {
                let caller = try SampleCaller(
                    listener, process.address(of: "in"), count: count, ["--connections", "4"])
                let tally = try caller.tally()
                #expect(tally.answered == count && tally.counts["old"] == count, "\(caller.output)")
            }
            // One that waited for a copy would wait for seconds.
            #expect(Clock.nanoseconds - begin < 4_000_000_000)
        }
        try call(200)
        #expect(waits(process, "sent", 200))
        let before = try memory(process)
        new.child.signal(SIGSTOP)
        try call(1000)
        #expect(try copies(process, "dropped") == 1000 - 256)
        #expect(try memory(process) - before < 16 << 10)
        #expect(waits(process, "failed", 256))
        new.child.signal(SIGCONT)
        #expect(
            waitUntil(within: .seconds(20)) {
                try? call(10)
                return (try? copies(process, "sent")) ?? 0 > 200
            })
        new.child.signal(SIGKILL)
        _ = try new.child.waitForExit()
        try call(100)
        #expect(
            waitUntil(within: .seconds(20)) {
                let ends = ["sent", "failed", "dropped", "no_host"]
                return (try? ends.reduce(0) { try $0 + copies(process, $1) }) == called
            })
        #expect(try process.ask("/metrics").text.contains("version=\"1.0\",code=") && copies(process, "dropped") == 744)
    }
}

/// A count that several threads add to.
private final class Counter: Sendable {
    private let number = Mutex(0)

    var value: Int { number.withLock(\.self) }

    func count() { number.withLock { $0 += 1 } }
}
