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

    init(client: NacosClient, settings: NacosSettings, context: DiscoveryContext) {
        self.client = client
        self.settings = settings
        self.context = context
    }

    /// Registers an entry and keeps it alive. One that is kept is written anew.
    func start(_ entry: Entry) {
        rest(entry)
        ask(entry, .register(entry.item))
    }

    /// Neither asks for an entry nor will.
    func rest(_ entry: Entry) {
        context.loop.cancel(entry.timer)
        if let ticket = entry.ticket { client.cancel(ticket) }
        (entry.timer, entry.ticket) = (nil, nil)
    }

    /// Takes an entry out. `completion` is called once, not from within, with the reason why it may still be listed.
    func end(_ entry: Entry, within limit: Duration, completion: @escaping (String?) -> Void) {
        rest(entry)
        entry.place = nil
        var isOver = false
        var ticket: NacosClient.Ticket?
        let timer = context.loop.schedule(after: limit) { [weak self] in
            guard !isOver else { return }
            isOver = true
            if let ticket { self?.client.cancel(ticket) }
            completion("no answer within \(limit); without beats the registry drops the entry in half a minute")
        }
        ticket = client.ask(.deregister(entry.item), isUrgent: true) { [weak self] result in
            guard !isOver else { return }
            isOver = true
            self?.context.loop.cancel(timer)
            switch result {
            case .success: completion(nil)
            case .failure(let failure): completion(failure.description)
            }
        }
    }

    private func ask(_ entry: Entry, _ question: NacosQuestion) {
        entry.ticket = client.ask(question, isUrgent: true) { [weak self] result in
            entry.ticket = nil
            self?.take(result, entry, question)
        }
    }

    private func ask(_ entry: Entry, _ question: NacosQuestion, after time: Duration) {
        entry.timer = context.loop.schedule(after: time) { [weak self] in self?.ask(entry, question) }
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
            case .unknown:
                // The server was restarted, or has not heard of it for too long.
                entry.place = nil
                ask(entry, .register(entry.item))
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
