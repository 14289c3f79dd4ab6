import Balancing
import Codecs
import Configuration
import Glibc
import Model
import Runtime

/// One thread of the data plane: its own epoll loop, listeners, connections, timers and counters. Shares nothing with other
/// workers; the control plane reaches it through `inbox`.
///
/// A struct that cannot be copied, with its records behind pointers: the path of a request neither allocates nor counts
/// references (`~Copyable` costs a fifth of what final classes do).
///
/// All that it asks of the system goes through `system`, so that a test can drive one turn by turn.
public struct Worker<System: SystemCalls>: ~Copyable {
    /// Number of this worker, from 0.
    let index: Int
    let inbox: Mailbox<WorkerMessage>
    let outbox: Mailbox<WorkerEvent>
    let settings: CompiledSettings
    let accessLog: AccessLog?

    let system: System
    var wheel: TimerWheel
    var buffers = BufferPool()
    var random: FastRandom
    /// Monotonic nanoseconds at the start of this batch of events.
    var now: Int64
    /// What is read from sockets; holds nothing between two events.
    let scratch: UnsafeMutablePointer<UInt8>
    /// Where answers are put together; holds nothing between two events.
    let output: UnsafeMutablePointer<UInt8>

    var tables = ServiceTables()
    var listeners: [Listener]
    var http: ExclusiveState
    let dubbo: Framed<DubboCodec>
    let bolt: Framed<BoltCodec>
    var notes = NoteBudget()
    var logLines = Buffer()
    /// When draining began; 0 before.
    var drainingSince: Int64 = 0
    /// What goes to, or has come from, another process.
    var handOver = HandOverState()
    /// Whether another turn is to follow: not after `stop`, nor after the last request of a drain.
    public internal(set) var running = true
    var updates = Updates()
    var lag = Lag()
    /// Copies of requests.
    var mirrors = Mirrors()
    /// Bytes of `scratch`.
    static var scratchSize: Int { 65_536 }
    /// Bytes of `output`: more than the largest head with what is added to it.
    static var outputSize: Int { 2 * 65_536 }

    /// Takes over listening sockets.
    ///
    /// - Parameters:
    ///   - listeners: descriptors of this worker alone, in the order of the settings' listeners.
    ///   - more: further descriptors, each with its listener's place in that order.
    public init(
        index: Int, settings: WorkerSettings, listeners descriptors: [Int32],
        more: [(listener: Int, descriptor: Int32)] = [], inbox: Mailbox<WorkerMessage>,
        outbox: Mailbox<WorkerEvent>, system: System
    ) {
        self.index = index
        self.inbox = inbox
        self.outbox = outbox
        self.settings = CompiledSettings(settings)
        accessLog = settings.accessLog
        self.system = system
        random = FastRandom(seed: system.randomSeed())
        now = system.nanoseconds
        wheel = TimerWheel(now: now)
        scratch = .allocate(capacity: Self.scratchSize)
        output = .allocate(capacity: Self.outputSize)
        self.listeners = zip(settings.listeners, descriptors).map { Listener(configuration: $0, descriptor: $1) }
        // Another socket of a listener is like a listener of the same name.
        self.listeners += more.map {
            Listener(configuration: settings.listeners[$0.listener], descriptor: $0.descriptor)
        }
        http = ExclusiveState()
        dubbo = Self.makeFramed(bodyLimit: settings.limits.dubboBody)
        bolt = Self.makeFramed(bodyLimit: settings.limits.boltBody)
        tables.toldAt = now
        watchInbox()
        if settings.accepts { beginAccepting() }
        addApplications()
    }

    deinit {
        settings.free()
        Self.free(dubbo)
        Self.free(bolt)
        scratch.deallocate()
        output.deallocate()
        system.end()
    }

    /// Serves until it is told to stop or has drained.
    mutating func run() {
        while running { turn() }
        tearDown()
    }

    /// Waits for events and carries them out: changes, connections, timers, and what their batch has put together.
    public mutating func turn() {
        let longest = pollMilliseconds
        let count = system.wait(milliseconds: longest)
        let time = system.nanoseconds
        lag.note(now, now: time, longest: longest, count: count, isFull: system.isFull(count))
        now = time
        for number in 0..<count {
            let (token, readiness) = system.event(number)
            dispatch(Token(rawValue: token), readiness)
        }
        if !lag.isBehind { fireTimers() }
        // Before the batch is finished: what this queues must not wait for the next event.
        if updates.isWaiting { advanceUpdates() }
        finishBatch()
    }

    /// Closes what is left, forgets all services and hands over the last lines of the log. No turn follows.
    public mutating func tearDown() {
        finishUpdate()
        closeListeners()
        dropCopies()
        while let downstream = http.all.first { abandon(downstream) }
        tearDown(dubbo)
        tearDown(bolt)
        for service in tables.services { forget(service) }
        finishReleasing()
        settle()
        writeAccessLog()
    }

    private mutating func tearDown<Codec: FramedCodec & ~Copyable>(_ framed: Framed<Codec>) {
        while let downstream = framed.pointee.all.first { close(framed, downstream) }
        endDelayed(framed)
        flush(framed)
    }

    @inline(__always)
    private var pollMilliseconds: Int32 {
        if updates.isWaiting || lag.isBehind { return 0 }
        let wait = wheel.waitMilliseconds(now: now)
        // Draining is looked after between batches, so these must not be far apart then.
        let longest: Int32 = drainingSince == 0 ? 1000 : 5
        return wait < 0 || wait > longest ? longest : wait
    }

    @inline(__always)
    private mutating func dispatch(_ token: Token, _ readiness: Readiness) {
        switch token.kind {
        case .exclusiveDownstream:
            downstreamReady(token.record.assumingMemoryBound(to: ExclusiveDownstream.self), readiness)
        case .exclusiveUpstream:
            upstreamReady(token.record.assumingMemoryBound(to: ExclusiveUpstream.self), readiness)
        case .dubboDownstream:
            downstreamReady(dubbo, token.record.assumingMemoryBound(to: FramedDownstream.self), readiness)
        case .dubboUpstream:
            upstreamReady(dubbo, token.record.assumingMemoryBound(to: FramedUpstream.self), readiness)
        case .boltDownstream:
            downstreamReady(bolt, token.record.assumingMemoryBound(to: FramedDownstream.self), readiness)
        case .boltUpstream:
            upstreamReady(bolt, token.record.assumingMemoryBound(to: FramedUpstream.self), readiness)
        case .listener: acceptConnections(token.listener)
        case .mailbox: takeUpdates()
        case .dubboRequest, .boltRequest: break
        }
    }

    private mutating func fireTimers() {
        while let timer = wheel.popDue(now: now) {
            let record = UnsafeMutableRawPointer(timer)
            switch RecordKind(code: timer.pointee.kind) {
            case .exclusiveDownstream: downstreamTimeout(record.assumingMemoryBound(to: ExclusiveDownstream.self))
            case .exclusiveUpstream: upstreamTimeout(record.assumingMemoryBound(to: ExclusiveUpstream.self))
            case .dubboDownstream: downstreamTimeout(dubbo, record.assumingMemoryBound(to: FramedDownstream.self))
            case .dubboUpstream: upstreamTimeout(dubbo, record.assumingMemoryBound(to: FramedUpstream.self))
            case .dubboRequest: requestTimeout(dubbo, record.assumingMemoryBound(to: FramedRequest.self))
            case .boltDownstream: downstreamTimeout(bolt, record.assumingMemoryBound(to: FramedDownstream.self))
            case .boltUpstream: upstreamTimeout(bolt, record.assumingMemoryBound(to: FramedUpstream.self))
            case .boltRequest: requestTimeout(bolt, record.assumingMemoryBound(to: FramedRequest.self))
            case .listener, .mailbox: break
            }
        }
    }

    @inline(__always)
    private mutating func finishBatch() {
        if handOver.isGiving { giveIdle() }
        continuePipelined()
        flush(dubbo)
        flush(bolt)
        if mirrors.isWaiting { startCopies() }
        settle()
        housekeeping()
    }

    /// The batch is over: records that were closed in it are free.
    @inline(__always)
    private mutating func settle() {
        http.settle()
        dubbo.pointee.settle()
        bolt.pointee.settle()
    }

    /// What is due now and then; looked at after every batch, so it only compares.
    @inline(__always)
    private mutating func housekeeping() {
        if now - notes.refilledAt >= 1_000_000_000 { everySecond() }
        if logLines.count > 32_768 { writeAccessLog() }
        if drainingSince != 0 {
            if !lag.isBehind {
                closeDrained(dubbo)
                closeDrained(bolt)
            }
            checkDrained()
        }
    }

    private mutating func everySecond() {
        notes.refill(now: now)
        resumeListeners()
        tellUsedServices()
        writeAccessLog()
    }

    /// Idle connections stay open for so long when draining begins: a request may be on its way.
    static var drainPause: Int64 { 1_000_000_000 }

    mutating func beginDrain() {
        if drainingSince != 0 { return }
        drainingSince = now
        dropCopies()
        if handOver.isGiving { leaveListeners() } else { closeListeners() }
        drainDownstreams()
        beginDrain(dubbo)
        beginDrain(bolt)
    }

    private mutating func checkDrained() {
        guard running, http.downstreams.count == 0, isDone(dubbo), isDone(bolt) else { return }
        running = false
        outbox.post(.drained(worker: index))
    }

    private func isDone<Codec: FramedCodec & ~Copyable>(_ framed: Framed<Codec>) -> Bool {
        framed.pointee.downstreams.count == 0 && framed.pointee.requests.count == 0
    }

    /// Has something logged, unless peers cause too much of it.
    mutating func note(_ note: WorkerNote) {
        if notes.take() { outbox.post(.note(note)) }
    }
}

/// How many notes a second a worker may have logged, so that peers cannot flood the log.
struct NoteBudget {
    private(set) var refilledAt: Int64 = 0
    private var left = 20

    mutating func refill(now: Int64) {
        refilledAt = now
        left = 20
    }

    mutating func take() -> Bool {
        left -= 1
        return left >= 0
    }
}
