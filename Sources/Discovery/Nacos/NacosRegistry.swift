import Runtime

/// Services from a Nacos server (1.4, 2.x, 3.x): pushed over its gRPC port where it has one, polled over its HTTP API where
/// it has none or while that is away.
///
/// - An HTTP service is the Nacos service of its name. A Dubbo interface is all services `providers:INTERFACE:VERSION:GROUP`.
/// - Only hosts that are healthy and enabled are told.
/// - Which services are looked at is decided here; how their lists are learnt is `NacosWatcher`'s, which names there are is
///   `NacosListing`'s business.
public final class NacosRegistry: Registry {
    /// The address without credentials.
    public let url: String

    private let settings: NacosSettings
    private let context: DiscoveryContext
    private let client: NacosClient
    private let push: NacosPush
    let watcher: NacosWatcher
    private let listing: NacosListing
    private let reporter: InstanceReporter
    private var services: [ServiceKey: Set<String>] = [:]
    private var isStopped = false

    init(_ settings: NacosSettings, url: String, context: DiscoveryContext, reports: RegistryReports) {
        self.url = url
        self.settings = settings
        self.context = context
        client = NacosClient(settings, url: url, context: context)
        push = NacosPush(client: client, settings: settings, context: context)
        watcher = NacosWatcher(client: client, push: push, settings: settings, context: context)
        listing = NacosListing(client: client, push: push, settings: settings, context: context)
        reporter = InstanceReporter(resolver: context.resolver, reports: reports, logger: context.logger)
        client.onUnavailable = { [weak self] in self?.failUnanswered($0) }
        client.onReturn = { [weak self] in self?.push.hurry() }
        watcher.onChange = { [weak self] in self?.changed($0) }
        watcher.onConfirmed = { [weak self] in self?.confirmed($0) }
        watcher.onFailure = { [weak self] in for service in $0.users { self?.report(service) } }
        listing.onChange = { [weak self] in self?.namesChanged($0) }
        listing.onFailure = { [weak self] reason in self?.failUnanswered(reason, of: .dubbo) }
        push.onReady = { [weak self] in
            self?.watcher.pushIsReady()
            self?.listing.pushIsReady()
        }
        push.onLost = { [weak self] in
            self?.watcher.pushIsLost()
            self?.listing.pushIsLost()
        }
        push.onRequest = { [weak self] in self?.take($0) }
        push.start()
    }

    /// How it is now.
    public var status: RegistryStatus {
        var status = client.health.status
        status.mode = push.isReady ? .push : .polling
        status.subscriptions = services.count
        status.unsteadyAt = [client.unsteadyAt, push.unsteadyAt].compactMap { $0 }.max()
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
        let watched = names.compactMap { watcher.services[$0] }
        for one in watched { one.isDoubted = true }
        if names.isEmpty { report(service) }
        for one in watched { watcher.refresh(one) }
    }

    /// Ends all work.
    public func stop() {
        isStopped = true
        listing.stop()
        watcher.stop()
        push.stop()
        services.removeAll()
        client.stop()
        reporter.stop()
    }

    /// Takes a request of the server.
    private func take(_ message: NacosMessage) {
        switch message.type {
        case "NotifySubscriberRequest": watcher.takePush(message)
        case "NamingFuzzyWatchSyncRequest", "NamingFuzzyWatchChangeNotifyRequest": listing.takePush(message)
        default: break
        }
    }

    /// Makes a service use exactly these Nacos services.
    private func setNames(of service: ServiceKey, _ names: Set<String>) {
        let before = services[service] ?? []
        services[service] = names
        for name in names.subtracting(before) { watcher.watch(name).users.insert(service) }
        for name in before.subtracting(names) {
            guard let watched = watcher.services[name] else { continue }
            watched.users.remove(service)
            if watched.users.isEmpty { watcher.unwatch(watched) }
        }
    }

    /// The answer is as before, and somebody wanted to know.
    private func confirmed(_ watched: NacosService) {
        for service in watched.users {
            let others = services[service]?.compactMap { watcher.services[$0] } ?? []
            if !others.contains(where: \.isDoubted) { report(service) }
        }
    }

    private func changed(_ watched: NacosService) {
        for service in watched.users {
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
            guard let watched = watcher.services[name], watched.isAnswered || watched.failure != nil else { return }
            if watched.isAnswered {
                hosts += listedHosts(watched, service.kind, &unused)
                unused.merge(watched.unused, uniquingKeysWith: +)
            } else {
                failure = watched.failure
            }
        }
        if let failure, hosts.isEmpty {
            reporter.fail(service, failure)
        } else {
            reporter.report(service, hosts, unused: unused)
        }
    }

    private func listedHosts(
        _ watched: NacosService, _ kind: ServiceKey.Kind, _ unused: inout [DropReason: Int]
    ) -> [ListedHost] {
        let name = NacosDubboName(watched.name, separator: settings.separator)
        var hosts: [ListedHost] = []
        for entry in watched.hosts.values.joined() {
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
            let kept = (services[service] ?? []).filter { watcher.services[$0]?.hosts.isEmpty == false }
            setNames(of: service, listed.union(kept))
            report(service)
        }
    }

    private func dropVanishedNames(of service: ServiceKey) {
        guard service.kind == .dubbo, let names = services[service], let listed = listing.names(of: service.name)
        else { return }
        let gone = names.filter { !listed.contains($0) && watcher.services[$0]?.hosts.isEmpty != false }
        if !gone.isEmpty { setNames(of: service, names.subtracting(gone)) }
    }

    private func failUnanswered(_ reason: String, of kind: ServiceKey.Kind? = nil) {
        for service in services.keys where kind == nil || service.kind == kind { reporter.fail(service, reason) }
    }
}
