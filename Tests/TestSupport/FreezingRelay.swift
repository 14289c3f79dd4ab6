import Glibc
import Runtime
import Synchronization

/// Hands bytes on between clients and a server, and can stop doing so: the way to lose a connection without losing the server.
public final class FreezingRelay: Sendable {
    /// Where clients connect.
    public var address: SocketAddress { server.address }
    /// Connections accepted so far.
    public var accepted: Int { server.accepted }
    private let server: ScriptedServer
    private let state: Shared

    private final class Shared: Sendable {
        struct State {
            var isFrozen = false
            var open: Set<Int32> = []
        }
        let state = Mutex(State())
    }

    /// Listens on a free loopback port.
    public init(to target: SocketAddress) throws {
        let shared = Shared()
        state = shared
        server = try ScriptedServer { client, _ in
            guard let upstream = try? Connection(to: target) else { return }
            let descriptors = [client.descriptor, upstream.descriptor]
            shared.state.withLock { $0.open.formUnion(descriptors) }
            defer { shared.state.withLock { $0.open.subtract(descriptors) } }
            Self.pump(client, upstream, shared)
        }
    }

    /// Stops handing anything on; connections stay open.
    public func freeze() { state.state.withLock { $0.isFrozen = true } }

    /// Ends `freeze`.
    public func resume() { state.state.withLock { $0.isFrozen = false } }

    /// Ends all connections.
    public func cut() {
        let open = state.state.withLock(\.open)
        for descriptor in open { shutdown(descriptor, Int32(SHUT_RDWR)) }
    }

    private static func pump(_ client: Connection, _ upstream: Connection, _ shared: Shared) {
        var entries = [client, upstream].map { pollfd(fd: $0.descriptor, events: Int16(POLLIN), revents: 0) }
        while true {
            if shared.state.withLock(\.isFrozen) {
                usleep(5_000)
                continue
            }
            guard poll(&entries, 2, 20) >= 0 else { return }
            for (index, (from, to)) in [(client, upstream), (upstream, client)].enumerated()
            where entries[index].revents != 0 {
                let bytes = from.receive()
                if bytes.isEmpty || !to.send(bytes) { return }
            }
        }
    }
}
