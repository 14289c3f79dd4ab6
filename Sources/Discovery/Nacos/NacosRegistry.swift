import Runtime

/// Services from a Nacos server (1.4, 2.x, 3.x) over its HTTP API, by polling.
///
/// - An HTTP service is the Nacos service of its name. A Dubbo interface is all services `providers:INTERFACE:VERSION:GROUP`.
/// - Only hosts that are healthy and enabled are told. A host that the server drops disappears with the next poll.
/// - Every service is asked for once a period, give or take 10 %, from one server as long as it answers.
public final class NacosRegistry: Registry {
    /// The address without credentials.
    public let url: String

    private let settings: NacosSettings
    private let context: DiscoveryContext
    private let client: NacosClient
    private let listing: NacosListing
    private let reporter: InstanceReporter
    private var polls: [String: NacosPoll] = [:]
    private var services: [ServiceKey: Set<String>] = [:]
    /// Services whose last question was refused, so that each is logged once.
    private var refused: Set<String> = []
    private var isStopped = false

    init(_ settings: NacosSettings, url: String, context: DiscoveryContext, reports: RegistryReports) {
        self.url = url
        self.settings = settings
        self.context = context
        client = NacosClient(settings, url: url, context: context)
        listing = NacosListing(client: client, settings: settings, context: context)
        reporter = InstanceReporter(resolver: context.resolver, reports: reports, logger: context.logger)
        client.onUnavailable = { [weak self] in self?.failUnanswered($0) }
        listing.onChange = { [weak self] in self?.namesChanged($0) }
        listing.onFailure = { [weak self] reason in self?.failUnanswered(reason, of: .dubbo) }
    }

    /// How it is now.
    public var status: RegistryStatus {
        var status = client.health.status
        status.subscriptions = services.count
        status.unsteadyAt = client.unsteadyAt
        reporter.describe(&status)
        return status
    }

    /// Starts to report a service.
    public func subscribe(_ service: ServiceKey) {
        guard !isStopped, services[service] == nil else { return }
        services[service] = []
        switch service.kind {
        case .http: setNames(of: service, [service.name])
        case .dubbo:
            listing.start()
            if let names = listing.names(of: service.name) { setNames(of: service, names) }
            if listing.isKnown { context.loop.schedule(after: .zero) { [weak self] in self?.report(service) } }
        // SOFA RPC's way to write into Nacos is not read.
        case .sofa: context.loop.schedule(after: .zero) { [weak self] in self?.reporter.report(service, []) }
        }
        // Nothing is sent while all servers are away, so nothing would come to tell it.
        guard client.health.status.state == .failed else { return }
        context.loop.schedule(after: .zero) { [weak self] in
            guard let self, services[service] != nil else { return }
            reporter.fail(service, client.health.status.lastError ?? "the registry is away")
        }
    }

    /// Ends reports of a service.
    public func unsubscribe(_ service: ServiceKey) {
        guard services[service] != nil else { return }
        setNames(of: service, [])
        services[service] = nil
        reporter.forget(service)
        if service.kind == .dubbo && !services.keys.contains(where: { $0.kind == .dubbo }) { listing.stop() }
    }

    /// Asks for a service at once.
    public func refresh(_ service: ServiceKey) {
        guard let names = services[service] else { return }
        reporter.doubt(service)
        for name in names { polls[name]?.isDoubted = true }
        if names.isEmpty { report(service) }
        for poll in names.compactMap({ polls[$0] }) where poll.ticket == nil {
            context.loop.cancel(poll.timer)
            ask(poll)
        }
    }

    /// Ends all work.
    public func stop() {
        isStopped = true
        listing.stop()
        for poll in polls.values { end(poll) }
        polls.removeAll()
        services.removeAll()
        client.stop()
        reporter.stop()
    }

    /// Makes a service use exactly these Nacos services.
    private func setNames(of service: ServiceKey, _ names: Set<String>) {
        let before = services[service] ?? []
        services[service] = names
        for name in names.subtracting(before) {
            let poll = polls[name] ?? NacosPoll(name: name, period: settings.poll)
            poll.users.insert(service)
            if polls.updateValue(poll, forKey: name) == nil { ask(poll) }
        }
        for name in before.subtracting(names) {
            guard let poll = polls[name] else { continue }
            poll.users.remove(service)
            if poll.users.isEmpty { end(poll) }
        }
    }

    private func end(_ poll: NacosPoll) {
        polls[poll.name] = nil
        refused.remove(poll.name)
        context.loop.cancel(poll.timer)
        if let ticket = poll.ticket { client.cancel(ticket) }
    }

    private func ask(_ poll: NacosPoll) {
        poll.ticket = client.ask(.hosts(poll.name), isUrgent: !poll.isAnswered, skip: poll.skip) { [weak self] result in
            poll.ticket = nil
            self?.take(result, poll)
        }
    }

    private func askAgain(_ poll: NacosPoll, after time: Duration) {
        guard polls[poll.name] === poll else { return }
        poll.timer = context.loop.schedule(after: time) { [weak self] in self?.ask(poll) }
    }

    private func take(_ result: Result<[UInt8], NacosFailure>, _ poll: NacosPoll) {
        do {
            let body = try result.get()
            let isNew = try poll.take(body)
            client.health.succeeded()
            if refused.remove(poll.name) != nil {
                context.logger.log(
                    .info, "registry.service_recovered", ["url": url, "service": poll.name], limit: 20, limitKey: url)
            }
            askAgain(poll, after: period.jittered)
            let isDoubted = poll.isDoubted
            poll.isDoubted = false
            if isNew { changed(poll) } else if isDoubted { confirmed(poll) }
        } catch let failure as NacosFailure where failure.kind == .away {
            poll.missed(failure.description)
            ask(poll)
        } catch {
            refuse(poll, "\(error)")
        }
    }

    /// With very many services each is asked for less often.
    private var period: Duration {
        max(settings.poll, .nanoseconds(polls.count * (1_000_000_000 / NacosSettings.mostPollsPerSecond)))
    }

    private func refuse(_ poll: NacosPoll, _ reason: String) {
        client.health.failed("\(poll.name): \(reason)", isAway: false)
        if refused.insert(poll.name).inserted {
            context.logger.log(
                .warning, "registry.service_failed", ["url": url, "service": poll.name, "reason": reason], limit: 20,
                limitKey: url)
        }
        askAgain(poll, after: poll.refused(reason))
        if !poll.isAnswered { for service in poll.users { report(service) } }
    }

    /// The answer is as before, and somebody wanted to know.
    private func confirmed(_ poll: NacosPoll) {
        for service in poll.users where services[service]?.contains(where: { polls[$0]?.isDoubted == true }) != true {
            report(service)
        }
    }

    private func changed(_ poll: NacosPoll) {
        if let unreadable = poll.unused[.unreadable] {
            context.logger.log(
                .warning, "registry.hosts_unreadable",
                ["url": url, "service": poll.name, "count": "\(unreadable)"], limit: 5, limitKey: poll.name)
        }
        for service in poll.users {
            dropVanishedNames(of: service)
            report(service)
        }
    }

    /// Tells what is known about a service, once all its names have been asked for.
    private func report(_ service: ServiceKey) {
        guard let names = services[service], service.kind == .http || listing.isKnown else { return }
        var hosts: [ListedHost] = []
        var unused: [DropReason: Int] = [:]
        var failure: String?
        for name in names.sorted() {
            guard let poll = polls[name], poll.isAnswered || poll.failure != nil else { return }
            if poll.isAnswered {
                hosts += listedHosts(poll, service.kind, &unused)
                unused.merge(poll.unused, uniquingKeysWith: +)
            } else {
                failure = poll.failure
            }
        }
        if let failure, hosts.isEmpty {
            reporter.fail(service, failure)
        } else {
            reporter.report(service, hosts, unused: unused)
        }
    }

    private func listedHosts(
        _ poll: NacosPoll, _ kind: ServiceKey.Kind, _ unused: inout [DropReason: Int]
    ) -> [ListedHost] {
        let name = NacosDubboName(poll.name, separator: settings.separator)
        var hosts: [ListedHost] = []
        for entry in poll.hosts.values.joined() {
            switch kind == .http ? entry.httpHost : entry.dubboHost(name) {
            case .success(let host): hosts.append(host)
            case .failure(let reason): unused[reason, default: 0] += 1
            }
        }
        return hosts
    }

    private func namesChanged(_ interfaces: Set<String>?) {
        for service in Array(services.keys) where service.kind == .dubbo {
            if let interfaces, !interfaces.contains(service.name) { continue }
            guard let listed = listing.names(of: service.name) else { continue }
            // A name that is not listed any more is asked for until it is believed to be empty.
            let kept = (services[service] ?? []).filter { polls[$0]?.hosts.isEmpty == false }
            setNames(of: service, listed.union(kept))
            report(service)
        }
    }

    private func dropVanishedNames(of service: ServiceKey) {
        guard service.kind == .dubbo, let names = services[service], let listed = listing.names(of: service.name)
        else { return }
        let gone = names.filter { !listed.contains($0) && polls[$0]?.hosts.isEmpty != false }
        if !gone.isEmpty { setNames(of: service, names.subtracting(gone)) }
    }

    private func failUnanswered(_ reason: String, of kind: ServiceKey.Kind? = nil) {
        for service in services.keys where kind == nil || service.kind == kind { reporter.fail(service, reason) }
    }
}
