import CLinux
import Glibc

/// Signals as events of a loop.
public enum Signals {
    /// Blocks the signals for this thread and those it will start, and ignores SIGPIPE. Call it first in `main`.
    public static func block(_ signals: [Int32]) {
        signal(SIGPIPE, SIG_IGN)
        var set = makeSet(signals)
        pthread_sigmask(SIG_BLOCK, &set, nil)
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

    private static func makeSet(_ signals: [Int32]) -> sigset_t {
        var set = sigset_t()
        sigemptyset(&set)
        for signal in signals { sigaddset(&set, signal) }
        return set
    }
}
