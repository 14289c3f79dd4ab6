import CLinux
import Glibc
import Runtime

/// One TCP connection to one server on the control loop: a socket, and timers that see whether the server lives.
///
/// What is said is `ZooKeeperDialogue`'s, and what goes on when it ends (servers, session, watches) is `ZooKeeperClient`'s.
final class ZooKeeperConnection {
    typealias End = ZooKeeperDialogue.End

    /// Called once, when requests can be sent.
    var onOpen: (ZooKeeperSession) -> Void = { _ in }
    /// Called once, unless `close` was called. Requests that have no answer are told right after it.
    var onEnd: (End) -> Void = { _ in }
    /// Called when a watch has fired.
    var onWatch: (UInt64) -> Void = { _ in }
    /// Called whenever the server has said something while the connection is open.
    var onMessage: () -> Void = {}

    private let loop: EventLoop
    private var dialogue: ZooKeeperDialogue
    private var descriptor: Int32 = -1
    private var isConnected = false
    private var isEnded = false
    /// The socket takes nothing at the moment.
    private var isBlocked = false
    private var interest: Readiness = []
    private var limit: EventLoop.Timer?
    private var lifeTimer: EventLoop.Timer?
    private var turnTimer: EventLoop.Timer?
    /// After what time a silent server is asked for a sign of life, and after what time it is dead; in nanoseconds.
    private var silence: (ping: Int64, dead: Int64) = (.max, .max)
    private var pingedAt: Int64 = 0
    private var heardAt: Int64 = 0
    /// Since when the oldest request has been waiting without anything of an answer.
    private var askedAt: Int64 = 0

    /// What is read after the goodbye, at most, so that the system does not reset the connection for bytes that nobody reads.
    private static let lastWords = 1 << 20

    /// A connection that is not begun.
    ///
    /// - Parameters:
    ///   - session: one to be resumed; nil for a new one.
    ///   - sessionTimeout: what is asked for.
    ///   - credentials: `USER:PASSWORD`, empty for none.
    init(loop: EventLoop, resuming session: ZooKeeperSession?, sessionTimeout: Duration, credentials: String) {
        self.loop = loop
        let milliseconds = Int32(clamping: sessionTimeout.nanoseconds / 1_000_000)
        dialogue = ZooKeeperDialogue(resuming: session, timeout: milliseconds, credentials: credentials)
    }

    deinit { release() }

    /// Connects.
    ///
    /// - Parameter limit: how long the server may take to take the session.
    func open(_ address: SocketAddress, limit: Duration) {
        do {
            descriptor = try Socket.connect(to: address)
        } catch {
            return end(.lost(SystemError.text(of: error.code)))
        }
        self.limit = loop.schedule(after: limit) { [weak self] in self?.end(Self.noAnswer) }
        watch(.writable)
    }

    /// Sends a request; `completion` is called once, with `.lost` at the latest when the connection ends, except by `close`.
    /// Only after `onOpen`.
    func send(_ request: ZooKeeperRequest, completion: @escaping ZooKeeperDialogue.Completion) {
        guard !isEnded else {
            loop.schedule(after: .zero) { completion(.failure(.lost)) }
            return
        }
        if !dialogue.isAsking { askedAt = Clock.nanoseconds }
        dialogue.send(request, completion: completion)
        // What is sent in one go goes out together.
        takeTurnSoon()
    }

    /// Ends the session, with all that lives as long as it. Nothing is called any more.
    func close() {
        if dialogue.isOpen && !isEnded { sayGoodbye() }
        isEnded = true
        release()
    }

    private static let noAnswer = End.lost("the server does not answer")

    // MARK: The socket

    private func watch(_ interest: Readiness) {
        guard interest != self.interest else { return }
        self.interest = interest
        let isWatched = loop.watch(descriptor, interest) { [weak self] in self?.ready($0) }
        if !isWatched { end(.lost("the socket cannot be watched")) }
    }

    private func ready(_ readiness: Readiness) {
        if !isConnected {
            let code = Socket.connectError(descriptor)
            guard code == 0 else { return end(.lost(SystemError.text(of: code))) }
            isConnected = true
        }
        if !readiness.isDisjoint(with: [.writable, .error, .hangUp]) { isBlocked = false }
        // One turn at a time: that which is due comes after the loop's events.
        if turnTimer == nil { takeTurn() }
    }

    private func takeTurnSoon() {
        guard turnTimer == nil else { return }
        turnTimer = loop.schedule(after: .zero) { [weak self] in
            self?.turnTimer = nil
            self?.takeTurn()
        }
    }

    /// Reads and writes what can be.
    private func takeTurn() {
        guard !isEnded else { return }
        do throws(End) {
            // What the server said last, why it does not listen, comes before the reason why it cannot be written to.
            if try !read() { takeTurnSoon() }
            if isEnded { return }
            try write()
        } catch {
            return end(error)
        }
        watch(isBlocked ? [.readable, .writable] : .readable)
    }

    /// - Returns: false when there is more that its turn has no time for.
    private func read() throws(End) -> Bool {
        let deadline = Clock.nanoseconds + EventLoop.slice.nanoseconds
        while true {
            while let event = try dialogue.next() {
                take(event)
                if isEnded { return true }
                if Clock.nanoseconds >= deadline { return false }
            }
            guard try receive() else { return true }
            if Clock.nanoseconds >= deadline { return false }
        }
    }

    /// - Returns: false when nothing waits.
    private func receive() throws(End) -> Bool {
        let descriptor = descriptor
        let count = dialogue.receive { recv(descriptor, $0.baseAddress, $0.count, 0) }
        if count > 0 {
            heardAt = Clock.nanoseconds
            return true
        }
        if count == 0 { throw dialogue.closed }
        switch errno {
        case EAGAIN: return false
        case EINTR: return true
        default: throw .lost(SystemError.text(of: errno))
        }
    }

    private func write() throws(End) {
        while !dialogue.output.isEmpty, !isBlocked {
            let count = dialogue.output.waiting.withUnsafeBytes { clinux_send(descriptor, $0.baseAddress, $0.count) }
            if count >= 0 {
                dialogue.output.sent(count)
            } else if errno == EAGAIN {
                isBlocked = true
            } else if errno != EINTR {
                throw .lost(SystemError.text(of: errno))
            }
        }
    }

    // MARK: What the server says

    private func take(_ event: ZooKeeperDialogue.Event) {
        if dialogue.isOpen { onMessage() }
        switch event {
        case .opened(let session, let timeout):
            loop.cancel(limit)
            watchOver(timeout)
            onOpen(session)
        case .answered(let completion, let result):
            askedAt = heardAt
            completion(result)
        case .fired(let watches): for watch in watches where !isEnded { onWatch(watch) }
        case .alive: break
        }
    }

    // MARK: Signs of life

    /// - Parameter timeout: how long the session lives without a sign of life, in milliseconds.
    private func watchOver(_ timeout: Int32) {
        let longest = ZooKeeperSettings.sessionRange.upperBound
        let session = min(max(.milliseconds(Int(timeout)), .milliseconds(30)), longest).nanoseconds
        silence = (session / 3, session / 3 * 2)
        pingedAt = Clock.nanoseconds
        checkLater()
    }

    private func checkLater() {
        let due = min(pingedAt + silence.ping, heardAt + silence.dead)
        lifeTimer = loop.schedule(after: .nanoseconds(max(0, due - Clock.nanoseconds))) { [weak self] in self?.check() }
    }

    private func check() {
        let now = Clock.nanoseconds
        // A large answer on a slow way is one that comes.
        if dialogue.isWithinMessage { askedAt = heardAt }
        let isStuck = dialogue.isAsking && now - askedAt >= silence.dead
        if isStuck || now - heardAt >= silence.dead { return end(Self.noAnswer) }
        if now - pingedAt >= silence.ping {
            pingedAt = now
            dialogue.ping()
            takeTurn()
        }
        if !isEnded { checkLater() }
    }

    // MARK: The end

    private func end(_ end: End) {
        guard !isEnded else { return }
        isEnded = true
        release()
        onEnd(end)
        while let completion = dialogue.popUnanswered() { completion(.failure(.lost)) }
    }

    /// Says so if the socket takes it: a stuck server is not waited for.
    private func sayGoodbye() {
        dialogue.sayGoodbye()
        try? write()
        var bytes = [UInt8](repeating: 0, count: 1 << 16)
        var left = Self.lastWords
        while left > 0 {
            let count = recv(descriptor, &bytes, bytes.count, 0)
            if count <= 0 { return }
            left -= count
        }
    }

    private func release() {
        for timer in [limit, lifeTimer, turnTimer] { loop.cancel(timer) }
        guard descriptor >= 0 else { return }
        loop.unwatch(descriptor)
        Socket.close(descriptor)
        descriptor = -1
    }
}
