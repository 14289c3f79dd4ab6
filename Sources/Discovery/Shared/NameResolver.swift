import CLinux
import Glibc
import Runtime
import Synchronization

/// Looks up host names on threads of its own and remembers the answers.
///
/// Names are looked up again from time to time while somebody retains them; a lookup that fails leaves the known addresses as they are.
public final class NameResolver {
    /// What is known about a name.
    public enum Answer: Equatable, Sendable {
        /// It is being looked up for the first time.
        case pending
        /// Its addresses, port 0, in a fixed order: IPv4 ones if it has any, else IPv6.
        case addresses([SocketAddress])
        /// It has no address, or no name server answered.
        case failed(String)
    }

    struct Outcome: Sendable {
        let name: String
        let answer: Answer
    }

    private struct Entry {
        var answer = Answer.pending
        var isUnderWay = false
        var dueAt: Int64 = 0
        var users = 0
    }

    /// Called with a name whose answer has changed.
    private var observers: [UInt64: (String) -> Void] = [:]
    private var nextObserver: UInt64 = 1
    private var entries: [String: Entry] = [:]
    private var timer: EventLoop.Timer?
    private var workers: LookupThreads?
    /// Where it lives.
    let loop: EventLoop
    private let lifetime: Duration
    private let lookup: @Sendable (String) -> Answer

    private static let longestRetry = Duration.seconds(5)
    /// Lookups a second of all names together.
    private static let mostLookupsPerSecond = 50

    /// Creates a resolver on a loop; threads are started with the first name.
    ///
    /// - Parameters:
    ///   - lifetime: after this time a name is looked up again; later where there are so many that it would be too much
    ///     for the name servers.
    ///   - lookup: how a name is looked up, on any thread; the system's way by default.
    public init(
        loop: EventLoop, lifetime: Duration = .seconds(5),
        lookup: @escaping @Sendable (String) -> Answer = NameResolver.ask
    ) {
        self.loop = loop
        self.lifetime = lifetime
        self.lookup = lookup
    }

    deinit { stop() }

    /// Keeps a name's answer up to date until it is released as often as it was retained.
    public func retain(_ name: String) {
        entries[name, default: Entry()].users += 1
        if entries[name]?.answer == .pending { begin(name) }
    }

    /// Takes back one `retain`.
    public func release(_ name: String) {
        guard let users = entries[name]?.users else { return }
        if users > 1 { entries[name]?.users = users - 1 } else { entries[name] = nil }
    }

    /// What is known about a retained name.
    public func answer(_ name: String) -> Answer { entries[name]?.answer ?? .pending }

    /// Calls `handler` with each name whose answer has changed, until `unobserve`.
    public func observe(_ handler: @escaping (String) -> Void) -> UInt64 {
        defer { nextObserver += 1 }
        observers[nextObserver] = handler
        return nextObserver
    }

    /// Ends the calls of a handler.
    public func unobserve(_ observer: UInt64) { observers[observer] = nil }

    /// Ends all lookups.
    public func stop() {
        loop.cancel(timer)
        workers?.stop(loop)
        workers = nil
        entries.removeAll()
        observers.removeAll()
    }

    private func begin(_ name: String) {
        guard entries[name]?.isUnderWay == false else { return }
        if workers == nil {
            workers = try? LookupThreads(loop: loop, count: 2, lookup: lookup) { [weak self] in self?.take($0) }
            scheduleRefresh()
        }
        guard let workers else { return take(Outcome(name: name, answer: .failed("no thread could be started"))) }
        entries[name]?.isUnderWay = true
        workers.ask(name)
    }

    private func take(_ outcome: Outcome) {
        guard var entry = entries[outcome.name] else { return }
        let before = entry.answer
        entry.isUnderWay = false
        let spread = Duration.nanoseconds(entries.count * (1_000_000_000 / Self.mostLookupsPerSecond))
        var wait = max(lifetime, spread)
        let retry = max(min(lifetime, Self.longestRetry), spread)
        switch (outcome.answer, before) {
        case (.failed, .addresses): wait = retry  // The known addresses stay.
        case (.failed, _):
            wait = retry
            entry.answer = outcome.answer
        default: entry.answer = outcome.answer
        }
        entry.dueAt = Clock.nanoseconds + wait.jittered.nanoseconds
        entries[outcome.name] = entry
        if entry.answer != before { for observer in Array(observers.values) { observer(outcome.name) } }
    }

    private func scheduleRefresh() {
        timer = loop.schedule(after: min(.seconds(1), lifetime)) { [weak self] in
            self?.refresh()
            self?.scheduleRefresh()
        }
    }

    private func refresh() {
        let now = Clock.nanoseconds
        for (name, entry) in entries where !entry.isUnderWay && entry.dueAt <= now { begin(name) }
    }

    /// Asks the system: files, DNS, whatever it is set up for. Blocks.
    public static let ask: @Sendable (String) -> Answer = { name in
        guard !HostText.isNumber(name) else { return .failed("not an address") }
        var hints = addrinfo()
        hints.ai_socktype = Int32(SOCK_STREAM.rawValue)
        hints.ai_family = AF_UNSPEC
        var list: UnsafeMutablePointer<addrinfo>?
        let code = getaddrinfo(name, nil, &hints, &list)
        guard code == 0 else { return .failed(String(cString: gai_strerror(code))) }
        defer { freeaddrinfo(list) }
        var found: Set<SocketAddress> = []
        var next = list
        while let entry = next {
            var storage = sockaddr_storage()
            if let address = entry.pointee.ai_addr, entry.pointee.ai_addrlen <= MemoryLayout<sockaddr_storage>.size {
                memcpy(&storage, address, Int(entry.pointee.ai_addrlen))
                if let known = SocketAddress(storage) { found.insert(known.with(port: 0)) }
            }
            next = entry.pointee.ai_next
        }
        let wanted = found.contains { !$0.isIPv6 } ? found.filter { !$0.isIPv6 } : found
        return wanted.isEmpty ? .failed("no address") : .addresses(wanted.sorted())
    }
}

/// Threads that look names up: the system's lookup blocks.
private final class LookupThreads {
    private struct Queue {
        var names: [String] = []
        var isStopped = false
    }

    /// What the threads hold; it outlives the resolver while a lookup blocks.
    private final class Shared: Sendable {
        let queue = Mutex(Queue())
        /// An eventfd that counts names: a blocking read takes one.
        let wakeup: Int32
        let outcomes: Mailbox<NameResolver.Outcome>

        init() throws {
            outcomes = try Mailbox()
            wakeup = eventfd(0, Int32(EFD_SEMAPHORE | EFD_CLOEXEC))
            guard wakeup >= 0 else { throw SystemError("create an eventfd") }
        }

        deinit { close(wakeup) }

        func work(_ lookup: (String) -> NameResolver.Answer) {
            while true {
                var count: eventfd_t = 0
                eventfd_read(wakeup, &count)
                let (name, isStopped) = queue.withLock { queue in
                    (queue.names.isEmpty ? nil : queue.names.removeFirst(), queue.isStopped)
                }
                if isStopped { return }
                if let name { outcomes.post(.init(name: name, answer: lookup(name))) }
            }
        }
    }

    private let shared: Shared
    private let count: Int

    init(
        loop: EventLoop, count: Int, lookup: @escaping @Sendable (String) -> NameResolver.Answer,
        handler: @escaping (NameResolver.Outcome) -> Void
    ) throws {
        let shared = try Shared()
        self.shared = shared
        self.count = count
        for _ in 0..<count { _ = try Thread(name: "names") { shared.work(lookup) } }
        loop.receive(shared.outcomes, handler: handler)
    }

    func ask(_ name: String) {
        shared.queue.withLock { $0.names.append(name) }
        eventfd_write(shared.wakeup, 1)
    }

    /// Threads in a lookup end when it returns; nobody waits for them.
    func stop(_ loop: EventLoop) {
        loop.unwatch(shared.outcomes.descriptor)
        shared.queue.withLock { $0.isStopped = true }
        eventfd_write(shared.wakeup, UInt64(count))
    }
}
