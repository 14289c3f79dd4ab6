import Runtime

/// Keeps applications registered in Nacos: over the push connection, with which an entry lives and ends; over HTTP, kept alive
/// by beats, where there is no such connection for long. Never both ways at once: the server would list a host twice.
final class NacosRegistrar {
    /// What has become of a registration: nil is success.
    var onOutcome: (Registration.Identity, String?) -> Void = { _, _ in }
    /// Applications to be registered.
    var count: Int { groups.values.reduce(0) { $0 + $1.entries.count } }
    /// Those that the registry has, as far as is known.
    var registeredCount: Int { groups.values.reduce(0) { $0 + $1.entries.values.count { $0.place != nil } } }

    private let settings: NacosSettings
    private let context: DiscoveryContext
    private let client: NacosClient
    private let push: NacosPush
    private let beats: NacosBeats
    /// By Nacos service: over one connection all entries of a service are written together.
    private var groups: [String: NacosRegistrationGroup] = [:]
    private var startTimes: [Registration.Identity: Int64] = [:]
    private var patience: EventLoop.Timer?
    /// It was waited for a push connection in vain: entries are written over HTTP.
    private var hasWaited = false
    private var isStopped = false

    /// For how long it is tried often to take entries out over the connection; after that as often as other writing is.
    private static let quickTries = Duration.seconds(30)

    init(client: NacosClient, push: NacosPush, settings: NacosSettings, context: DiscoveryContext) {
        self.settings = settings
        self.context = context
        self.client = client
        self.push = push
        beats = NacosBeats(client: client, settings: settings, context: context)
        beats.onOutcome = { [weak self] in self?.tell($0, $1) }
    }

    /// Registers an application, or replaces what it says of itself.
    func register(_ registration: Registration) {
        guard !isStopped else { return }
        guard registration.service.kind != .bolt else {
            let reason = "SOFA RPC services are not written into Nacos"
            context.loop.schedule(after: .zero) { [weak self] in self?.onOutcome(registration.identity, reason) }
            return
        }
        let startedAt = startTimes[registration.identity] ?? Clock.wallNanoseconds / 1_000_000
        startTimes[registration.identity] = startedAt
        let item = NacosEntry(registration, separator: settings.separator, startedAt: startedAt)
        if let problem = item.problem {
            // Sent all the same it would be refused again and again; what was registered before stays.
            context.loop.schedule(after: .zero) { [weak self] in self?.onOutcome(registration.identity, problem) }
            return
        }
        let group = groups[item.service] ?? NacosRegistrationGroup(item.service)
        groups[item.service] = group
        let entry =
            group.entries[registration.identity]
            ?? NacosRegistrationGroup.Entry(
                registration.identity, item, rate: RateLimit(interval: settings.beat / 5, burst: 4))
        entry.item = item
        group.entries[registration.identity] = entry
        if let methods = registration.metadata["methods"], item.metadata["methods"] != methods {
            context.logger.log(
                .warning, "registry.methods_left_out",
                [
                    "url": client.health.url, "service": item.service,
                    "reason": "with them the metadata has more than \(NacosEntry.mostMetadata) characters",
                ], limit: 5, limitKey: item.service)
        }
        if push.isReady {
            write(group)
        } else if settings.pushServers.isEmpty || hasWaited {
            beats.start(entry)
        } else {
            wait()
        }
    }

    /// Takes an application out.
    func deregister(_ identity: Registration.Identity, completion: @escaping (String?) -> Void) {
        guard let group = groups.values.first(where: { $0.entries[identity] != nil }),
            let entry = group.entries.removeValue(forKey: identity)
        else {
            context.loop.schedule(after: .zero) { completion(nil) }
            return
        }
        entry.isLeaving = true
        startTimes[identity] = nil
        if entry.mayBeListed {
            beats.end(entry, completion: completion)
        } else if push.isReady, group.sentEpoch == push.epoch {
            let withdrawal = Withdrawal(lifetime: Self.quickTries)
            withdrawal.tell(completion)
            group.leaving.append(withdrawal)
            write(group)
        } else if let departure = entry.departure, !departure.isOver {
            departure.tell(completion)
        } else {
            // It is not registered, or was over a connection that has gone.
            context.loop.schedule(after: .zero) { completion(nil) }
        }
        forgetIfDone(group)
    }

    /// A group that has nothing to do and of which the registry has nothing.
    private func forgetIfDone(_ group: NacosRegistrationGroup) {
        guard group.entries.isEmpty, !group.isBusy, !push.isReady || group.sentEpoch != push.epoch else { return }
        context.loop.cancel(group.timer)
        groups[group.service] = nil
    }

    /// Ends all work. Entries written over the push connection end with it.
    func stop() {
        isStopped = true
        context.loop.cancel(patience)
        for group in groups.values {
            context.loop.cancel(group.timer)
            for entry in group.entries.values { beats.rest(entry) }
        }
        beats.stop()
        groups.removeAll()
    }

    /// A push connection can be used that has nothing registered yet.
    func pushIsReady() {
        context.loop.cancel(patience)
        (patience, hasWaited) = (nil, false)
        for group in groups.values {
            group.isBusy = false
            write(group)
        }
    }

    /// The push connection is lost, and with it what was registered over it.
    func pushIsLost() {
        for group in groups.values {
            group.isBusy = false
            context.loop.cancel(group.timer)
            for entry in group.entries.values where entry.place == .push { entry.place = nil }
            group.finishLeaving("the connection was lost; the registry drops the entry in half a minute at most")
            forgetIfDone(group)
        }
        wait()
    }

    // MARK: Over HTTP

    /// Gives the push connection some time to come (back) before entries are written over HTTP.
    private func wait() {
        guard patience == nil, !groups.isEmpty, !isStopped else { return }
        patience = context.loop.schedule(after: settings.registrarPatience) { [weak self] in
            guard let self else { return }
            patience = nil
            hasWaited = true
            for group in groups.values where !push.isReady {
                for entry in group.entries.values { beats.start(entry) }
            }
        }
    }

    // MARK: Over the push connection

    /// Writes all entries of a service.
    private func write(_ group: NacosRegistrationGroup) {
        guard push.isReady, !isStopped else { return }
        guard !group.isBusy else {
            group.isDirty = true
            return
        }
        context.loop.cancel(group.timer)
        (group.isBusy, group.isDirty) = (true, false)
        let epoch = push.epoch
        leaveHTTP(group) { [weak self] in
            guard let self, push.isReady, push.epoch == epoch, !isStopped else { return }
            send(group, epoch)
        }
    }

    /// Takes out what is registered over HTTP, then goes on.
    private func leaveHTTP(_ group: NacosRegistrationGroup, then: @escaping () -> Void) {
        guard let entry = group.entries.values.first(where: \.mayBeListed) else { return then() }
        // Where it cannot be taken out it ends by itself, without beats.
        beats.end(entry) { [weak self] _ in self?.leaveHTTP(group, then: then) }
    }

    private func send(_ group: NacosRegistrationGroup, _ epoch: Int) {
        let sent = group.entries.mapValues(\.item)
        guard !sent.isEmpty || group.sentEpoch == epoch else {
            group.isBusy = false
            group.finishLeaving(nil)
            return forgetIfDone(group)
        }
        let (type, rest) = request(group, sent.values.sorted { ($0.ip, $0.port) < ($1.ip, $1.port) }, epoch)
        let leaving = group.leaving
        group.leaving = []
        group.written = sent.values.first ?? group.written
        group.sentEpoch = epoch
        let json: NacosJSON = .object(
            [
                ("namespace", .string(settings.namingNamespace)), ("serviceName", .string(group.service)),
                ("groupName", .string(settings.group)),
            ] + rest)
        push.call(type, json) { [weak self] result in
            guard let self, !isStopped else { return }
            guard push.isReady, push.epoch == epoch else {
                for withdrawal in leaving { withdrawal.end("the connection was lost") }
                return
            }
            group.isBusy = false
            switch result {
            case .success: confirm(group, sent, leaving)
            case .failure(let failure): failed(group, sent, leaving, failure.description)
            }
            if group.isDirty { write(group) } else { forgetIfDone(group) }
        }
    }

    private typealias Sent = [Registration.Identity: NacosEntry]

    private func confirm(_ group: NacosRegistrationGroup, _ sent: Sent, _ leaving: [Withdrawal]) {
        group.backoff.succeeded()
        if sent.isEmpty { group.sentEpoch = 0 }
        for (identity, item) in sent {
            guard let entry = group.entries[identity], entry.item == item else { continue }
            entry.place = .push
            tell(entry, nil)
        }
        for withdrawal in leaving { withdrawal.end(nil) }
    }

    /// Writes it again later: the registry may have what was not confirmed, for as long as the connection lives.
    private func failed(_ group: NacosRegistrationGroup, _ sent: Sent, _ leaving: [Withdrawal], _ reason: String) {
        for identity in sent.keys { group.entries[identity].map { tell($0, reason) } }
        var pause = group.backoff.failed()
        for withdrawal in leaving {
            guard let sooner = withdrawal.failed(reason) else { continue }
            pause = min(pause, sooner)
            group.leaving.append(withdrawal)
        }
        group.timer = context.loop.schedule(after: pause) { [weak self] in self?.write(group) }
    }

    /// A connection holds one instance of a service, or a batch of them; either replaces what was there.
    private func request(
        _ group: NacosRegistrationGroup, _ items: [NacosEntry], _ epoch: Int
    ) -> (String, [(String, NacosJSON)]) {
        if items.isEmpty {
            let last = group.written?.json ?? .object([])
            return ("InstanceRequest", [("type", "deregisterInstance"), ("instance", last)])
        }
        if items.count == 1, group.batchEpoch != epoch {
            return ("InstanceRequest", [("type", "registerInstance"), ("instance", items[0].json)])
        }
        group.batchEpoch = epoch
        return ("BatchInstanceRequest", [("type", "batchRegisterInstance"), ("instances", .list(items.map(\.json)))])
    }

    private func tell(_ entry: NacosRegistrationGroup.Entry, _ outcome: String?) {
        guard !entry.isLeaving, entry.told != .some(outcome) else { return }
        entry.told = .some(outcome)
        onOutcome(entry.identity, outcome)
    }
}

/// The applications that are to be registered under one Nacos service.
final class NacosRegistrationGroup {
    /// Where an entry is written.
    enum Place { case push, http }

    /// One application.
    final class Entry {
        let identity: Registration.Identity
        var item: NacosEntry
        /// Where the registry has it, as far as is known.
        var place: Place?
        /// What was told of it last.
        var told: String??
        /// Nobody wants it any more.
        var isLeaving = false
        /// A question over HTTP waits or is under way, and the next when it waits for its time.
        var ticket: NacosClient.Ticket?
        var timer: EventLoop.Timer?
        var backoff = Backoff(first: .seconds(1), cap: .seconds(30))
        /// Holds questions over HTTP to a rate.
        var rate: RateLimit
        /// It was sent over HTTP, so that the registry may have it, whatever was answered.
        var isSent = false
        /// It is being taken out over HTTP, or was.
        var departure: NacosDeparture?

        init(_ identity: Registration.Identity, _ item: NacosEntry, rate: RateLimit) {
            self.identity = identity
            self.item = item
            self.rate = rate
        }

        /// The registry may have it over HTTP, and it is not being taken out there.
        var mayBeListed: Bool { departure == nil && (isSent || ticket?.isSent == true) }
    }

    let service: String
    var entries: [Registration.Identity: Entry] = [:]
    /// A call is under way.
    var isBusy = false
    /// Something has changed meanwhile.
    var isDirty = false
    /// The connection over which several were written at once; only that way can be taken on it from then on.
    var batchEpoch = 0
    /// One of the entries that were written last: what is taken out when none is left.
    var written: NacosEntry?
    /// On which connection something of it was sent, and may be there whatever was answered; 0 for none.
    var sentEpoch = 0
    /// Entries that are taken out by what is written next.
    var leaving: [Withdrawal] = []
    var backoff = Backoff(first: .seconds(1), cap: .seconds(30))
    var timer: EventLoop.Timer?

    init(_ service: String) { self.service = service }

    func finishLeaving(_ outcome: String?) {
        let waiting = leaving
        leaving = []
        for withdrawal in waiting { withdrawal.end(outcome) }
    }
}
