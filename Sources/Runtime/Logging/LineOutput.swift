import Glibc
import Synchronization

/// A descriptor that whole lines are written to without waiting for who reads them: what a full pipe does not take is lost, and
/// the next line that gets through comes behind one that says how many were.
public final class LineOutput: Sendable {
    private struct State {
        var lost: UInt64 = 0
        /// Of these the reader knows.
        var told: UInt64 = 0
        /// Only the beginning of the last line was taken.
        var isCut = false
    }

    private let descriptor: Int32
    /// Held for a write that does not block: two threads could both see the room that is there for one.
    private let state = Mutex(State())

    /// So much goes into a pipe with room as a whole, and none of it otherwise.
    private static let piece = 4096

    /// - Parameter descriptor: stays the caller's. It is not made non-blocking: others can have the same.
    public init(_ descriptor: Int32 = 2) { self.descriptor = descriptor }

    /// Lines that were lost, those that are told already included.
    public var lost: UInt64 { state.withLock { $0.lost } }

    /// Writes a line with its end, or loses it.
    ///
    /// - Parameter note: a line that says how many were lost.
    public func write(_ line: String, note: (UInt64) -> String) {
        state.withLock { state in
            var text = state.isCut ? "\n" : ""
            if state.lost > state.told { text += note(state.lost - state.told) }
            let before = Array(text.utf8)
            guard put(before) == before.count else {
                state.lost += 1
                return
            }
            state.told = state.lost
            state.isCut = false
            let bytes = Array(line.utf8)
            let count = put(bytes)
            guard count < bytes.count else { return }
            state.isCut = count > 0
            state.lost += 1
        }
    }

    /// Returns how many bytes were taken.
    private func put(_ bytes: [UInt8]) -> Int {
        var rest = bytes[...]
        while !rest.isEmpty, hasRoom {
            let count = rest.prefix(Self.piece).withUnsafeBytes { Glibc.write(descriptor, $0.baseAddress, $0.count) }
            if count < 0 && errno == EINTR { continue }
            guard count > 0 else { break }
            rest = rest.dropFirst(count)
        }
        return bytes.count - rest.count
    }

    private var hasRoom: Bool {
        var wanted = pollfd(fd: descriptor, events: Int16(POLLOUT), revents: 0)
        return poll(&wanted, 1, 0) == 1 && wanted.revents & Int16(POLLOUT) != 0
    }
}
