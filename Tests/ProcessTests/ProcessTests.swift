import Discovery
import Glibc
import Runtime
import Synchronization
import TestSupport
import Testing

@Suite("The built program")
struct ProcessTests {
    private func services(_ directory: TemporaryDirectory, _ hosts: [(HostThread, String)]) throws {
        var text = "services:\n  order-service:\n"
        for (host, version) in hosts {
            text += "    - {address: \"\(host.address)\", metadata: {version: \"\(version)\"}}\n"
        }
        try directory.replace("services.yaml", text)
    }

    @Test("It serves, explains, lists, and ends with 0")
    func serves() throws {
        let directory = try TemporaryDirectory()
        let (one, two) = (try HostThread("one"), try HostThread("two"))
        defer { one.stop(); two.stop() }
        try services(directory, [(one, "1.0"), (two, "2.0")])
        let process = try GreymeshProcess.run(["--registry", "file:services.yaml"], directory: directory.path)
        defer { process.child.terminate() }
        let answer = try process.get(headers: [("x-version", "2.0")])
        #expect(answer.text == "two" && answer.header("x-greymesh-version") == "2.0")
        #expect(try process.ask("/readyz").status == 200)

        let admin = ["--admin", try process.admin]
        let listed = try GreymeshProcess.command(["services"] + admin)
        #expect(listed.exit == .status(0))
        #expect(
            listed.output == """
                SERVICE        PROTOCOL  STATE  HOSTS  USABLE  VERSIONS  REQUESTS
                order-service  http      ready      2       2  1.0 2.0          1

                """)
        let clusters = try GreymeshProcess.command(["clusters", "order-service"] + admin)
        #expect(clusters.output.split(separator: "\n").count == 3)
        #expect(clusters.output.contains("\(two.address)"))
        let explained = try GreymeshProcess.command(
            ["explain", "--service", "order-service", "--header", "x-version=1.0"] + admin)
        #expect(explained.exit == .status(0))
        #expect(explained.output.hasPrefix("1. the service is order-service"))
        #expect(explained.output.hasSuffix("=> order-service version 1.0: \(one.address)\n"))
        let json = try GreymeshProcess.command(["explain", "--json", "--service", "nobody"] + admin)
        #expect(json.exit == .status(1) && json.output.hasPrefix("{"))
        let unknown = try GreymeshProcess.command(["clusters", "other-service"] + admin)
        #expect(unknown.exit == .status(1))
        #expect(
            unknown.errors == "greymesh: clusters: the service other-service is not watched; see greymesh services\n")

        process.child.signal(SIGTERM)
        #expect(try process.child.waitForExit() == .status(0))
        try process.waitForLog("event=stopped")
        let away = try GreymeshProcess.command(["services"] + admin)
        #expect(away.exit == .status(1) && away.errors.split(separator: "\n").count == 1)
        #expect(away.errors.contains("no running greymesh answers on \(admin[1])"))
    }

    @Test("A signal while the configuration is being read is not lost, and kills nobody", arguments: [SIGTERM, SIGHUP])
    func signalsAtTheStart(signal: Int32) throws {
        let directory = try TemporaryDirectory()
        try directory.write("services.yaml", "services: {}\n")
        let file = directory.path(of: "config.yaml")
        try #require(mkfifo(file, 0o600) == 0)
        let process = try GreymeshProcess(
            ["run", "--config", file, "--http", "127.0.0.1:0", "--dubbo", "off", "--admin", "127.0.0.1:0"])
        defer { process.child.terminate() }
        // It can be opened when somebody reads it.
        func offer(_ text: String, signal: Int32?) {
            var descriptor: Int32 = -1
            #expect(
                waitUntil(within: .seconds(10)) {
                    descriptor = open(file, O_WRONLY | O_NONBLOCK)
                    return descriptor >= 0
                })
            if let signal { process.child.signal(signal) }
            #expect(write(descriptor, text, text.utf8.count) == text.utf8.count)
            close(descriptor)
        }
        let text = "registries: [\"file:\(directory.path(of: "services.yaml"))\"]\n"
        offer(text, signal: signal)
        try process.waitForLog("event=ready")
        if signal == SIGTERM {
            #expect(try process.child.waitForExit() == .status(0))
        } else {
            // It reads the file anew.
            offer(text, signal: nil)
            try process.waitForLog("event=configuration.loaded")
        }
    }

    @Test("A nested state folder is made")
    func folders() throws {
        let directory = try TemporaryDirectory()
        try directory.write("services.yaml", "services: {}\n")
        let process = try GreymeshProcess.run(
            ["--registry", "file:services.yaml", "--state", "a/b/c"], directory: directory.path)
        defer { process.child.terminate() }
        var information = stat()
        #expect(waitUntil(within: .seconds(10)) { stat(directory.path(of: "a/b/c"), &information) == 0 })
    }

    @Test("SIGTERM lets a slow request end")
    func drains() throws {
        let directory = try TemporaryDirectory()
        let host = try HostThread("slow", delay: .milliseconds(700))
        defer { host.stop() }
        try services(directory, [(host, "1.0")])
        let process = try GreymeshProcess.run(["--registry", "file:services.yaml"], directory: directory.path)
        defer { process.child.terminate() }
        let request = HTTPRequest("GET", "http://\(try process.http)/", headers: [("Host", "order-service")])
        let result = Outcome()
        let thread = try Runtime.Thread(name: "client") { result.text.withLock { $0 = Self.text(request) } }
        #expect(waitUntil(within: .seconds(10)) { host.requests == 1 })
        process.child.signal(SIGTERM)
        try process.waitForLog("event=drain.started")
        let address = try #require(SocketAddress(try process.http))
        #expect(waitUntil(within: .seconds(10)) { !Self.accepts(address) })
        thread.join()
        #expect(result.text.withLock(\.self) == "slow")
        #expect(try process.child.waitForExit() == .status(0))
        try process.waitForLog("event=drain.done")
    }

    @Test("A second signal ends it at once")
    func secondSignal() throws {
        let directory = try TemporaryDirectory()
        let host = try HostThread("slow", delay: .seconds(600))
        defer { host.stop() }
        try services(directory, [(host, "1.0")])
        let process = try GreymeshProcess.run(["--registry", "file:services.yaml"], directory: directory.path)
        defer { process.child.terminate() }
        let request = HTTPRequest("GET", "http://\(try process.http)/", headers: [("Host", "order-service")])
        let thread = try Runtime.Thread(name: "client") { _ = Self.text(request) }
        #expect(waitUntil(within: .seconds(10)) { host.requests == 1 })
        process.child.signal(SIGINT)
        try process.waitForLog("event=drain.started")
        process.child.signal(SIGINT)
        #expect(try process.child.waitForExit() == .status(0))
        try process.waitForLog("event=stop.forced")
        thread.join()
    }

    @Test("SIGHUP takes over a good file and refuses a bad one with file and line")
    func reload() throws {
        let directory = try TemporaryDirectory()
        let (one, two) = (try HostThread("one"), try HostThread("two"))
        defer { one.stop(); two.stop() }
        try services(directory, [(one, "1.0"), (two, "2.0")])
        func file(_ section: String) -> String {
            """
            registries: [file:services.yaml]
            access_log: {path: access.log}
            services:
              order-service: \(section)
            """
        }
        let path = try directory.write("greymesh.yaml", file("{stable: \"1.0\"}"))
        let process = try GreymeshProcess.run(["--config", path], directory: directory.path)
        defer { process.child.terminate() }
        #expect(try process.get().text == "one")

        try directory.replace("greymesh.yaml", file("{stable: \"2.0\"}"))
        #expect(rename(directory.path(of: "access.log"), directory.path(of: "access.log.1")) == 0)
        process.child.signal(SIGHUP)
        try process.waitForLog("event=configuration.loaded")
        #expect(try process.get().text == "two")
        #expect(waitUntil(within: .seconds(10)) { access(directory.path(of: "access.log"), R_OK) == 0 })

        try directory.replace("greymesh.yaml", file("{stabel: \"1.0\"}"))
        process.child.signal(SIGHUP)
        try process.waitForLog("event=configuration.refused")
        try process.waitForLog("\(path):4: unknown key")
        #expect(try process.get().text == "two")
    }

    @Test("A port that is taken is an error in one line, also when it is another greymesh's")
    func takenPort() throws {
        let directory = try TemporaryDirectory()
        try directory.write("services.yaml", "services: {}\n")
        let process = try GreymeshProcess.run(["--registry", "file:services.yaml"], directory: directory.path)
        defer { process.child.terminate() }
        for flag in ["--http", "--admin"] {
            var addresses = ["--http": "127.0.0.1:0", "--admin": "127.0.0.1:0"]
            addresses[flag] = try flag == "--http" ? process.http : process.admin
            let second = try GreymeshProcess.command(
                ["run", "--registry", "file:\(directory.path(of: "services.yaml"))", "--dubbo", "off"]
                    + addresses.flatMap { [$0.key, $0.value] })
            #expect(second.exit == .status(1))
            #expect(second.errors.hasSuffix("greymesh: listen on \(addresses[flag]!): Address already in use\n"))
        }
    }

    @Test("The development registry and a process that watches it")
    func registry() throws {
        let registry = try GreymeshProcess(["registry", "--listen", "127.0.0.1:0"])
        defer { registry.child.terminate() }
        let line = try registry.child.waitForLine("READY registry ")
        let url = String(line.dropFirst("READY registry ".count))
        let host = try HostThread("one")
        defer { host.stop() }
        let parameters = PercentEncoding.form([
            ("serviceName", "order-service"), ("ip", "127.0.0.1"), ("port", "\(host.address.port)"),
            ("ephemeral", "false"), ("metadata", #"{"version":"1.0"}"#),
        ])
        let base = url.replacing("nacos://", with: "http://")
        let registered = try HTTPClient.perform(HTTPRequest("POST", "\(base)/nacos/v1/ns/instance?\(parameters)"))
        #expect(registered.status == 200)
        let process = try GreymeshProcess.run(["--registry", url])
        defer { process.child.terminate() }
        #expect(try process.get(headers: [("x-version", "1.0")]).text == "one")
        registry.child.signal(SIGTERM)
        #expect(try registry.child.waitForExit() == .status(0))
        // A registry that is away changes nothing for hosts already known.
        #expect(try process.get().text == "one")
        let listed = try GreymeshProcess.command(["registries", "--admin", try process.admin])
        #expect(listed.output.hasPrefix("REGISTRY") && listed.output.contains("polling         1      1"))
    }

    @Test("A start without the registry serves from what the last run knew")
    func survival() throws {
        let state = try TemporaryDirectory()
        let registry = try GreymeshProcess(["registry", "--listen", "127.0.0.1:0"])
        defer { registry.child.terminate() }
        let url = String(try registry.child.waitForLine("READY registry ").dropFirst("READY registry ".count))
        let host = try HostThread("one")
        defer { host.stop() }
        let parameters = PercentEncoding.form([
            ("serviceName", "order-service"), ("ip", "127.0.0.1"), ("port", "\(host.address.port)"),
            ("ephemeral", "false"), ("metadata", #"{"version":"1.0"}"#),
        ])
        let base = url.replacing("nacos://", with: "http://")
        #expect(try HTTPClient.perform(HTTPRequest("POST", "\(base)/nacos/v1/ns/instance?\(parameters)")).status == 200)
        let arguments = ["--registry", url, "--state", state.path(of: "hosts")]
        let first = try GreymeshProcess.run(arguments)
        defer { first.child.terminate() }
        #expect(try first.get().text == "one")
        first.child.signal(SIGTERM)
        #expect(try first.child.waitForExit() == .status(0))
        registry.child.signal(SIGKILL)
        _ = try registry.child.waitForExit()

        let second = try GreymeshProcess.run(arguments)
        defer { second.child.terminate() }
        let answer = try second.get(headers: [("x-version", "1.0")])
        #expect(answer.status == 200 && answer.text == "one")
        #expect(answer.header("x-greymesh-version") == "1.0")
        try second.waitForLog("registry.saved_hosts_used")
        let listed = try GreymeshProcess.command(["services", "--admin", try second.admin])
        #expect(listed.output.contains("order-service  http      saved      1       1  1.0"))
    }

    @Test("Wrong use ends with 2, a wrong file with 1")
    func exits() throws {
        #expect(try GreymeshProcess.command(["run"]).exit == .status(2))
        #expect(try GreymeshProcess.command(["--version"]).exit == .status(0))
        let missing = try GreymeshProcess.command(["run", "--config", "/nowhere.yaml"])
        #expect(missing.exit == .status(1))
        #expect(missing.errors == "/nowhere.yaml: cannot be read: No such file or directory\n")
    }

    private static func accepts(_ address: SocketAddress) -> Bool {
        guard let descriptor = try? Socket.connect(to: address) else { return false }
        defer { Socket.close(descriptor) }
        var poll = pollfd(fd: descriptor, events: Int16(POLLOUT), revents: 0)
        Glibc.poll(&poll, 1, 1000)
        return Socket.connectError(descriptor) == 0
    }

    private final class Outcome: Sendable {
        let text = Mutex("")
    }

    private static func text(_ request: HTTPRequest) -> String {
        do {
            return try HTTPClient.perform(request).text
        } catch {
            return "\(error)"
        }
    }
}
