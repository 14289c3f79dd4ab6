import Runtime

/// Takes connections at a port of this machine until it is closed; then it can listen there again.
final class Listener {
    let port: UInt16
    /// Gets every connection.
    var onConnection: (Int32) -> Void = { _ in }
    private let loop: EventLoop
    private var descriptor: Int32

    /// - Parameter port: 0 takes a free one.
    init(loop: EventLoop, port: UInt16 = 0) throws {
        self.loop = loop
        descriptor = try Self.listen(port)
        self.port = Socket.localAddress(descriptor)?.port ?? 0
        watch()
    }

    deinit { close() }

    func close() {
        guard descriptor >= 0 else { return }
        loop.unwatch(descriptor)
        Socket.close(descriptor)
        descriptor = -1
    }

    /// Listens on the same port again.
    func listen() throws {
        descriptor = try Self.listen(port)
        watch()
    }

    private static func listen(_ port: UInt16) throws -> Int32 {
        try Socket.listen(on: SocketAddress(ipv4: 0x7f00_0001, port: port), shared: false)
    }

    private func watch() {
        loop.watch(descriptor, .readable) { [unowned self] _ in
            while let (connection, _) = Socket.accept(descriptor) { onConnection(connection) }
        }
    }
}
