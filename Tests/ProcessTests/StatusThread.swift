import Runtime
import Synchronization
import WebServer

/// A scripted host that answers with a status of the test's choosing, and with another one at `/health`.
final class StatusThread: Sendable {
    private final class State: Sendable {
        let status: Mutex<Int>
        let requests = Mutex(0)
        let checks = Mutex(0)
        let checkStatus = Mutex(200)
        init(_ status: Int) { self.status = Mutex(status) }
    }

    private let web: WebThread
    private let state: State

    /// - Parameter delay: before every answer.
    init(_ status: Int = 200, port: UInt16 = 0, delay: Duration = .zero) throws {
        let state = State(status)
        self.state = state
        web = try WebThread(port: port, delay: delay) { request in
            if request.path == "/health" {
                state.checks.withLock { $0 += 1 }
                return .text("", status: state.checkStatus.withLock(\.self))
            }
            state.requests.withLock { $0 += 1 }
            return .text("", status: state.status.withLock(\.self))
        }
    }

    var address: SocketAddress { web.address }
    /// Requests so far, those for `/health` left out.
    var requests: Int { state.requests.withLock(\.self) }
    /// Requests for `/health`.
    var checks: Int { state.checks.withLock(\.self) }
    var status: Int {
        get { state.status.withLock(\.self) }
        set { state.status.withLock { $0 = newValue } }
    }
    var checkStatus: Int {
        get { state.checkStatus.withLock(\.self) }
        set { state.checkStatus.withLock { $0 = newValue } }
    }

    func stop() { web.stop() }
}
