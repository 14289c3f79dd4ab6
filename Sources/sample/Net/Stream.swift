import Glibc
import Runtime

/// A TCP connection on the loop, of either side: collects what arrives and sends what it is given.
final class Stream {
    /// What arrived and was not consumed.
    var input: [UInt8] = []
    /// Called when more has arrived.
    var onData: () -> Void = {}
    /// Called once when the connection ends other than by `close`, with the reason in words.
    var onEnd: (String) -> Void = { _ in }

    private let loop: EventLoop
    private var descriptor: Int32
    private var output: [UInt8] = []
    private var sent = 0
    private var isConnecting: Bool
    private var isWatchingWrites = false
    private let peer: String

    /// Takes over an accepted connection.
    init(loop: EventLoop, accepted descriptor: Int32, peer: SocketAddress) {
        self.loop = loop
        self.descriptor = descriptor
        self.peer = "\(peer)"
        isConnecting = false
        watch(.readable)
    }

    /// Starts to connect; what is sent meanwhile waits.
    init(loop: EventLoop, connectingTo address: SocketAddress) throws {
        self.loop = loop
        descriptor = try Socket.connect(to: address)
        peer = "\(address)"
        isConnecting = true
        watch([.readable, .writable])
        isWatchingWrites = true
    }

    deinit { close() }

    /// Whether it is connected or on the way to it.
    var isOpen: Bool { descriptor >= 0 }
    /// Bytes that wait for the peer to read.
    var pendingBytes: Int { output.count - sent }

    /// Sends, or keeps for later what the peer does not take now.
    func send(_ bytes: [UInt8]) {
        guard isOpen else { return }
        output += bytes
        if !isConnecting { flush() }
    }

    /// Ends the connection without a call of `onEnd`.
    func close() {
        guard isOpen else { return }
        loop.unwatch(descriptor)
        Socket.close(descriptor)
        descriptor = -1
    }

    private func watch(_ interest: Readiness) {
        loop.watch(descriptor, interest) { [weak self] in self?.ready($0) }
    }

    private func end(_ reason: String) {
        guard isOpen else { return }
        close()
        onEnd(reason)
    }

    private func ready(_ readiness: Readiness) {
        if isConnecting {
            let error = Socket.connectError(descriptor)
            if error != 0 { return end("connect to \(peer): \(SystemError.text(of: error))") }
            guard readiness.contains(.writable) else { return }
            isConnecting = false
        }
        if readiness.contains(.writable) { flush() }
        if isOpen, !readiness.isDisjoint(with: [.readable, .hangUp, .error]) { receive() }
    }

    private func receive() {
        let count = withUnsafeTemporaryAllocation(byteCount: 64 * 1024, alignment: 16) { buffer in
            let count = read(descriptor, buffer.baseAddress, buffer.count)
            if count > 0 { input += buffer[..<count] }
            return count
        }
        if count > 0 { return onData() }
        if count == 0 { return end("connection closed by \(peer)") }
        if errno != EAGAIN && errno != EINTR { end("read from \(peer): \(SystemError.text(of: errno))") }
    }

    private func flush() {
        while pendingBytes > 0 {
            let count = output.withUnsafeBytes { bytes in
                let rest = UnsafeRawBufferPointer(rebasing: bytes[sent...])
                return Glibc.send(descriptor, rest.baseAddress, rest.count, Int32(MSG_NOSIGNAL))
            }
            if count < 0 {
                if errno == EINTR { continue }
                if errno == EAGAIN { break }
                return end("write to \(peer): \(SystemError.text(of: errno))")
            }
            sent += count
        }
        if pendingBytes == 0 {
            output.removeAll(keepingCapacity: true)
            sent = 0
        }
        let wantsWrites = pendingBytes > 0
        if wantsWrites != isWatchingWrites {
            isWatchingWrites = wantsWrites
            watch(wantsWrites ? [.readable, .writable] : .readable)
        }
    }
}
