import CLinux
import Glibc

/// A system thread that runs one closure.
public struct Thread: Sendable {
    private let handle: pthread_t

    private final class Start {
        let body: @Sendable () -> Void
        init(_ body: @escaping @Sendable () -> Void) { self.body = body }
    }

    /// Starts a thread.
    ///
    /// - Parameter name: shown by `top -H`; the system cuts it to 15 characters.
    public init(name: String, _ body: @escaping @Sendable () -> Void) throws {
        let start = Unmanaged.passRetained(Start(body))
        var thread = pthread_t()
        let result = pthread_create(
            &thread, nil,
            { argument in
                Unmanaged<Start>.fromOpaque(argument!).takeRetainedValue().body()
                return nil
            }, start.toOpaque())
        guard result == 0 else {
            start.release()
            throw SystemError("start thread \(name)", code: result)
        }
        clinux_name_thread(thread, String(name.prefix(15)))
        handle = thread
    }

    /// Waits until the thread has ended. Call it once.
    public func join() { pthread_join(handle, nil) }

    /// Waits until the thread has ended, but no longer than `limit`. Call no other `join` for it.
    ///
    /// - Returns: whether it has ended; else it goes on as long as the process does.
    @discardableResult
    public func join(within limit: Duration) -> Bool {
        var end = timespec()
        clock_gettime(CLOCK_REALTIME, &end)
        let nanoseconds = end.tv_nsec + Int(limit.components.attoseconds / 1_000_000_000)
        end.tv_sec += Int(limit.components.seconds) + nanoseconds / 1_000_000_000
        end.tv_nsec = nanoseconds % 1_000_000_000
        if clinux_join_thread(handle, &end) == 0 { return true }
        pthread_detach(handle)
        return false
    }
}
