import Runtime

/// Keeps a table of what a Eureka server knows up to date: the whole list first, then its changes.
///
/// One question is under way at a time, so that answers are applied in the order in which they were given.
final class EurekaSource {
    /// What a server is asked.
    enum Question: Equatable {
        /// All instances.
        case all
        /// What has changed in the last minutes.
        case changes
        /// The instances of one application.
        case application(String)
        /// The same, because what is known of it is doubted.
        case doubted(String)
    }

    let health: RegistryHealth
    /// What is known; nil before the first answer.
    private(set) var table: EurekaTable?
    /// When what the servers say became doubtful last; monotonic nanoseconds.
    private(set) var unsteadyAt: Int64?
    /// Tells whether somebody wants the hosts of an application.
    var wants: (String) -> Bool = { _ in false }
    /// These applications may have changed, nil: all.
    var onChange: (Set<String>?) -> Void = { _ in }
    /// These were asked for again, and the table is as it was.
    var onConfirmed: (Set<String>) -> Void = { _ in }
    /// No server can be asked.
    var onUnavailable: (String) -> Void = { _ in }

    private let settings: EurekaSettings
    private let context: DiscoveryContext
    private var pool: ServerPool
    private var isRunning = false
    private var call: HTTPClient.Call?
    private var work: SlicedWork?
    private var timer: EventLoop.Timer?

    /// Whose list the table is.
    private var server: Int?
    private var needsAll = true
    /// Until when changes are not asked for: the server has refused them.
    private var noChangesBefore: Int64 = 0
    private var changesBackoff: Backoff
    private var lastGoodAt: Int64 = 0
    private var nextAllAt: Int64 = 0
    private var nextPollAt: Int64 = 0
    /// Hashes of the changes that the last answer held: servers repeat each for three minutes.
    private var applied: Set<UInt64> = []
    private var mismatches: Backoff
    private var notAgainBefore: Int64 = 0
    private var wanted: [String] = []
    private var doubted: [String] = []
    /// A list that has lost much, until another server was asked.
    private var suspect: (table: EurekaTable, server: Int)?
    private var switchedAt: Int64?
    /// Not before this time many doubts are answered by a whole list: servers answer from a cache, and it is long.
    private var nextCheckAt: Int64 = 0

    /// Holds questions to a rate, whatever servers answer.
    private var rate: RateLimit

    /// More applications than this are asked for all at once.
    private static let mostSingle = 20
    /// The same of those that are doubted.
    private static let mostDoubted = 2

    init(_ settings: EurekaSettings, url: String, context: DiscoveryContext) {
        self.settings = settings
        self.context = context
        health = RegistryHealth(url: url, logger: context.logger)
        pool = ServerPool(count: settings.servers.count, backoff: settings.serverBackoff)
        mismatches = settings.mismatchBackoff
        changesBackoff = settings.changesBackoff
        rate = RateLimit(interval: settings.poll / 5, burst: Self.mostSingle)
    }

    /// Begins to ask.
    func start() {
        guard !isRunning else { return }
        isRunning = true
        needsAll = true
        advance()
    }

    /// Ends all work and forgets the table.
    func stop() {
        isRunning = false
        table = nil
        (wanted, doubted, suspect, server, applied) = ([], [], nil, nil, [])
        context.loop.cancel(timer)
        work?.cancel()
        work = nil
        if let call { context.http.cancel(call) }
        call = nil
    }

    /// One more application will be asked for.
    func expect() { rate.grant(1) }

    /// The hosts of an application are wanted that were not.
    func fetch(_ application: String) {
        if !wanted.contains(application) { wanted.append(application) }
        advance()
    }

    /// An application is asked for again at once.
    func check(_ application: String) {
        if !doubted.contains(application) { doubted.append(application) }
        advance()
    }

    /// The hosts of an application are not wanted any more.
    func release(_ application: String) {
        // While a list is read, its hosts are let go with the next one.
        table?.forgetHosts(application)
    }

    private var isBusy: Bool { call != nil || work != nil }

    private func advance() {
        guard isRunning, !isBusy else { return }
        context.loop.cancel(timer)
        let now = Clock.nanoseconds
        guard let question = nextQuestion(now: now) else {
            let next = doubted.isEmpty ? nextPollAt : min(nextPollAt, nextCheckAt)
            return wake(after: .nanoseconds(next - now))
        }
        let delay = rate.delay(now: now)
        guard delay <= .zero else { return wake(after: delay) }
        if suspect != nil { return askAnother(.all, now: now) }
        if isDoubt(question) { return askAnother(question, now: now) }
        switch pool.choose(now: now) {
        case .wait(let time): wake(after: time)
        case .use(let turn): ask(question, turn, now: now)
        }
    }

    private func wake(after time: Duration) {
        timer = context.loop.schedule(after: max(.zero, time)) { [weak self] in self?.advance() }
    }

    private func nextQuestion(now: Int64) -> Question? {
        if needsAll || suspect != nil { return .all }
        if wanted.count > Self.mostSingle { return .all }
        if let application = wanted.first { return .application(application) }
        if doubted.count > Self.mostDoubted {
            // One list is an answer to all.
            if now >= nextCheckAt { return .all }
        } else if let application = doubted.first {
            return .doubted(application)
        }
        guard now >= nextPollAt else { return nil }
        let isGap = now - lastGoodAt > settings.longestGap.nanoseconds
        return now < noChangesBefore || isGap || now >= nextAllAt ? .all : .changes
    }

    /// Asks a server other than the one in use, if there is one that can be asked.
    private func askAnother(_ question: Question, now: Int64) {
        guard case .use(let turn) = pool.choose(now: now, skip: 1) else {
            if let suspect { return adopt(suspect.table, of: suspect.server) }
            return wake(after: .milliseconds(100))
        }
        if let suspect, suspect.server == turn.server { return adopt(suspect.table, of: suspect.server) }
        ask(question, turn, now: now)
    }

    private func ask(_ question: Question, _ turn: ServerPool.Turn, now: Int64) {
        let index = turn.server
        let isOpinion = suspect != nil || isDoubt(question)
        // Another server's changes do not go with this list.
        let question = isOpinion || index == server ? question : .all
        var request = HTTPRequest(
            "GET", settings.servers[index] + Self.path(question), headers: settings.headers,
            timeout: settings.timeout, maximumBody: settings.largestAnswer)
        request.acceptsGzip = true
        rate.use(now: now)
        call = context.http.send(request) { [weak self] result in
            self?.call = nil
            self?.take(result, question, turn, sentAt: now)
            self?.advance()
        }
    }

    private func isDoubt(_ question: Question) -> Bool {
        if case .doubted = question { return true }
        return false
    }

    private static func path(_ question: Question) -> String {
        switch question {
        case .all: "/apps"
        case .changes: "/apps/delta"
        case .application(let name), .doubted(let name): "/apps/" + PercentEncoding.encode(name.uppercased())
        }
    }

    private func take(
        _ result: Result<HTTPResponse, HTTPError>, _ question: Question, _ turn: ServerPool.Turn, sentAt: Int64
    ) {
        let index = turn.server
        switch result {
        case .failure(let error): lose(index, question, "\(error)", sentAt: sentAt)
        case .success(let response):
            switch (response.status, question) {
            case (200, _): read(response.body, question, turn, sentAt: sentAt)
            case (404, .application(let name)), (404, .doubted(let name)):
                takeApplication(name, [], question, index)
            case (403...404, .changes), (410, .changes), (501, .changes):
                // Servers can be told to keep no changes; others say so once, as while they start.
                noChangesBefore = Clock.nanoseconds + changesBackoff.failed().nanoseconds
                needsAll = true
            default: lose(index, question, words(response), sentAt: sentAt)
            }
        }
    }

    private func words(_ response: HTTPResponse) -> String {
        switch response.status {
        case 401, 403: "status \(response.status): the server wants other credentials: USER:PASSWORD@ in the address"
        case 404: "status 404: no Eureka there, wrong path?"
        default: Excerpt.words(response)
        }
    }

    private func lose(_ index: Int, _ question: Question, _ reason: String, sentAt: Int64) {
        let now = Clock.nanoseconds
        pool.failed(index, sentAt: sentAt, now: now)
        // It was asked for an opinion only.
        let isOther = suspect != nil || (server != nil && index != server && isDoubt(question))
        drop(question)
        if !isOther {
            unsteadyAt = now
            needsAll = true
        }
        let isLast = pool.isAway(now: now)
        health.failed("\(settings.servers[index]): \(reason)", isAway: isLast)
        if isLast { onUnavailable(reason) }
        if let suspect { adopt(suspect.table, of: suspect.server) }
    }

    private func drop(_ question: Question) {
        switch question {
        case .application(let name): wanted.removeAll { $0 == name }
        case .doubted(let name): doubted.removeAll { $0 == name }
        case .all, .changes: break
        }
    }
}

// MARK: - Reading

extension EurekaSource {
    /// Reads an answer, a little at a time where it is long.
    private func read(_ body: [UInt8], _ question: Question, _ turn: ServerPool.Turn, sentAt: Int64) {
        let index = turn.server
        var reader: EurekaReader
        do { reader = try EurekaReader(body) } catch {
            return lose(index, question, "\(error)", sentAt: sentAt)
        }
        var next = EurekaTable()
        var single: [EurekaInstance] = []
        var changed: Set<String> = []
        var repeated: Set<UInt64> = []
        let reading = SlicedWork(loop: context.loop) { [weak self] in
            guard let self else { return false }
            do {
                switch try reader.step() {
                case .other: return true
                case .instance(let range, let name):
                    if question == .changes {
                        let hash = JSONText.hash(body, in: range)
                        repeated.insert(hash)
                        if applied.contains(hash) { return true }
                    }
                    let found = EurekaInstance(body, range, application: name, settings) { self.isKept($0, question) }
                    guard let instance = found else { return true }
                    switch question {
                    case .all: next.put(instance)
                    case .changes:
                        table?.apply(instance)
                        changed.insert(instance.application)
                    case .application, .doubted: single.append(instance)
                    }
                    return true
                case .end: break
                }
            } catch {
                work = nil
                lose(turn.server, question, "\(error)", sentAt: sentAt)
                advance()
                return false
            }
            work = nil
            switch question {
            case .all: takeAll(next, turn.server)
            case .changes:
                applied = repeated
                takeChanges(changed, reader.checksum)
            case .application(let name), .doubted(let name): takeApplication(name, single, question, turn.server)
            }
            advance()
            return false
        }
        if !reading.isDone { work = reading }
    }

    private func isKept(_ application: String, _ question: Question) -> Bool {
        switch question {
        case .application(let name), .doubted(let name): name == application
        case .all, .changes: wants(application)
        }
    }

    private func succeeded(_ index: Int) {
        let now = Clock.nanoseconds
        if pool.succeeded(index), server == nil || index == server { unsteadyAt = now }
        health.succeeded()
    }

    private func takeAll(_ next: EurekaTable, _ index: Int) {
        succeeded(index)
        let now = Clock.nanoseconds
        if let suspect {
            // Who knows more was not cut off from the others.
            let isBetter = next.count > suspect.table.count
            return adopt(isBetter ? next : suspect.table, of: isBetter ? index : suspect.server)
        }
        if let table, 2 * next.count < table.count {
            unsteadyAt = now
            if settings.servers.count > 1 {
                suspect = (next, index)
                return
            }
        }
        adopt(next, of: index)
    }

    private func adopt(_ next: EurekaTable, of index: Int) {
        let now = Clock.nanoseconds
        if let server, server != index { unsteadyAt = now }
        if server != index { noChangesBefore = 0 }
        (table, server, suspect) = (next, index, nil)
        applied = []
        pool.prefer(index)
        needsAll = false
        lastGoodAt = now
        nextCheckAt = now + min(settings.poll, EurekaSettings.shortestPoll).nanoseconds
        nextAllAt = now + settings.fullPeriod.jittered.nanoseconds
        nextPollAt = now + settings.poll.jittered.nanoseconds
        let asked = Set(doubted)
        (wanted, doubted) = ([], [])
        onChange(nil)
        if !asked.isEmpty { onConfirmed(asked) }
        context.loop.schedule(after: .zero) { [weak self] in self?.advance() }
    }

    private func takeChanges(_ changed: Set<String>, _ checksum: String?) {
        guard let server else { return }
        succeeded(server)
        let now = Clock.nanoseconds
        lastGoodAt = now
        changesBackoff.succeeded()
        nextPollAt = now + settings.poll.jittered.nanoseconds
        if !changed.isEmpty { onChange(changed) }
        guard let checksum, checksum != table?.checksum else { return mismatches.succeeded() }
        // What is missing is in the whole list only; but caches may differ for a while.
        guard now >= notAgainBefore else { return }
        notAgainBefore = now + mismatches.failed().nanoseconds
        needsAll = true
    }

    private func takeApplication(_ name: String, _ instances: [EurekaInstance], _ question: Question, _ index: Int) {
        let isDoubt = question == .doubted(name)
        drop(question)
        succeeded(index)
        guard index != server else {
            table?.replace(name, with: instances)
            onChange([name])
            if isDoubt { onConfirmed([name]) }
            return
        }
        // Another server's opinion: does it know of hosts that are missing here?
        let known = table?[name] ?? [:]
        let now = Clock.nanoseconds
        let isMore = instances.contains { $0.status == .up && known[$0.id]?.status != .up }
        guard isMore, now - (switchedAt ?? .min / 2) > 60_000_000_000 else { return onConfirmed([name]) }
        switchedAt = now
        unsteadyAt = now
        pool.prefer(index)
        needsAll = true
    }
}
