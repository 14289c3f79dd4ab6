import Glibc
import Runtime

/// The way between the two processes of an upgrade: whole messages with their descriptors, in order. Lives on the control loop.
final class UpgradeChannel {
    /// Gets each message. Its descriptor is the receiver's.
    var onMessage: (UpgradeMessage, Int32) -> Void = { _, _ in }
    /// Called once, when the other process has ended or says what is no message; not after `close`.
    var onEnd: () -> Void = {}
    /// Called whenever all that was sent is with the system.
    var onSent: () -> Void = {}

    private struct Piece {
        let bytes: [UInt8]
        /// Goes with the first byte, and is closed then; -1: none.
        var descriptor: Int32
        var sent = 0
    }

    private let loop: EventLoop
    private var descriptor: Int32
    private var interest: Readiness = []
    private var pieces: [Piece] = []
    private var inbound: [UInt8] = []
    private var descriptors: [Int32] = []
    private var retry: EventLoop.Timer?
    private var buffer = [UInt8](repeating: 0, count: 65_536)

    /// Longer ones are no messages: bodies of the largest limit that can be set fit.
    private static let longestMessage = 1 << 30

    /// Takes over a socket that does not block.
    init(_ descriptor: Int32, loop: EventLoop) {
        self.descriptor = descriptor
        self.loop = loop
        watch()
    }

    deinit { close() }

    /// Whether both processes still have it.
    var isOpen: Bool { descriptor >= 0 }

    /// Sends a message, and a descriptor with it that is closed here.
    func send(_ message: UpgradeMessage, descriptor: Int32 = -1) {
        guard self.descriptor >= 0 else {
            if descriptor >= 0 { Socket.close(descriptor) }
            return
        }
        let body = message.bytes
        var head = UpgradeWriter()
        head.put(UInt32(clamping: body.count))
        pieces.append(Piece(bytes: head.bytes + body, descriptor: descriptor))
        if pieces.count == 1 { flush() }
    }

    /// Ends at once; what is not sent yet is dropped.
    func close() {
        guard descriptor >= 0 else { return }
        loop.cancel(retry)
        loop.unwatch(descriptor)
        Socket.close(descriptor)
        descriptor = -1
        for open in descriptors + pieces.map(\.descriptor) where open >= 0 { Socket.close(open) }
        (descriptors, pieces) = ([], [])
    }

    private func end() {
        guard descriptor >= 0 else { return }
        close()
        onEnd()
    }

    private func watch() {
        guard descriptor >= 0 else { return }
        let interest: Readiness = pieces.isEmpty || retry != nil ? .readable : [.readable, .writable]
        if interest == self.interest { return }
        self.interest = interest
        loop.watch(descriptor, interest) { [weak self] readiness in self?.ready(readiness) }
    }

    private func ready(_ readiness: Readiness) {
        if readiness != .writable { read() }
        if descriptor >= 0, readiness.contains(.writable) { flush() }
    }

    // MARK: Sending

    private func flush() {
        var count = 0
        while count < pieces.count {
            let with = pieces[count].descriptor
            let sent = DescriptorSocket.send(
                descriptor, pieces[count].bytes[pieces[count].sent...], descriptors: with >= 0 ? [with] : [])
            if sent < 0 {
                if sent != -Int(EAGAIN) && sent != -Int(EINTR) && sent != -Int(ETOOMANYREFS) { return end() }
                if sent == -Int(ETOOMANYREFS) { retryLater() }
                break
            }
            if with >= 0 { Socket.close(with) }
            pieces[count].descriptor = -1
            pieces[count].sent += sent
            if pieces[count].sent == pieces[count].bytes.count { count += 1 }
        }
        pieces.removeFirst(count)
        watch()
        if pieces.isEmpty { onSent() }
    }

    /// So many descriptors are on their way that the system takes no more until the other side has read some.
    private func retryLater() {
        retry = loop.schedule(after: .milliseconds(1)) { [weak self] in
            self?.retry = nil
            self?.flush()
        }
    }

    // MARK: Receiving

    private func read() {
        while descriptor >= 0 {
            switch DescriptorSocket.receive(descriptor, into: &buffer) {
            case .nothing: return
            case .end: return end()
            case .bytes(let count, let found):
                inbound += buffer[..<count]
                descriptors += found
                guard takeMessages() else { return end() }
            }
        }
    }

    /// False: what came is no message.
    private func takeMessages() -> Bool {
        var used = 0
        while inbound.count - used >= 4 {
            var head = UpgradeReader(Array(inbound[used..<used + 4]))
            let length = Int(head.number32() ?? 0)
            if length > Self.longestMessage { return false }
            if inbound.count - used - 4 < length { break }
            let body = Array(inbound[used + 4..<used + 4 + length])
            used += 4 + length
            // Descriptors come with the first byte of their message, so that they are here by now, in order.
            let needs = UpgradeMessage.needsDescriptor(body)
            if needs && descriptors.isEmpty { return false }
            let with = needs ? descriptors.removeFirst() : -1
            guard let message = UpgradeMessage(body, descriptor: with) else {
                if with >= 0 { Socket.close(with) }
                return false
            }
            onMessage(message, with)
            // The receiver may have closed the channel.
            if descriptor < 0 { return true }
        }
        inbound.removeFirst(used)
        return true
    }
}
