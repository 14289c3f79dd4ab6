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

    /// Opens all listeners and starts the workers.
    ///
    /// - Throws: `SystemError` that names the address that cannot be had.
    public init(settings: WorkerSettings, workers: Int) throws {
        var settings = settings
        events = try Mailbox()
        inboxes = try (0..<workers).map { _ in try Mailbox() }
        var sockets: [[Int32]] = []
        do {
            for listener in settings.listeners { try Socket.checkUnused(listener.address) }
            for number in 0..<workers {
                sockets.append([])
                for index in settings.listeners.indices {
                    let descriptor = try Socket.listen(on: settings.listeners[index].address, shared: workers > 1)
                    sockets[number].append(descriptor)
                    // The first worker's sockets settle the ports that the system chooses.
                    if let bound = Socket.localAddress(descriptor) { settings.listeners[index].address = bound }
                }
            }
        } catch {
            for descriptor in sockets.joined() { Socket.close(descriptor) }
            throw error
        }
        addresses = settings.listeners.map(\.address)
        for number in 0..<workers { try start(number, settings, sockets[number]) }
    }

    private func start(_ number: Int, _ settings: WorkerSettings, _ sockets: [Int32]) throws {
        let inbox = inboxes[number]
        let outbox = events
        let thread = try Thread(name: "worker-\(number)") {
            guard let system = try? LinuxSystem() else {
                outbox.post(.drained(worker: number))
                return
            }
            var worker = Worker(
                index: number, settings: settings, listeners: sockets, inbox: inbox, outbox: outbox, system: system)
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
