import CLinux
import CZooKeeper
import Glibc
import Runtime

/// One TCP connection to one server, through the C library on the control loop.
///
/// The library would reconnect by itself: with blocking name lookups, a fixed pace, and all watches in one message that a
/// server refuses when it is larger than 1 MiB. So a handle lives only as long as its connection. What goes on (servers,
/// session, watches) is `ZooKeeperClient`'s.
final class ZooKeeperConnection {
    /// What a session is known by; it can be taken to another connection.
    typealias Session = clientid_t

    /// How a connection ended.
    enum End: Equatable {
        /// Anything; the session may go on.
        case lost(String)
        /// The server does not know the session any more.
        case expired
    }

    /// Called once, when requests can be sent.
    var onOpen: (Session) -> Void = { _ in }
    /// Called once, unless `close` was called. All requests have been answered with `.lost`.
    var onEnd: (End) -> Void = { _ in }
    /// Called when a watch has fired.
    var onWatch: (UInt64) -> Void = { _ in }
    /// Called whenever the server has said something while the connection is open.
    var onMessage: () -> Void = {}
    /// Session timeout that the server grants.
    private(set) var sessionTimeout = Duration.zero

    private let loop: EventLoop
    private var handle: OpaquePointer?
    private var watched: (descriptor: Int32, interest: Readiness)?
    private var timer: EventLoop.Timer?
    private var timerDue = Int64.max
    private var limit: EventLoop.Timer?
    private var isOpen = false
    private var isDriving = false
    private var isPumpDue = false
    private var isClosed = false
    private var hasBegun = false
    private let isResumed: Bool
    /// Callbacks of the library; they run when it has returned.
    private var deliveries: [() -> Void] = []

    /// Answers are read for at most so long at a time.
    private static let longestTurn = Duration.milliseconds(2).nanoseconds
    /// Size of a server's first message, without the last byte that servers before 3.4 leave out.
    private static let handshakeSize = 40

    /// A connection that is not begun.
    ///
    /// - Parameter session: one to be resumed; nil for a new one.
    init(loop: EventLoop, resuming session: Session?) {
        self.loop = loop
        isResumed = session != nil
        self.session = session
    }

    private var session: Session?

    /// Connects.
    ///
    /// - Parameters:
    ///   - limit: how long the server may take to take the session.
    ///   - credentials: `USER:PASSWORD`, empty for none.
    func open(_ address: SocketAddress, sessionTimeout: Duration, limit: Duration, credentials: String) {
        czk_silence()
        let milliseconds = Int32(clamping: sessionTimeout.nanoseconds / 1_000_000)
        let context = Unmanaged.passUnretained(self).toOpaque()
        var session = session ?? Session()
        handle = zookeeper_init(
            "\(address)", { _, _, _, _, _ in }, milliseconds, &session, context, ZOO_NO_LOG_CLIENTENV)
        guard let handle else { return end(.lost(Self.words(errno))) }
        if !credentials.isEmpty {
            credentials.withCString {
                _ = zoo_add_auth(handle, "digest", $0, Int32(clamping: strlen($0)), { _, _ in }, nil)
            }
        }
        self.limit = loop.schedule(after: limit) { [weak self] in
            self?.end(.lost("the server does not answer"))
        }
        drive([])
    }

    /// Sends a request; `completion` is called once, with `.lost` at the latest when the connection ends, except by `close`.
    func send(
        _ request: ZooKeeperRequest, completion: @escaping (Result<ZooKeeperReply, ZooKeeperError>) -> Void
    ) {
        guard let handle, isOpen else { return deliver { completion(.failure(.lost)) } }
        request.send(handle, self, completion: completion)
        // What the socket did not take waits for it to become writable.
        pump()
    }

    /// Ends the session, with all that lives as long as it. Nothing is called any more.
    func close() {
        isClosed = true
        // The library must not be torn down under its own feet.
        if isDriving { loop.schedule(after: .zero) { self.tearDown(isPolite: true) } } else { tearDown(isPolite: true) }
    }

    /// Notes what the library's callback wants to be done.
    func deliver(_ action: @escaping () -> Void) {
        guard !isClosed else { return }
        deliveries.append(action)
        if !isDriving { pump() }
    }

    private func pump() {
        guard !isPumpDue else { return }
        isPumpDue = true
        loop.schedule(after: .zero) {
            self.isPumpDue = false
            self.drive([])
        }
    }

    /// Lets the library work, then tells what has come of it.
    private func drive(_ readiness: Readiness) {
        guard !isDriving, !isClosed else { return }
        isDriving = true
        let started = Clock.nanoseconds
        var end: End?
        var flags: Int32 = 0
        if !readiness.isDisjoint(with: [.readable, .error, .hangUp]) { flags |= Int32(CZK_READ) }
        if !readiness.isDisjoint(with: [.writable, .error, .hangUp]) { flags |= Int32(CZK_WRITE) }
        while let handle, flags != 0, end == nil {
            let (isMore, ended) = process(handle, flags)
            end = ended
            runDeliveries()
            if !isMore || Clock.nanoseconds - started > Self.longestTurn { break }
            flags = Int32(CZK_READ)
        }
        if end == nil { end = arm() }
        runDeliveries()
        isDriving = false
        if let end { self.end(end) }
    }

    private func process(_ handle: OpaquePointer, _ flags: Int32) -> (isMore: Bool, End?) {
        if flags & Int32(CZK_READ) != 0, zoo_state(handle) == Int32(CZK_ASSOCIATING) {
            if let reason = refusedHandshake() { return (false, .lost(reason)) }
        }
        errno = 0
        let code = zookeeper_process(handle, flags)
        if code == ZNOTHING.rawValue { return (false, nil) }
        guard code == ZOK.rawValue else { return (false, ending(code)) }
        openIfReady(handle)
        if isOpen && flags & Int32(CZK_READ) != 0 { onMessage() }
        return (true, nil)
    }

    private func openIfReady(_ handle: OpaquePointer) {
        guard !isOpen, zoo_state(handle) == Int32(CZK_CONNECTED), let session = zoo_client_id(handle)?.pointee
        else { return }
        isOpen = true
        loop.cancel(limit)
        if let descriptor = watched?.descriptor { clinux_set_int_option(descriptor, SOL_SOCKET, SO_RCVLOWAT, 1) }
        sessionTimeout = .milliseconds(Int(zoo_recv_timeout(handle)))
        deliver { self.onOpen(session) }
    }

    private func runDeliveries() {
        while !deliveries.isEmpty {
            let actions = deliveries
            deliveries = []
            for action in actions where !isClosed { action() }
        }
    }

    /// Asks the library what it waits for. Its own reconnecting is never reached.
    private func arm() -> End? {
        guard let handle, !isClosed else { return nil }
        // It has failed to send. The library would connect again now.
        if hasBegun && zoo_state(handle) == Int32(CZK_NOT_CONNECTED) { return .lost(Self.words(0)) }
        hasBegun = true
        var descriptor: Int32 = -1
        var interest: Int32 = 0
        var wait = timeval()
        errno = 0
        let code = zookeeper_interest(handle, &descriptor, &interest, &wait)
        guard code == ZOK.rawValue, descriptor >= 0 else { return ending(code) }
        var readiness: Readiness = []
        if interest & Int32(CZK_READ) != 0 { readiness.insert(.readable) }
        if interest & Int32(CZK_WRITE) != 0 { readiness.insert(.writable) }
        if watched == nil { prepare(descriptor) }
        if watched?.descriptor != descriptor || watched?.interest != readiness {
            watched = (descriptor, readiness)
            let isWatched = loop.watch(descriptor, readiness) { [weak self] in self?.drive($0) }
            if !isWatched { return .lost("the socket cannot be watched") }
        }
        let time = max(.seconds(Int(wait.tv_sec)) + .microseconds(Int(wait.tv_usec)), Duration.milliseconds(1))
        let due = Clock.nanoseconds + time.nanoseconds
        // A server that grants a shorter session than was asked for wants its pings sooner.
        if due < timerDue {
            loop.cancel(timer)
            timer = nil
        }
        if timer == nil {
            timerDue = due
            timer = loop.schedule(after: time) { [weak self] in
                self?.timer = nil
                self?.drive([])
            }
        }
        return nil
    }

    /// The first message is looked at before the library reads it, so it must be there as a whole.
    private func prepare(_ descriptor: Int32) {
        _ = fcntl(descriptor, F_SETFD, FD_CLOEXEC)
        clinux_set_int_option(descriptor, SOL_SOCKET, SO_RCVLOWAT, Int32(Self.handshakeSize))
    }

    private func ending(_ code: Int32) -> End {
        let state = handle.map(zoo_state) ?? 0
        if state == Int32(CZK_EXPIRED) || code == ZSESSIONEXPIRED.rawValue { return .expired }
        if state == Int32(CZK_AUTH_FAILED) || code == ZAUTHFAILED.rawValue {
            return .lost("the server refuses the credentials")
        }
        if code == ZOPERATIONTIMEOUT.rawValue { return .lost("the server does not answer") }
        return .lost(Self.words(errno))
    }

    private static func words(_ code: Int32) -> String {
        switch code {
        case 0, EHOSTDOWN, EAGAIN: "the server has closed the connection"
        default: String(cString: strerror(code))
        }
    }

    private func end(_ end: End) {
        guard !isClosed else { return }
        tearDown(isPolite: false)
        isDriving = true
        runDeliveries()
        isDriving = false
        guard !isClosed else { return }
        isClosed = true
        onEnd(end)
    }

    /// - Parameter isPolite: the server is told that the session is over.
    private func tearDown(isPolite: Bool) {
        loop.cancel(timer)
        loop.cancel(limit)
        timer = nil
        guard let handle else { return }
        self.handle = nil
        isOpen = false
        if let descriptor = watched?.descriptor {
            loop.unwatch(descriptor)
            // In other states the library has closed it already.
            let isLive = [CZK_CONNECTING, CZK_ASSOCIATING, CZK_CONNECTED].map { Int32($0) }.contains(zoo_state(handle))
            if isLive { Self.hurry(descriptor, isPolite: isPolite) }
        }
        watched = nil
        zookeeper_close(handle)
    }

    /// Closing would block for the server's answer, and until a stuck server has room for the message: there is none to
    /// wait for, and where there is no room nothing is said.
    private static func hurry(_ descriptor: Int32, isPolite: Bool) {
        var entry = pollfd(fd: descriptor, events: Int16(POLLOUT), revents: 0)
        let hasRoom = poll(&entry, 1, 0) == 1 && entry.revents == Int16(POLLOUT)
        shutdown(descriptor, Int32(isPolite && hasRoom ? SHUT_RD : SHUT_RDWR))
    }

    /// Nil when the server's first message is one, as far as the library does not look.
    private func refusedHandshake() -> String? {
        guard let descriptor = watched?.descriptor else { return nil }
        var bytes = [UInt8](repeating: 0, count: Self.handshakeSize)
        let count = recv(descriptor, &bytes, bytes.count, Int32(MSG_PEEK))
        // Less than a message comes only before the end of the stream.
        guard count > 0 else { return nil }
        let number = { (at: Int) in bytes[at..<at + 4].reduce(UInt32(0)) { $0 << 8 | UInt32($1) } }
        let isMessage = count == bytes.count && (36...37).contains(number(0)) && number(20) == 16
        guard isMessage else { return "what listens there is no ZooKeeper server" }
        // Timeout 0 says that the session is gone; there was none yet.
        return number(8) == 0 && !isResumed ? "the server refuses a session" : nil
    }
}
