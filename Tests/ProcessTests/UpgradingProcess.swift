import Discovery
import Glibc
import Runtime
import TestSupport

/// A program that is upgraded: whichever process serves is found in the log, and ended with the object.
final class UpgradingProcess {
    let process: GreymeshProcess
    let directory: TemporaryDirectory
    private let registry: String
    /// It runs where processes have other numbers, and ends with the process before it.
    private let isApart: Bool

    /// - Parameters:
    ///   - program: another file than the built program.
    ///   - configuration: lines besides the registry and the admin API.
    ///   - hosts: lines of the services in the file that is the registry where no other is told.
    ///   - before: a program that starts this one, with its arguments.
    init(
        program: String? = nil, registry: String = "file:services.yaml", _ configuration: String, hosts: String = "",
        environment: [String: String] = [:], before: [String] = []
    ) throws {
        self.registry = registry
        isApart = !before.isEmpty
        directory = try TemporaryDirectory()
        let path = directory.path
        let file = try Self.write(directory, registry, configuration)
        try directory.write("services.yaml", "services:\n\(hosts)\n")
        let words = before + [try program ?? BuiltProgram.path("greymesh"), "run", "--config", file]
        process = GreymeshProcess(
            child: try ChildProcess(words[0], Array(words.dropFirst()), environment: environment, directory: path))
        try process.waitForLog("event=ready")
    }

    deinit {
        process.child.signal(SIGKILL)
        _ = try? process.child.waitForExit()
        if !isApart, let last = pids.last, last != process.child.processIdentifier, isRunning(last) {
            kill(last, SIGKILL)
        }
    }

    /// Writes the configuration anew.
    func configure(_ configuration: String) throws { try Self.write(directory, registry, configuration) }

    @discardableResult
    private static func write(_ directory: TemporaryDirectory, _ registry: String, _ configuration: String) throws
        -> String
    {
        try directory.write(
            "greymesh.yaml", "registries: [\"\(registry)\"]\nadmin: {listen: 127.0.0.1:0}\n\(configuration)\n")
    }

    /// Processes that have served, oldest first.
    var pids: [pid_t] {
        process.child.errors.split(separator: "\n").filter { $0.contains(" event=ready ") }.compactMap { line in
            line.split(separator: " ").first { $0.hasPrefix("pid=") }.flatMap { pid_t($0.dropFirst(4)) }
        }
    }

    /// Runs `greymesh upgrade`.
    func upgrade() throws -> (exit: ChildProcess.Exit, output: String, errors: String) {
        try GreymeshProcess.command(["upgrade", "--admin", try process.admin])
    }

    /// The same, and the new process is told by its number.
    func mustUpgrade() throws -> pid_t {
        let before = pids.count
        let result = try upgrade()
        let hasCome = waitUntil(within: .seconds(20)) { pids.count > before }
        guard result.exit == .status(0), hasCome, let last = pids.last else {
            throw TestFailure("\(result.errors)\n\(process.child.errors)")
        }
        return last
    }

    func isRunning(_ pid: pid_t) -> Bool {
        guard let status = try? TemporaryDirectory.read("/proc/\(pid)/stat") else { return false }
        // Behind the name, which is in brackets, is the state; Z is one that nobody has reaped.
        let text = String(decoding: status, as: UTF8.self)
        return text.split(separator: ")").last?.hasPrefix(" Z") != true
    }

    func waitForEnd(_ pid: pid_t) -> Bool { waitUntil(within: .seconds(20)) { !isRunning(pid) } }
}
