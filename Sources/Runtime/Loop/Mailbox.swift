import CLinux
import Glibc
import Synchronization

/// Messages from any thread to one loop. The receiver watches `descriptor` and calls `take` when it is readable.
public final class Mailbox<Message: Sendable>: Sendable {
    private let messages = Mutex<[Message]>([])
    /// An eventfd: readable while messages may wait.
    public let descriptor: Int32

    /// Creates an empty mailbox.
    public init() throws {
        descriptor = eventfd(0, Int32(EFD_NONBLOCK | EFD_CLOEXEC))
        guard descriptor >= 0 else { throw SystemError("create an eventfd") }
    }

    deinit { close(descriptor) }

    /// Adds a message and wakes the receiver.
    public func post(_ message: Message) {
        let wasEmpty = messages.withLock { waiting in
            waiting.append(message)
            return waiting.count == 1
        }
        if wasEmpty { eventfd_write(descriptor, 1) }
    }

    /// Takes all messages, oldest first.
    public func take() -> [Message] {
        var count: eventfd_t = 0
        eventfd_read(descriptor, &count)
        return messages.withLock { waiting in
            defer { waiting = [] }
            return waiting
        }
    }
}

extension EventLoop {
    /// Calls `handler` on this loop for every message posted to the mailbox.
    public func receive<Message: Sendable>(_ mailbox: Mailbox<Message>, handler: @escaping (Message) -> Void) {
        watch(mailbox.descriptor, .readable) { _ in
            for message in mailbox.take() { handler(message) }
        }
    }
}
