import CLinux
import Glibc
import Runtime
import Synchronization

/// A program that a test runs. Its output is collected by a thread, so it never blocks on a full pipe.
///
/// It does not outlive the test process: a watchdog kills it when the test process is gone, however that ended.
public final class ChildProcess: Sendable {
    /// How a program ended.
    public enum Exit: Equatable, Sendable {
        /// It returned this status.
        case status(Int32)
        /// This signal killed it.
        case signal(Int32)
    }

    private struct State {
        var output: [UInt8] = []
        var errors: [UInt8] = []
        var closed = false
        var exit: Exit?
        var waiting = false
    }

    /// The process id.
    public let processIdentifier: pid_t
    private let name: String
    private let state = Mutex(State())
    private let watchdog: Watchdog

    /// Starts a program.
    ///
    /// - Parameters:
    ///   - program: a path, or a name to be looked up in PATH.
    ///   - environment: added to this process's environment.
    ///   - directory: where it runs; nil is this process's directory.
    public init(
        _ program: String, _ arguments: [String] = [], environment: [String: String] = [:], directory: String? = nil
    ) throws {
        let output = try Pipe()
        let errors = try Pipe()
        let child: pid_t
        do {
            child = try Self.spawn(
                program, arguments, environment: environment, directory: directory, output: output.writer,
                errors: errors.writer)
        } catch {
            for end in [output.reader, output.writer, errors.reader, errors.writer] { close(end) }
            throw error
        }
        close(output.writer)
        close(errors.writer)
        processIdentifier = child
        name = String(program.split(separator: "/").last ?? "program")
        watchdog = try Watchdog(for: child)
        // The thread holds the process object until the program has closed its output.
        _ = try Thread(name: "output") { [self] in collect(output.reader, errors.reader) }
    }

    /// What it has written to standard output so far.
    public var output: String { state.withLock { String(decoding: $0.output, as: UTF8.self) } }
    /// What it has written to standard error so far.
    public var errors: String { state.withLock { String(decoding: $0.errors, as: UTF8.self) } }

    /// The first whole line of standard output that begins with `prefix`, waiting for it.
    ///
    /// - Throws: `TestFailure` with everything the program wrote when it ends, or time is over, before such a line.
    public func waitForLine(_ prefix: String, within limit: Duration = .seconds(60)) throws -> String {
        var found: String?
        let came = waitUntil(within: limit) {
            let (text, closed) = state.withLock { (String(decoding: $0.output, as: UTF8.self), $0.closed) }
            let lines = text.split(separator: "\n", omittingEmptySubsequences: false)
            found = lines.dropLast().first { $0.hasPrefix(prefix) }.map(String.init)
            return found != nil || closed
        }
        guard came, let found else {
            throw TestFailure("\(name) wrote no line '\(prefix)…' within \(limit)\n\(output)\n\(errors)")
        }
        return found
    }

    /// Sends a signal.
    public func signal(_ number: Int32) {
        let ended = state.withLock { $0.exit != nil }
        if !ended { kill(processIdentifier, number) }
    }

    /// How it ended, waiting for that.
    ///
    /// - Throws: `TestFailure` with everything it wrote when it still runs after `limit`.
    @discardableResult
    public func waitForExit(within limit: Duration = .seconds(20)) throws -> Exit {
        guard waitUntil(within: limit, { reap() }), let exit = state.withLock({ $0.exit }) else {
            throw TestFailure("\(name) still runs after \(limit)\n\(output)\n\(errors)")
        }
        // The last words may still be in the pipe; a grandchild that keeps it open must not hold us up.
        _ = waitUntil(within: .seconds(2)) { state.withLock { $0.closed } }
        return exit
    }

    /// Stops it with SIGTERM, and with SIGKILL when it has not ended after `grace`.
    @discardableResult
    public func terminate(grace: Duration = .seconds(10)) -> Exit? {
        signal(SIGTERM)
        if let exit = try? waitForExit(within: grace) { return exit }
        signal(SIGKILL)
        return try? waitForExit()
    }

    private func reap() -> Bool {
        state.withLock { state in
            if state.exit != nil { return true }
            var status: Int32 = 0
            guard waitpid(processIdentifier, &status, WNOHANG) == processIdentifier else { return false }
            let signal = status & 0x7f
            state.exit = signal == 0 ? .status((status >> 8) & 0xff) : .signal(signal)
            watchdog.release()
            return true
        }
    }

    private func collect(_ output: Int32, _ errors: Int32) {
        var entries = [output, errors].map { pollfd(fd: $0, events: Int16(POLLIN), revents: 0) }
        var buffer = [UInt8](repeating: 0, count: 16_384)
        while entries.contains(where: { $0.fd >= 0 }) {
            guard poll(&entries, nfds_t(entries.count), -1) > 0 else { continue }
            for index in entries.indices where entries[index].fd >= 0 && entries[index].revents != 0 {
                let count = read(entries[index].fd, &buffer, buffer.count)
                if count > 0 {
                    state.withLock {
                        if index == 0 {
                            $0.output += buffer[0..<count]
                        } else {
                            $0.errors += buffer[0..<count]
                        }
                    }
                } else {
                    close(entries[index].fd)
                    entries[index].fd = -1
                }
            }
        }
        state.withLock { $0.closed = true }
    }

    fileprivate static func spawn(
        _ program: String, _ arguments: [String], environment: [String: String], directory: String?,
        input: Int32? = nil, output: Int32?, errors: Int32?
    ) throws -> pid_t {
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        for (target, source) in [(Int32(0), input), (1, output), (2, errors)] {
            if let source {
                posix_spawn_file_actions_adddup2(&actions, source, target)
            } else {
                posix_spawn_file_actions_addopen(&actions, target, "/dev/null", O_RDWR, 0)
            }
        }
        var attributes = posix_spawnattr_t()
        posix_spawnattr_init(&attributes)
        defer { posix_spawnattr_destroy(&attributes) }
        var none = sigset_t()
        sigemptyset(&none)
        var all = sigset_t()
        sigfillset(&all)
        posix_spawnattr_setsigmask(&attributes, &none)
        posix_spawnattr_setsigdefault(&attributes, &all)
        posix_spawnattr_setflags(&attributes, Int16(POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF))
        var child = pid_t()
        // env(1) changes the directory and then becomes the program: the process id stays.
        let prefix = directory.map { ["env", "-C", $0] } ?? []
        let words = prefix + [program] + arguments
        let result = ChildProgram.withStrings(words) { arguments in
            ChildProgram.withStrings(merged(environment)) { environment in
                posix_spawnp(&child, words[0], &actions, &attributes, arguments, environment)
            }
        }
        guard result == 0 else { throw SystemError("start \(program)", code: result) }
        return child
    }

    private static func merged(_ additions: [String: String]) -> [String] {
        var entries: [String] = []
        var next = environ
        while let entry = next.pointee {
            let text = String(cString: entry)
            let key = text.prefix { $0 != "=" }
            if additions[String(key)] == nil { entries.append(text) }
            next += 1
        }
        return entries + additions.map { "\($0.key)=\($0.value)" }
    }
}

/// A shell that kills a process when this process has gone without releasing it.
private final class Watchdog: Sendable {
    private let writer: Mutex<Int32>
    private let process: pid_t

    init(for child: pid_t) throws {
        let pipe = try Pipe()
        process = try ChildProcess.spawn(
            "/bin/sh", ["-c", "read line || kill -9 \(child)"], environment: [:], directory: nil, input: pipe.reader,
            output: nil, errors: nil)
        close(pipe.reader)
        writer = Mutex(pipe.writer)
    }

    /// The process has ended and was reaped: its number may belong to another.
    func release() {
        let descriptor = writer.withLock { writer in
            defer { writer = -1 }
            return writer
        }
        guard descriptor >= 0 else { return }
        _ = write(descriptor, "\n", 1)
        close(descriptor)
        var status: Int32 = 0
        waitpid(process, &status, 0)
    }
}

/// A pipe that programs started meanwhile do not inherit.
private struct Pipe {
    let reader: Int32
    let writer: Int32

    init() throws {
        var ends: [Int32] = [-1, -1]
        guard clinux_pipe(&ends) == 0 else { throw SystemError("create a pipe") }
        (reader, writer) = (ends[0], ends[1])
    }
}
