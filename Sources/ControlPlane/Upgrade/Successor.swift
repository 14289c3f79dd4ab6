import Glibc
import Proxy
import Runtime

/// The process that is to serve in this one's place, from its start to the end of the hand-over. Lives on the control loop.
final class Successor {
    /// How long it may take to become ready.
    static let patience = Duration.seconds(30)

    /// Called once: it serves from now on when it is told `go`, and takes connections of these listeners.
    var onReady: ([String]) -> Void = { _ in }
    /// Called once: it will not serve, and why. It has ended.
    var onFailure: (String) -> Void = { _ in }
    /// It ends: it takes no more connections.
    var onLeave: () -> Void = {}

    /// Its number.
    var processIdentifier: pid_t { child.processIdentifier }
    /// Connections that were given to it.
    private(set) var given = 0

    private let child: ChildProgram
    private let channel: UpgradeChannel
    private let loop: EventLoop
    private var timer: EventLoop.Timer?
    private var isReady = false
    /// It was told to serve: it takes connections.
    private(set) var hasBegun = false
    private var isOver = false
    /// It was told to stop: its end is no failure.
    private var hasLeft = false

    /// Starts the program and tells it what there is.
    ///
    /// - Parameters:
    ///   - path: the program's file.
    ///   - sockets: listening sockets; they stay this process's.
    ///   - patience: how long it may take to become ready.
    /// - Throws: `SystemError` with the reason why it cannot be started.
    init(
        _ program: OwnProgram, path: String, hello: UpgradeMessage.Hello,
        sockets: [(UpgradeMessage.Socket, descriptor: Int32)], loop: EventLoop, patience: Duration = patience
    ) throws {
        self.loop = loop
        // Before the program is started: it would have to be ended where there are no descriptors left.
        let copies = try DescriptorSocket.copies(of: sockets.map(\.descriptor))
        let (own, other): (Int32, Int32)
        do {
            (own, other) = try DescriptorSocket.pair()
        } catch {
            for copy in copies { Socket.close(copy) }
            throw error
        }
        defer { Socket.close(other) }
        do {
            child = try ChildProgram(
                path, arguments: program.arguments,
                environment: program.environment + ["\(Predecessor.variable)=\(ChildProgram.inheritedDescriptor)"],
                inherited: other)
        } catch {
            for descriptor in copies + [own] { Socket.close(descriptor) }
            throw error
        }
        channel = UpgradeChannel(own, loop: loop)
        channel.onMessage = { [weak self] in self?.take($0, $1) }
        channel.onEnd = { [weak self] in self?.fail("it ended, or is not a greymesh that takes over") }
        timer = loop.schedule(after: patience) { [weak self] in
            self?.fail("it was not ready within \(patience.nanoseconds / 1_000_000) ms")
        }
        channel.send(.hello(hello))
        for ((socket, _), copy) in zip(sockets, copies) { channel.send(.socket(socket), descriptor: copy) }
        channel.send(.offered)
    }

    /// It serves from now on.
    func go(_ wishes: UpgradeMessage.Wishes) {
        hasBegun = true
        channel.send(.go(wishes))
    }

    /// Gives it a connection.
    func give(_ connection: HandedConnection) {
        given += 1
        channel.send(.connection(connection), descriptor: connection.descriptor)
    }

    /// Gives it an answer to a call on a connection that it has.
    func give(_ number: UInt64, _ bytes: [UInt8]) { channel.send(.owed(number: number, bytes)) }

    /// The last call on a connection that it has is answered.
    func settle(_ number: UInt64) { channel.send(.settled(number: number)) }

    /// Everything was given; `completion` is called when it is on its way.
    func finish(_ completion: @escaping () -> Void) {
        guard !isOver else { return }
        isOver = true
        // It may be gone already.
        guard channel.isOpen else { return completion() }
        channel.onEnd = completion
        channel.onSent = { [channel] in
            channel.close()
            completion()
        }
        channel.send(.finished)
    }

    /// This process ends for another reason: the program is stopped unless it serves already.
    func cancel(_ reason: String) {
        if isReady { return }
        child.signal(SIGKILL)
        fail(reason)
    }

    private func take(_ message: UpgradeMessage, _ descriptor: Int32) {
        if descriptor >= 0 { Socket.close(descriptor) }
        switch message {
        case .ready(let listeners) where !isReady:
            isReady = true
            loop.cancel(timer)
            onReady(listeners)
        case .failed(let reason) where !isReady: fail(reason)
        case .leave where isReady:
            hasLeft = true
            onLeave()
        default: fail("it says what is not expected")
        }
    }

    private func fail(_ reason: String) {
        guard !isOver, !hasLeft else { return }
        isOver = true
        loop.cancel(timer)
        channel.close()
        end(reason, isKilled: false)
    }

    /// What ends by itself tells how. It is not waited for long.
    private func end(_ reason: String, isKilled: Bool, left: Int = 20) {
        if let ending = child.ending() { return onFailure(isKilled ? reason : Self.text(reason, ending)) }
        if left == 0, !isKilled { child.signal(SIGKILL) }
        loop.schedule(after: .milliseconds(10)) { [self] in
            end(reason, isKilled: isKilled || left == 0, left: max(0, left - 1))
        }
    }

    private static func text(_ reason: String, _ ending: ChildProgram.Ending) -> String {
        switch ending {
        case .status(let status): "\(reason) (exit status \(status))"
        case .signal(let number): "\(reason) (signal \(number))"
        }
    }
}
