import Foundation
import Glibc
import Runtime
import Synchronization
import TestSupport
import Testing

/// What the reference file promises of `circuit_breaker`, `rate_limit` and `versions`.
@Suite("Limits of the built program", .serialized)
struct LimitProcessTests {
    /// A client that sends one request after the other.
    private struct Client {
        let connection: Connection

        init(_ process: GreymeshProcess) throws {
            let address = try #require(SocketAddress(try process.http))
            connection = try Connection(to: address)
        }

        /// The status and the head of an answer.
        func get(_ fields: String = "") throws -> (status: Int, head: String) {
            connection.send("GET / HTTP/1.1\r\nHost: order-service\r\n\(fields)\r\n")
            let head = connection.receive(until: "\r\n\r\n").lowercased()
            let words = head.split(separator: " ")
            guard words.count > 1, let status = Int(words[1]) else { throw TestFailure("no answer, but: \(head)") }
            let length = head.split(separator: "content-length: ").last?.prefix { $0.isNumber } ?? ""
            _ = connection.receive(exactly: Int(length) ?? 0)
            return (status, head)
        }
    }

    @Test("A rate holds within five per cent over three seconds, for two workers together")
    func rate() throws {
        let host = try HostThread("a")
        defer { host.stop() }
        let directory = try TemporaryDirectory()
        let process = try GreymeshProcess.serve(
            in: directory, "http", services: "order-service: {rate_limit: {rate: 200/s, burst: 50}}",
            hosts: "order-service: [{address: \"\(host.address)\"}]", workers: 2)
        defer { process.child.terminate() }
        let passed = Atomic<Int>(0)
        let refused = Atomic<Int>(0)
        let clients = try (0..<8).map { _ in try Client(process) }
        let begin = Clock.nanoseconds
        let threads = try clients.map { client in
            try Thread(name: "client") {
                while Clock.nanoseconds - begin < 3_000_000_000 {
                    guard let status = try? client.get().status else { return }
                    if status == 200 { passed.add(1, ordering: .relaxed) }
                    if status == 429 { refused.add(1, ordering: .relaxed) }
                }
            }
        }
        for thread in threads { thread.join() }
        let seconds = Double(Clock.nanoseconds - begin) / 1e9
        let (count, allowed) = (passed.load(ordering: .relaxed), 50 + 200 * seconds)
        #expect(abs(Double(count) - allowed) <= 0.05 * allowed, "\(count) of \(allowed)")
        #expect(refused.load(ordering: .relaxed) > 0 && host.requests == count)
        let series =
            "greymesh_refused_total{service=\"order-service\",protocol=\"http\",version=\"unversioned\",reason=\"rate\"} "
            + "\(refused.load(ordering: .relaxed))\n"
        #expect(try process.ask("/metrics").text.contains(series))
    }

    @Test("The adaptive limit keeps requests from waiting for each other at a host that has too much to do")
    func concurrency() throws {
        let free = Mutex(4)
        let host = try ScriptedServer { connection, _ in
            while !connection.receive(until: "\r\n\r\n").isEmpty {
                // Four at a time, 20 ms each.
                func take() -> Bool { free.withLock { if $0 == 0 { return false } else { $0 -= 1; return true } } }
                guard waitUntil(within: .seconds(60), take) else { return }
                usleep(20_000)
                free.withLock { $0 += 1 }
                connection.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
            }
        }
        let directory = try TemporaryDirectory()
        let process = try GreymeshProcess.serve(
            in: directory, "http", services: "order-service: {concurrency: adaptive}",
            hosts: "order-service: [{address: \"\(host.address)\"}]", workers: 2)
        defer { process.child.terminate() }
        let passed = Atomic<Int>(0)
        let refused = Atomic<Int>(0)
        let isOver = Atomic<Bool>(false)
        let threads = try (0..<60).map { _ in try Client(process) }.map { client in
            try Thread(name: "client") {
                while !isOver.load(ordering: .relaxed) {
                    guard let answer = try? client.get() else { return }
                    if answer.status == 200 { passed.add(1, ordering: .relaxed) }
                    if answer.status == 503 && answer.head.contains("x-greymesh-error: limit") {
                        refused.add(1, ordering: .relaxed)
                        usleep(5_000)
                    }
                }
            }
        }
        func limit() -> Int {
            let text = (try? process.ask("/clusters").text.filter { !$0.isWhitespace }) ?? ""
            return Int(text.split(separator: "\"limit\":").last?.prefix { $0.isNumber } ?? "") ?? 0
        }
        // The host can do four; it takes a few of them more to keep it busy.
        let isFound = waitUntil(within: .seconds(40)) { (4...24).contains(limit()) }
        #expect(isFound, "\(limit())")
        let before = passed.load(ordering: .relaxed)
        #expect(waitUntil(within: .seconds(20)) { passed.load(ordering: .relaxed) > before + 200 })
        isOver.store(true, ordering: .relaxed)
        for thread in threads { thread.join() }
        #expect(refused.load(ordering: .relaxed) > 0)
        let metrics = try process.ask("/metrics").text
        #expect(metrics.contains("reason=\"concurrency\"} \(refused.load(ordering: .relaxed))\n"), "\(metrics)")
        #expect(
            metrics.contains(
                "greymesh_concurrency_limit{service=\"order-service\",protocol=\"http\",version=\"\"} \(limit())\n"))
        let explained = try process.ask("/explain?service=order-service").text
        #expect(explained.contains("adaptive limit of the service: 0 of \(limit()) requests"), "\(explained)")
        #expect(try process.ask("/config").text.contains("\"concurrency\": \"adaptive\""))
    }

    @Test("A circuit breaker holds for two workers together, and whoever is refused is refused at once")
    func circuitBreaker() throws {
        let isOpen = Atomic<Bool>(false)
        let seen = Atomic<Int>(0)
        let host = try ScriptedServer { connection, _ in
            while !connection.receive(until: "\r\n\r\n").isEmpty {
                seen.add(1, ordering: .sequentiallyConsistent)
                guard waitUntil(within: .seconds(60), { isOpen.load(ordering: .sequentiallyConsistent) }) else {
                    return
                }
                connection.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
            }
        }
        let directory = try TemporaryDirectory()
        let process = try GreymeshProcess.serve(
            in: directory, "http", services: "order-service: {circuit_breaker: {requests: 5}}",
            hosts: "order-service: [{address: \"\(host.address)\", metadata: {version: \"1.0\"}}]",
            more: "access_log: {path: access.log}", workers: 2)
        defer { process.child.terminate() }
        let statuses = Mutex<[Int]>([])
        let clients = try (0..<20).map { _ in try Client(process) }
        let threads = try clients.map { client in
            try Thread(name: "client") {
                let answer = try? client.get()
                statuses.withLock { $0.append(answer?.status ?? 0) }
            }
        }
        // None of those that are answered now has waited for a host.
        #expect(waitUntil(within: .seconds(30)) { statuses.withLock(\.count) == 15 })
        #expect(statuses.withLock { $0.allSatisfy { $0 == 503 } } && seen.load(ordering: .sequentiallyConsistent) == 5)
        let shown = try process.ask("/clusters").text.filter { !$0.isWhitespace }
        #expect(shown.contains(#""inFlight":{"service":{"requests":5,"pending":0,"connections":5}"#), "\(shown)")
        #expect(shown.contains(#""circuit_breaker":{"requests":5,"pending":null,"connections":null}"#))
        let explained = try process.ask("/explain?service=order-service").text
        #expect(explained.contains("circuit breaker of the service: 5 of 5 requests"), "\(explained)")
        // Those that came before the hosts were known have no version.
        let metrics = try process.ask("/metrics").text
        let refused = metrics.split(separator: "\n").filter {
            $0.hasPrefix("greymesh_refused_total{service=\"order-service\"") && $0.contains("reason=\"requests\"")
        }
        #expect(
            refused.compactMap { $0.split(separator: " ").last.flatMap { Int($0) } }.reduce(0, +) == 15, "\(metrics)")
        // Another limit counts what is in flight already.
        try change(directory, process, "{requests: 5}", "{requests: 6}")
        let later = try Client(process)
        isOpen.store(true, ordering: .sequentiallyConsistent)
        for thread in threads { thread.join() }
        #expect(statuses.withLock { $0.count { $0 == 200 } } == 5)
        #expect(waitUntil(within: .seconds(10)) { (try? later.get().status) == 200 })
        let isQuiet = waitUntil(within: .seconds(10)) {
            let shown = (try? process.ask("/clusters").text.filter { !$0.isWhitespace }) ?? ""
            return shown.contains(#""inFlight":{"service":{"requests":0,"pending":0,"#)
        }
        #expect(isQuiet)
        process.child.signal(SIGTERM)
        #expect(try process.child.waitForExit() == .status(0))
        let log = try String(contentsOfFile: directory.path(of: "access.log"), encoding: .utf8)
        #expect(log.split(separator: "\n").count { $0.contains("\"status\":503,") } >= 15, "\(log)")
    }

    /// Changes the configuration, and waits until it is in force.
    private func change(
        _ directory: TemporaryDirectory, _ process: GreymeshProcess, _ old: String, _ new: String
    ) throws {
        let file = try String(contentsOfFile: directory.path(of: "greymesh.yaml"), encoding: .utf8)
        try directory.write("greymesh.yaml", file.replacing(old, with: new))
        let count = process.child.errors.split(separator: "\n").count { $0.contains("event=configuration.loaded") }
        process.child.signal(SIGHUP)
        let isRead = waitUntil(within: .seconds(20)) {
            process.child.errors.split(separator: "\n").count { $0.contains("event=configuration.loaded") } > count
        }
        guard isRead else { throw TestFailure("not read again:\n\(process.child.errors)") }
    }

    @Test("Keys, versions and changes: what is the same goes on, and a version has what it says")
    func keysAndVersions() throws {
        let (one, two) = (try HostThread("1.0"), try HostThread("2.0"))
        defer { one.stop(); two.stop() }
        let silent = try ScriptedServer { connection, _ in _ = connection.receiveAll() }
        let directory = try TemporaryDirectory()
        func listed(_ version: String, _ address: SocketAddress) -> String {
            "{address: \"\(address)\", metadata: {version: \"\(version)\"}}"
        }
        let hosts = [listed("1.0", one.address), listed("2.0", two.address), listed("3.0", silent.address)]
        let process = try GreymeshProcess.serve(
            in: directory, "http",
            services:
                "order-service: {stable: \"1.0\", timeout: 50s, rate_limit: {rate: 1/h, burst: 3, key: \"header:x-user-id\"}, "
                + "versions: {\"2.0\": {rate_limit: {rate: 2/h}}, \"3.0\": {rate_limit: off, timeout: 200ms}}}",
            hosts: "order-service: [\(hosts.joined(separator: ", "))]")
        defer { process.child.terminate() }
        let client = try Client(process)
        func statuses(_ fields: String, _ count: Int = 4) throws -> [Int] {
            try (0..<count).map { _ in try client.get(fields).status }
        }
        #expect(try statuses("x-user-id: a\r\n") == [200, 200, 200, 429])
        #expect(try statuses("x-user-id: b\r\n") == [200, 200, 200, 429])
        let refused = try client.get("x-user-id: a\r\n")
        #expect(refused.head.contains("x-greymesh-error: rate") && refused.head.contains("retry-after: "))
        #expect(try statuses("x-user-id: a\r\nx-version: 2.0\r\n", 2) == [200, 429])
        let begin = Clock.nanoseconds
        #expect(try client.get("x-user-id: a\r\nx-version: 3.0\r\n").status == 504)
        #expect(Clock.nanoseconds - begin < 20_000_000_000)
        let explained = try process.ask("/explain?service=order-service&header=x-version:2.0").text
        #expect(explained.contains("version 2.0 has rules of its own: timeout 50s"), "\(explained)")
        #expect(explained.contains("rate limit of the version: 2/h, burst 1, by header:x-user-id"), "\(explained)")
        let shown = try process.ask("/config").text.filter { !$0.isWhitespace }
        #expect(shown.contains(#""rate_limit":{"rate":"2/h","burst":1,"key":"header:x-user-id"}"#), "\(shown)")
        // A change elsewhere leaves the tokens alone; another rate begins anew.
        try change(directory, process, "timeout: 50s", "timeout: 40s")
        #expect(try statuses("x-user-id: a\r\n", 1) == [429])
        try change(directory, process, "burst: 3", "burst: 2")
        let isInForce = waitUntil(within: .seconds(20)) { (try? client.get("x-user-id: a\r\n").status) == 200 }
        #expect(isInForce)
        #expect(try statuses("x-user-id: a\r\nx-version: 2.0\r\n", 1) == [429])
    }

    @Test("Pending are requests that wait for registries, of services that the file names and of others")
    func discovery() throws {
        let registry = try ScriptedServer { connection, _ in _ = connection.receiveAll() }
        let directory = try TemporaryDirectory()
        try directory.write(
            "greymesh.yaml",
            """
            registries: ["consul://\(registry.address)"]
            workers: 1
            admin: {listen: 127.0.0.1:0}
            listeners: [{name: in, protocol: http, listen: 127.0.0.1:0}]
            limits: {discovery_timeout: 20s}
            services:
              "*": {circuit_breaker: {pending: 1}}
              order-service:

            """)
        let process = try GreymeshProcess(
            ["run", "--config", directory.path(of: "greymesh.yaml")], directory: directory.path)
        defer { process.child.terminate() }
        try process.waitForLog("event=listener.opened")
        let address = try #require(SocketAddress(try process.http))
        for service in ["order-service", "other-service"] {
            let waiting = try Connection(to: address)
            waiting.send("GET / HTTP/1.1\r\nHost: \(service)\r\n\r\n")
            // One that is not named is announced when the first request has asked for it: some may wait by then.
            var clients: [Connection] = []
            let isRefused = waitUntil(within: .seconds(15)) {
                guard let client = try? Connection(to: address) else { return false }
                clients.append(client)
                client.send("GET / HTTP/1.1\r\nHost: \(service)\r\n\r\n")
                return waitUntil(within: .milliseconds(500)) { client.hasInput }
                    && client.receive(until: "\r\n\r\n").lowercased().contains("x-greymesh-error: limit")
            }
            #expect(isRefused && !waiting.hasInput)
        }
    }

    @Test("Dubbo and Bolt: a rate and a version's own", arguments: ["dubbo", "bolt"])
    func framed(listener: String) throws {
        let service = try SampleService(listener, "a", ["--interface", "demo.Shop"])
        defer { withExtendedLifetime(service) {} }
        let directory = try TemporaryDirectory()
        defer { withExtendedLifetime(directory) {} }
        let tag = listener == "dubbo" ? "dubbo.tag" : "version"
        let process = try GreymeshProcess.serve(
            in: directory, listener,
            services:
                "demo.Shop: {rate_limit: 1/h, stable: gray, versions: {gray: {rate_limit: {rate: 1/h, burst: 4}}}}",
            hosts: "demo.Shop: [{address: \"\(service.address)\", metadata: {\(tag): gray}}]", workers: 2)
        defer { process.child.terminate() }
        let caller = try SampleCaller(listener, process.address(of: "in"), count: 30, ["--connections", "4"])
        let tally = try caller.tally()
        #expect(tally.answered == 4 && tally.failed == 26, "\(caller.output)")
        let metrics = try process.ask("/metrics").text
        let labels = "{service=\"demo.Shop\",protocol=\"\(listener)\",version=\"gray\""
        #expect(metrics.contains("greymesh_refused_total\(labels),reason=\"rate\"} 26\n"), "\(metrics)")
        let code = listener == "dubbo" ? 100 : 4
        #expect(metrics.contains("greymesh_responses_total\(labels),code=\"\(code)\"} 26\n"), "\(metrics)")
    }
}
