import Runtime

/// Keeps a copy of the places that are followed, and of nothing else.
///
/// Places are read in batches, a few at a time, each page taken in small pieces. After that the watch keeps them up to date.
final class EtcdMirror {
    private typealias Follower = EtcdFollower

    /// A place was read, also when it is as before.
    var onRead: (EtcdPlace) -> Void = { _ in }
    /// A place has changed.
    var onChange: (EtcdPlace) -> Void = { _ in }
    /// A place cannot be read.
    var onFailure: (EtcdPlace, String) -> Void = { _, _ in }

    private let client: EtcdClient
    private let watcher: EtcdWatcher
    private let settings: EtcdSettings
    private let context: DiscoveryContext
    private let work: WorkQueue
    private var followers: [[UInt8]: Follower] = [:]
    private var roots: [EtcdSpan: Int] = [:]
    /// Roots that the user may not watch as a whole.
    private var splitRoots: Set<EtcdSpan> = []
    private var urgent = Fifo<[UInt8]>()
    private var later = Fifo<[UInt8]>()
    private var tickets: [ObjectIdentifier: EtcdClient.Ticket] = [:]
    private var isPumpDue = false

    init(_ settings: EtcdSettings, client: EtcdClient, watcher: EtcdWatcher, context: DiscoveryContext) {
        self.settings = settings
        self.client = client
        self.watcher = watcher
        self.context = context
        work = WorkQueue(loop: context.loop)
    }

    /// What is known about a place; nil when it is not followed or was not read yet.
    func folder(_ place: EtcdPlace) -> EtcdFolder? {
        guard let folder = followers[place.span.key]?.folder, folder.isRead else { return nil }
        return folder
    }

    /// Why a place was not read; nil where it is not known that it cannot be.
    func failure(_ place: EtcdPlace) -> String? { followers[place.span.key]?.failure }

    /// Starts to follow a place, or counts one more user of it.
    func follow(_ place: EtcdPlace) {
        if let follower = followers[place.span.key] {
            follower.users += 1
            return
        }
        let follower = Follower(place, pageSize: settings.pageSize)
        followers[place.span.key] = follower
        roots[place.root, default: 0] += 1
        watcher.spansChanged(watched(follower))
        enqueue(follower)
    }

    /// Takes back one `follow`.
    func unfollow(_ place: EtcdPlace) {
        guard let follower = followers[place.span.key] else { return }
        follower.users -= 1
        guard follower.users == 0 else { return }
        context.loop.cancel(follower.retry)
        followers[place.span.key] = nil
        let users = (roots[place.root] ?? 1) - 1
        roots[place.root] = users > 0 ? users : nil
        if users == 0 { splitRoots.remove(place.root) }
    }

    /// Reads a place again. It is told even when it is as before.
    func refresh(_ place: EtcdPlace) {
        if let follower = followers[place.span.key] { want(follower) }
    }

    func stop() {
        abandon()
        for follower in followers.values { context.loop.cancel(follower.retry) }
        followers.removeAll()
        roots.removeAll()
    }

    // MARK: For the watcher

    /// What is to be watched.
    var spans: Set<EtcdSpan> {
        var spans = Set(roots.keys.filter { !splitRoots.contains($0) })
        guard !splitRoots.isEmpty else { return spans }
        for follower in followers.values where splitRoots.contains(follower.folder.place.root) && !follower.isRefused {
            spans.insert(follower.folder.place.span)
        }
        return spans
    }

    /// Some keys that are known.
    var witnesses: [EtcdWitness] {
        var witnesses: [EtcdWitness] = []
        for follower in followers.values.prefix(1000) {
            let folder = follower.folder
            guard !folder.isStale, folder.revision > 0, let (name, entry) = folder.entries.first else { continue }
            witnesses.append(
                EtcdWitness(key: folder.place.span.key + name, revision: entry.revision, lease: entry.lease))
            if witnesses.count == 8 { break }
        }
        return witnesses
    }

    /// Reads what waits to be read.
    func ready() {
        for follower in followers.values where follower.needsRead && !follower.isUnderWay { enqueue(follower) }
        pump()
    }

    func apply(_ event: EtcdEvent) {
        let key = event.record.key
        let folder = key.lastIndex(of: UInt8(ascii: "/")).flatMap { followers[Array(key[...$0])] }
        for follower in [folder, followers[key]] {
            if let follower, follower.folder.apply(event) { onChange(follower.folder.place) }
        }
    }

    /// The member is lost with all that is under way.
    func lost() { abandon() }

    /// Changes in these spans were missed.
    func missed(_ spans: Set<EtcdSpan>) {
        for follower in followers.values where spans.contains(watched(follower)) { want(follower, isFree: true) }
    }

    /// What is known stays until it has been read anew.
    func historyChanged() {
        abandon()
        for follower in followers.values {
            follower.folder.forgetRevisions()
            want(follower, isFree: true)
        }
    }

    /// A span must not be watched: its places are watched one by one, and one that must not either is left out for a while.
    func refused(_ span: EtcdSpan, _ reason: String) {
        if let follower = followers[span.key], follower.folder.place.span == span {
            splitRoots.insert(follower.folder.place.root)
            follower.isRefused = true
            return fail(follower, reason)
        }
        splitRoots.insert(span)
        for follower in followers.values where follower.folder.place.root == span {
            want(follower, isFree: true)
        }
    }

    /// Reads what has never been read from a member's own copy: old hosts are better than none.
    func readCopies() {
        let unread = followers.values.filter { !$0.folder.isRead && !$0.isUnderWay }.prefix(settings.batch * 64)
        var batch: [Follower] = []
        for follower in unread {
            batch.append(follower)
            if batch.count == settings.batch {
                ask(batch, isCopy: true)
                batch = []
            }
        }
        if !batch.isEmpty { ask(batch, isCopy: true) }
    }

    private func watched(_ follower: Follower) -> EtcdSpan {
        let place = follower.folder.place
        return splitRoots.contains(place.root) ? place.span : place.root
    }

    // MARK: Reading

    private func want(_ follower: Follower, isFree: Bool = false) {
        follower.needsRead = true
        if isFree { follower.isFree = true }
        if follower.isUnderWay { follower.isWantedAgain = true } else { enqueue(follower) }
    }

    private func enqueue(_ follower: Follower) {
        guard !follower.isQueued, follower.retry == nil else { return }
        follower.isQueued = true
        let key = follower.folder.place.span.key
        if follower.folder.isRead { later.append(key) } else { urgent.append(key) }
        guard !isPumpDue else { return }
        isPumpDue = true
        context.loop.schedule(after: .zero) { [weak self] in
            self?.isPumpDue = false
            self?.pump()
        }
    }

    private func pump() {
        while watcher.isUp, tickets.count < settings.mostReads {
            let batch = nextBatch()
            if batch.isEmpty { return }
            ask(batch, isCopy: false)
        }
    }

    /// What waits and can be read now. The others are queued again when the watcher is ready.
    private func nextBatch() -> [Follower] {
        var batch: [Follower] = []
        while batch.count < settings.batch, let key = urgent.popFirst() ?? later.popFirst() {
            guard let follower = followers[key], follower.isQueued else { continue }
            follower.isQueued = false
            guard !follower.isUnderWay || follower.isPageDue, watcher.hasPosition(watched(follower)) else { continue }
            batch.append(follower)
            if follower.isAlone { break }
        }
        return batch
    }

    private func ask(_ batch: [Follower], isCopy: Bool) {
        var ranges: [String] = []
        for follower in batch {
            let folder = follower.folder
            var members = folder.place.span.members(from: follower.next) + #","limit":"\#(follower.pageSize)""#
            if follower.next != nil {
                members += #","revision":"\#(folder.readingRevision)""#
            } else {
                follower.folder.beginReading()
                follower.isWantedAgain = false
            }
            if isCopy { members += #","serializable":true"# }
            follower.isUnderWay = true
            follower.isPageDue = false
            ranges.append(#"{"request_range":{\#(members)}}"#)
        }
        let isFree = batch.contains(where: \.isFree)
        for follower in batch { follower.isFree = false }
        let since = watcher.seen
        let body = #"{"success":[\#(ranges.joined(separator: ","))]}"#
        var identity: ObjectIdentifier?
        let ticket = client.post("/v3/kv/txn", body, isFree: isFree) { [weak self] result in
            // Several answers can come in one turn of the loop.
            self?.work.add { [weak self] in
                if let identity { self?.tickets[identity] = nil }
                self?.take(result, batch, isCopy: isCopy, since: since)
                self?.pump()
            }
        }
        identity = ObjectIdentifier(ticket)
        tickets[ObjectIdentifier(ticket)] = ticket
    }

    private func take(
        _ result: Result<EtcdText, EtcdFailure>, _ batch: [Follower], isCopy: Bool, since: Int64
    ) {
        switch result {
        case .failure(let failure): fail(batch, failure, isCopy: isCopy)
        case .success(let answer):
            guard let header = EtcdHeader(answer), let pages = EtcdPage.list(answer), pages.count == batch.count else {
                return fail(batch, EtcdFailure(.away, "the answer is not etcd's"), isCopy: isCopy)
            }
            // When the history is another one, everything under way has been dropped.
            guard isCopy || watcher.saw(header, since: since) else { return }
            for (follower, page) in zip(batch, pages) { take(page, follower, header.revision, isCopy: isCopy) }
        }
    }

    /// Takes a page in small pieces.
    private func take(_ page: EtcdPage, _ follower: Follower, _ revision: Int64, isCopy: Bool) {
        var last: [UInt8]?
        let step = 32
        for start in stride(from: 0, to: page.entries.count, by: step) {
            work.add {
                let ranges = page.entries[start..<min(start + step, page.entries.count)]
                let records = ranges.compactMap { EtcdText(page.text, in: $0)?.record }
                follower.folder.take(records)
                last = records.last?.key ?? last
            }
        }
        work.add { [weak self] in
            guard let self else { return }
            if page.more, last == nil { return fail(follower, "a page without keys that can be read") }
            finish(follower, follower.folder.finishPage(last: last, more: page.more, revision: revision), isCopy)
        }
    }

    private func finish(_ follower: Follower, _ progress: EtcdFolder.Progress, _ isCopy: Bool) {
        let place = follower.folder.place
        guard followers[place.span.key] === follower else { return }
        switch progress {
        case .next(let key):
            guard follower.folder.readingCount < settings.mostKeys else {
                return fail(follower, "there are more than \(settings.mostKeys) keys")
            }
            guard follower.next?.lexicographicallyPrecedes(key) != false else {
                return fail(follower, "a page does not go on from the one before")
            }
            (follower.next, follower.isFree) = (key, true)
            if isCopy { return ask([follower], isCopy: true) }
            follower.isPageDue = true
            enqueue(follower)
        case .complete:
            follower.folder.commit(isStale: isCopy)
            follower.next = nil
            follower.isUnderWay = false
            follower.isAlone = false
            follower.hasRestarted = false
            follower.pageSize = min(settings.pageSize, follower.pageSize * 2)
            follower.failure = nil
            follower.backoff.succeeded()
            follower.needsRead = isCopy || follower.isWantedAgain
            if follower.needsRead { enqueue(follower) }
            onRead(place)
        }
    }

    // MARK: Failures

    private func fail(_ batch: [Follower], _ failure: EtcdFailure, isCopy: Bool) {
        for follower in batch { reset(follower) }
        switch failure.kind {
        // It may have become possible to read it from a majority meanwhile.
        case _ where isCopy: for follower in batch { enqueue(follower) }
        case .away, .noQuorum, .unauthorized: watcher.lose(failure)
        case .noHistory:
            for follower in batch {
                // That happens between two pages, but not again and again.
                if follower.hasRestarted { fail(follower, failure.description) } else { restart(follower) }
            }
        case .missing, .forbidden, .refused:
            if batch.count > 1 {
                // One of them is to blame; which one shows when they are asked for one by one.
                for follower in batch {
                    follower.isAlone = true
                    enqueue(follower)
                }
            } else if failure.kind == .refused, batch[0].pageSize > 1 {
                // Perhaps it is too much at once.
                batch[0].pageSize = max(1, batch[0].pageSize / 8)
                enqueue(batch[0])
            } else {
                batch[0].pageSize = settings.pageSize
                fail(batch[0], failure.description)
            }
        }
    }

    private func restart(_ follower: Follower) {
        follower.hasRestarted = true
        enqueue(follower)
    }

    private func fail(_ follower: Follower, _ reason: String) {
        guard followers[follower.folder.place.span.key] === follower else { return }
        reset(follower)
        follower.needsRead = true
        follower.failure = reason
        watcher.health.failed(
            "\(String(decoding: follower.folder.place.span.key, as: UTF8.self)): \(reason)", isAway: false)
        context.loop.cancel(follower.retry)
        follower.retry = context.loop.schedule(after: follower.backoff.failed()) { [weak self, weak follower] in
            guard let self, let follower else { return }
            follower.retry = nil
            if follower.isRefused {
                follower.isRefused = false
                watcher.spansChanged(watched(follower))
            }
            enqueue(follower)
        }
        onFailure(follower.folder.place, reason)
    }

    private func reset(_ follower: Follower) {
        follower.folder.abandonReading()
        follower.next = nil
        follower.isPageDue = false
        follower.isUnderWay = false
    }

    /// Drops what is under way; it is read again when the watcher is ready.
    private func abandon() {
        for ticket in tickets.values { client.cancel(ticket) }
        tickets.removeAll()
        work.removeAll()
        for follower in followers.values where follower.isUnderWay {
            reset(follower)
            (follower.needsRead, follower.isFree) = (true, true)
        }
    }
}
