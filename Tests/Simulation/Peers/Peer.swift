import Glibc
import Runtime

/// One end of a connection that a client or a host holds: writes what its script says, as far as the other side takes it, and reads.
class Peer {
    enum Output {
        case bytes([UInt8])
        /// Something is to be noted when all before it is taken by the kernel.
        case mark(() -> Void)
        /// Nothing goes on until it is released.
        case hold
        case pause(until: Int64)
        case end
        case close
        case reset
    }

    let socket: VirtualSocket
    unowned let world: World
    private(set) var output: [Output] = []
    private var sentOfFirst = 0
    var incoming = ByteQueue()
    /// Does not read.
    var isPaused = false {
        didSet { if isPaused { wasPaused = true } }
    }
    /// It has not taken anything for some time.
    private(set) var wasPaused = false
    /// Neither reads nor writes.
    var isFrozen = false {
        didSet { frozenAt = isFrozen ? frozenAt ?? world.now : nil }
    }
    private(set) var frozenAt: Int64?
    /// When it last read or wrote something, or was made.
    private(set) var activeAt: Int64
    /// Bytes that were read since the beginning.
    private(set) var readCount = 0
    /// Since when it is for the other side to end the connection; nil when it is not.
    var endIsDueSince: Int64?
    /// The other side has ended the connection because nothing was taken, as it may.
    var wasGivenUp = false
    /// Closed by itself.
    private(set) var isClosed = false
    /// Reads nothing more: it has seen the end or a reset.
    private(set) var isAtEnd = false
    /// Writing has failed.
    private(set) var isBroken = false

    init(_ socket: VirtualSocket, _ world: World) {
        self.socket = socket
        self.world = world
        activeAt = world.now
    }

    // MARK: What kinds of peers do

    /// Its timer may have come.
    func tick() {}
    /// More is in `incoming`.
    func received() {}
    /// The other side has ended; `asReset`: broken off.
    func ended(asReset: Bool) {}
    /// It was closed, by itself or because writing failed.
    func closed() {}

    // MARK: Script

    func put(_ new: Output) { if !isClosed { output.append(new) } }
    func put(_ bytes: [UInt8]) { put(.bytes(bytes)) }
    func put(_ text: String) { put(.bytes(Array(text.utf8))) }

    /// Lets the first hold go.
    func release() {
        guard let index = output.firstIndex(where: { if case .hold = $0 { true } else { false } }) else { return }
        remove(at: index)
        // It goes on: what it may hold back after this has time of its own.
        if index == 0 { endIsDueSince = nil }
    }

    func releaseAll() {
        while output.contains(where: { if case .hold = $0 { true } else { false } }) { release() }
    }

    /// Forgets what is not written.
    func dropOutput() {
        output.removeAll()
        sentOfFirst = 0
    }

    private func remove(at index: Int) {
        output.remove(at: index)
        if index == 0 { sentOfFirst = 0 }
    }

    /// When it goes on by itself.
    final var nextTime: Int64? {
        if isFrozen || isClosed { return nil }
        if case .pause(let time)? = output.first { return min(time, timer ?? time) }
        return timer
    }

    /// A time of its own beside its script's.
    var timer: Int64? { nil }

    // MARK: Acting

    /// Does what can be done; returns whether that was anything.
    final func act() -> Bool {
        if isClosed || isFrozen { return false }
        tick()
        let hasWritten = write()
        if isClosed { return true }
        let hasRead = isPaused || isAtEnd ? false : read()
        return hasWritten || hasRead
    }

    private func write() -> Bool {
        var isAnything = false
        while let first = output.first {
            switch first {
            case .bytes(let bytes):
                if isBroken {
                    remove(at: 0)
                    continue
                }
                let sent = socket.send(bytes[sentOfFirst...])
                if sent == -Int(EAGAIN) { return isAnything }
                isAnything = true
                if sent < 0 {
                    isBroken = true
                    continue
                }
                sentOfFirst += sent
                activeAt = world.now
                if sentOfFirst == bytes.count { remove(at: 0) }
            case .mark(let note):
                remove(at: 0)
                if !isBroken { note() }
            case .hold: return isAnything
            case .pause(let time):
                if world.kernel.now < time { return isAnything }
                remove(at: 0)
            case .end:
                remove(at: 0)
                socket.endOutput()
            case .close, .reset:
                if case .close = first { close() } else { close(asReset: true) }
                return true
            }
            isAnything = true
        }
        return isAnything
    }

    private func read() -> Bool {
        var isAnything = false
        while true {
            switch socket.receive(atMost: 65_536) {
            case .success(let bytes):
                if bytes.isEmpty {
                    isAtEnd = true
                    ended(asReset: false)
                    return true
                }
                isAnything = true
                readCount += bytes.count
                activeAt = world.now
                incoming.append(bytes)
                received()
            case .failure(let failure):
                if failure.code == EAGAIN { return isAnything }
                isAtEnd = true
                ended(asReset: true)
                return true
            }
            if isClosed || isPaused { return true }
        }
    }

    func close(asReset: Bool = false) {
        if isClosed { return }
        isClosed = true
        dropOutput()
        asReset ? socket.reset() : socket.close()
        closed()
    }
}
