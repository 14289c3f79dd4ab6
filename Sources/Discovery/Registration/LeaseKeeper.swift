import Runtime

/// Keeps applications registered in a registry that forgets who is silent: registers, renews in time, registers again when
/// the registry has forgotten, and takes out in the end. How a registry is spoken to is the adapter's business.
final class LeaseKeeper {
    /// What has become of a renewal.
    enum Renewal: Equatable {
        /// The registry still has it.
        case alive
        /// The registry does not know it: it is registered again at once.
        case forgotten
        /// Nobody knows.
        case failed(String)
    }

    /// What an adapter can do. Completions are called once, on the loop, with nil for success or the reason.
    struct Calls {
        /// Registers, also over what is registered.
        var publish: (Registration, @escaping (String?) -> Void) -> Void
        /// Renews.
        var renew: (Registration, @escaping (Renewal) -> Void) -> Void
        /// Takes out; what is not there is success.
        var withdraw: (Registration, @escaping (String?) -> Void) -> Void
    }

    private final class Entry {
        var registration: Registration
        /// It was sent, so that the registry may have it, whatever was answered.
        var isSent = false
        var isPublished = false
        /// Weight or labels differ from what is published.
        var isChanged = false
        /// It is being published or renewed.
        var isBusy = false
        var isWithdrawing = false
        /// What was under way while it was taken out may have put it back.
        var isWithdrawnTooEarly = false
        var renewedAt: Int64 = 0
        var timer: EventLoop.Timer?
        var backoff: Backoff
        /// What was told last.
        var told: String??
        /// It is to be taken out; nil: it is to stay.
        var leaving: Withdrawal?
        /// To be registered once this one was taken out.
        var successor: Registration?

        init(_ registration: Registration, backoff: Backoff) {
            self.registration = registration
            self.backoff = backoff
        }
    }

    /// How long the end of what is under way is waited for before it is taken out nevertheless.
    private static let grace = Duration.seconds(1)

    private let loop: EventLoop
    private let period: Duration
    private let lifetime: Duration
    private let backoff: Backoff
    private let calls: Calls
    private let report: (Registration.Identity, String?) -> Void
    private var entries: [Registration.Identity: Entry] = [:]

    /// - Parameters:
    ///   - period: from one renewal to the next, give or take a tenth.
    ///   - lifetime: after this time without a renewal the registry may have forgotten it.
    init(
        loop: EventLoop, period: Duration, lifetime: Duration, backoff: Backoff, calls: Calls,
        report: @escaping (Registration.Identity, String?) -> Void
    ) {
        self.loop = loop
        self.period = period
        self.lifetime = lifetime
        self.backoff = backoff
        self.calls = calls
        self.report = report
    }

    /// Fills in what the status says about registrations.
    func describe(_ status: inout RegistryStatus) {
        let limit = Clock.nanoseconds - lifetime.nanoseconds
        status.registrations = entries.values.count { $0.leaving == nil || $0.successor != nil }
        status.registered = entries.values.count { $0.leaving == nil && $0.isPublished && $0.renewedAt > limit }
    }

    func register(_ registration: Registration) {
        guard let entry = entries[registration.identity] else {
            let entry = Entry(registration, backoff: backoff)
            entries[registration.identity] = entry
            return advance(entry)
        }
        if entry.leaving != nil {
            entry.successor = registration
            // Between two attempts nothing needs to be waited for: it is written over.
            if !entry.isBusy && !entry.isWithdrawing { left(entry, "it is registered again") }
        } else if entry.registration != registration {
            entry.registration = registration
            entry.isChanged = true
            advance(entry)
        }
    }

    func deregister(_ identity: Registration.Identity, completion: @escaping (String?) -> Void) {
        guard let entry = entries[identity] else { return completion(nil) }
        entry.successor = nil
        if let leaving = entry.leaving { return leaving.tell(completion) }
        let leaving = Withdrawal(lifetime: lifetime)
        leaving.tell(completion)
        entry.leaving = leaving
        guard entry.isBusy else { return withdraw(entry) }
        entry.timer = loop.schedule(after: Self.grace) { [weak self] in self?.withdraw(entry) }
    }

    /// Ends all work; who waits is told.
    func stop() {
        let all = entries.values
        entries.removeAll()
        for entry in all {
            loop.cancel(entry.timer)
            entry.leaving?.end("stopped before the registry has confirmed it")
        }
    }

    private func advance(_ entry: Entry) {
        guard !entry.isBusy, entry.leaving == nil, entries[entry.registration.identity] === entry else { return }
        loop.cancel(entry.timer)
        entry.isBusy = true
        if entry.isPublished && !entry.isChanged { return renew(entry) }
        (entry.isSent, entry.isChanged) = (true, false)
        calls.publish(entry.registration) { [weak self] reason in
            guard let self, ended(entry) else { return }
            if let reason {
                entry.isChanged = true
                return failed(entry, reason)
            }
            entry.isPublished = true
            renewed(entry)
        }
    }

    private func renew(_ entry: Entry) {
        calls.renew(entry.registration) { [weak self] renewal in
            guard let self, ended(entry) else { return }
            switch renewal {
            case .alive: renewed(entry)
            case .forgotten:
                entry.isPublished = false
                advance(entry)
            case .failed(let reason):
                if Clock.nanoseconds - entry.renewedAt > lifetime.nanoseconds { entry.isPublished = false }
                failed(entry, reason)
            }
        }
    }

    /// Takes it out, again and again.
    private func withdraw(_ entry: Entry) {
        guard entries[entry.registration.identity] === entry else { return }
        loop.cancel(entry.timer)
        guard entry.isSent else { return left(entry, nil) }
        guard !entry.isWithdrawing else { return entry.isWithdrawnTooEarly = true }
        entry.isWithdrawing = true
        calls.withdraw(entry.registration) { [weak self] reason in
            guard let self, entries[entry.registration.identity] === entry else { return }
            entry.isWithdrawing = false
            if entry.isWithdrawnTooEarly {
                entry.isWithdrawnTooEarly = false
                return withdraw(entry)
            }
            // When that has ended it is taken out once more.
            if entry.isBusy { return }
            guard let reason, entry.successor == nil else { return left(entry, reason) }
            guard let pause = entry.leaving?.failed(reason) else { return left(entry, reason) }
            entry.timer = loop.schedule(after: pause) { [weak self] in self?.withdraw(entry) }
        }
    }

    private func left(_ entry: Entry, _ reason: String?) {
        loop.cancel(entry.timer)
        entries[entry.registration.identity] = nil
        entry.leaving?.end(reason)
        if let successor = entry.successor { register(successor) }
    }

    /// What was under way has ended. False when that counts no more.
    private func ended(_ entry: Entry) -> Bool {
        entry.isBusy = false
        guard entries[entry.registration.identity] === entry else { return false }
        guard entry.leaving != nil else { return true }
        withdraw(entry)
        return false
    }

    private func renewed(_ entry: Entry) {
        entry.renewedAt = Clock.nanoseconds
        entry.backoff.succeeded()
        tell(entry, nil)
        // What came meanwhile does not wait.
        if entry.isChanged { advance(entry) } else { schedule(entry, after: period.jittered) }
    }

    private func failed(_ entry: Entry, _ reason: String) {
        tell(entry, reason)
        schedule(entry, after: min(period, entry.backoff.failed()))
    }

    private func schedule(_ entry: Entry, after time: Duration) {
        entry.timer = loop.schedule(after: time) { [weak self] in self?.advance(entry) }
    }

    private func tell(_ entry: Entry, _ reason: String?) {
        guard entry.told != .some(reason) else { return }
        entry.told = .some(reason)
        report(entry.registration.identity, reason)
    }
}
