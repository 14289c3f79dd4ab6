import Model
import Runtime

/// Services from a ZooKeeper, told by its watches, in the layouts of Dubbo, Spring Cloud and SOFA RPC.
///
/// - A Dubbo interface is what stands below `/dubbo/INTERFACE/providers`, together with the instances of the applications
///   that `/dubbo/mapping/INTERFACE` names; configurators change weights and switch hosts off.
/// - An HTTP application is what stands below `/services/APPLICATION`.
/// - A SOFA RPC interface is what stands below `/sofa-rpc/INTERFACE/providers`.
///
/// Everything that has been read is watched. After a lost connection all of it is read again: hosts stay meanwhile.
public final class ZooKeeperRegistry: Registrar {
    /// The address without credentials.
    public let url: String

    private let settings: ZooKeeperSettings
    private let context: DiscoveryContext
    private let client: ZooKeeperClient
    private let tree: ZooKeeperTree
    private let applications: ZooKeeperApplications
    private let offers: DubboOffers
    private let reporter: InstanceReporter
    private let registrar: ZooKeeperRegistrar
    private var sources: ZooKeeperSources?
    private var services: [ServiceKey: any ZooKeeperService] = [:]
    private var refreshing: Set<ServiceKey> = []
    /// Services that could not be read, so that each is logged once.
    private var refused: Set<ServiceKey> = []
    private let due: DueReports
    private var isStopped = false

    init(_ settings: ZooKeeperSettings, url: String, context: DiscoveryContext, reports: RegistryReports) {
        self.url = url
        self.settings = settings
        self.context = context
        client = ZooKeeperClient(settings, url: url, context: context)
        tree = ZooKeeperTree(client: client, loop: context.loop, chroot: settings.chroot)
        applications = ZooKeeperApplications(tree: tree, settings: settings)
        offers = DubboOffers(context)
        reporter = InstanceReporter(resolver: context.resolver, reports: reports, logger: context.logger)
        registrar = ZooKeeperRegistrar(client: client, settings: settings, context: context, reports: reports)
        due = DueReports(loop: context.loop)
        sources = makeSources()
        due.report = { [weak self] in self?.report($0) }
        applications.onChange = { [weak self] in for service in $0 { self?.due.add(service) } }
        offers.onChange = { [weak self] in self?.due.add($0) }
        client.onAway = { [weak self] in self?.failUnanswered($0) }
        client.onReady = { [weak self] isNewSession in
            self?.tree.readAll()
            self?.registrar.sessionReady(isNew: isNewSession)
        }
        registrar.onWatch(client, otherwise: tree)
    }

    /// How it is now.
    public var status: RegistryStatus {
        var status = client.health.status
        status.mode = .push
        status.subscriptions = services.count
        status.unsteadyAt = client.unsteadyAt
        status.registrations = registrar.count
        status.registered = registrar.confirmed
        reporter.describe(&status)
        offers.describe(&status)
        return status
    }

    /// Starts to report a service.
    public func subscribe(_ service: ServiceKey) {
        guard !isStopped, services[service] == nil, let made = make(service) else { return }
        services[service] = made
        client.start()
        due.add(service)
        // Nothing is asked while all servers are away, so nothing would come to tell it.
        guard client.health.status.state == .failed else { return }
        context.loop.schedule(after: .zero) { [weak self] in
            guard let self, services[service] != nil, client.health.status.state == .failed else { return }
            reporter.fail(service, client.health.reason)
        }
    }

    /// Ends reports of a service.
    public func unsubscribe(_ service: ServiceKey) {
        guard let known = services.removeValue(forKey: service) else { return }
        known.stop()
        due.remove(service)
        refreshing.remove(service)
        refused.remove(service)
        reporter.forget(service)
    }

    /// Reads a service at once.
    public func refresh(_ service: ServiceKey) {
        guard let known = services[service], refreshing.insert(service).inserted else { return }
        let lists = known.lists
        var left = lists.count
        var isLost = false
        let finish = { [weak self] in
            guard let self, services[service] === known else { return }
            refreshing.remove(service)
            guard !isLost else { return }
            reporter.doubt(service)
            due.add(service)
        }
        if lists.isEmpty { context.loop.schedule(after: .zero, finish) }
        for list in lists {
            tree.refresh(list) { reading in
                left -= 1
                // A list that cannot be read leaves the others alone.
                isLost = isLost || reading == .lost
                if left == 0 { finish() }
            }
        }
    }

    /// Registers an application.
    public func register(_ registration: Registration) {
        guard !isStopped else { return }
        client.start()
        registrar.register(registration)
    }

    /// Takes an application out.
    public func deregister(_ identity: Registration.Identity, completion: @escaping (String?) -> Void) {
        registrar.deregister(identity, completion: completion)
    }

    /// Leaves what is registered to another process.
    public func leaveRegistrations() { registrar.stop() }

    /// Ends all work.
    public func stop() {
        isStopped = true
        registrar.stop()
        tree.stop()
        for service in services.values { service.stop() }
        services.removeAll()
        due.removeAll()
        applications.stop()
        offers.stop()
        sources = nil
        client.stop()
        reporter.stop()
    }

    private func makeSources() -> ZooKeeperSources {
        let mappings = ZooKeeperNames(settings.root + "/mapping", tree: tree, loop: context.loop, service: { $0 }) {
            [weak self] in self?.namesChanged($0)
        }
        let rules = ZooKeeperNames(
            settings.root + "/config/dubbo", tree: tree, loop: context.loop,
            service: { DubboOverrideRule.service(of: $0)?.interface }
        ) { [weak self] in
            self?.namesChanged($0)
        }
        return ZooKeeperSources(
            tree: tree, loop: context.loop, settings: settings, applications: applications, offers: offers,
            mappings: mappings, rules: rules)
    }

    private func make(_ service: ServiceKey) -> (any ZooKeeperService)? {
        guard let sources else { return nil }
        let onChange: () -> Void = { [weak self] in self?.due.add(service) }
        guard ZooKeeperPath.isValid("/" + service.name) else { return ZooKeeperNoService() }
        switch service.kind {
        case .http: return ZooKeeperHTTPService(service, sources)
        case .bolt: return ZooKeeperSofaService(service, sources, onChange: onChange)
        case .dubbo:
            sources.mappings.start()
            sources.rules.start()
            return ZooKeeperDubboService(service, sources, onChange: onChange) { [context, url] event, reason in
                context.logger.log(.warning, event, ["url": url, "reason": reason], limit: 5, limitKey: reason)
            }
        }
    }

    private func namesChanged(_ names: Set<String>?) {
        if let names {
            for name in names { services[ServiceKey(kind: .dubbo, name: name)]?.namesChanged() }
        } else {
            for service in services.values { service.namesChanged() }
        }
    }

    private func report(_ key: ServiceKey) {
        services[key]?.ask()
        switch services[key]?.outcome {
        case nil, .waiting: return
        case .failed(let reason):
            if refused.insert(key).inserted {
                context.logger.log(
                    .warning, "registry.service_failed", ["url": url, "service": "\(key)", "reason": reason], limit: 20,
                    limitKey: url)
            }
            reporter.report(key, .init(), besides: reason)
        case .listed(let found):
            if refused.remove(key) != nil {
                context.logger.log(
                    .info, "registry.service_recovered", ["url": url, "service": "\(key)"], limit: 20, limitKey: url)
            }
            reporter.report(key, found)
        }
    }

    private func failUnanswered(_ reason: String) {
        for service in services.keys { reporter.fail(service, reason) }
    }
}
