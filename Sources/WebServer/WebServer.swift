import Glibc
import Runtime

/// A small HTTP/1.1 server on the control loop, for the admin API and the development registry: whole requests in, answers
/// in order, persistent and pipelined connections. The data plane does not use it.
public final class WebServer {
    /// What a peer may ask of the server.
    public struct Limits: Sendable {
        /// Connections at a time; when all are in use the one that has been idle longest makes room.
        public var connections = 256
        /// Bytes of a request's head.
        public var head = 32 * 1024
        /// Bytes of a request's body.
        public var body = 1024 * 1024
        /// From a request's first byte, or from connecting, to its last byte; then 408.
        public var requestTime = Duration.seconds(10)
        /// Between requests.
        public var idleTime = Duration.seconds(60)
        /// How long a peer may take no byte of an answer that waits for it.
        public var writeTime = Duration.seconds(20)

        /// The defaults.
        public init() {}
    }

    /// Answers a request, now or later, by calling `respond` once on the server's loop.
    public typealias Handler = (_ request: Request, _ respond: @escaping (Response) -> Void) -> Void

    let loop: EventLoop
    let limits: Limits
    let handler: Handler
    private var listeners: [Int32] = []
    private var connections: [Int32: Connection] = [:]
    private var sweeping = false

    /// Creates a server that does not listen yet.
    public init(loop: EventLoop, limits: Limits = Limits(), handler: @escaping Handler) {
        self.loop = loop
        self.limits = limits
        self.handler = handler
    }

    deinit {
        for descriptor in listeners + Array(connections.keys) {
            loop.unwatch(descriptor)
            Socket.close(descriptor)
        }
    }

    /// Listens on one more address and returns it with the port the system chose.
    @discardableResult
    public func listen(on address: SocketAddress) throws -> SocketAddress {
        let listener = try Socket.listen(on: address, shared: false)
        listeners.append(listener)
        startAccepting(listener)
        return Socket.localAddress(listener) ?? address
    }

    /// The listening sockets.
    public var listeningSockets: [Int32] { listeners }

    /// Takes over a listening socket that another process has opened; connections wait in it until `acceptWaiting`.
    ///
    /// - Returns: its address, nil when it has none.
    public func adopt(_ listener: Int32) -> SocketAddress? {
        listeners.append(listener)
        return Socket.localAddress(listener)
    }

    /// Accepts from all listening sockets.
    public func acceptWaiting() { for listener in listeners { startAccepting(listener) } }

    /// Stops listening; connections live on. Those that are idle are closed.
    public func stopListening() {
        for listener in listeners {
            loop.unwatch(listener)
            Socket.close(listener)
        }
        listeners = []
        for connection in Array(connections.values) { connection.closeWhenIdle() }
    }

    /// Stops listening and closes all connections.
    public func stop() {
        stopListening()
        for connection in Array(connections.values) { connection.close() }
    }

    /// Connections that are open now.
    public var connectionCount: Int { connections.count }

    private func startAccepting(_ listener: Int32) {
        loop.watch(listener, .readable) { [weak self] _ in self?.acceptAll(listener) }
    }

    private func acceptAll(_ listener: Int32) {
        while let (descriptor, _) = Socket.accept(listener) { admit(descriptor) }
        switch errno {
        case EMFILE, ENFILE, ENOBUFS, ENOMEM:
            // The connection stays in the queue and would wake the loop at once, again and again.
            loop.unwatch(listener)
            loop.schedule(after: .milliseconds(100)) { [weak self] in
                guard let self, self.listeners.contains(listener) else { return }
                self.startAccepting(listener)
            }
        default: break
        }
    }

    private func admit(_ descriptor: Int32) {
        if connections.count >= limits.connections {
            let idle = connections.values.filter(\.isIdle).min { $0.deadline < $1.deadline }
            guard let idle else { return Socket.close(descriptor) }
            idle.close()
        }
        let connection = Connection(descriptor: descriptor, server: self)
        connections[descriptor] = connection
        connection.start()
        sweepLater()
    }

    func forget(_ connection: Connection) { connections[connection.descriptor] = nil }

    /// One timer looks after the deadlines of all connections: setting a timer for every request would cost more than
    /// the requests.
    private func sweepLater() {
        guard !sweeping, !connections.isEmpty else { return }
        sweeping = true
        let shortest = min(limits.requestTime, limits.idleTime, limits.writeTime)
        loop.schedule(after: max(.milliseconds(10), min(shortest / 4, .milliseconds(500)))) { [weak self] in
            guard let self else { return }
            self.sweeping = false
            let now = Clock.nanoseconds
            for connection in Array(self.connections.values) where connection.deadline <= now {
                connection.deadlinePassed()
            }
            self.sweepLater()
        }
    }
}
