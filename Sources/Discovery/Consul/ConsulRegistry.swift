import Configuration
import Model
import Runtime

/// Services from Consul, by blocking queries to its agents' HTTP API.
///
/// - An HTTP service is the Consul service of its name, a Dubbo interface the one of the interface's name.
/// - Every service has a query that hangs until something has changed. Where there are more services than connections that
///   an agent takes, they take turns, each hanging for a shorter time.
/// - Hosts with a critical check, in maintenance, or on a lost node are not told.
public final class ConsulRegistry: Registry {
    /// The address without credentials.
    public let url: String

    let settings: ConsulSettings
    let context: DiscoveryContext
    private let client: ConsulClient
    let registrar: ConsulRegistrar
    private let reporter: InstanceReporter
    private var watches: [String: ConsulWatch] = [:]
    private var subscribed: Set<ServiceKey> = []
    /// Services whose last query was refused, so that each is logged once.
    private var refused: Set<String> = []
    private var isFiltered = false
    private var isStopped = false

    init(
        _ settings: ConsulSettings, url: String, context: DiscoveryContext, reports: RegistryReports
    ) throws(InvalidValue) {
        // Queries that hang would hold up what others ask, so they have a client of their own.
        let connections = settings.mostBlocking + ConsulClient.mostReads
        let http = try context.makeClient(connectionsPerHost: connections, tls: context.http.tls)
        self.url = url
        self.settings = settings
        self.context = context
        client = ConsulClient(settings, url: url, http: http, context: context)
        registrar = ConsulRegistrar(settings, url: url, context: context, reports: reports)
        reporter = InstanceReporter(
            resolver: context.resolver, reports: reports, logger: context.logger)
        client.onUnavailable = { [weak self] in self?.failUnanswered($0) }
    }

    /// How it is now.
    public var status: RegistryStatus {
        var status = client.health.status
        status.mode = watches.count <= settings.mostBlocking ? .push : .polling
        status.subscriptions = subscribed.count
        status.unsteadyAt = client.unsteadyAt
        registrar.describe(&status)
        // Where applications are only registered, nothing else tells.
        if status.state == .connecting, status.registered > 0 { status.state = .connected }
        reporter.describe(&status)
        return status
    }

    /// Starts to report a service.
    public func subscribe(_ service: ServiceKey) {
        guard !isStopped, subscribed.insert(service).inserted else { return }
        let watch = watches[service.name] ?? ConsulWatch(service: service.name, settings)
        watch.users.insert(service)
        if watches.updateValue(watch, forKey: service.name) == nil {
            client.watched = watches.count
            ask(watch)
        }
        context.loop.schedule(after: .zero) { [weak self] in self?.tellKnown(service) }
    }

    /// Ends reports of a service.
    public func unsubscribe(_ service: ServiceKey) {
        guard subscribed.remove(service) != nil else { return }
        reporter.forget(service)
        guard let watch = watches[service.name] else { return }
        watch.users.remove(service)
        if watch.users.isEmpty { end(watch) }
    }

    /// Asks for a service at once, beside the query that hangs. Where services take turns, the next one comes soon enough.
    public func refresh(_ service: ServiceKey) {
        guard subscribed.contains(service), let watch = watches[service.name] else { return }
        reporter.doubt(service)
        watch.isDoubted = true
        // A first answer is on its way.
        guard watch.check == nil, watch.isAnswered, watches.count <= settings.mostBlocking else { return }
        watch.check = client.ask(watch.service) { [weak self] outcome in
            watch.check = nil
            self?.takeCheck(outcome, watch)
        }
    }

    /// Ends all work.
    public func stop() {
        isStopped = true
        for watch in watches.values { end(watch) }
        subscribed.removeAll()
        client.stop()
        registrar.stop()
        reporter.stop()
    }

    private func end(_ watch: ConsulWatch) {
        watches[watch.service] = nil
        client.watched = watches.count
        refused.remove(watch.service)
        context.loop.cancel(watch.timer)
        watch.reading?.cancel()
        for ticket in [watch.ticket, watch.check].compactMap({ $0 }) { client.cancel(ticket) }
    }

    private func isLive(_ watch: ConsulWatch) -> Bool { watches[watch.service] === watch }

    private func ask(_ watch: ConsulWatch) {
        watch.ticket = client.ask(
            watch.service, after: watch.indexToSend(era: client.era), at: watch.agent,
            isUrgent: !watch.isAnswered,
            skip: watch.skip
        ) { [weak self] outcome in
            watch.ticket = nil
            self?.take(outcome, watch)
        }
    }

    private func askAgain(_ watch: ConsulWatch, after time: Duration) {
        guard isLive(watch) else { return }
        guard time > .zero else { return ask(watch) }
        watch.timer = context.loop.schedule(after: time) { [weak self] in self?.ask(watch) }
    }

    private func take(_ outcome: ConsulClient.Outcome, _ watch: ConsulWatch) {
        switch outcome {
        case .away(let reason):
            askAgain(watch, after: watch.missed(reason))
        case .cut: askAgain(watch, after: watch.cut())
        case .refused(let reason): refuse(watch, reason)
        case .answer(let response, let exchange):
            let verdict = watch.takeIndex(
                response.header("X-Consul-Index"), agent: exchange.agent, era: client.era)
            if verdict == .wentBack { wentBack(watch) }
            warnIfFiltered(response)
            read(response.body, watch) { [weak self] result in
                guard let self else { return }
                switch result {
                case .failure(let reason): refuse(watch, reason)
                case .success(let list):
                    let isNew = watch.take(list)
                    succeeded(watch)
                    askAgain(watch, after: watch.pause(verdict, exchange, isNew: isNew))
                    tell(watch, isNew: isNew)
                }
            }
        }
    }

    private func takeCheck(_ outcome: ConsulClient.Outcome, _ watch: ConsulWatch) {
        // Nothing is told when it cannot be read; the query that hangs deals with the trouble.
        guard case .answer(let response, let exchange) = outcome else { return }
        warnIfFiltered(response)
        // An answer that is being read is as new.
        guard watch.reading == nil else { return }
        if watch.isOutdated(response.header("X-Consul-Index"), agent: exchange.agent) {
            return tell(watch, isNew: false)
        }
        read(response.body, watch) { [weak self] result in
            guard let self, case .success(let list) = result else { return }
            let isNew = watch.take(list)
            succeeded(watch)
            tell(watch, isNew: isNew)
        }
    }

    private enum Reading {
        case success(ConsulList?)
        case failure(String)
    }

    /// Reads a list, a little at a time where it is long.
    private func read(_ body: [UInt8], _ watch: ConsulWatch, completion: @escaping (Reading) -> Void) {
        watch.reading?.cancel()
        watch.reading = nil
        var reader: ConsulListReader
        do { reader = try ConsulListReader(body, after: watch.list, settings) } catch {
            return completion(.failure("\(error)"))
        }
        let work = SlicedWork(loop: context.loop) {
            do {
                if try reader.step() { return true }
                watch.reading = nil
                completion(.success(reader.result()))
            } catch {
                watch.reading = nil
                completion(.failure("\(error)"))
            }
            return false
        }
        if !work.isDone { watch.reading = work }
    }

    private func succeeded(_ watch: ConsulWatch) {
        client.health.succeeded()
        guard refused.remove(watch.service) != nil else { return }
        context.logger.log(
            .info, "registry.service_recovered", ["url": url, "service": watch.service], limit: 20,
            limitKey: url)
    }

    private func refuse(_ watch: ConsulWatch, _ reason: String) {
        guard isLive(watch) else { return }
        client.health.failed("\(watch.service): \(reason)", isAway: false)
        if refused.insert(watch.service).inserted {
            context.logger.log(
                .warning, "registry.service_failed",
                ["url": url, "service": watch.service, "reason": reason],
                limit: 20, limitKey: url)
        }
        askAgain(watch, after: watch.refused(reason))
        if !watch.isAnswered { for service in watch.users { reporter.fail(service, reason) } }
    }

    private func wentBack(_ watch: ConsulWatch) {
        client.becameUnsteady()
        context.logger.log(
            .info, "registry.index_went_back", ["url": url, "service": watch.service], limit: 1,
            limitKey: url)
    }

    private func warnIfFiltered(_ response: HTTPResponse) {
        guard !isFiltered, response.header("X-Consul-Results-Filtered-By-ACLs") == "true" else {
            return
        }
        isFiltered = true
        context.logger.log(
            .warning, "registry.filtered_by_acl",
            [
                "url": url, "consequence": "hosts that the token may not read are missing",
                "remedy":
                    "the token needs service_prefix \"\" {policy=\"read\"} and node_prefix \"\" {policy=\"read\"}",
            ])
    }

    private func tell(_ watch: ConsulWatch, isNew: Bool) {
        guard isLive(watch), isNew || watch.isDoubted else { return }
        watch.isDoubted = false
        for service in watch.users { report(service, watch) }
    }

    private func report(_ service: ServiceKey, _ watch: ConsulWatch) {
        let (hosts, unused) = watch.list.hosts(service.kind)
        if let unreadable = unused[.unreadable] {
            context.logger.log(
                .warning, "registry.hosts_unreadable",
                ["url": url, "service": watch.service, "count": "\(unreadable)"], limit: 5,
                limitKey: watch.service)
        }
        reporter.report(service, hosts, unused: unused)
    }

    /// Tells a new subscriber what is known already: the other kind of this name may have been read before, and while the
    /// agents are away nothing would come to tell it.
    private func tellKnown(_ service: ServiceKey) {
        guard subscribed.contains(service), let watch = watches[service.name] else { return }
        if watch.isAnswered {
            report(service, watch)
        } else if client.health.status.state == .failed {
            reporter.fail(service, watch.failure ?? client.health.reason)
        }
    }

    private func failUnanswered(_ reason: String) {
        for service in subscribed { reporter.fail(service, reason) }
    }
}
