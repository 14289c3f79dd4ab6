import Discovery
import Glibc
import Runtime
import TestSupport

/// The built program, run in the background on ports that the system chooses.
final class GreymeshProcess {
    let child: ChildProcess

    /// The program stands beside the test bundle, built with the same settings.
    static var program: String {
        get throws {
            var buffer = [CChar](repeating: 0, count: 4096)
            let count = readlink("/proc/self/exe", &buffer, buffer.count - 1)
            let path = String(decoding: buffer[..<max(0, count)].map { UInt8(bitPattern: $0) }, as: UTF8.self)
            let candidates = [path, CommandLine.arguments[0]].compactMap { path in
                path.lastIndex(of: "/").map { String(path[..<$0]) + "/greymesh" }
            }
            guard let found = candidates.first(where: { access($0, X_OK) == 0 }) else {
                throw TestFailure("no program at \(candidates)")
            }
            return found
        }
    }

    /// A program that was started in some other way.
    init(child: ChildProcess) { self.child = child }

    init(_ arguments: [String], environment: [String: String] = [:], directory: String? = nil) throws {
        child = try ChildProcess(Self.program, arguments, environment: environment, directory: directory)
    }

    /// `greymesh run` on free ports; waits until it is ready.
    static func run(_ arguments: [String], directory: String? = nil) throws -> GreymeshProcess {
        let ports = ["--http", "127.0.0.1:0", "--dubbo", "off", "--admin", "127.0.0.1:0", "--workers", "2"]
        let process = try GreymeshProcess(["run"] + ports + arguments, directory: directory)
        try process.waitForLog("event=ready")
        return process
    }

    /// Runs a command to its end.
    static func command(_ arguments: [String]) throws -> (exit: ChildProcess.Exit, output: String, errors: String) {
        let process = try GreymeshProcess(arguments)
        let exit = try process.child.waitForExit()
        return (exit, process.child.output, process.child.errors)
    }

    /// Starts one with one listener called `in`, and a file as registry; waits until it is ready.
    ///
    /// - Parameters:
    ///   - services: a line of the configuration's services.
    ///   - hosts: a line of the registry's services.
    ///   - more: another line of the configuration.
    static func serve(
        in directory: TemporaryDirectory, _ listener: String, services: String, hosts: String, more: String = "",
        workers: Int = 1
    ) throws -> GreymeshProcess {
        try directory.write("services.yaml", "services:\n  \(hosts)\n")
        try directory.write(
            "greymesh.yaml",
            """
            registries: [file:services.yaml]
            workers: \(workers)
            admin: {listen: 127.0.0.1:0}
            listeners: [{name: in, protocol: \(listener), listen: 127.0.0.1:0}]
            services:
              \(services)
            \(more)

            """)
        let process = try GreymeshProcess(
            ["run", "--config", directory.path(of: "greymesh.yaml")], directory: directory.path)
        try process.waitForLog("event=ready")
        return process
    }

    /// Waits for a text in the log.
    func waitForLog(_ text: String) throws {
        guard waitUntil(within: .seconds(20), { child.errors.contains(text) }) else {
            throw TestFailure("no '\(text)' in the log:\n\(child.errors)")
        }
    }

    /// The value of a field in the first log line of an event.
    func logged(_ event: String, _ field: String) throws -> String {
        for line in child.errors.split(separator: "\n") where line.contains("event=\(event) ") {
            for word in line.split(separator: " ") where word.hasPrefix(field + "=") {
                return String(word.dropFirst(field.count + 1))
            }
        }
        throw TestFailure("no \(event) \(field) in the log:\n\(child.errors)")
    }

    /// Where a listener really listens.
    func address(of listener: String) throws -> String {
        for line in child.errors.split(separator: "\n") where line.contains("event=listener.opened name=\(listener) ") {
            for word in line.split(separator: " ") where word.hasPrefix("address=") { return String(word.dropFirst(8)) }
        }
        throw TestFailure("no listener \(listener) in the log:\n\(child.errors)")
    }

    var http: String { get throws { try logged("listener.opened", "address") } }
    var admin: String { get throws { try logged("admin.opened", "address") } }

    /// Sends a request through the HTTP listener.
    func get(_ path: String = "/", headers: [(name: String, value: String)] = []) throws -> HTTPResponse {
        try HTTPClient.perform(
            HTTPRequest("GET", "http://\(http)\(path)", headers: [("Host", "order-service")] + headers))
    }

    func ask(_ path: String) throws -> HTTPResponse {
        try HTTPClient.perform(HTTPRequest("GET", "http://\(admin)\(path)"))
    }

    /// Sends JSON to the admin API.
    func post(_ path: String, _ json: String) throws -> String {
        try HTTPClient.perform(
            HTTPRequest(
                "POST", "http://\(admin)\(path)", headers: [("Content-Type", "application/json")],
                body: Array(json.utf8), timeout: .seconds(20))
        ).text
    }
}
