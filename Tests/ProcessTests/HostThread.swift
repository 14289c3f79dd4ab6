import Runtime
import Synchronization
import WebServer

/// A scripted host on a thread of its own.
final class HostThread: Sendable {
    private let web: WebThread
    private let state: State

    private final class State: Sendable {
        let requests = Mutex(0)
        let isWell = Mutex(true)
    }

    /// - Parameter delay: before every answer.
    init(_ name: String, delay: Duration = .zero) throws {
        let state = State()
        self.state = state
        web = try WebThread(delay: delay) { request in
            state.requests.withLock { $0 += 1 }
            if request.path == "/health" && !state.isWell.withLock(\.self) { return .text("ill", status: 503) }
            return .text(name)
        }
    }

    var address: SocketAddress { web.address }
    var requests: Int { state.requests.withLock(\.self) }
    /// What it says of itself at `/health`.
    var isWell: Bool {
        get { state.isWell.withLock(\.self) }
        set { state.isWell.withLock { $0 = newValue } }
    }

    func stop() { web.stop() }
}
