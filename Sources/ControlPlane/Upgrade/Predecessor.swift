import Configuration
import Proxy
import Runtime

/// The process in whose place this one is to serve. Lives on the control loop.
public final class Predecessor {
    /// The environment variable with the number of the descriptor that leads to it.
    public static let variable = "GREYMESH_UPGRADE_FD"

    /// What it has told first.
    private(set) var hello = UpgradeMessage.Hello()
    /// Called once: this process serves from now on.
    var onGo: (UpgradeMessage.Wishes) -> Void = { _ in }
    /// Gets each connection.
    var onConnection: (HandedConnection) -> Void = { _ in }
    /// Gets each answer that was owed, and nil when nothing more is.
    var onOwed: (UInt64, [UInt8]?) -> Void = { _, _ in }
    /// Called once when it has gone; false: before everything was told.
    var onEnd: (Bool) -> Void = { _ in }

    /// Names of its listeners by what they are called here.
    private var names: [String: String] = [:]
    private let channel: UpgradeChannel
    private let loop: EventLoop
    private var sockets: [(UpgradeMessage.Socket, descriptor: Int32)] = []
    private var isOffered = false
    private var isOver = false

    private static let patience = Duration.seconds(10)

    /// Why there is no predecessor though one was told of.
    public struct Refusal: Error, CustomStringConvertible {
        /// One line.
        public let description: String
    }

    /// Waits for what it offers.
    ///
    /// - Parameter descriptor: the value of the environment variable.
    /// - Throws: `Refusal` where nobody speaks this way at the other end.
    public init(descriptor text: String, loop: EventLoop) throws(Refusal) {
        guard let descriptor = Int32(text), descriptor > 2, DescriptorSocket.adopt(descriptor) else {
            throw Refusal(description: "\(Self.variable) is \"\(text)\", which leads to no process")
        }
        self.loop = loop
        channel = UpgradeChannel(descriptor, loop: loop)
        channel.onMessage = { [weak self] in self?.take($0, $1) }
        channel.onEnd = { [weak self] in self?.end(isComplete: false) }
        guard loop.run(for: Self.patience, until: { self.isOffered || self.isOver }), isOffered else {
            channel.close()
            throw Refusal(description: "the process to be replaced does not say what it has")
        }
        if hello.format != UpgradeMessage.format {
            refuse("format \(hello.format) of the hand-over is not known here")
            throw Refusal(description: "format \(hello.format) of the hand-over is not known here")
        }
    }

    deinit { closeUnused() }

    /// Sockets of addresses at which this process does not listen.
    private func closeUnused() {
        for (_, descriptor) in sockets { Socket.close(descriptor) }
        sockets = []
    }

    /// For each listener the sockets of the same address.
    func takeSockets(for listeners: [ListenerConfiguration]) -> [[Int32]] {
        listeners.map { listener in
            guard let found = sockets.first(where: { isSame($0, listener) })?.0 else { return [] }
            let (taken, rest) = (sockets.filter { $0.0 == found }, sockets.filter { $0.0 != found })
            sockets = rest
            if found.protocol == listener.protocol { names[found.name] = listener.name }
            return taken.map(\.descriptor)
        }
    }

    private func isSame(
        _ socket: (UpgradeMessage.Socket, descriptor: Int32), _ listener: ListenerConfiguration
    ) -> Bool {
        guard socket.0.protocol != nil else { return false }
        // Where the system has chosen the port, only the name tells which it is.
        if socket.0.name == listener.name && socket.0.address == listener.address { return true }
        return Socket.localAddress(socket.descriptor) == listener.address
    }

    /// The socket of the admin API, where it is to listen at the same address.
    public func takeAdminSocket(for address: SocketAddress) -> Int32? {
        let found = sockets.firstIndex {
            $0.0.protocol == nil && ($0.0.address == address || Socket.localAddress($0.descriptor) == address)
        }
        return found.map { sockets.remove(at: $0).descriptor }
    }

    /// This process can serve.
    func tellReady() {
        closeUnused()
        channel.send(.ready(listeners: names.keys.sorted()))
    }

    /// This process cannot serve, and why.
    public func refuse(_ reason: String) {
        isOver = true
        channel.send(.failed(reason))
        channel.close()
    }

    /// This process ends: nothing more is to be given to it.
    func leave() { if !isOver { channel.send(.leave) } }

    private func take(_ message: UpgradeMessage, _ descriptor: Int32) {
        switch message {
        case .hello(let hello):
            self.hello = hello
            if hello.format != UpgradeMessage.format { isOffered = true }
        case .socket(let socket) where !isOffered:
            sockets.append((socket, descriptor))
            return
        case .offered: isOffered = true
        case .go(let wishes): onGo(wishes)
        case .connection(var connection):
            guard let name = names[connection.listener] else { break }
            connection.listener = name
            return onConnection(connection)
        case .owed(let number, let bytes): onOwed(number, bytes)
        case .settled(let number): onOwed(number, nil)
        case .finished:
            channel.close()
            end(isComplete: true)
        case .socket, .ready, .failed, .leave: break
        }
        if descriptor >= 0 { Socket.close(descriptor) }
    }

    private func end(isComplete: Bool) {
        guard !isOver else { return }
        isOver = true
        onEnd(isComplete)
    }
}
