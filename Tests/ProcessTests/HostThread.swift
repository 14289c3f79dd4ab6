import Runtime
import Synchronization
import TestSupport
import WebServer

/// A scripted host on a thread of its own: the test's thread waits for the program.
final class HostThread: Sendable {
    let address: SocketAddress
    private let counters: Counters
    private let stopping: Mailbox<Bool>
    private let thread: Mutex<Runtime.Thread?>

    private final class Counters: Sendable {
        let requests = Mutex(0)
    }

    private final class Start: Sendable {
        let address = Mutex<SocketAddress?>(nil)
        let error = Mutex<String?>(nil)
    }

    /// - Parameter delay: before every answer.
    init(_ name: String, delay: Duration = .zero) throws {
        let stopping = try Mailbox<Bool>()
        let counters = Counters()
        let start = Start()
        let thread = try Runtime.Thread(name: "host") {
            do {
                let loop = try EventLoop()
                let server = WebServer(loop: loop) { _, respond in
                    counters.requests.withLock { $0 += 1 }
                    if delay == .zero {
                        respond(.text(name))
                    } else {
                        loop.schedule(after: delay) { respond(.text(name)) }
                    }
                }
                loop.receive(stopping) { _ in loop.stop() }
                let bound = try server.listen(on: SocketAddress("127.0.0.1:0")!)
                start.address.withLock { $0 = bound }
                loop.run()
                server.stop()
            } catch {
                start.error.withLock { $0 = "\(error)" }
            }
        }
        let hasStarted = waitUntil(within: .seconds(10)) {
            start.address.withLock { $0 != nil } || start.error.withLock { $0 != nil }
        }
        guard hasStarted, let address = start.address.withLock(\.self) else {
            throw TestFailure("the host did not start: \(start.error.withLock { $0 ?? "" })")
        }
        self.address = address
        self.counters = counters
        self.stopping = stopping
        self.thread = Mutex(thread)
    }

    var requests: Int { counters.requests.withLock(\.self) }

    func stop() {
        stopping.post(true)
        thread.withLock { thread in
            thread?.join()
            thread = nil
        }
    }
}
