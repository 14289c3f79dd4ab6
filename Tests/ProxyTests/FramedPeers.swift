import CLinux
import Configuration
import Glibc
import Runtime
import Synchronization
import TestSupport

/// A frame of a multiplexed protocol as peers in tests write and read it.
protocol PeerFrame: Sendable, CustomDebugStringConvertible {
    /// What a request says.
    associatedtype Call: PeerCall

    static var listener: ListenerProtocol { get }

    init(_ call: Call)
    /// Reads the next frame with what reads so many bytes; nil when the connection ends or nothing comes in time.
    init?(reading read: (Int) -> [UInt8]?)

    var bytes: [UInt8] { get }
    /// What it calls; nil when it is no request.
    var request: Call? { get }
    /// What a host of that name answers; nil: nothing.
    func echo(_ name: String) -> Self?
}

/// What a request says.
protocol PeerCall: Sendable, CustomDebugStringConvertible {
    associatedtype Number: BinaryInteger

    var id: Number { get }
    var argument: String { get set }
}

// A failed expectation prints all that a host has seen: hundreds of frames, some of a megabyte.
extension PeerFrame {
    var debugDescription: String { request.map { $0.debugDescription } ?? "frame of \(bytes.count) bytes" }
}

extension PeerCall {
    var debugDescription: String {
        "call \(id) " + (argument.utf8.count > 40 ? "\(argument.prefix(20))… (\(argument.utf8.count))" : argument)
    }
}

typealias DubboSocket = FrameSocket<DubboFrame>
typealias DubboHost = FrameHost<DubboFrame>

/// A connection that speaks frames, for scripts that run on a thread of their own.
struct FrameSocket<Frame: PeerFrame>: Sendable {
    let descriptor: Int32

    /// Connects to a port of the loopback address.
    init(port: UInt16) throws {
        descriptor = try Socket.connect(to: SocketAddress(ipv4: 0x7f00_0001, port: port))
        guard wait(for: Int16(POLLOUT), .seconds(5)), Socket.connectError(descriptor) == 0 else {
            throw TestFailure("connect to port \(port) failed")
        }
    }

    init(descriptor: Int32) { self.descriptor = descriptor }

    func close() { Socket.close(descriptor) }

    /// Ends both ways at once; a thread that reads sees the end.
    func shutDown() { shutdown(descriptor, Int32(SHUT_RDWR)) }

    /// Ends this side's way only.
    func endOutput() { clinux_end_output(descriptor) }

    /// Closes with a reset, as a process does that is killed with answers unread.
    func reset() {
        var option = linger(l_onoff: 1, l_linger: 0)
        setsockopt(descriptor, SOL_SOCKET, SO_LINGER, &option, socklen_t(MemoryLayout<linger>.size))
        close()
    }

    private func wait(for events: Int16, _ limit: Duration) -> Bool {
        var poll = pollfd(fd: descriptor, events: events, revents: 0)
        return Glibc.poll(&poll, 1, Int32(limit.nanoseconds / 1_000_000)) > 0
    }

    func send(_ bytes: [UInt8]) {
        var sent = 0
        while sent < bytes.count {
            let count = bytes.withUnsafeBytes { clinux_send(descriptor, $0.baseAddress! + sent, bytes.count - sent) }
            if count > 0 { sent += count } else if !wait(for: Int16(POLLOUT), .seconds(10)) || errno == EPIPE { return }
        }
    }

    func send(_ frame: Frame) { send(frame.bytes) }

    /// Reads exactly `count` bytes; nil when the connection ends or nothing comes in time.
    private func read(_ count: Int, _ limit: Duration) -> [UInt8]? {
        var bytes = [UInt8](repeating: 0, count: count)
        var filled = 0
        while filled < count {
            guard wait(for: Int16(POLLIN), limit) else { return nil }
            let got = bytes.withUnsafeMutableBytes { recv(descriptor, $0.baseAddress! + filled, count - filled, 0) }
            if got > 0 { filled += got } else if got == 0 || errno != EAGAIN { return nil }
        }
        return bytes
    }

    /// The next frame; nil when the connection ends or nothing comes in time.
    func receive(within limit: Duration = .seconds(10)) -> Frame? { Frame { read($0, limit) } }

    /// Whether the peer ends the connection in time. Frames that come before are dropped.
    func isEnded(within limit: Duration = .seconds(10)) -> Bool {
        var byte = [UInt8](repeating: 0, count: 4096)
        while wait(for: Int16(POLLIN), limit) {
            let got = recv(descriptor, &byte, byte.count, 0)
            if got == 0 || got < 0 && errno != EAGAIN { return true }
        }
        return false
    }

    /// One call and its answer.
    func ask(_ call: Frame.Call) -> Frame? {
        send(Frame(call))
        return receive()
    }
}

/// A host that answers by a script: one thread a connection.
final class FrameHost<Frame: PeerFrame>: Sendable {
    /// What it does with each frame that comes.
    typealias Script = @Sendable (Frame, FrameSocket<Frame>) -> Void

    private struct State {
        var frames: [Frame] = []
        var sockets: [FrameSocket<Frame>] = []
        var threads: [Thread] = []
        var ended = 0
        var isStopped = false
    }

    let address: SocketAddress
    private let listener: Int32
    private let state = Mutex(State())
    private let script: Script

    /// - Parameter receiveBuffer: how much the system takes for it before it reads; nil: what it likes, which may be very much.
    init(port: UInt16 = 0, receiveBuffer: Int32? = nil, _ script: @escaping Script) throws {
        listener = try Socket.listen(on: SocketAddress(ipv4: 0x7f00_0001, port: port), shared: false)
        if let receiveBuffer { clinux_set_int_option(listener, SOL_SOCKET, SO_RCVBUF, receiveBuffer) }
        address = Socket.localAddress(listener)!
        self.script = script
        let thread = try Thread(name: "host") { [self] in acceptAll() }
        state.withLock { $0.threads.append(thread) }
    }

    /// A host that answers every call with `name|argument`, and heartbeats.
    static func echo(_ name: String) throws -> FrameHost { try FrameHost { echo(name, $0, $1) } }

    static func echo(_ name: String, _ frame: Frame, _ socket: FrameSocket<Frame>) {
        if let answer = frame.echo(name) { socket.send(answer) }
    }

    /// All frames that came, in order.
    var frames: [Frame] { state.withLock(\.frames) }
    /// Calls that came, in order.
    var calls: [Frame.Call] { frames.compactMap(\.request) }
    /// Connections that were opened.
    var connectionCount: Int { state.withLock { $0.sockets.count } }
    /// Connections that the other side has ended.
    var endedCount: Int { state.withLock(\.ended) }

    /// Sends to all connections.
    func send(_ frame: Frame) {
        for socket in state.withLock(\.sockets) { socket.send(frame) }
    }

    /// Ends all connections without a word.
    func dropConnections() {
        for socket in state.withLock(\.sockets) { socket.shutDown() }
    }

    /// Refuses connections from now on, keeps those that are open.
    func stopListening() { shutdown(listener, Int32(SHUT_RDWR)) }

    /// Ends everything and waits for the threads.
    func stop() {
        stopListening()
        state.withLock { $0.isStopped = true }
        dropConnections()
        let threads = state.withLock { state in
            defer { state.threads = [] }
            return state.threads
        }
        for thread in threads { thread.join() }
        // Threads that the accepting thread has started meanwhile.
        for thread in state.withLock(\.threads) { thread.join() }
        for socket in state.withLock(\.sockets) { socket.close() }
        Socket.close(listener)
    }

    private func acceptAll() {
        var poll = pollfd(fd: listener, events: Int16(POLLIN), revents: 0)
        while Glibc.poll(&poll, 1, -1) > 0, poll.revents & Int16(POLLIN) != 0, poll.revents & Int16(POLLHUP) == 0 {
            guard let (descriptor, _) = Socket.accept(listener) else { continue }
            let socket = FrameSocket<Frame>(descriptor: descriptor)
            state.withLock { state in
                state.sockets.append(socket)
                if state.isStopped { socket.shutDown() }
            }
            if let thread = try? Thread(name: "host-connection", { [self] in serve(socket) }) {
                state.withLock { $0.threads.append(thread) }
            }
        }
    }

    private func serve(_ socket: FrameSocket<Frame>) {
        while let frame = socket.receive(within: .seconds(600)) {
            state.withLock { $0.frames.append(frame) }
            script(frame, socket)
        }
        state.withLock { $0.ended += 1 }
    }
}
