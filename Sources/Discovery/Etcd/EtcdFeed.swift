import Runtime

/// One message of a watch.
struct EtcdWatchMessage {
    /// Which watch of the stream it is about.
    let watch: Int64
    let header: EtcdHeader?
    let isCreated: Bool
    let isCanceled: Bool
    /// History before this revision is not kept any more; 0 where the message is about something else.
    let compactRevision: Int64
    /// Why the watch was refused.
    let reason: String
    let text: [UInt8]
    let events: [Range<Int>]

    /// Reads a line; nil when it is none of etcd's.
    init?(_ result: EtcdText) {
        guard let watch = result.number("watch_id"), let compactRevision = result.number("compact_revision"),
            let events = result.elements("events")
        else { return nil }
        self.watch = watch
        self.compactRevision = compactRevision
        self.events = events
        header = EtcdHeader(result)
        isCreated = result.flag("created")
        isCanceled = result.flag("canceled")
        reason = result.string("cancel_reason") ?? ""
        text = result.text
    }
}

/// Turns the bytes of a watch into messages and events, a few in each turn of the loop.
///
/// One message can hold a thousand revisions. While much waits, the sender is slowed down.
final class EtcdFeed {
    /// What happens with what comes.
    struct Handlers {
        var message: (EtcdWatchMessage) -> Void
        var event: (EtcdEvent) -> Void
        /// All events of a message were handed out; the last revision among them.
        var finished: (EtcdWatchMessage, Int64) -> Void
        /// Nothing sensible comes any more.
        var failed: (EtcdFailure) -> Void
        /// Slow the sender down, or let it go on.
        var pause: (Bool) -> Void
    }

    private let work: WorkQueue
    private let handlers: Handlers
    private var splitter: LineSplitter
    private var lines = Fifo<[UInt8]>()
    private var waiting = 0
    private var isPaused = false
    private var current: (message: EtcdWatchMessage, next: Int, revision: Int64)?
    private var isDue = false
    private var isStopped = false

    /// Bytes that wait, at which the sender is slowed down.
    private static let muchWaiting = 4 << 20

    init(loop: EventLoop, maximumLine: Int, handlers: Handlers) {
        work = WorkQueue(loop: loop)
        self.handlers = handlers
        splitter = LineSplitter(maximum: maximumLine)
    }

    func take(_ piece: [UInt8]) {
        guard !isStopped else { return }
        guard let new = splitter.take(piece) else {
            return fail(EtcdFailure(.away, "a message of the watch is larger than \(splitter.maximum) bytes"))
        }
        for line in new {
            lines.append(line)
            waiting += line.count
        }
        if waiting > Self.muchWaiting && !isPaused {
            isPaused = true
            handlers.pause(true)
        }
        if !new.isEmpty { schedule() }
    }

    /// What waits is dropped.
    func stop() {
        isStopped = true
        lines = Fifo()
        current = nil
    }

    private func schedule() {
        guard !isDue else { return }
        isDue = true
        work.add { [weak self] in self?.takeNext() }
    }

    /// Hands out an event, or reads a line.
    private func takeNext() {
        isDue = false
        if isStopped { return }
        if current != nil {
            nextEvent()
        } else if let line = lines.popFirst() {
            waiting -= line.count
            read(line)
        }
        if isStopped { return }
        if isPaused && waiting < Self.muchWaiting / 4 {
            isPaused = false
            handlers.pause(false)
        }
        if current != nil || !lines.isEmpty { schedule() }
    }

    private func read(_ line: [UInt8]) {
        guard let text = EtcdText(line) else {
            return fail(EtcdFailure(.away, "the watch brought what is not etcd's"))
        }
        guard let message = text.object("result").flatMap(EtcdWatchMessage.init) else {
            let words = EtcdFailure.words(line)
            let kind: EtcdFailure.Kind = words.contains("no leader") ? .noQuorum : .away
            return fail(EtcdFailure(kind, "the watch has ended: \(words)"))
        }
        handlers.message(message)
        if !isStopped && !message.events.isEmpty { current = (message, 0, 0) }
    }

    private func nextEvent() {
        guard let (message, index, revision) = current else { return }
        guard index < message.events.count else {
            current = nil
            return handlers.finished(message, revision)
        }
        current?.next = index + 1
        guard let event = EtcdText(message.text, in: message.events[index])?.event else { return }
        current?.revision = max(revision, event.record.revision)
        handlers.event(event)
    }

    private func fail(_ failure: EtcdFailure) {
        stop()
        handlers.failed(failure)
    }
}
