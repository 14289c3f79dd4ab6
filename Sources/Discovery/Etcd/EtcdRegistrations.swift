import Runtime

/// Keeps applications registered: each has a lease, its key lives as long as the lease is renewed.
///
/// What is sent for one application is not held to the client's rate, as each waits longer after each failure.
///
/// All leases are renewed by one call each third of their life. One that has died, because etcd was wiped or Greymesh was not
/// heard of for too long, is replaced, and the key is written again; so is a key that somebody has deleted.
final class EtcdRegistrations {
    private final class Entry {
        var registration: Registration
        /// Milliseconds since 1970.
        let startedAt = Clock.wallNanoseconds / 1_000_000
        /// 0 for none.
        var lease: Int64 = 0
        /// The key as it was written last.
        var written: EtcdEntry?
        /// Keys that may be there on this lease: all that were sent.
        var sent: Set<[UInt8]> = []
        var isConfirmed = false
        var isBusy = false
        /// It changed while it was being written.
        var isStale = false
        var isRemoved = false
        var isRevoking = false
        /// What was said of it last; nil when nothing was said yet.
        var told: String??
        var backoff = Backoff(first: .seconds(1), cap: .seconds(15))
        var retry: EventLoop.Timer?
        var withdrawal: Withdrawal?

        init(_ registration: Registration) { self.registration = registration }
    }

    /// Keys in one exchange; etcd takes up to 128.
    private static let mostLooks = 64

    private let settings: EtcdSettings
    private let client: EtcdClient
    private let watcher: EtcdWatcher
    private let context: DiscoveryContext
    private let report: (Registration.Identity, String?) -> Void
    private var entries: [Registration.Identity: Entry] = [:]
    private var timer: EventLoop.Timer?
    private var renewal: EtcdClient.Ticket?
    private var renewals = 0
    private var isStopped = false

    init(
        _ settings: EtcdSettings, client: EtcdClient, watcher: EtcdWatcher, context: DiscoveryContext,
        report: @escaping (Registration.Identity, String?) -> Void
    ) {
        self.settings = settings
        self.client = client
        self.watcher = watcher
        self.context = context
        self.report = report
    }

    var count: Int { entries.values.count { !$0.isRemoved } }
    var confirmed: Int { entries.values.count { $0.isConfirmed && !$0.isRemoved } }

    func register(_ registration: Registration) {
        if let entry = entries[registration.identity], !entry.isRemoved {
            guard entry.registration != registration else { return }
            entry.registration = registration
            entry.isStale = true
            write(entry)
        } else {
            let entry = Entry(registration)
            entries[registration.identity] = entry
            write(entry)
        }
        if timer == nil { scheduleRenewal() }
    }

    func deregister(_ identity: Registration.Identity, completion: @escaping (String?) -> Void) {
        guard let entry = entries[identity] else {
            context.loop.schedule(after: .zero) { completion(nil) }
            return
        }
        if let withdrawal = entry.withdrawal { return withdrawal.tell(completion) }
        context.loop.cancel(entry.retry)
        entry.isRemoved = true
        let withdrawal = Withdrawal(lifetime: .seconds(settings.leaseSeconds))
        withdrawal.tell(completion)
        entry.withdrawal = withdrawal
        // Where the key is being written that fails without the lease.
        if !entry.isBusy || entry.lease != 0 { revoke(entry) }
    }

    func stop() {
        isStopped = true
        context.loop.cancel(timer)
        for entry in entries.values { context.loop.cancel(entry.retry) }
        entries.removeAll()
    }

    /// A member with a majority is there: what was not written is, and the leases are looked at.
    func ready() {
        for entry in entries.values where !entry.isConfirmed || entry.isStale { write(entry) }
        if entries.values.contains(where: \.isConfirmed) { renew() }
    }

    /// The member is lost; leases live on for their time.
    func lost() {
        guard let renewal else { return }
        client.cancel(renewal)
        self.renewal = nil
    }

    // MARK: Writing

    private func write(_ entry: Entry) {
        guard !isStopped, !entry.isBusy, !entry.isRemoved, watcher.isUp else { return }
        context.loop.cancel(entry.retry)
        entry.retry = nil
        entry.isBusy = true
        if entry.lease != 0 { return put(entry) }
        let attempt = watcher.attempt
        client.post("/v3/lease/grant", #"{"TTL":"\#(settings.leaseSeconds)"}"#, isFree: true) { [weak self] result in
            switch result {
            case .failure(let failure): self?.finish(entry, failure, attempt)
            case .success(let answer):
                guard let lease = answer.number("ID"), lease != 0 else {
                    self?.finish(entry, EtcdFailure(.away, "the answer is not etcd's"), attempt)
                    return
                }
                entry.lease = lease
                // What died with the former lease need not be taken out.
                (entry.written, entry.sent) = (nil, [])
                if entry.isRemoved { self?.finish(entry, nil, attempt) } else { self?.put(entry) }
            }
        }
    }

    private func put(_ entry: Entry) {
        let key = EtcdEntry(entry.registration, startedAt: entry.startedAt, lease: entry.lease, settings)
        entry.isStale = false
        var operations = [
            #"{"request_put":{"key":"\#(Base64.encode(key.key))","value":"\#(Base64.encode(key.value))","#
                + #""lease":"\#(entry.lease)"}}"#
        ]
        // Dubbo's key holds everything about a provider: changed labels are another key.
        let former = entry.sent.subtracting([key.key]).prefix(Self.mostLooks)
        operations += former.map { #"{"request_delete_range":{"key":"\#(Base64.encode($0))"}}"# }
        entry.sent.insert(key.key)
        let attempt = watcher.attempt
        let body = #"{"success":[\#(operations.joined(separator: ","))]}"#
        client.post("/v3/kv/txn", body, isFree: true) { [weak self] result in
            switch result {
            case .success:
                entry.written = key
                entry.sent.subtract(former)
                self?.finish(entry, nil, attempt)
            case .failure(let failure):
                // The lease has died meanwhile.
                if failure.kind == .missing { entry.lease = 0 }
                self?.finish(entry, failure, attempt)
            }
        }
    }

    private func finish(_ entry: Entry, _ failure: EtcdFailure?, _ attempt: Int) {
        entry.isBusy = false
        if entry.isRemoved { return entry.isRevoking ? () : revoke(entry) }
        guard !isStopped else { return }
        if let failure {
            entry.isConfirmed = false
            tell(entry, failure.description)
            entry.retry = context.loop.schedule(after: entry.backoff.failed()) { [weak self] in
                entry.retry = nil
                self?.write(entry)
            }
            if failure.kind == .away || failure.kind == .noQuorum { watcher.lose(failure, in: attempt) }
        } else {
            entry.isConfirmed = true
            entry.backoff.succeeded()
            tell(entry, nil)
            if entry.isStale { write(entry) }
        }
    }

    private func tell(_ entry: Entry, _ outcome: String?) {
        if case .some(let told) = entry.told, told == outcome { return }
        entry.told = .some(outcome)
        report(entry.registration.identity, outcome)
    }

    // MARK: Renewing

    private func scheduleRenewal() {
        timer = context.loop.schedule(after: settings.renewalPeriod * Double.random(in: 0.9...1)) { [weak self] in
            self?.renew()
            self?.scheduleRenewal()
        }
    }

    private func renew() {
        let leased = entries.values.filter { $0.lease != 0 && !$0.isRemoved && !$0.isBusy }
        guard watcher.isUp, renewal == nil, !leased.isEmpty else { return }
        let body = leased.map { #"{"ID":"\#($0.lease)"}"# }.joined(separator: "\n")
        renewal = client.post(EtcdClient.keepAlive, body) { [weak self] result in
            guard let self else { return }
            renewal = nil
            switch result {
            case .failure(let failure): watcher.lose(failure)
            case .success(let answer): takeRenewal(answer, leased)
            }
        }
    }

    private func takeRenewal(_ answer: EtcdText, _ leased: [Entry]) {
        var lives: [Int64: Int64] = [:]
        for range in answer.elements("lines") ?? [] {
            guard let line = EtcdText(answer.text, in: range) else { continue }
            guard let result = line.object("result"), let lease = result.number("ID") else {
                let words = EtcdFailure.words(Array(answer.text[range]))
                return watcher.lose(EtcdFailure(.away, "renewing leases: \(words)"))
            }
            lives[lease] = result.number("TTL") ?? 0
        }
        for entry in leased {
            // Without a time to live it is dead.
            guard let life = lives[entry.lease], life <= 0 else { continue }
            entry.lease = 0
            restore(entry, "its lease has died")
        }
        renewals += 1
        if renewals % 3 == 0 { look(for: entries.values.filter { $0.isConfirmed && !$0.isBusy && !$0.isRemoved }[...]) }
    }

    /// Writes what is not there any more.
    private func restore(_ entry: Entry, _ reason: String) {
        context.logger.log(
            .warning, "registry.registration_lost",
            ["url": watcher.health.url, "registration": "\(entry.registration.identity)", "reason": reason], limit: 5,
            limitKey: watcher.health.url)
        entry.isConfirmed = false
        tell(entry, reason)
        write(entry)
    }

    /// Looks whether keys still are there: they can be deleted while their leases live.
    private func look(for all: ArraySlice<Entry>) {
        let looked = all.prefix(Self.mostLooks).compactMap { entry in entry.written.map { (entry, key: $0.key) } }
        guard watcher.isUp, !looked.isEmpty else { return }
        let ranges = looked.map { #"{"request_range":{"key":"\#(Base64.encode($0.key))","keys_only":true}}"# }
        client.post("/v3/kv/txn", #"{"success":[\#(ranges.joined(separator: ","))]}"#) { [weak self] result in
            // Who may not read it cannot see to it; a member that is away shows when leases are renewed.
            guard let self, case .success(let answer) = result, let pages = EtcdPage.list(answer),
                pages.count == looked.count
            else { return }
            for ((entry, key), page) in zip(looked, pages) where page.entries.isEmpty {
                // It may have been written anew or taken out meanwhile.
                guard entries[entry.registration.identity] === entry, entry.isConfirmed, !entry.isBusy,
                    !entry.isRemoved, entry.written?.key == key
                else { continue }
                restore(entry, "somebody has deleted it")
            }
            look(for: all.dropFirst(Self.mostLooks))
        }
    }

    // MARK: Removing

    /// Revokes its lease, again and again; it is not renewed any more and ends by itself.
    private func revoke(_ entry: Entry) {
        guard !isStopped else { return }
        entry.isRevoking = true
        guard entry.lease != 0 else { return remove(entry, nil) }
        guard watcher.isUp else { return tryAgain(entry, "etcd is away") }
        client.post("/v3/lease/revoke", #"{"ID":"\#(entry.lease)"}"#, isFree: true) { [weak self] result in
            switch result {
            case .failure(let failure) where failure.kind != .missing: self?.tryAgain(entry, "\(failure)")
            default: self?.remove(entry, nil)
            }
        }
    }

    private func tryAgain(_ entry: Entry, _ reason: String) {
        let reason = "\(reason); it is listed until its lease ends, \(settings.leaseSeconds) s at most"
        guard let pause = entry.withdrawal?.failed(reason) else { return remove(entry, reason) }
        entry.retry = context.loop.schedule(after: pause) { [weak self] in self?.revoke(entry) }
    }

    private func remove(_ entry: Entry, _ reason: String?) {
        let identity = entry.registration.identity
        if entries[identity] === entry { entries[identity] = nil }
        // Never from within `deregister`.
        context.loop.schedule(after: .zero) { entry.withdrawal?.end(reason) }
    }
}
