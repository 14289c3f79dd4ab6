import Runtime
import Synchronization
import TestSupport
import WebServer

/// A web server on a thread of its own: the test's thread waits for the program.
final class WebThread: Sendable {
    let address: SocketAddress
    private let stopping: Mailbox<Bool>
    private let thread: Mutex<Runtime.Thread?>

    private final class Start: Sendable {
        let address = Mutex<SocketAddress?>(nil)
        let error = Mutex<String?>(nil)
    }

    /// - Parameters:
    ///   - port: 0 is any.
    ///   - delay: before every answer.
    init(port: UInt16 = 0, delay: Duration = .zero, _ answer: @escaping @Sendable (Request) -> Response) throws {
        let stopping = try Mailbox<Bool>()
        let start = Start()
        let thread = try Runtime.Thread(name: "host") {
            do {
                let loop = try EventLoop()
                let server = WebServer(loop: loop) { request, respond in
                    let response = answer(request)
                    if delay == .zero {
                        respond(response)
                    } else {
                        loop.schedule(after: delay) { respond(response) }
                    }
                }
                loop.receive(stopping) { _ in loop.stop() }
                let bound = try server.listen(on: SocketAddress(ipv4: 0x7f00_0001, port: port))
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
        self.stopping = stopping
        self.thread = Mutex(thread)
    }

    func stop() {
        stopping.post(true)
        thread.withLock { thread in
            thread?.join()
            thread = nil
        }
    }
}
