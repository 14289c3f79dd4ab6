import Glibc
import Runtime
import TestSupport

/// A real Nacos server, Greymesh as it was built, and real Dubbo applications around them. All end with the object.
final class Mesh {
    static let service = "demo.EchoService"

    /// Greymesh itself.
    let greymesh: ChildProcess
    private let registry: String
    private let dubbo: String
    private let directory: TemporaryDirectory
    private var processes: [ChildProcess]

    /// Starts the registry and, once that serves, Greymesh.
    ///
    /// - Parameter registry: `nacos2` or `nacos3`.
    init(registry name: String) throws {
        directory = try TemporaryDirectory()
        let (server, port) = try Self.startRegistry(name, directory)
        registry = "nacos://127.0.0.1:\(port)"
        processes = [server]
        greymesh = try ChildProcess(
            BuiltProgram.path("greymesh"),
            ["run", "--registry", registry, "--dubbo", "127.0.0.1:0", "--http", "off", "--admin", "127.0.0.1:0"])
        processes.append(greymesh)
        dubbo = try Self.address(of: "dubbo", in: greymesh)
    }

    deinit {
        for process in processes.reversed() { process.signal(SIGKILL) }
        for process in processes { _ = try? process.waitForExit() }
    }

    /// A provider to start.
    struct Provider {
        /// `dubbo27` or `dubbo33`.
        let dubbo: String
        /// Its answers begin with this.
        let name: String
        var version = "1.0.0"
        /// Nil is untagged.
        var tag: String?
    }

    /// Starts providers, all at the same time.
    @discardableResult
    func start(_ providers: Provider...) throws -> [ChildProcess] {
        let started = try providers.map { provider in
            var arguments = [
                "port=\(try FreePort.next())", "name=\(provider.name)", "version=\(provider.version)",
                "registry=\(registry)", "home=\(directory.path)",
            ]
            if provider.dubbo == "dubbo33" { arguments.append("register=interface") }
            if let tag = provider.tag { arguments.append("tag=\(tag)") }
            return try launch("\(provider.dubbo)-provider", arguments)
        }
        for process in started { _ = try process.waitForLine("READY", within: .seconds(90)) }
        return started
    }

    /// Starts a consumer whose only address is Greymesh.
    ///
    /// - Parameters:
    ///   - dubbo: `dubbo27` or `dubbo33`.
    ///   - version: the interface version that it calls.
    ///   - arguments: what it shall do.
    func startConsumer(_ dubbo: String, version: String = "1.0.0", _ arguments: [String]) throws -> ChildProcess {
        // A first call loads classes on both sides, which takes seconds when other tests keep the machine busy.
        try launch(
            "\(dubbo)-consumer",
            [
                "url=dubbo://\(self.dubbo)/\(Self.service)?version=\(version)", "timeout=4000",
                "home=\(directory.path)",
            ] + arguments)
    }

    private func launch(_ name: String, _ arguments: [String]) throws -> ChildProcess {
        let process = try Peers.launch(name, arguments)
        processes.append(process)
        return process
    }

    private static func startRegistry(_ name: String, _ directory: TemporaryDirectory) throws -> (ChildProcess, UInt16)
    {
        func start(_ attempt: Int) throws -> (ChildProcess, UInt16) {
            let port = try FreePort.next(offsets: [0, 1000, 1001, -1000])
            let data = directory.path(of: "nacos\(attempt)")
            return (try Peers.start(name, ["port=\(port)", "data=\(data)"], within: .seconds(90)), port)
        }
        // On a machine that is busy with other tests its database may give up waiting for itself.
        do { return try start(1) } catch { return try start(2) }
    }

    /// Where a listener really listens that was told to take any free port.
    static func address(of listener: String, in greymesh: ChildProcess) throws -> String {
        var address: String?
        let came = waitUntil(within: .seconds(20)) {
            let lines = greymesh.errors.split(separator: "\n")
            guard lines.contains(where: { $0.contains("event=ready ") }) else { return false }
            address = lines.first { $0.contains("event=listener.opened name=\(listener) ") }
                .flatMap { $0.split(separator: " ").first { $0.hasPrefix("address=") } }
                .map { String($0.dropFirst("address=".count)) }
            return true
        }
        guard came, let address else { throw TestFailure("greymesh does not serve\n\(greymesh.errors)") }
        return address
    }
}
