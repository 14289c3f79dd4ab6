import Configuration
import Runtime

/// All workers: their threads, sockets and mailboxes.
public final class DataPlane {
    /// What workers tell; the control plane receives it.
    public let events: Mailbox<WorkerEvent>
    /// Number of workers.
    public var workerCount: Int { inboxes.count }
    /// Where the listeners really listen, in the order of the settings: tells ports that the system chose.
    public let addresses: [SocketAddress]

    private let inboxes: [Mailbox<WorkerMessage>]
    private var threads: [Thread] = []
    /// The listening sockets of each listener, each once. Open until workers end.
    public let sockets: [[Int32]]

    /// Opens all listeners and starts the workers.
    ///
    /// - Parameter inherited: for each listener sockets that another process has left, which are used in place of new ones; none
    ///   where it is empty. They are the data plane's from then on.
    /// - Throws: `SystemError` that names the address that cannot be had.
    public init(settings: WorkerSettings, workers: Int, inherited: [[Int32]] = []) throws {
        var settings = settings
        events = try Mailbox()
        inboxes = try (0..<workers).map { _ in try Mailbox() }
        let opened = try ListeningSet(&settings.listeners, workers: workers, inherited: inherited)
        addresses = settings.listeners.map(\.address)
        sockets = opened.sockets
        for number in 0..<workers { try start(number, settings, opened.shares[number]) }
    }

    private func start(_ number: Int, _ settings: WorkerSettings, _ share: ListeningSet.Share) throws {
        let inbox = inboxes[number]
        let outbox = events
        let thread = try Thread(name: "worker-\(number)") {
            guard let system = try? LinuxSystem() else {
                outbox.post(.drained(worker: number))
                return
            }
            var worker = Worker(
                index: number, settings: settings, listeners: share.first, more: share.more, inbox: inbox,
                outbox: outbox, system: system)
            worker.run()
        }
        threads.append(thread)
    }

    /// Tells all workers.
    public func post(_ message: WorkerMessage) {
        for inbox in inboxes { inbox.post(message) }
    }

    /// Tells one worker.
    public func post(_ message: WorkerMessage, to worker: Int) { inboxes[worker].post(message) }

    /// Ends all workers and waits for them.
    public func stop() {
        post(.stop)
        for thread in threads { thread.join() }
        threads = []
    }
}
