import Runtime
import Synchronization
import TestSupport
import Testing

@Suite("Waits before further tries, and second hosts, through the built program", .serialized)
struct HedgeProcessTests {
    @Test("HTTP: of a host that does not answer nobody notices more than the time until another one is asked")
    func http() throws {
        let silent = try ScriptedServer { connection, _ in _ = connection.receiveAll() }
        let good = try HostThread("good")
        defer { good.stop() }
        let directory = try TemporaryDirectory()
        // The file is watched.
        defer { withExtendedLifetime(directory) {} }
        let process = try GreymeshProcess.serve(
            in: directory, "http", services: "order-service: {balancer: round-robin, retries: {hedge: 50ms}}",
            hosts: "order-service: [{address: \"\(silent.address)\"}, {address: \"\(good.address)\"}]")
        defer { process.child.terminate() }
        var twice = 0
        for _ in 0..<6 {
            let answer = try process.get()
            #expect(answer.status == 200 && answer.text == "good")
            if answer.header("x-greymesh-attempts") == "2" { twice += 1 }
        }
        #expect(twice == silent.accepted && twice > 0 && good.requests == 6)
        let series = "greymesh_retries_total{service=\"order-service\",protocol=\"http\",cause=\"hedge\"} \(twice)\n"
        #expect(try process.ask("/metrics").text.contains(series))
        #expect(waitUntil(within: .seconds(5)) { silent.open == 0 })
    }

    @Test("Dubbo and Bolt: so it is for calls whose method is listed", arguments: ["dubbo", "bolt"])
    func framed(listener: String) throws {
        // It never comes to answering.
        let silent = try SampleService(listener, "silent", ["--interface", "demo.Shop", "--delay-ms", "600000"])
        let good = try SampleService(listener, "good", ["--interface", "demo.Shop"])
        defer { withExtendedLifetime((silent, good)) {} }
        let directory = try TemporaryDirectory()
        defer { withExtendedLifetime(directory) {} }
        let process = try GreymeshProcess.serve(
            in: directory, listener,
            services: "demo.Shop: {balancer: round-robin, retries: {hedge: 50ms, methods: [\"s*\"]}}",
            hosts: "demo.Shop: [{address: \"\(silent.address)\"}, {address: \"\(good.address)\"}]")
        defer { process.child.terminate() }
        let caller = try SampleCaller(listener, process.address(of: "in"), count: 6, ["--timeout-ms", "30000"])
        let tally = try caller.tally()
        #expect(tally.answered == 6 && tally.failed == 0 && tally.counts == ["good": 6], "\(caller.output)")
        let metrics = try process.ask("/metrics").text
        let series = "greymesh_retries_total{service=\"demo.Shop\",protocol=\"\(listener)\",cause=\"hedge\"} "
        #expect(metrics.contains(series), "\(metrics)")
        #expect(metrics.contains("{host=\"\(silent.address)\",protocol=\"\(listener)\"} 0\n"), "\(metrics)")
    }

    @Test("The second further try is made after the wait that the file says")
    func backoff() throws {
        let times = Mutex<[Int64]>([])
        let hosts = try (0..<3).map { _ in
            try ScriptedServer { connection, _ in
                _ = connection.receive(until: "\r\n\r\n")
                times.withLock { $0.append(Clock.nanoseconds) }
                connection.resetOnClose()
            }
        }
        let directory = try TemporaryDirectory()
        defer { withExtendedLifetime(directory) {} }
        let addresses = hosts.map { "{address: \"\($0.address)\"}" }.joined(separator: ", ")
        let process = try GreymeshProcess.serve(
            in: directory, "http", services: "order-service: {retries: {on: [connect, reset], backoff: 400ms}}",
            hosts: "order-service: [\(addresses)]")
        defer { process.child.terminate() }
        let answer = try process.get()
        #expect(answer.status == 502 && answer.header("x-greymesh-attempts") == "3")
        let seen = times.withLock(\.self)
        #expect(seen.count == 3 && seen[2] - seen[1] >= 200_000_000, "\(seen)")
    }
}
