import CLinux
import Glibc

/// A program that this process has started.
public struct ChildProgram: Sendable {
    /// How it ended.
    public enum Ending: Equatable, Sendable {
        /// It returned this status.
        case status(Int32)
        /// This signal has ended it.
        case signal(Int32)

        /// What `waitpid` tells.
        public init(waitStatus: Int32) {
            let signal = waitStatus & 0x7f
            self = signal == 0 ? .status((waitStatus >> 8) & 0xff) : .signal(signal)
        }

        /// The exit status by which shells tell it.
        public var exitStatus: Int32 {
            switch self {
            case .status(let status): status
            case .signal(let number): 128 + number
            }
        }
    }

    /// Its number.
    public let processIdentifier: pid_t

    /// Starts a program with the blocked signals, directory and standard streams of this process.
    ///
    /// - Parameters:
    ///   - path: its file.
    ///   - arguments: the first one is its name.
    ///   - environment: all its variables, `NAME=VALUE`.
    ///   - inherited: a descriptor that it has as number 3, and none beyond: libraries such as libcurl leave theirs open in
    ///     programs that are started, and each program would hand on those of all before it.
    ///   - blocked: the signals that are blocked in it; nil: those that are here.
    /// - Throws: `SystemError` with the reason why it cannot be started.
    public init(
        _ path: String, arguments: [String], environment: [String], inherited: Int32? = nil, blocked: [Int32]? = nil
    ) throws(SystemError) {
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        if let inherited {
            posix_spawn_file_actions_adddup2(&actions, inherited, Self.inheritedDescriptor)
            clinux_spawn_without_from(&actions, Self.inheritedDescriptor + 1)
        }
        var attributes = posix_spawnattr_t()
        posix_spawnattr_init(&attributes)
        defer { posix_spawnattr_destroy(&attributes) }
        if let blocked {
            var set = Signals.set(blocked)
            posix_spawnattr_setsigmask(&attributes, &set)
            posix_spawnattr_setflags(&attributes, Int16(POSIX_SPAWN_SETSIGMASK))
        }
        var child = pid_t()
        let result = Self.withStrings(arguments) { arguments in
            Self.withStrings(environment) { posix_spawn(&child, path, &actions, &attributes, arguments, $0) }
        }
        guard result == 0 else { throw SystemError("start \(path)", code: result) }
        processIdentifier = child
    }

    /// The number of the inherited descriptor in the program.
    public static let inheritedDescriptor: Int32 = 3

    /// How it has ended; nil while it runs. Once told it is not told again.
    public func ending() -> Ending? {
        var status: Int32 = 0
        let found = waitpid(processIdentifier, &status, WNOHANG)
        // Somebody else has reaped it: it has ended in any case.
        if found < 0 { return .status(0) }
        return found == processIdentifier ? Ending(waitStatus: status) : nil
    }

    /// Sends it a signal; only while `ending` has told nothing.
    public func signal(_ number: Int32) { _ = kill(processIdentifier, number) }

    /// Calls `body` with strings as C has lists of them, with nil at their end.
    public static func withStrings<Result>(
        _ strings: [String], _ body: ([UnsafeMutablePointer<CChar>?]) -> Result
    ) -> Result {
        let copies = strings.map { strdup($0) }
        defer { for copy in copies { free(copy) } }
        return body(copies + [nil])
    }
}
