import Runtime

/// Keeps the lists of Nacos services up to date: by push where there is a connection for it, by polling where there is none,
/// and while a subscription has not been answered yet.
///
/// Both ways end in `took`: whoever uses the lists does not see which way they came.
final class NacosWatcher {
    /// A service's list has changed, or is known now.
    var onChange: (NacosService) -> Void = { _ in }
    /// A list that was doubted is as before.
    var onConfirmed: (NacosService) -> Void = { _ in }
    /// A list that was doubted is refused.
    var onGivenUp: (NacosService) -> Void = { _ in }
    /// A service that never was read could not be read.
    var onFailure: (NacosService) -> Void = { _ in }

    private(set) var services: [String: NacosService] = [:]

    private let settings: NacosSettings
    private let context: DiscoveryContext
    private let client: NacosClient
    private let push: NacosPush
    private let subscriptions: NacosSubscriptions
    private let intake: NacosIntake
    /// Services whose last question was refused, so that each is logged once.
    private var refused: Set<String> = []
    private var isStopped = false

    init(client: NacosClient, push: NacosPush, settings: NacosSettings, context: DiscoveryContext) {
        self.client = client
        self.push = push
        self.settings = settings
        self.context = context
        subscriptions = NacosSubscriptions(push: push, settings: settings)
        intake = NacosIntake(loop: context.loop)
        subscriptions.onAnswer = { [weak self] in self?.takeSubscription($0, $1, isTruth: $2) }
        subscriptions.onFailure = { [weak self] in self?.takeFailure($0, $1) }
    }

    /// Watches a service.
    func watch(_ name: String) -> NacosService {
        if let service = services[name] { return service }
        let service = NacosService(name: name, period: settings.poll)
        services[name] = service
        poll(service)
        if push.isReady { subscriptions.subscribe(service) }
        return service
    }

    /// Ends watching a service.
    func unwatch(_ service: NacosService) {
        guard services.removeValue(forKey: service.name) != nil else { return }
        refused.remove(service.name)
        if service.feed == .pushed || service.isSubscribing { subscriptions.unsubscribe(service) }
        service.isSubscribing = false
        rest(service)
    }

    /// Reads a service at once.
    func refresh(_ service: NacosService) {
        guard services[service.name] === service, service.ticket == nil else { return }
        context.loop.cancel(service.timer)
        if service.feed == .pushed { subscriptions.subscribe(service) } else { poll(service) }
    }

    /// Ends all work.
    func stop() {
        isStopped = true
        for service in services.values { rest(service) }
        services.removeAll()
        subscriptions.reset()
    }

    /// Neither asks for it nor will.
    private func rest(_ service: NacosService) {
        context.loop.cancel(service.timer)
        service.timer = nil
        context.loop.cancel(service.retry)
        service.retry = nil
        if let ticket = service.ticket { client.cancel(ticket) }
        service.ticket = nil
    }

    // MARK: Polling

    private func poll(_ service: NacosService) {
        service.ticket = client.ask(.hosts(service.name), isUrgent: !service.isAnswered, skip: service.skip) {
            [weak self] result in
            service.ticket = nil
            self?.takePoll(result, service)
        }
    }

    private func poll(_ service: NacosService, after time: Duration) {
        guard services[service.name] === service, service.feed == .polled else { return }
        context.loop.cancel(service.timer)
        service.timer = context.loop.schedule(after: time) { [weak self] in self?.poll(service) }
    }

    private func takePoll(_ result: Result<[UInt8], NacosFailure>, _ service: NacosService) {
        switch result {
        case .failure(let failure) where failure.kind == .away:
            service.missed(failure.description)
            poll(service)
        case .failure(let failure): poll(service, after: refuse(service, failure.description))
        case .success(let text):
            read(service, text, isTruth: true) { [weak self] outcome in
                guard let self else { return }
                switch outcome {
                case .failure(let error): poll(service, after: refuse(service, "\(error)"))
                case .success(let outcome):
                    // Set first: whoever is told may ask for it at once.
                    poll(service, after: pollPeriod.jittered)
                    _ = took(service, outcome)
                }
            }
        }
    }

    /// With very many services each is asked for less often.
    private var pollPeriod: Duration {
        max(settings.poll, .nanoseconds(services.count * (1_000_000_000 / NacosSettings.mostPollsPerSecond)))
    }

    // MARK: Push

    /// A push connection can be used that knows nothing yet.
    func pushIsReady() {
        subscriptions.reset()
        for service in services.values {
            service.isSubscribing = false
            subscriptions.subscribe(service)
        }
    }

    /// The push connection is lost: what it told is asked for.
    func pushIsLost() {
        subscriptions.reset()
        for service in services.values {
            service.isSubscribing = false
            stopPush(service)
        }
    }

    /// Takes a list that the server has sent.
    func takePush(_ message: NacosMessage) {
        intake.read(message.body, isTruth: false) { [weak self] reader in
            // Namespaces are not named: a connection is for one.
            guard let self, let name = reader.name, reader.group ?? settings.group == settings.group else { return nil }
            return services[name]
        } completion: { [weak self] service, result in
            guard let self, let service, services[service.name] === service else { return }
            switch result {
            case .failure(let error): client.health.failed("push: \(error)", isAway: false)
            case .success(.protected): protect(service)
            case .success(let outcome):
                service.isProtected = false
                // The first push after a subscription may come before its answer has been looked at: no harm.
                _ = took(service, outcome)
            }
        }
    }

    private func takeSubscription(_ service: NacosService, _ text: [UInt8], isTruth: Bool) {
        let wasPushed = service.feed == .pushed
        service.feed = .pushed
        rest(service)
        read(service, text, isTruth: isTruth) { [weak self] result in
            guard let self, service.feed == .pushed else { return }
            switch result {
            case .failure(let error):
                takeFailure(service, NacosPushFailure(kind: .refused, description: "\(error)"))
            case .success(.protected): protect(service)
            case .success(let outcome):
                if !isTruth { service.isProtected = false }
                let isNew = took(service, outcome)
                // Something was missed, or this answer and a push crossed: another look tells.
                let isSurprise = wasPushed && isNew && !isTruth
                readAnew(service, after: isSurprise ? Self.secondLook : rereadPeriod(service))
            }
        }
    }

    private static let secondLook = Duration.seconds(1)

    /// Asks for the truth about a service whose unhealthy hosts are pushed as healthy ones.
    private func protect(_ service: NacosService) {
        service.isProtected = true
        if service.feed == .pushed { subscriptions.readTruth(service) }
    }

    private func readAnew(_ service: NacosService, after time: Duration) {
        guard services[service.name] === service, service.feed == .pushed else { return }
        context.loop.cancel(service.timer)
        service.timer = context.loop.schedule(after: time) { [weak self] in self?.subscriptions.subscribe(service) }
    }

    private func rereadPeriod(_ service: NacosService) -> Duration {
        // Nobody tells when hosts that are called healthy become so.
        if service.isProtected { return pollPeriod.jittered }
        let period = max(
            settings.reread, .nanoseconds(services.count * (1_000_000_000 / NacosSettings.mostRereadsPerSecond)))
        return period * Double.random(in: 0.5...1.5)
    }

    private func takeFailure(_ service: NacosService, _ failure: NacosPushFailure) {
        guard services[service.name] === service else { return }
        stopPush(service)
        let isRefused = failure.kind == .refused
        if isRefused { _ = refuse(service, failure.description) }
        context.loop.cancel(service.retry)
        service.retry = context.loop.schedule(after: isRefused ? .seconds(30).jittered : .seconds(2).jittered) {
            [weak self] in
            guard let self, push.isReady else { return }
            subscriptions.subscribe(service)
        }
    }

    /// From now on a service is polled.
    private func stopPush(_ service: NacosService) {
        context.loop.cancel(service.retry)
        guard service.feed == .pushed else { return }
        service.feed = .polled
        service.isProtected = false
        // At once, but neither all services nor all users of the server in the same instant.
        poll(service, after: min(settings.poll, .milliseconds(500)) * Double.random(in: 0...1))
    }

    // MARK: What is read

    /// Reads a list and takes it. `then` gets whether it was news.
    private func read(
        _ service: NacosService, _ text: [UInt8], isTruth: Bool,
        then: @escaping (Result<NacosIntake.Outcome, NacosAnswer.Unreadable>) -> Void
    ) {
        intake.read(text, isTruth: isTruth) { [weak self] _ in
            self?.services[service.name] === service ? service : nil
        } completion: { [weak self] _, result in
            guard let self, services[service.name] === service else { return }
            then(result)
        }
    }

    /// Takes what was read. True when users had something new to hear.
    private func took(_ service: NacosService, _ outcome: NacosIntake.Outcome) -> Bool {
        guard !isStopped else { return false }
        client.health.succeeded()
        if refused.remove(service.name) != nil {
            context.logger.log(
                .info, "registry.service_recovered", ["url": client.health.url, "service": service.name], limit: 20,
                limitKey: client.health.url)
        }
        var list: NacosAnswer.HostList?
        if case .new(let hosts) = outcome { list = hosts }
        let isNew = service.take(list)
        let isDoubted = service.isDoubted
        if isNew {
            if let unreadable = service.unused[.unreadable] {
                context.logger.log(
                    .warning, "registry.hosts_unreadable",
                    ["url": client.health.url, "service": service.name, "count": "\(unreadable)"], limit: 5,
                    limitKey: service.name)
            }
            service.isDoubted = false
            onChange(service)
        } else if isDoubted {
            service.isDoubted = false
            onConfirmed(service)
        }
        return isNew
    }

    /// A service could not be read. Returns when to ask again.
    private func refuse(_ service: NacosService, _ reason: String) -> Duration {
        client.health.failed("\(service.name): \(reason)", isAway: false)
        if refused.insert(service.name).inserted {
            context.logger.log(
                .warning, "registry.service_failed",
                ["url": client.health.url, "service": service.name, "reason": reason], limit: 20,
                limitKey: client.health.url)
        }
        let wait = service.refused(reason)
        if !service.isAnswered { onFailure(service) }
        if service.isDoubted {
            service.isDoubted = false
            onGivenUp(service)
        }
        return wait
    }
}
