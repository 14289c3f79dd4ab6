import Runtime

/// Listens, and hands on the frames of all connections. One that sends something else is closed.
final class CallServer<Frame: CallFrame> {
    /// What is done with a frame. Throwing closes the connection.
    var onFrame: (Frame, Stream) throws -> Void = { _, _ in }

    private let loop: EventLoop
    private var listener: Int32 = -1
    private var connections: [ObjectIdentifier: Stream] = [:]

    init(loop: EventLoop) { self.loop = loop }

    deinit { stopListening() }

    /// Listens and returns the address with the port the system chose.
    func listen(on address: SocketAddress) throws -> SocketAddress {
        listener = try Socket.listen(on: address, shared: false)
        loop.watch(listener, .readable) { [weak self] _ in self?.acceptAll() }
        return Socket.localAddress(listener) ?? address
    }

    func stopListening() {
        guard listener >= 0 else { return }
        loop.unwatch(listener)
        Socket.close(listener)
        listener = -1
    }

    /// Sends something on every connection.
    func sendToAll(_ bytes: () -> [UInt8]) {
        for stream in connections.values { stream.send(bytes()) }
    }

    /// Closes all connections.
    func closeConnections() {
        for stream in connections.values { stream.close() }
        connections = [:]
    }

    /// Whether answers wait for clients to read them.
    var hasPendingAnswers: Bool { connections.values.contains { $0.pendingBytes > 0 } }

    private func acceptAll() {
        while let (descriptor, peer) = Socket.accept(listener) {
            let stream = Stream(loop: loop, accepted: descriptor, peer: peer)
            let key = ObjectIdentifier(stream)
            connections[key] = stream
            stream.onData = { [weak self, weak stream] in
                if let self, let stream { self.receive(stream) }
            }
            stream.onEnd = { [weak self] _ in self?.connections[key] = nil }
        }
    }

    private func receive(_ stream: Stream) {
        do {
            while stream.isOpen, let frame = try Frame.take(from: &stream.input) { try onFrame(frame, stream) }
        } catch {
            stream.close()
            connections[ObjectIdentifier(stream)] = nil
        }
    }
}
