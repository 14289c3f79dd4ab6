import Runtime

/// Follows an etcd cluster: chooses a member, watches on one stream, notices when the member or the history is lost.
///
/// For each watched span there is a position: everything before it is known. A span's first position is set before anything
/// is read there, so that reads and changes together leave no gap.
final class EtcdWatcher {
    /// What the watcher asks and tells.
    struct Delegate {
        /// What is to be watched.
        var spans: () -> Set<EtcdSpan> = { [] }
        /// Some keys that are known.
        var witnesses: () -> [EtcdWitness] = { [] }
        /// Reading can begin where there is a position.
        var ready: () -> Void = {}
        /// A key has changed.
        var event: (EtcdEvent) -> Void = { _ in }
        /// The member is lost; what is under way gets no answer. `isLast`: there is no other to be tried at once.
        var lost: (_ reason: String, _ isLast: Bool) -> Void = { _, _ in }
        /// Nobody with a majority answers: what was never read can be read from a member's own copy.
        var silent: () -> Void = {}
        /// Changes of these were missed: they are to be read again.
        var missed: (Set<EtcdSpan>) -> Void = { _ in }
        /// It is another cluster, or an older state of it: nothing known about revisions holds.
        var historyChanged: () -> Void = {}
        /// The user may not watch this.
        var refused: (EtcdSpan, String) -> Void = { _, _ in }
    }

    private enum State {
        case idle
        /// For the time of the next attempt.
        case waiting
        /// For an answer from the cluster as a whole.
        case probing
        /// For the watches to be confirmed.
        case opening
        case open
    }

    let health: RegistryHealth
    var delegate = Delegate()
    /// When what is listed became doubtful last; etcd keeps leases and keys over a restart, so that is rare.
    private(set) var unsteadyAt: Int64?
    /// The highest revision a majority has named; 0 for none.
    var seen: Int64 { known.revision }

    private let client: EtcdClient
    private let settings: EtcdSettings
    private let context: DiscoveryContext
    private var state = State.idle
    private var pool: ServerPool
    /// The leave to use the member that is being tried.
    private var turn: ServerPool.Turn?
    /// Holds attempts to connect after losses to a rate, whatever members answer.
    private var rate: RateLimit
    private let history: EtcdHistory
    private var known = EtcdHistory.Known()
    private var positions: [EtcdSpan: Int64] = [:]
    private var watches: [EtcdSpan] = []
    private var created = 0
    private var stream: HTTPClient.Call?
    private var feed: EtcdFeed?
    private var timer: EventLoop.Timer?
    private var hedge: EventLoop.Timer?
    private var reopening: EventLoop.Timer?
    private var openedAt: Int64 = 0
    /// Attempts and members lost since the watch was last confirmed.
    private var losses = 0
    /// Counts attempts to connect: what was sent in an earlier one tells nothing about the member in use.
    private(set) var attempt = 0
    private var isStopped = false

    init(_ settings: EtcdSettings, client: EtcdClient, url: String, context: DiscoveryContext) {
        self.settings = settings
        self.client = client
        self.context = context
        history = EtcdHistory(client)
        health = RegistryHealth(url: url, logger: context.logger)
        pool = ServerPool(count: settings.servers.count, backoff: settings.serverBackoff)
        rate = RateLimit(interval: settings.serverBackoff.cap, burst: settings.servers.count + 4)
    }

    /// A member is there that has a majority with it.
    var isUp: Bool { state == .opening || state == .open }

    /// Whether what is read in a span now leaves no gap to what is watched.
    func hasPosition(_ span: EtcdSpan) -> Bool { isUp && positions[span] != nil }

    /// Connects, if that has not begun yet.
    func start() {
        guard state == .idle, !isStopped else { return }
        state = .waiting
        timer = context.loop.schedule(after: .zero) { [weak self] in self?.connect() }
    }

    func stop() {
        isStopped = true
        close()
        for timer in [timer, hedge, reopening] { context.loop.cancel(timer) }
        state = .idle
    }

    /// What is to be watched has become more.
    func spansChanged(_ span: EtcdSpan) {
        guard isUp else { return start() }
        if positions[span] == nil && seen > 0 { positions[span] = seen + 1 }
        guard !watches.contains(span), reopening == nil else { return }
        let pause = openedAt + settings.reopenPause.nanoseconds - Clock.nanoseconds
        // A stream that watches nothing costs nothing to be given up.
        let wait = watches.isEmpty ? settings.gatherTime : max(settings.gatherTime, .nanoseconds(pause))
        reopenSoon(after: wait)
    }

    private func reopenSoon(after time: Duration) {
        reopening = context.loop.schedule(after: time) { [weak self] in
            self?.reopening = nil
            self?.reopen()
        }
    }

    /// A read has shown this header; `since` is what `seen` was when it was sent. False: nothing it says can be used.
    func saw(_ header: EtcdHeader, since: Int64) -> Bool {
        if EtcdHistory.Known(cluster: known.cluster, revision: since).excludes(header) {
            lose(EtcdFailure(.away, "the cluster's revision went from \(since) to \(header.revision)"), isFault: false)
            forgetHistory()
            return false
        }
        known.add(header)
        return true
    }

    /// The member in use cannot be used any more.
    ///
    /// - Parameter attempt: in which it was found out; nil: in the present one.
    func lose(_ failure: EtcdFailure, in attempt: Int? = nil) {
        if attempt ?? self.attempt == self.attempt { lose(failure, isFault: true) }
    }

    // MARK: Connecting

    private func connect() {
        guard !isStopped else { return }
        switch pool.choose(now: Clock.nanoseconds) {
        case .wait(let time): return wait(time)
        case .use(let turn): (self.turn, client.server) = (turn, turn.server)
        }
        attempt += 1
        state = .probing
        hedge = context.loop.schedule(after: settings.staleAfter) { [weak self] in self?.delegate.silent() }
        ask { [weak self] failure in
            guard let self else { return }
            context.loop.cancel(hedge)
            switch failure?.kind {
            // What the user may read is not enough for the question, and yet the member answers.
            case nil, .forbidden: open()
            case .noQuorum:
                delegate.silent()
                fallthrough
            default: lose(failure ?? EtcdFailure(.away, ""))
            }
        }
    }

    private func wait(_ time: Duration) {
        state = .waiting
        timer = context.loop.schedule(after: max(time, .milliseconds(1))) { [weak self] in self?.connect() }
    }

    /// Asks a majority whether this is the cluster that is known.
    private func ask(_ completion: @escaping (EtcdFailure?) -> Void) {
        let place = delegate.spans().first?.key ?? [UInt8(ascii: "/")]
        history.ask(delegate.witnesses(), or: place, known: known) { [weak self] result in
            guard let self else { return }
            switch result {
            case .failure(let failure): completion(failure)
            case .success(let answer): take(answer, completion)
            }
        }
    }

    private func take(_ answer: EtcdHistory.Answer, _ completion: (EtcdFailure?) -> Void) {
        if !answer.isSame {
            let wasUp = isUp
            if wasUp { lose(EtcdFailure(.away, "the cluster has another history"), isFault: false) }
            forgetHistory()
            // Then there is another attempt.
            if wasUp { return }
        }
        known.add(answer.header)
        if isUp { health.succeeded() }
        completion(nil)
    }

    private func forgetHistory() {
        let logger = context.logger
        logger.log(
            .warning, "registry.history_changed", ["url": health.url, "known": "\(seen)"], limit: 5,
            limitKey: health.url)
        known = EtcdHistory.Known()
        positions.removeAll()
        unsteadyAt = Clock.nanoseconds
        delegate.historyChanged()
    }

    private func reopen() {
        guard isUp else { return }
        close()
        connect()
    }

    // MARK: The stream

    private func open() {
        let wanted = delegate.spans()
        positions = positions.filter { wanted.contains($0.key) }
        if seen > 0 { for span in wanted where positions[span] == nil { positions[span] = seen + 1 } }
        watches = Array(wanted)
        created = 0
        state = .opening
        openedAt = Clock.nanoseconds
        guard !watches.isEmpty else { return opened() }
        let feed = makeFeed()
        self.feed = feed
        stream = client.stream(
            "/v3/watch", request(),
            take: { [weak feed] in feed?.take($0) },
            completion: { [weak self, weak feed] result in
                guard let self, self.feed === feed else { return }
                stream = nil
                ended(result)
            })
        timer = context.loop.schedule(after: settings.timeout) { [weak self] in
            self?.lose(EtcdFailure(.away, "the watch was not confirmed"))
        }
        if seen > 0 { delegate.ready() }
    }

    private func request() -> String {
        var body = ""
        for (index, span) in watches.enumerated() {
            let start = positions[span].map { #","start_revision":"\#($0)""# } ?? ""
            body +=
                #"{"create_request":{\#(span.members())\#(start),"progress_notify":true,"watch_id":"\#(index + 1)"}}"#
        }
        return body
    }

    private func makeFeed() -> EtcdFeed {
        EtcdFeed(
            loop: context.loop, maximumLine: settings.largestAnswer,
            handlers: EtcdFeed.Handlers(
                message: { [weak self] in self?.take($0) },
                event: { [weak self] in self?.delegate.event($0) },
                finished: { [weak self] message, revision in self?.advance(message.watch, to: revision) },
                failed: { [weak self] in self?.lose($0) },
                pause: { [weak self] isPaused in
                    guard let self, let stream else { return }
                    if isPaused { context.http.pause(stream) } else { context.http.resume(stream) }
                }))
    }

    private func take(_ message: EtcdWatchMessage) {
        if message.isCreated && message.isCanceled { return refuse(message.reason) }
        guard let span = span(message.watch) else { return }
        if message.isCreated { return confirm(span, message.header?.revision ?? 0) }
        if message.isCanceled { return cancel(span, message) }
        // Nothing but a header: everything up to it has been told.
        if message.events.isEmpty, let header = message.header { advance(message.watch, to: header.revision) }
    }

    private func span(_ watch: Int64) -> EtcdSpan? {
        watch >= 1 && watch <= Int64(watches.count) ? watches[Int(watch) - 1] : nil
    }

    private func advance(_ watch: Int64, to revision: Int64) {
        guard let span = span(watch), revision < .max else { return }
        if revision >= positions[span] ?? 0 { positions[span] = revision + 1 }
    }

    private func confirm(_ span: EtcdSpan, _ revision: Int64) {
        if let position = positions[span], revision < position - 1 {
            lose(EtcdFailure(.away, "the cluster's revision went from \(position - 1) to \(revision)"), isFault: false)
            return forgetHistory()
        }
        if positions[span] == nil { positions[span] = revision + 1 }
        created += 1
        if created == watches.count { opened() }
    }

    private func opened() {
        state = .open
        losses = 0
        health.succeeded()
        _ = pool.succeeded(client.server)
        context.loop.cancel(timer)
        timer = context.loop.schedule(after: settings.probePeriod.jittered) { [weak self] in self?.check() }
        delegate.ready()
    }

    /// Asks beside the stream, which would be silent for long if the cluster were another one now.
    private func check() {
        ask { [weak self] failure in
            guard let self, state == .open else { return }
            if let failure, failure.kind != .forbidden { return lose(failure) }
            timer = context.loop.schedule(after: settings.probePeriod.jittered) { [weak self] in self?.check() }
        }
    }

    /// The watches are confirmed in the order in which they were asked for.
    private func refuse(_ reason: String) {
        guard created < watches.count else { return lose(EtcdFailure(.away, "a watch was refused: \(reason)")) }
        let span = watches[created]
        client.forgetToken()
        health.failed("\(client.address): a watch was refused: \(reason)", isAway: false)
        close()
        delegate.refused(span, reason)
        wait(settings.reopenPause)
    }

    /// The watch stays silent from here on, the stream stays open.
    private func cancel(_ span: EtcdSpan, _ message: EtcdWatchMessage) {
        let logger = context.logger
        logger.log(
            .info, "registry.history_compacted", ["url": health.url, "revision": "\(message.compactRevision)"],
            limit: 5,
            limitKey: health.url)
        positions[span] = nil
        delegate.missed([span])
        guard reopening == nil else { return }
        // Others of the same stream are cancelled at the same time.
        reopenSoon(after: max(settings.gatherTime, rate.take(now: Clock.nanoseconds)))
    }

    private func ended(_ result: Result<HTTPResponse, HTTPError>) {
        switch result {
        case .failure(.timedOut):
            // Nothing but long silence, on a connection that may be dead: go on where it was.
            if state == .open { reopen() } else { lose(EtcdFailure(.away, "the watch is silent")) }
        case .failure(let error): lose(EtcdFailure(.away, "the watch has ended: \(error)"))
        case .success(let response) where response.status == 200:
            lose(EtcdFailure(.away, "the watch has ended"))
        case .success(let response):
            let failure = EtcdFailure(response)
            if failure.kind == .unauthorized { client.forgetToken() }
            lose(failure)
        }
    }

    // MARK: The end

    private func lose(_ failure: EtcdFailure, isFault: Bool) {
        guard !isStopped, state == .probing || isUp else { return }
        close()
        let now = Clock.nanoseconds
        if isFault { pool.failed(client.server, sentAt: now, now: now) }
        losses += 1
        let isLast = losses >= settings.servers.count
        health.failed("\(client.address): \(failure)", isAway: isLast)
        wait(rate.take(now: now))
        delegate.lost(failure.description, isLast)
    }

    private func close() {
        feed?.stop()
        feed = nil
        if let stream { context.http.cancel(stream) }
        (stream, turn) = (nil, nil)
        history.cancel()
        for timer in [timer, hedge, reopening] { context.loop.cancel(timer) }
        (timer, hedge, reopening) = (nil, nil, nil)
        watches = []
        state = .waiting
    }
}
