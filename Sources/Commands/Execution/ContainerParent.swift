import CLinux
import ControlPlane
import Glibc
import Runtime

/// The first process of a container: its end is the container's end, so that it cannot be replaced itself. It starts the process that
/// serves, hands signals on to whichever serves now, and ends with the last one, as that has ended.
///
/// A process that hands over says to which one, by a signal of its own, before it ends.
struct ContainerParent {
    private let program: OwnProgram
    /// Those that serve or have served and still run.
    private var running: Set<pid_t> = []
    private var serving: pid_t = 0
    private var exitStatus: Int32 = 0

    private static let handedOn = [SIGTERM, SIGINT, SIGHUP, SIGUSR1, SIGUSR2, SIGQUIT]

    init(_ program: OwnProgram) { self.program = program }

    /// Runs until the last process has ended; returns its exit status.
    ///
    /// - Throws: `SystemError` when the program cannot be started.
    consuming func run() throws -> Int32 {
        var parent = self
        return try parent.serve()
    }

    private mutating func serve() throws -> Int32 {
        // The new process of an upgrade is a child of the old one.
        clinux_adopt_orphans()
        let signals = Self.handedOn + [SIGCHLD]
        Signals.block(signals + [clinux_serving_signal()])
        let child = try ChildProgram(
            program.path, arguments: program.arguments, environment: program.environment, blocked: Signals.served)
        ProcessLimits.releaseLibraryCode()
        serving = child.processIdentifier
        running = [serving]
        var set = Signals.set(signals)
        while !running.isEmpty {
            let signal = clinux_wait_signal(&set)
            // What was said first may come last: the system tells of signals by their numbers.
            takeSuccessors()
            switch signal {
            case SIGCHLD: reap()
            case SIGTERM, SIGINT, SIGQUIT: for process in running { _ = kill(process, signal) }
            case SIGHUP, SIGUSR1, SIGUSR2: _ = kill(serving, signal)
            default: break
            }
        }
        return exitStatus
    }

    /// Only who serves can say who serves next.
    private mutating func takeSuccessors() {
        var sender: Int32 = 0
        while case let next = clinux_told_serving(&sender), next > 0 {
            guard running.contains(sender) else { continue }
            serving = next
            running.insert(next)
        }
    }

    /// Also takes up the ends of processes that others have left behind.
    private mutating func reap() {
        var status: Int32 = 0
        while true {
            let process = waitpid(-1, &status, WNOHANG)
            if process <= 0 { break }
            takeSuccessors()
            guard running.remove(process) != nil else { continue }
            if process == serving { exitStatus = ChildProgram.Ending(waitStatus: status).exitStatus }
        }
        // Its parent may have been the process before it, which has taken up its end.
        running = running.filter { kill($0, 0) == 0 }
    }
}
