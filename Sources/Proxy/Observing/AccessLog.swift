import CLinux
import Glibc
import Runtime
import Synchronization

/// Writes access log lines on a thread of its own, so that no worker ever waits for a file.
public final class AccessLog: Sendable {
    /// Bytes that may wait for a slow file; what comes beyond is dropped and counted.
    static let mostWaiting = 16 << 20

    private enum Message: Sendable {
        case lines([UInt8])
        case reopen
        case stop
    }

    private struct Counters {
        var waiting = 0
        var dropped: UInt64 = 0
    }

    private let path: String
    private let mailbox: Mailbox<Message>
    private let counters = Mutex(Counters())
    private let thread = Mutex<Thread?>(nil)

    /// Opens the file for appending, creates it when needed; `-` is standard output.
    ///
    /// - Throws: `SystemError` when it cannot be opened.
    public init(path: String) throws {
        self.path = path
        mailbox = try Mailbox()
        let descriptor = try Self.open(path)
        let thread = try Thread(name: "access-log") { [weak self] in self?.run(descriptor) }
        self.thread.withLock { $0 = thread }
    }

    /// Hands over whole lines.
    public func write(_ lines: [UInt8]) {
        let accepted = counters.withLock { counters in
            if counters.waiting + lines.count > Self.mostWaiting {
                counters.dropped += 1
                return false
            }
            counters.waiting += lines.count
            return true
        }
        if accepted { mailbox.post(.lines(lines)) }
    }

    /// Batches that were dropped because the file was too slow.
    public var dropped: UInt64 { counters.withLock(\.dropped) }

    /// Opens the file anew: after log rotation.
    public func reopen() { mailbox.post(.reopen) }

    /// Writes what waits and ends the thread. What nobody takes within a second is lost: the process is to end.
    public func stop() {
        mailbox.post(.stop)
        thread.withLock { thread in
            thread?.join(within: .seconds(1))
            thread = nil
        }
    }

    private func run(_ first: Int32) {
        var descriptor = first
        var isTorn = false
        while true {
            var poll = pollfd(fd: mailbox.descriptor, events: Int16(POLLIN), revents: 0)
            Glibc.poll(&poll, 1, -1)
            for message in mailbox.take() {
                switch message {
                case .lines(let lines):
                    // What could not be written to its end must not run into the next line.
                    isTorn = !Self.writeAll(isTorn ? [UInt8(ascii: "\n")] + lines : lines, to: descriptor)
                    counters.withLock { $0.waiting -= lines.count }
                case .reopen:
                    guard path != "-", let reopened = try? Self.open(path) else { continue }
                    close(descriptor)
                    descriptor = reopened
                case .stop:
                    if path != "-" { close(descriptor) }
                    return
                }
            }
        }
    }

    private static func open(_ path: String) throws -> Int32 {
        if path == "-" { return 1 }
        let descriptor = Glibc.open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0o644)
        guard descriptor >= 0 else { throw SystemError("open access log \(path)") }
        return descriptor
    }

    /// Returns whether all was written.
    private static func writeAll(_ bytes: [UInt8], to descriptor: Int32) -> Bool {
        var offset = 0
        while offset < bytes.count {
            let written = bytes.withUnsafeBytes {
                Glibc.write(descriptor, $0.baseAddress! + offset, bytes.count - offset)
            }
            if written < 0 {
                if errno == EINTR { continue }
                return false
            }
            offset += written
        }
        return true
    }
}
