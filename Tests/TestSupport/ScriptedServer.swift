import CLinux
import Glibc
import Runtime
import Synchronization

/// A server whose behaviour the test writes: each connection gets a thread that runs the script.
public final class ScriptedServer: Sendable {
    /// Where it listens.
    public let address: SocketAddress
    private let listener: Int32
    private let state = Mutex(State())

    private struct State {
        var accepted = 0
        var open: Set<Int32> = []
        var isStopped = false
    }

    /// Listens on a free loopback port, or on `port`; the script gets the connection and its number from 0.
    public init(port: UInt16 = 0, _ script: @escaping @Sendable (Connection, Int) -> Void) throws {
        listener = try Socket.listen(on: SocketAddress(ipv4: 0x7f00_0001, port: port), shared: false)
        address = Socket.localAddress(listener)!
        let flags = fcntl(listener, F_GETFL)
        _ = fcntl(listener, F_SETFL, flags & ~O_NONBLOCK)
        let (listener, state) = (listener, StateBox(self))
        _ = try Thread(name: "scripted") {
            while true {
                let descriptor = accept(listener, nil, nil)
                if descriptor < 0 { return }
                guard let server = state.server, let number = server.enter(descriptor) else {
                    close(descriptor)
                    return
                }
                _ = try? Thread(name: "script") { [weak server] in
                    let connection = Connection(descriptor: descriptor)
                    script(connection, number)
                    // Only then it is closed, or `stop` could shut down another socket of that number.
                    withExtendedLifetime(connection) { server?.leave(descriptor) }
                }
            }
        }
    }

    private final class StateBox: Sendable {
        private let reference: Mutex<Weak>
        init(_ server: ScriptedServer) { reference = Mutex(Weak(server: server)) }
        var server: ScriptedServer? { reference.withLock(\.server) }
        struct Weak: Sendable { weak var server: ScriptedServer? }
    }

    deinit { stop() }

    private func enter(_ descriptor: Int32) -> Int? {
        state.withLock { state in
            if state.isStopped { return nil }
            state.accepted += 1
            state.open.insert(descriptor)
            return state.accepted - 1
        }
    }

    private func leave(_ descriptor: Int32) { state.withLock { _ = $0.open.remove(descriptor) } }

    /// Connections accepted so far.
    public var accepted: Int { state.withLock(\.accepted) }

    /// Connections whose script still runs.
    public var open: Int { state.withLock(\.open.count) }

    /// Refuses new connections and wakes the scripts of open ones.
    public func stop() {
        let open: Set<Int32>? = state.withLock { state in
            if state.isStopped { return nil }
            state.isStopped = true
            return state.open
        }
        guard let open else { return }
        shutdown(listener, Int32(SHUT_RDWR))
        close(listener)
        for descriptor in open { shutdown(descriptor, Int32(SHUT_RDWR)) }
    }
}
