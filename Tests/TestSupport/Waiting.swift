import Glibc
import Runtime

/// What went wrong in a test, for the reader of its log.
public struct TestFailure: Error, CustomStringConvertible {
    /// The whole story.
    public let description: String

    /// A failure.
    public init(_ description: String) { self.description = description }
}

/// Waits until `condition` holds, looking every few milliseconds; tells whether it held in time.
///
/// For conditions outside an event loop; with a loop at hand use `EventLoop.run(for:until:)`.
public func waitUntil(within limit: Duration, _ condition: () throws -> Bool) rethrows -> Bool {
    let deadline = Clock.nanoseconds + limit.nanoseconds
    while try !condition() {
        if Clock.nanoseconds > deadline { return false }
        usleep(5_000)
    }
    return true
}
