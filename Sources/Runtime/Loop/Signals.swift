import CLinux
import Glibc

/// Signals as events of a loop.
public enum Signals {
    /// Those that a process which serves takes as events.
    public static let served = [SIGTERM, SIGINT, SIGHUP, SIGUSR2]

    /// Blocks the signals for this thread and those it will start, and ignores SIGPIPE. Call it first in `main`: what comes
    /// before would end the process, or be lost where it is the first one of a container.
    public static func block(_ signals: [Int32]) {
        signal(SIGPIPE, SIG_IGN)
        var set = makeSet(signals)
        pthread_sigmask(SIG_BLOCK, &set, nil)
    }

    /// Lets the signals do what they usually do, also those that have come meanwhile.
    public static func unblock(_ signals: [Int32]) {
        var set = makeSet(signals)
        pthread_sigmask(SIG_UNBLOCK, &set, nil)
    }

    /// Calls `handler` on the loop for each of the blocked signals that arrives.
    public static func watch(_ signals: [Int32], on loop: EventLoop, handler: @escaping (Int32) -> Void) throws {
        var set = makeSet(signals)
        let descriptor = signalfd(-1, &set, Int32(SFD_NONBLOCK | SFD_CLOEXEC))
        guard descriptor >= 0 else { throw SystemError("watch signals") }
        loop.watch(descriptor, .readable) { _ in
            var info = signalfd_siginfo()
            while read(descriptor, &info, MemoryLayout<signalfd_siginfo>.size) == MemoryLayout<signalfd_siginfo>.size {
                handler(Int32(info.ssi_signo))
            }
        }
    }

    /// A set of these signals.
    public static func set(_ signals: [Int32]) -> sigset_t { makeSet(signals) }

    private static func makeSet(_ signals: [Int32]) -> sigset_t {
        var set = sigset_t()
        sigemptyset(&set)
        for signal in signals { sigaddset(&set, signal) }
        return set
    }
}
