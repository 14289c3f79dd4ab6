import Glibc
import Runtime

/// A connection that sends any bytes and collects what comes back; lives on the loop of the server it talks to.
final class RawClient {
    private let loop: EventLoop
    private let descriptor: Int32
    private(set) var received: [UInt8] = []
    private(set) var isEnded = false
    var readsPaused = false {
        didSet { if readsPaused { loop.unwatch(descriptor) } else { watch() } }
    }

    init(loop: EventLoop, to address: SocketAddress) throws {
        self.loop = loop
        descriptor = try Socket.connect(to: address)
        watch()
    }

    deinit {
        loop.unwatch(descriptor)
        Socket.close(descriptor)
    }

    var text: String { String(decoding: received, as: UTF8.self) }

    func send(_ text: String) {
        let bytes = Array(text.utf8)
        var sent = 0
        let done = loop.run(for: .seconds(5)) {
            let count = Glibc.send(descriptor, Array(bytes[sent...]), bytes.count - sent, Int32(MSG_NOSIGNAL))
            if count > 0 { sent += count }
            return sent == bytes.count || (count < 0 && errno != EAGAIN && errno != ENOTCONN)
        }
        precondition(done)
    }

    func shutdownWrites() { shutdown(descriptor, Int32(SHUT_WR)) }

    /// Runs the loop until all of the text has come.
    func expect(_ wanted: String) -> Bool {
        loop.run(for: .seconds(10)) { text.contains(wanted) }
    }

    /// Runs the loop until the server has closed the connection.
    func expectEnd() -> Bool { loop.run(for: .seconds(10)) { isEnded } }

    private func watch() {
        loop.watch(descriptor, .readable) { [weak self] _ in self?.receive() }
    }

    private func receive() {
        var buffer = [UInt8](repeating: 0, count: 65_536)
        let count = read(descriptor, &buffer, buffer.count)
        if count > 0 {
            received += buffer[..<count]
        } else if count == 0 || errno != EAGAIN {
            isEnded = true
            loop.unwatch(descriptor)
        }
    }
}
