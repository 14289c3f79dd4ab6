import Model
import Runtime

/// Services from a Nacos server (1.4, 2.x, 3.x): pushed over its gRPC port where it has one, polled over its HTTP API where
/// it has none or while that is away.
///
/// - An HTTP service is the Nacos service of its name. A Dubbo interface is all services `providers:INTERFACE:VERSION:GROUP`.
///   Dubbo 3 applications that offer it are looked at as well: `NacosApplications` tells which.
/// - Only hosts that are healthy and enabled are told.
/// - Which services are looked at is decided here; how their lists are learnt is `NacosWatcher`'s, which names there are is
///   `NacosListing`'s business, and `NacosRegistrar` registers.
public final class NacosRegistry: Registrar {
    /// The address without credentials.
    public let url: String

    let settings: NacosSettings
    let watcher: NacosWatcher
    let listing: NacosListing
    let applications: NacosApplications
    /// What only instances of applications can tell.
    let offers: DubboOffers
    let reporter: InstanceReporter
    private(set) var services: [ServiceKey: Set<String>] = [:]
    private let context: DiscoveryContext
    private let client: NacosClient
    private let push: NacosPush
    private let configs: NacosConfigs
    private let registrar: NacosRegistrar
    /// Services that are reported soon: many can use one application, and hold nothing else up.
    private let due: DueReports
    private var isStopped = false

    init(_ settings: NacosSettings, url: String, context: DiscoveryContext, reports: RegistryReports) {
        self.url = url
        self.settings = settings
        self.context = context
        client = NacosClient(settings, url: url, context: context)
        push = NacosPush(client: client, settings: settings, context: context)
        watcher = NacosWatcher(client: client, push: push, settings: settings, context: context)
        listing = NacosListing(client: client, push: push, settings: settings, context: context)
        configs = NacosConfigs(client: client, push: push, settings: settings, context: context)
        applications = NacosApplications(configs)
        offers = DubboOffers(context)
        registrar = NacosRegistrar(client: client, push: push, settings: settings, context: context)
        reporter = InstanceReporter(resolver: context.resolver, reports: reports, logger: context.logger)
        due = DueReports(loop: context.loop)
        due.report = { [weak self] in self?.report($0) }
        client.onUnavailable = { [weak self] in self?.failUnanswered($0) }
        client.onReturn = { [weak self] in self?.push.hurry() }
        watcher.onChange = { [weak self] in self?.changed($0) }
        watcher.onConfirmed = { [weak self] in self?.confirmed($0) }
        watcher.onGivenUp = { [weak self] in self?.gaveUp($0) }
        watcher.onFailure = { [weak self] in for service in $0.users { self?.report(service) } }
        listing.onChange = { [weak self] in self?.namesChanged($0) }
        listing.onFailure = { [weak self] reason in self?.failUnanswered(reason, of: .dubbo) }
        applications.onChange = { [weak self] in self?.namesChanged([$0]) }
        applications.onMetadata = { [weak self] in
            for service in self?.watcher.services[$0]?.users ?? [] where service.kind == .dubbo {
                self?.due.add(service)
            }
        }
        offers.onChange = { [weak self] in self?.due.add($0) }
        registrar.onOutcome = reports.registration
        push.onReady = { [weak self] in self?.pushIsReady() }
        push.onLost = { [weak self] in self?.pushIsLost() }
        push.onRequest = { [weak self] in self?.take($0) }
        push.start()
    }

    /// How it is now.
    public var status: RegistryStatus {
        var status = client.health.status
        status.mode = push.isReady ? .push : .polling
        status.whyNoPush = settings.whyNoPush
        status.subscriptions = services.count
        status.unsteadyAt = [client.unsteadyAt, push.unsteadyAt].compactMap { $0 }.max()
        status.registrations = registrar.count
        status.registered = registrar.registeredCount
        reporter.describe(&status)
        offers.describe(&status)
        return status
    }

    /// Registers an application and keeps it registered.
    public func register(_ registration: Registration) { registrar.register(registration) }

    /// Takes an application out.
    public func deregister(_ identity: Registration.Identity, completion: @escaping (String?) -> Void) {
        registrar.deregister(identity, completion: completion)
    }

    /// Leaves what is registered to another process.
    public func leaveRegistrations() { registrar.stop() }

    /// Starts to report a service.
    public func subscribe(_ service: ServiceKey) {
        guard !isStopped, services[service] == nil else { return }
        services[service] = []
        switch service.kind {
        case .http: setNames(of: service, [service.name])
        case .dubbo:
            listing.start()
            applications.watch(service.name)
            setNames(of: service, wantedNames(service.name))
            if isKnown(service) { context.loop.schedule(after: .zero) { [weak self] in self?.report(service) } }
        // SOFA RPC's way to write into Nacos is not read.
        case .bolt: context.loop.schedule(after: .zero) { [weak self] in self?.reporter.report(service, []) }
        }
        // Nothing is sent while all servers are away, so nothing would come to tell it.
        guard client.health.status.state == .failed else { return }
        context.loop.schedule(after: .zero) { [weak self] in
            guard let self, services[service] != nil else { return }
            reporter.fail(service, client.health.reason)
        }
    }

    /// Ends reports of a service.
    public func unsubscribe(_ service: ServiceKey) {
        guard services[service] != nil else { return }
        setNames(of: service, [])
        services[service] = nil
        due.remove(service)
        reporter.forget(service)
        offers.forget(service)
        if service.kind == .dubbo { applications.unwatch(service.name) }
        if service.kind == .dubbo && !services.keys.contains(where: { $0.kind == .dubbo }) { listing.stop() }
    }

    /// Asks for a service at once.
    public func refresh(_ service: ServiceKey) {
        guard let names = services[service] else { return }
        reporter.doubt(service)
        let watched = names.compactMap { watcher.services[$0] }
        for one in watched { one.isDoubted = true }
        if names.isEmpty { report(service) }
        for one in watched { watcher.refresh(one) }
    }

    /// Ends all work.
    public func stop() {
        isStopped = true
        registrar.stop()
        applications.stop()
        offers.stop()
        listing.stop()
        watcher.stop()
        push.stop()
        services.removeAll()
        due.removeAll()
        client.stop()
        reporter.stop()
    }

    private func pushIsReady() {
        registrar.pushIsReady()
        watcher.pushIsReady()
        listing.pushIsReady()
        configs.pushIsReady()
    }

    private func pushIsLost() {
        registrar.pushIsLost()
        watcher.pushIsLost()
        listing.pushIsLost()
        configs.pushIsLost()
    }

    /// Takes a request of the server.
    private func take(_ message: NacosMessage) {
        switch message.type {
        case "NotifySubscriberRequest": watcher.takePush(message)
        case "NamingFuzzyWatchSyncRequest", "NamingFuzzyWatchChangeNotifyRequest": listing.takePush(message)
        case "ConfigChangeNotifyRequest": configs.takePush(message)
        default: break
        }
    }

    /// Makes a service use exactly these Nacos services.
    private func setNames(of service: ServiceKey, _ names: Set<String>) {
        let before = services[service] ?? []
        services[service] = names
        for name in names.subtracting(before) { join(watcher.watch(name), service) }
        for name in before.subtracting(names) {
            guard let watched = watcher.services[name] else { continue }
            watched.users.remove(service)
            if !watched.users.contains(where: { $0.kind == .dubbo }) { applications.setRevisions([], of: name) }
            if watched.users.isEmpty { watcher.unwatch(watched) }
        }
    }

    /// Makes a service a user of a Nacos service. Of one that is known already nothing new may come for long.
    private func join(_ watched: NacosService, _ service: ServiceKey) {
        watched.users.insert(service)
        guard watched.isAnswered || watched.failure != nil else { return }
        if service.kind == .dubbo { applications.setRevisions(watched.storedRevisions, of: watched.name) }
        due.add(service)
    }

    /// The Nacos services of an interface, as far as they are known.
    private func wantedNames(_ interface: String) -> Set<String> {
        (listing.names(of: interface) ?? []).union(applications.names(of: interface) ?? [])
    }

    /// It is known which Nacos services it uses.
    func isKnown(_ service: ServiceKey) -> Bool {
        service.kind != .dubbo || listing.isKnown && applications.names(of: service.name) != nil
    }

    /// The answer is as before, and somebody wanted to know.
    private func confirmed(_ watched: NacosService) {
        for service in watched.users {
            let others = services[service]?.compactMap { watcher.services[$0] } ?? []
            if !others.contains(where: \.isDoubted) { report(service) }
        }
    }

    /// A doubted service cannot be read: it holds the others of its users up no longer. An interface is told when at least one
    /// of its names was read.
    private func gaveUp(_ watched: NacosService) {
        for service in watched.users {
            let others = services[service]?.compactMap { watcher.services[$0] } ?? []
            let isRead = others.contains { $0.failure == nil && $0.isAnswered }
            if isRead && !others.contains(where: \.isDoubted) { report(service) }
        }
    }

    private func changed(_ watched: NacosService) {
        if watched.users.contains(where: { $0.kind == .dubbo }) {
            applications.setRevisions(watched.storedRevisions, of: watched.name)
        }
        for service in watched.users {
            dropVanishedNames(of: service)
            let isLong = watched.hosts.count > InstanceReporter.piece
            if isLong || watched.users.count > 1 { due.add(service, isLong: isLong) } else { report(service) }
        }
    }

    private func namesChanged(_ interfaces: Set<String>?) {
        for service in Array(services.keys) where service.kind == .dubbo {
            if let interfaces, !interfaces.contains(service.name) { continue }
            // A name that is not listed any more is asked for until it is believed to be empty.
            let kept = (services[service] ?? []).filter { watcher.services[$0]?.hosts.isEmpty == false }
            setNames(of: service, wantedNames(service.name).union(kept))
            report(service)
        }
    }

    private func dropVanishedNames(of service: ServiceKey) {
        guard service.kind == .dubbo, isKnown(service), let names = services[service] else { return }
        let wanted = wantedNames(service.name)
        let gone = names.filter { !wanted.contains($0) && watcher.services[$0]?.hosts.isEmpty != false }
        if !gone.isEmpty { setNames(of: service, names.subtracting(gone)) }
    }

    private func failUnanswered(_ reason: String, of kind: ServiceKey.Kind? = nil) {
        for service in services.keys where kind == nil || service.kind == kind { reporter.fail(service, reason) }
    }
}
