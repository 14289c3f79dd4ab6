import Runtime

/// Registers entries over HTTP and keeps them there by beats, which the server wants every 5 s: it lists a host as unhealthy
/// after 15 s without one and forgets it after 30 s.
final class NacosBeats {
    typealias Entry = NacosRegistrationGroup.Entry

    /// What has become of an entry: nil is success.
    var onOutcome: (Entry, String?) -> Void = { _, _ in }

    private let client: NacosClient
    private let settings: NacosSettings
    private let context: DiscoveryContext
    /// What is being taken out, by what the server knows it by.
    private var departures: [NacosEntry.Name: NacosDeparture] = [:]

    init(client: NacosClient, settings: NacosSettings, context: DiscoveryContext) {
        self.client = client
        self.settings = settings
        self.context = context
    }

    /// Registers an entry and keeps it alive. One that is kept is written anew.
    func start(_ entry: Entry) {
        rest(entry)
        entry.departure = nil
        departures.removeValue(forKey: entry.item.name)?.stop("it is registered again")
        ask(entry, .register(entry.item))
    }

    /// Neither asks for an entry nor will.
    func rest(_ entry: Entry) {
        context.loop.cancel(entry.timer)
        if entry.ticket?.isSent == true { entry.isSent = true }
        if let ticket = entry.ticket { client.cancel(ticket) }
        (entry.timer, entry.ticket) = (nil, nil)
    }

    /// Takes an entry out that may be listed. `completion` is called once, not from within, with the reason why it may still be.
    func end(_ entry: Entry, completion: @escaping (String?) -> Void) {
        // What was sent already is let end: the server may do it after it has seen that its sender is gone.
        let isAwaiting = entry.ticket?.isUnderWay == true
        if isAwaiting { context.loop.cancel(entry.timer) } else { rest(entry) }
        (entry.place, entry.timer) = (nil, nil)
        let departure = NacosDeparture(
            entry.item, client: client, loop: context.loop, timeout: settings.timeout, isAwaiting: isAwaiting)
        departure.tell(completion)
        entry.departure = departure
        departures = departures.filter { !$0.value.isOver }
        departures[entry.item.name] = departure
    }

    /// Ends all work.
    func stop() {
        let all = departures.values
        departures.removeAll()
        for departure in all { departure.stop("stopped before the registry has confirmed it") }
    }

    /// Asks, but no more often than the entry's rate allows, whatever was answered.
    private func ask(_ entry: Entry, _ question: NacosQuestion) {
        let pause = entry.rate.take(now: Clock.nanoseconds)
        guard pause > .zero else { return send(entry, question) }
        entry.timer = context.loop.schedule(after: pause) { [weak self] in self?.send(entry, question) }
    }

    private func ask(_ entry: Entry, _ question: NacosQuestion, after time: Duration) {
        entry.timer = context.loop.schedule(after: time) { [weak self] in self?.ask(entry, question) }
    }

    private func send(_ entry: Entry, _ question: NacosQuestion) {
        entry.ticket = client.ask(question, isUrgent: true) { [weak self] result in
            if entry.ticket?.isSent == true { entry.isSent = true }
            entry.ticket = nil
            if let departure = entry.departure { return departure.answered() }
            self?.take(result, entry, question)
        }
    }

    private func take(_ result: Result<[UInt8], NacosFailure>, _ entry: Entry, _ question: NacosQuestion) {
        switch result {
        case .success(let body):
            switch NacosAnswer.entryState(body) {
            case .kept(let interval):
                client.health.succeeded()
                entry.backoff.succeeded()
                entry.place = .http
                onOutcome(entry, nil)
                ask(entry, .beat(entry.item), after: (interval ?? settings.beat).jittered)
            case .unknown where question == .beat(entry.item):
                // The server was restarted, or has not heard of it for too long.
                entry.place = nil
                ask(entry, .register(entry.item))
            case .unknown: refuse(entry, "the server does not keep what it is told to list")
            case .refused(let reason): refuse(entry, reason)
            }
        case .failure(let failure) where failure.kind == .away:
            entry.place = nil
            onOutcome(entry, failure.description)
            // The client waits for a server.
            ask(entry, question)
        case .failure(let failure): refuse(entry, failure.description)
        }
    }

    private func refuse(_ entry: Entry, _ reason: String) {
        entry.place = nil
        client.health.failed("registration of \(entry.item.service): \(reason)", isAway: false)
        onOutcome(entry, reason)
        ask(entry, .register(entry.item), after: entry.backoff.failed())
    }
}

extension NacosAnswer {
    /// What an answer to a registration or a beat says.
    enum EntryState: Equatable {
        /// The server has the entry. The time between two beats that it wants, where it says so.
        case kept(Duration?)
        /// It does not.
        case unknown
        case refused(String)
    }

    /// Reads the answer to a registration or a beat in the v1 or v3 API.
    static func entryState(_ body: [UInt8]) -> EntryState {
        if body.elementsEqual("ok".utf8) { return .kept(nil) }
        guard let object = JSONText.object(body), let code = object["code"].flatMap({ JSONText.integer(body, $0) })
        else {
            // A registration with broken metadata is answered with nothing.
            return .refused("unexpected answer: \(Excerpt.words(body))")
        }
        switch code {
        case 0, 200, 10_200:
            let interval = object["clientBeatInterval"].flatMap { JSONText.integer(body, $0) }
            return .kept(interval.flatMap { (1000...60_000).contains($0) ? .milliseconds($0) : nil })
        case 20_404, 21_003: return .unknown
        default: return .refused(Excerpt.words(body))
        }
    }
}
