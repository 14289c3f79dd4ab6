import Glibc
import Runtime

/// Passes TCP connections on to another port, until it is stopped: a network between a client and a server.
final class Relay {
    private let target: UInt16
    private let loop: EventLoop
    private let listener: Listener
    private var peers: [Int32: Int32] = [:]

    init(loop: EventLoop, to target: UInt16) throws {
        self.loop = loop
        self.target = target
        listener = try Listener(loop: loop)
        listener.onConnection = { [unowned self] in accept($0) }
    }

    deinit { stop() }

    var port: UInt16 { listener.port }

    var base: String { "http://127.0.0.1:\(port)" }

    /// Closes everything.
    func stop() {
        for connection in Array(peers.keys) { drop(connection) }
        listener.close()
    }

    /// Listens again on the same port.
    func restart() throws { try listener.listen() }

    private func accept(_ connection: Int32) {
        guard let other = connect() else {
            close(connection)
            return
        }
        peers[connection] = other
        peers[other] = connection
        for side in [connection, other] {
            loop.watch(side, .readable) { [unowned self] _ in pass(from: side) }
        }
    }

    /// Blocks for a moment: the target is on this host.
    private func connect() -> Int32? {
        let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = target.bigEndian
        address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
        let result = withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                Glibc.connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
            }
        }
        if result == 0 { return descriptor }
        close(descriptor)
        return nil
    }

    private func pass(from connection: Int32) {
        guard let other = peers[connection] else { return }
        var buffer = [UInt8](repeating: 0, count: 65_536)
        let count = recv(connection, &buffer, buffer.count, Int32(MSG_DONTWAIT))
        if count < 0 && errno == EAGAIN { return }
        guard count > 0 else { return drop(connection) }
        var sent = 0
        while sent < count {
            let part = buffer[sent..<count].withUnsafeBytes {
                send(other, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL))
            }
            if part < 0 && errno == EAGAIN { continue }
            guard part > 0 else { return drop(connection) }
            sent += part
        }
    }

    private func drop(_ connection: Int32) {
        guard let other = peers.removeValue(forKey: connection) else { return }
        peers[other] = nil
        for side in [connection, other] {
            loop.unwatch(side)
            close(side)
        }
    }
}
