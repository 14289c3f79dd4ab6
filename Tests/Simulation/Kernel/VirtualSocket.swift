import Glibc
import Runtime

/// One end of a simulated TCP connection, as Linux has it (tried out on loopback):
///
/// - What has arrived is read before anything else, also after a reset. Then comes the end, or the reset once and an end after that.
/// - Closing with unread bytes resets the peer. So does sending to a peer that has closed; that send itself still succeeds.
/// - A reset that comes after the peer's end reads as an end and is EPIPE to a sender.
final class VirtualSocket {
    enum Phase {
        case connecting
        case open
        /// This end has no descriptor any more.
        case closed
    }

    var phase = Phase.open
    private(set) var inbound = ByteQueue()
    let capacity: Int
    private var peer: VirtualSocket?
    /// The peer will send nothing more.
    private(set) var hasEnd = false
    private(set) var hasSentEnd = false
    private(set) var isReset = false
    private var error: Int32 = 0
    /// When the bytes of the stream came: up to which offset at which time; only where somebody wants to know.
    private(set) var arrivals: [(end: Int, time: Int64)] = []
    private var arrived = 0
    /// Tells the time for `arrivals`.
    var clock: (() -> Int64)?
    /// Told when the peer sends something after this end was closed.
    var missed: (() -> Void)?

    init(capacity: Int) { self.capacity = capacity }

    /// Two ends of a new connection.
    static func connect(_ first: VirtualSocket, _ second: VirtualSocket) {
        first.peer = second
        second.peer = first
        first.phase = .open
        second.phase = .open
    }

    /// The other end of a connection.
    func isConnected(to other: VirtualSocket) -> Bool { peer === other }

    /// Nobody will ever read what is sent.
    var isPeerGone: Bool { isReset || peer?.phase == .closed }

    /// The peer's end has no descriptor any more.
    var isPeerClosed: Bool { peer.map { $0.phase == .closed } ?? true }

    /// The peer can send nothing: what it has sent is not read.
    var isFull: Bool { inbound.count >= capacity }

    /// Bytes that were sent and that the peer has not read.
    var unreadByPeer: Int { peer?.inbound.count ?? 0 }

    /// Bytes that the peer's side still takes.
    var room: Int { peer.map { max(0, $0.capacity - $0.inbound.count) } ?? 0 }

    var readiness: Readiness {
        if phase == .connecting { return [] }
        var readiness: Readiness = []
        if !inbound.isEmpty || hasEnd || isReset { readiness.insert(.readable) }
        if isReset || hasSentEnd || isPeerGone || room > capacity / 3 { readiness.insert(.writable) }
        if hasEnd || isReset { readiness.insert(.peerClosed) }
        if error != 0 { readiness.insert(.error) }
        if isReset || (hasEnd && hasSentEnd) { readiness.insert(.hangUp) }
        return readiness
    }

    /// Whether reading would tell something.
    var hasNews: Bool { readiness.contains(.readable) && !isReset || !inbound.isEmpty || error != 0 }

    func receive(atMost count: Int) -> Result<[UInt8], Failure> {
        if !inbound.isEmpty { return .success(inbound.take(min(count, inbound.count))) }
        if hasEnd { return .success([]) }
        if error != 0 { return .failure(takeError()) }
        return isReset ? .success([]) : .failure(Failure(code: EAGAIN))
    }

    /// Takes bytes of the front; returns how many, or a negative error.
    func send(_ bytes: UnsafePointer<UInt8>, _ count: Int) -> Int {
        if error != 0 { return -Int(takeError().code) }
        if isReset || hasSentEnd { return -Int(EPIPE) }
        guard let peer, phase == .open else { return -Int(EAGAIN) }
        if peer.phase == .closed {
            peer.missed?()
            becomeReset()
            return count
        }
        if room == 0 { return -Int(EAGAIN) }
        let sent = min(room, count)
        peer.inbound.append(bytes, sent)
        peer.noteArrival(sent)
        return sent
    }

    private func noteArrival(_ count: Int) {
        guard let clock else { return }
        arrived += count
        arrivals.append((arrived, clock()))
    }

    /// When the byte at an offset of the stream came.
    func arrival(of offset: Int) -> Int64? { arrivals.first { $0.end > offset }?.time }

    func send(_ bytes: ArraySlice<UInt8>) -> Int {
        bytes.withUnsafeBufferPointer { $0.count == 0 ? 0 : send($0.baseAddress!, $0.count) }
    }

    func endOutput() {
        if isReset || hasSentEnd { return }
        hasSentEnd = true
        peer?.hasEnd = true
    }

    func close() {
        if phase == .closed { return }
        if inbound.isEmpty {
            endOutput()
        } else {
            peer?.becomeReset()
        }
        phase = .closed
        letGo()
    }

    func reset() {
        if phase == .closed { return }
        peer?.becomeReset()
        phase = .closed
        letGo()
    }

    /// A connect that was started has failed.
    func fail(_ code: Int32) {
        phase = .open
        isReset = true
        error = code
    }

    func takeError() -> Failure {
        defer { error = 0 }
        return Failure(code: error)
    }

    private func becomeReset() {
        if isReset || phase == .closed { return }
        isReset = true
        error = hasEnd ? EPIPE : ECONNRESET
    }

    /// Breaks the circle of references when both ends are gone.
    private func letGo() {
        guard let peer, peer.phase == .closed else { return }
        peer.peer = nil
        self.peer = nil
    }

    struct Failure: Error {
        let code: Int32
    }
}

/// A simulated listening socket.
final class VirtualListener {
    var waiting: [(socket: VirtualSocket, peer: SocketAddress)] = []
}
