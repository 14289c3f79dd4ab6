import Glibc
import Runtime
import TestSupport
import Testing

/// The process is stopped while several things happen, so that it meets all of them at once.
@Suite("HTTP through the built program")
struct HTTPProcessTests {
    private func run(
        _ services: String, in directory: TemporaryDirectory, shell: String? = nil
    ) throws -> GreymeshProcess {
        try directory.replace("services.yaml", "services:\n" + services)
        let arguments = [
            "run", "--http", "127.0.0.1:0", "--dubbo", "off", "--admin", "127.0.0.1:0", "--workers", "1", "--registry",
            "file:services.yaml",
        ]
        let process: GreymeshProcess
        if let shell {
            process = GreymeshProcess(
                child: try ChildProcess(
                    "/bin/sh", ["-c", shell + "; exec \"$0\" \"$@\"", GreymeshProcess.program] + arguments,
                    directory: directory.path))
        } else {
            process = try GreymeshProcess(arguments, directory: directory.path)
        }
        try process.waitForLog("event=ready")
        return process
    }

    private func connect(_ process: GreymeshProcess) throws -> Connection {
        try Connection(to: try #require(SocketAddress(try process.http)))
    }

    private func body(_ client: Connection) -> String {
        let head = client.receive(until: "\r\n\r\n").lowercased()
        guard let place = head.firstRange(of: "content-length: ") else { return head }
        let length = head[place.upperBound...].prefix { $0.isNumber }
        return String(decoding: client.receive(exactly: Int(length) ?? 0), as: UTF8.self)
    }

    @Test("Requests that other connections have pipelined are answered although one of them must wait for its service")
    func twoLists() throws {
        let directory = try TemporaryDirectory()
        let held = Turns()
        let host = try ScriptedServer { connection, _ in
            while true {
                let head = connection.receive(until: "\r\n\r\n")
                if head.isEmpty { return }
                if head.contains("/hold") { held.enter() }
                connection.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
            }
        }
        let process = try run("  shop:\n    - {address: \"\(host.address)\"}\n", in: directory)
        defer { process.child.terminate() }
        let clients = try (0..<6).map { _ in try connect(process) }
        for (number, client) in clients.enumerated() {
            let second = number % 2 == 0 ? "shop" : "nobody-knows-\(number)"
            client.send("GET /hold HTTP/1.1\r\nHost: shop\r\n\r\nGET /2 HTTP/1.1\r\nHost: \(second)\r\n\r\n")
        }
        #expect(waitUntil(within: .seconds(10)) { held.waiting == 6 })
        process.child.signal(SIGSTOP)
        held.release()
        usleep(50_000)
        for client in clients { client.send("GET /3 HTTP/1.1\r\nHost: shop\r\n\r\n") }
        usleep(50_000)
        process.child.signal(SIGCONT)
        for (number, client) in clients.enumerated() {
            #expect(body(client) == "ok")
            let second = body(client)
            #expect(number % 2 == 0 ? second == "ok" : second.contains("nobody-knows"), "client \(number)")
            #expect(body(client) == "ok", "client \(number)")
        }
    }

    @Test("The first request to a service of very many hosts does not wait for something else to happen")
    func manyHosts() throws {
        let directory = try TemporaryDirectory()
        let host = try HostThread("live")
        defer { host.stop() }
        var services = ""
        for number in 0..<5 {
            services += "  big-\(number):\n    - {address: \"\(host.address)\", metadata: {version: live}}\n"
            for other in 0..<400 {
                services +=
                    "    - {address: \"127.1.\(other / 200).\(other % 200 + 1):9\", metadata: {version: other}}\n"
            }
        }
        let process = try run(services, in: directory)
        defer { process.child.terminate() }
        var times: [Int64] = []
        for number in 0..<5 {
            let client = try connect(process)
            let begin = Clock.nanoseconds
            client.send("GET / HTTP/1.1\r\nHost: big-\(number)\r\nx-version: live\r\n\r\n")
            #expect(body(client) == "live")
            times.append(Clock.nanoseconds - begin)
        }
        #expect(times.sorted()[2] < 500_000_000, "nanoseconds: \(times)")
    }

    @Test("An upload and the reset behind it: what was sent before reaches the host")
    func uploadThenReset() throws {
        let directory = try TemporaryDirectory()
        let heads = Turns()
        let host = try ScriptedServer { connection, _ in
            while true {
                let head = connection.receive(until: "\r\n\r\n")
                if head.isEmpty { return }
                if head.contains("/notice") {
                    heads.enter()
                } else {
                    connection.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
                }
            }
        }
        heads.release()
        let process = try run("  shop:\n    - {address: \"\(host.address)\"}\n", in: directory)
        defer { process.child.terminate() }
        let warm = try connect(process)
        warm.send("GET / HTTP/1.1\r\nHost: shop\r\n\r\n")
        #expect(body(warm) == "ok")
        process.child.signal(SIGSTOP)
        do {
            let client = try connect(process)
            client.resetOnClose()
            client.send("POST /notice HTTP/1.1\r\nHost: shop\r\nContent-Length: 0\r\n\r\n")
        }
        process.child.signal(SIGCONT)
        #expect(waitUntil(within: .seconds(10)) { heads.entered == 1 })
    }

    @Test("Without descriptors of our own no host is blamed, and no other version serves")
    func noDescriptors() throws {
        let directory = try TemporaryDirectory()
        let (one, two) = (try HostThread("one"), try HostThread("two"))
        defer { one.stop(); two.stop() }
        let services =
            "  order-service:\n    - {address: \"\(one.address)\", metadata: {version: \"1.0\"}}\n"
            + "    - {address: \"\(two.address)\", metadata: {version: \"2.0\"}}\n"
        let process = try run(services, in: directory, shell: "ulimit -n 64")
        defer { process.child.terminate() }
        let request = "GET / HTTP/1.1\r\nHost: order-service\r\nx-version: 2.0\r\n\r\n"
        let client = try connect(process)
        client.send("GET / HTTP/1.1\r\nHost: order-service\r\nx-version: 1.0\r\n\r\n")
        #expect(body(client) == "one")
        var others: [Connection]? = try (0..<80).map { _ in try connect(process) }
        try process.waitForLog("Too many open files")
        client.send(request)
        #expect(body(client).contains("no descriptors"))
        try process.waitForLog("event=connect.exhausted")
        #expect(!process.child.errors.contains("event=host.failed"))
        others = nil
        #expect(others == nil)
        let served = waitUntil(within: .seconds(10)) {
            client.send(request)
            return body(client) == "two"
        }
        #expect(served)
        #expect(!process.child.errors.contains("event=host.failed"))
    }
}
