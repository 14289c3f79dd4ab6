import Runtime

/// Learns from instances of Dubbo 3 applications what they offer, where no registry says it (`storage-type` `local`).
///
/// What one instance tells holds for all of its revision, in all registries. So each revision is asked for once, a few at a
/// time; an instance that does not answer is followed by another one, and after some of them by a rest. What nobody wants any
/// longer is forgotten.
final class DubboInquiries {
    /// Times and numbers.
    struct Settings {
        /// Longest time for one call.
        var timeout: Duration = .seconds(3)
        /// How long hosts are held back for want of an answer.
        var patience: Duration = .seconds(5)
        /// Between rounds.
        var backoff = Backoff(first: .seconds(2), cap: .seconds(120))
        /// Instances asked for a revision in one round.
        var mostHosts = 5
        /// Calls at one time.
        var mostUnderWay = 16
    }

    private let settings: Settings
    private let loop: EventLoop
    private let resolver: NameResolver
    private let logger: Logger
    private let work: WorkQueue
    private var inquiries: [DubboInquiry.Key: DubboInquiry] = [:]
    /// Those that were never asked go before those that have failed.
    private var fresh = Fifo<DubboInquiry>()
    private var later = Fifo<DubboInquiry>()
    private(set) var underWay = 0
    private var isPumpDue = false

    init(loop: EventLoop, resolver: NameResolver, logger: Logger, settings: Settings = Settings()) {
        self.loop = loop
        self.resolver = resolver
        self.logger = logger
        self.settings = settings
        work = WorkQueue(loop: loop)
    }

    /// Revisions that somebody wants.
    var count: Int { inquiries.count }

    /// What is known of a revision; nil where nobody wants it.
    subscript(key: DubboInquiry.Key) -> DubboInquiry? { inquiries[key] }

    /// Wants a revision until `drop`. `places` are all instances of it that the user knows; a later call replaces them.
    func want(_ key: DubboInquiry.Key, _ places: [DubboMetadataPlace], user: DubboInquiry.User) {
        let inquiry = inquiries[key] ?? begin(key)
        inquiry.set(user, places)
        // A new instance need not wait until the others have had their rest.
        guard inquiry.state == .resting, inquiry.tried.count < settings.mostHosts, inquiry.nextPlace != nil else {
            return
        }
        loop.cancel(inquiry.timer)
        enqueue(inquiry)
    }

    /// Takes `want` back.
    func drop(_ key: DubboInquiry.Key, user: DubboInquiry.User) {
        guard let inquiry = inquiries[key] else { return }
        inquiry.remove(user)
        guard inquiry.users.isEmpty else { return }
        inquiries[key] = nil
        loop.cancel(inquiry.timer)
        loop.cancel(inquiry.patience)
        inquiry.call?.cancel()
        inquiry.call = nil
        guard inquiry.state == .underWay else { return }
        underWay -= 1
        pump()
    }

    private func begin(_ key: DubboInquiry.Key) -> DubboInquiry {
        let inquiry = DubboInquiry(key, backoff: settings.backoff)
        inquiries[key] = inquiry
        inquiry.patience = loop.schedule(after: settings.patience) { [weak self, weak inquiry] in
            if let inquiry { self?.giveUp(inquiry) }
        }
        enqueue(inquiry)
        return inquiry
    }

    // MARK: Asking

    private func enqueue(_ inquiry: DubboInquiry) {
        inquiry.state = .queued
        if inquiry.failure == nil { fresh.append(inquiry) } else { later.append(inquiry) }
        guard !isPumpDue else { return }
        isPumpDue = true
        // Later: who wants it is not known yet.
        loop.schedule(after: .zero) { [weak self] in self?.pump() }
    }

    private func pump() {
        isPumpDue = false
        while underWay < settings.mostUnderWay, let inquiry = fresh.popFirst() ?? later.popFirst() {
            guard isWanted(inquiry), inquiry.state == .queued else { continue }
            ask(inquiry)
        }
    }

    private func isWanted(_ inquiry: DubboInquiry) -> Bool { inquiries[inquiry.key] === inquiry }

    private func ask(_ inquiry: DubboInquiry) {
        guard inquiry.tried.count < settings.mostHosts, let place = inquiry.nextPlace else { return rest(inquiry) }
        inquiry.tried.insert(place)
        inquiry.state = .underWay
        underWay += 1
        inquiry.call = DubboMetadataCall(
            place, application: inquiry.key.application, revision: inquiry.key.revision, within: settings.timeout,
            loop: loop, resolver: resolver
        ) { [weak self, weak inquiry] result in
            guard let self, let inquiry, isWanted(inquiry) else { return }
            inquiry.call = nil
            switch result {
            case .success(let answer): read(answer, inquiry, place)
            case .failure(let failure): failed(inquiry, failure)
            }
        }
    }

    private func read(_ answer: [UInt8], _ inquiry: DubboInquiry, _ place: DubboMetadataPlace) {
        do {
            inquiry.answer = try place.way.read(
                answer, application: inquiry.key.application, revision: inquiry.key.revision)
            readOn(inquiry, place.host)
        } catch {
            failed(inquiry, error, place.host)
        }
    }

    /// Large answers are read in pieces, with the loop's other work between them.
    private func readOn(_ inquiry: DubboInquiry, _ host: HostPort) {
        work.add { [weak self] in
            guard let self, isWanted(inquiry) else { return }
            do throws(DubboMetadataFailure) {
                if let metadata = try inquiry.answer?.advance() {
                    answered(inquiry, metadata)
                } else {
                    readOn(inquiry, host)
                }
            } catch {
                failed(inquiry, error, host)
            }
        }
    }

    // MARK: Outcomes

    private func answered(_ inquiry: DubboInquiry, _ metadata: DubboMetadata) {
        underWay -= 1
        inquiry.state = .answered
        (inquiry.metadata, inquiry.answer) = (metadata, nil)
        inquiry.forgetPlaces()
        loop.cancel(inquiry.patience)
        if inquiry.isOverdue {
            inquiry.setOverdue(false)
            logger.log(
                .info, "dubbo.metadata_known",
                ["application": inquiry.key.application, "revision": inquiry.key.revision], limit: 10)
        }
        tell(inquiry)
        pump()
    }

    private func failed(_ inquiry: DubboInquiry, _ failure: DubboMetadataFailure, _ host: HostPort) {
        var failure = failure
        failure.host = "\(host)"
        failed(inquiry, failure)
    }

    private func failed(_ inquiry: DubboInquiry, _ failure: DubboMetadataFailure) {
        underWay -= 1
        inquiry.answer = nil
        inquiry.failure = failure
        logger.log(
            .debug, "dubbo.metadata_failed",
            ["application": inquiry.key.application, "revision": inquiry.key.revision, "reason": "\(failure)"],
            limit: 20)
        if inquiry.tried.count < settings.mostHosts, inquiry.nextPlace != nil {
            enqueue(inquiry)
        } else {
            rest(inquiry)
        }
        pump()
    }

    private func rest(_ inquiry: DubboInquiry) {
        inquiry.state = .resting
        inquiry.timer = loop.schedule(after: inquiry.backoff.failed()) { [weak self, weak inquiry] in
            guard let self, let inquiry, isWanted(inquiry) else { return }
            inquiry.tried = []
            enqueue(inquiry)
        }
    }

    private func giveUp(_ inquiry: DubboInquiry) {
        guard isWanted(inquiry), inquiry.metadata == nil else { return }
        inquiry.setOverdue(true)
        let reason = inquiry.failure?.description ?? "no answer yet"
        logger.log(
            .warning, "dubbo.metadata_unknown",
            ["application": inquiry.key.application, "revision": inquiry.key.revision, "reason": reason], limit: 10)
        tell(inquiry)
    }

    private func tell(_ inquiry: DubboInquiry) {
        for user in Array(inquiry.users.keys) { user.offers?.onChange(user.service) }
    }
}
