import Model
import Runtime

/// Services from etcd 3.4 or later, over its JSON gateway.
///
/// Services are read once and followed by one watch; see `EtcdMirror` and `EtcdWatcher`. What stands in the keys is
/// `EtcdContent`'s.
public final class EtcdRegistry: Registrar {
    private struct Service {
        /// Where its hosts stand.
        let places: [EtcdPlace]
        /// Dubbo's application level: further places, which the contents of others name.
        var derived: Set<EtcdPlace> = []
        /// Places that are being read because its list is doubted.
        var doubted: Set<EtcdPlace> = []
        /// One of them was.
        var isReread = false
    }

    /// The address without credentials.
    public let url: String

    private let settings: EtcdSettings
    private let context: DiscoveryContext
    private let client: EtcdClient
    private let watcher: EtcdWatcher
    private let mirror: EtcdMirror
    private let registrations: EtcdRegistrations
    private let reporter: InstanceReporter
    /// What only instances of applications can tell.
    private let offers: DubboOffers
    private let due: DueReports
    private var services: [ServiceKey: Service] = [:]
    private var users: [EtcdPlace: Set<ServiceKey>] = [:]
    private var isStopped = false

    /// Most applications of an interface, and most revisions of them, that are followed.
    private static let mostDerived = 1000

    init(_ settings: EtcdSettings, url: String, context: DiscoveryContext, reports: RegistryReports) {
        self.url = url
        self.settings = settings
        self.context = context
        client = EtcdClient(settings, context: context)
        watcher = EtcdWatcher(settings, client: client, url: url, context: context)
        mirror = EtcdMirror(settings, client: client, watcher: watcher, context: context)
        registrations = EtcdRegistrations(
            settings, client: client, watcher: watcher, context: context, report: reports.registration)
        reporter = InstanceReporter(resolver: context.resolver, reports: reports, logger: context.logger)
        offers = DubboOffers(context)
        due = DueReports(loop: context.loop)
        connectParts()
    }

    private func connectParts() {
        due.report = { [weak self] in self?.report($0) }
        mirror.onRead = { [weak self] in self?.wasRead($0) }
        mirror.onChange = { [weak self] in self?.markChanged($0) }
        mirror.onFailure = { [weak self] place, _ in self?.wasRefused(place) }
        offers.onChange = { [weak self] in if self?.services[$0] != nil { self?.due.add($0) } }
        watcher.delegate = EtcdWatcher.Delegate(
            spans: { [weak self] in self?.mirror.spans ?? [] },
            witnesses: { [weak self] in self?.mirror.witnesses ?? [] },
            ready: { [weak self] in
                self?.mirror.ready()
                self?.registrations.ready()
            },
            event: { [weak self] in self?.mirror.apply($0) },
            lost: { [weak self] reason, isLast in
                self?.mirror.lost()
                self?.registrations.lost()
                if isLast { self?.failUnanswered(reason) }
            },
            silent: { [weak self] in self?.mirror.readCopies() },
            missed: { [weak self] in self?.mirror.missed($0) },
            historyChanged: { [weak self] in self?.mirror.historyChanged() },
            refused: { [weak self] in self?.mirror.refused($0, $1) })
    }

    /// How it is now.
    public var status: RegistryStatus {
        var status = watcher.health.status
        status.mode = .push
        status.unsteadyAt = watcher.unsteadyAt
        status.subscriptions = services.count
        status.registrations = registrations.count
        status.registered = registrations.confirmed
        reporter.describe(&status)
        offers.describe(&status)
        return status
    }

    /// Starts to report a service.
    public func subscribe(_ service: ServiceKey) {
        guard !isStopped, services[service] == nil else { return }
        let places = settings.layouts.flatMap { EtcdPlace.places(of: service, $0) }
        services[service] = Service(places: places)
        for place in places { use(place, service) }
        watcher.start()
        if places.contains(where: { mirror.folder($0) != nil }) || places.isEmpty { due.add(service) }
        guard watcher.health.status.state == .failed else { return }
        context.loop.schedule(after: .zero) { [weak self] in
            guard let self, services[service] != nil else { return }
            reporter.fail(service, watcher.health.reason)
        }
    }

    /// Ends reports of a service.
    public func unsubscribe(_ service: ServiceKey) {
        guard let entry = services.removeValue(forKey: service) else { return }
        for place in entry.places { leave(place, service) }
        for place in entry.derived { leave(place, service) }
        due.remove(service)
        offers.forget(service)
        reporter.forget(service)
    }

    /// Reads a service anew.
    public func refresh(_ service: ServiceKey) {
        guard let entry = services[service] else { return }
        services[service]?.doubted = entry.derived.union(entry.places)
        services[service]?.isReread = false
        for place in entry.derived.union(entry.places) { mirror.refresh(place) }
        if entry.places.isEmpty {
            reporter.doubt(service)
            due.add(service)
        }
    }

    /// Registers an application and keeps it registered.
    public func register(_ registration: Registration) {
        guard !isStopped else { return }
        registrations.register(registration)
        watcher.start()
    }

    /// Takes an application out.
    public func deregister(_ identity: Registration.Identity, completion: @escaping (String?) -> Void) {
        registrations.deregister(identity, completion: completion)
    }

    /// Leaves what is registered to another process.
    public func leaveRegistrations() { registrations.stop() }

    /// Ends all work. What is registered stays for the rest of its lease.
    public func stop() {
        isStopped = true
        registrations.stop()
        offers.stop()
        watcher.stop()
        mirror.stop()
        client.stop()
        due.removeAll()
        services.removeAll()
        users.removeAll()
        reporter.stop()
    }

    // MARK: Places

    private func use(_ place: EtcdPlace, _ service: ServiceKey) {
        if users[place, default: []].insert(service).inserted { mirror.follow(place) }
    }

    private func leave(_ place: EtcdPlace, _ service: ServiceKey) {
        guard users[place]?.remove(service) != nil else { return }
        mirror.unfollow(place)
        if users[place]?.isEmpty == true { users[place] = nil }
    }

    private func wasRead(_ place: EtcdPlace) {
        for service in users[place] ?? [] {
            if services[service]?.doubted.remove(place) != nil {
                services[service]?.isReread = true
                confirm(service)
            }
            due.add(service)
        }
    }

    private func wasRefused(_ place: EtcdPlace) {
        for service in users[place] ?? [] { confirm(service) }
        markChanged(place)
    }

    /// The next list is told also when it is as before: what can be read of a doubted one was read anew. What cannot leaves the
    /// other places alone.
    private func confirm(_ service: ServiceKey) {
        guard let entry = services[service], entry.isReread,
            entry.doubted.allSatisfy({ mirror.failure($0) != nil })
        else { return }
        services[service]?.isReread = false
        reporter.doubt(service)
    }

    private func markChanged(_ place: EtcdPlace) {
        for service in users[place] ?? [] { due.add(service) }
    }

    private func failUnanswered(_ reason: String) {
        for service in services.keys { reporter.fail(service, reason) }
    }

    // MARK: Lists

    /// Tells what is known about a service, once all its places were read.
    private func report(_ service: ServiceKey) {
        guard let entry = services[service] else { return }
        var listing = EtcdListing(interface: service.kind == .dubbo ? service.name : nil)
        for place in entry.places { listing.add(place, mirror) }
        if service.kind == .dubbo { follow(&listing, of: service) }
        guard !listing.isWaiting else { return }
        if service.kind == .dubbo { offers.update(service, listing.wishes) }
        reporter.report(service, listing.providers(offers), besides: listing.failure)
    }

    /// Follows the places that are named by what is known, and adds what they hold.
    private func follow(_ listing: inout EtcdListing, of service: ServiceKey) {
        var wanted: Set<EtcdPlace> = []
        for name in listing.applications.prefix(Self.mostDerived) {
            let place = EtcdPlace.application(name)
            wanted.insert(place)
            use(place, service)
            listing.add(place, mirror)
        }
        for layout in settings.layouts where layout.kind == .dubbo {
            for (name, revision) in listing.revisions.prefix(Self.mostDerived) {
                let place = EtcdPlace.metadata(name, revision, layout)
                wanted.insert(place)
                use(place, service)
                listing.add(place, mirror, revision: (name, revision))
            }
        }
        for place in services[service]?.derived.subtracting(wanted) ?? [] { leave(place, service) }
        services[service]?.derived = wanted
    }
}
