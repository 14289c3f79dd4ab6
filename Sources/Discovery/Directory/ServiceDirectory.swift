import Configuration
import Model
import Runtime

/// Which services are watched, and what all registries together say about each. Lives on the control loop.
///
/// A service is watched from when it is required (by the configuration, for good) or touched (by requests, until it has not
/// been for a while). Its hosts are those of all registries; a host that several list is taken from the first of them.
public final class ServiceDirectory {
    /// How a watched service is, for operators.
    public struct ServiceStatus: Equatable, Sendable {
        /// What is known about it.
        public enum State: String, Sendable {
            /// No registry's answer is known, and not all have failed.
            case waiting
            /// The registries have not answered; the hosts are those of the last run.
            case saved
            /// At least one registry has answered.
            case ready
            /// All registries have failed to answer.
            case failed
        }

        /// The service.
        public let key: ServiceKey
        /// What is known about it.
        public let state: State
        /// Its hosts.
        public let instances: Int
        /// Hosts that may get requests: available, and with a weight above 0.
        public let usable: Int
        /// Monotonic nanoseconds of the last change of its hosts; nil before the first answer.
        public let changedAt: Int64?
        /// True: the configuration names it. False: requests have asked for it.
        public let isRequired: Bool
        /// True while a registry's last answer, which would take hosts away, is doubted.
        public let isHeld: Bool
    }

    private struct Service {
        var isRequired: Bool
        var touchedAt: Int64
        /// What has been told; nil: nothing yet.
        var told: [Instance]?
        /// The first answer has waited for other registries long enough.
        var isDue = false
        var changedAt: Int64?
    }

    /// The registries, in order.
    public var registries: [any Registry] { views.map(\.registry) }
    /// What has become of a registration: the index of the registry, and nil for success, otherwise the reason. Registries that
    /// take registrations are `any Registrar`.
    public var onRegistration: (Int, Registration.Identity, String?) -> Void = { _, _, _ in }
    /// Whether a host's address is one of this process's own: such a host is left out.
    public var isOwn: (SocketAddress) -> Bool = { _ in false } {
        didSet { tellAll() }
    }
    /// How each registry is, in order.
    public var registryStatuses: [RegistryStatus] { views.map(\.status) }
    /// How many services are watched.
    public var count: Int { services.count }

    /// Processor time that registries' reports have taken of the control loop, from the report to the workers' mailboxes.
    public private(set) var updates = WorkTime()
    /// Hosts in all those reports.
    public private(set) var hostsReported = 0

    private(set) var views: [RegistryView] = []
    private let limits: LimitConfiguration
    private let loop: EventLoop
    private let logger: Logger
    private let onChange: (ServiceKey, [Instance]) -> Void
    private let onRemove: (ServiceKey) -> Void
    private var services: [ServiceKey: Service] = [:]
    private var requiredCount = 0
    private var timer: EventLoop.Timer?
    private var mergeRule: (ServiceKey) -> MergeRule = { _ in .union }
    private var checks: [EventLoop.Timer?] = []
    private var unlistedTimer: EventLoop.Timer?
    private var foundNoRoomAt: Int64?
    /// Names that nothing but requests has asked for and that no registry has ever listed.
    private var unlisted: Set<ServiceKey> = []

    /// A service that has lost all its hosts, or that nothing is known of yet, is let go sooner than others.
    private static let emptyIdle = Duration.seconds(60)
    /// A name that no registry lists is let go at once, but for repeated requests: anybody can ask for any name.
    private static let unlistedIdle = Duration.seconds(5)
    /// How long the first hosts of a service wait for a registry that has not answered.
    private static let patience = Duration.milliseconds(250)

    /// Creates a directory and its registries' adapters.
    ///
    /// - Parameters:
    ///   - stateFolder: where hosts are saved for the next start; nil saves none.
    ///   - onChange: a service's hosts, merged and in a fixed order: first when every registry has answered or failed (then
    ///     also when there are none), later whenever they have changed.
    ///   - onRemove: a service is watched no more.
    /// - Throws: `InvalidValue` where a registry's address cannot be used, `SystemError` where the system refuses.
    public init(
        registries configurations: [RegistryConfiguration], limits: LimitConfiguration, context: DiscoveryContext,
        stateFolder: String? = nil, onChange: @escaping (ServiceKey, [Instance]) -> Void,
        onRemove: @escaping (ServiceKey) -> Void = { _ in }
    ) throws {
        self.limits = limits
        loop = context.loop
        logger = context.logger
        self.onChange = onChange
        self.onRemove = onRemove
        for (index, configuration) in configurations.enumerated() {
            let registry = try configuration.makeRegistry(context, reports: reports(index))
            let saved =
                try configuration.isFile
                ? nil
                : stateFolder.map {
                    try SavedHosts(folder: $0, url: registry.url, loop: loop, logger: logger)
                }
            add(RegistryView(registry, limits: configuration.answerLimits, saved: saved, logger: logger))
        }
        scheduleSweep()
        scheduleUnlistedSweep()
        scheduleChecks()
    }

    /// Creates a directory with adapters made by `make`, which gets the reports for each index.
    init(
        registryCount: Int, limits: LimitConfiguration, answerLimits: AnswerLimits = AnswerLimits(),
        saved: SavedHosts? = nil, loop: EventLoop,
        logger: Logger,
        onChange: @escaping (ServiceKey, [Instance]) -> Void, onRemove: @escaping (ServiceKey) -> Void,
        make: (Int, RegistryReports) -> any Registry
    ) {
        self.limits = limits
        self.loop = loop
        self.logger = logger
        self.onChange = onChange
        self.onRemove = onRemove
        for index in 0..<registryCount {
            add(RegistryView(make(index, reports(index)), limits: answerLimits, saved: saved, logger: logger))
        }
        scheduleSweep()
        scheduleUnlistedSweep()
        scheduleChecks()
    }

    /// Merges the registries' hosts of each service by its rule.
    public func adopt(mergeRule: @escaping (ServiceKey) -> MergeRule) {
        self.mergeRule = mergeRule
        tellAll()
    }

    private func tellAll() {
        for (key, service) in services where service.told != nil { tell(key) }
    }

    /// Watches a service for good.
    public func require(_ service: ServiceKey) {
        if services[service]?.isRequired == true { return }
        requiredCount += 1
        unlisted.remove(service)
        if services[service] != nil { services[service]?.isRequired = true } else { watch(service, isRequired: true) }
    }

    /// Takes back `require`: the service stays until it has not been asked for for a while.
    public func release(_ service: ServiceKey) {
        guard services[service]?.isRequired == true else { return }
        requiredCount -= 1
        services[service]?.isRequired = false
        if services[service]?.told?.isEmpty != false { unlisted.insert(service) }
        services[service]?.touchedAt = Clock.nanoseconds
    }

    /// Watches a service that a request has asked for, or notes that it is still asked for.
    ///
    /// - Returns: false when it is not watched because `limits.services` is reached.
    @discardableResult
    public func touch(_ service: ServiceKey) -> Bool {
        if services[service] != nil {
            services[service]?.touchedAt = Clock.nanoseconds
            return true
        }
        if !hasRoom && !makeRoom() {
            logger.log(
                .warning, "services.limit_reached", ["limit": "\(limits.services)", "service": "\(service)"], limit: 1)
            return false
        }
        watch(service, isRequired: false)
        return true
    }

    /// What is known about every watched service, by name.
    public var statuses: [ServiceStatus] {
        services.map { key, service in
            ServiceStatus(
                key: key, state: state(key), instances: service.told?.count ?? 0,
                usable: service.told?.count { $0.available && $0.weight > 0 } ?? 0, changedAt: service.changedAt,
                isRequired: service.isRequired, isHeld: isHeld(key))
        }.sorted { ($0.key.name, $0.key.kind.rawValue) < ($1.key.name, $1.key.kind.rawValue) }
    }

    /// Whether every service that is required can be served: the registries have answered, or the hosts of the last run are used.
    public var knowsRequired: Bool {
        services.allSatisfy { key, service in !service.isRequired || [.ready, .saved].contains(state(key)) }
    }

    /// How many services are held: see `ServiceStatus.isHeld`.
    public var heldCount: Int { services.keys.count(where: isHeld) }

    /// How many services have the hosts of the last run.
    public var savedCount: Int { services.keys.count { state($0) == .saved } }

    private func isHeld(_ key: ServiceKey) -> Bool { views.contains { $0.isHolding(key) } }

    /// A service's hosts as they were told last; nil when it is not watched or not known yet.
    public func instances(of service: ServiceKey) -> [Instance]? { services[service]?.told }

    /// Ends all watching; nothing is told any more.
    public func stop() {
        loop.cancel(timer)
        loop.cancel(unlistedTimer)
        for timer in checks { loop.cancel(timer) }
        services.removeAll()
        requiredCount = 0
        for view in views { view.stop() }
    }

    private func add(_ view: RegistryView) {
        view.onChange = { [weak self] in self?.tell($0) }
        views.append(view)
    }

    private func reports(_ index: Int) -> RegistryReports {
        RegistryReports(
            instances: { [weak self] key, instances in
                guard let self else { return }
                let start = Clock.threadNanoseconds
                views[index].take(instances, of: key, isNews: isAnyDoubtful(but: index))
                tell(key)
                updates.add(nanoseconds: Clock.threadNanoseconds - start)
                hostsReported += instances.count
            },
            failed: { [weak self] key, _ in
                self?.views[index].fail(key)
                self?.tell(key)
            },
            registration: { [weak self] in self?.onRegistration(index, $0, $1) })
    }

    /// Whether what another registry says may be old.
    private func isAnyDoubtful(but index: Int? = nil) -> Bool {
        guard views.count > 1 else { return false }
        let now = Clock.nanoseconds
        return views.indices.contains { $0 != index && views[$0].isDoubtful(now: now) }
    }

    private func watch(_ key: ServiceKey, isRequired: Bool) {
        services[key] = Service(isRequired: isRequired, touchedAt: Clock.nanoseconds)
        if !isRequired { unlisted.insert(key) }
        for view in views { view.watch(key) }
        // Without a registry nobody would ever answer.
        if views.isEmpty { loop.schedule(after: .zero) { [weak self] in self?.tell(key) } }
    }

    private func tell(_ key: ServiceKey) {
        guard let service = services[key] else { return }
        let rule = mergeRule(key)
        var isWaiting = false
        var lists: [[Instance]] = []
        for view in views {
            let answer = view.answer(of: key)
            if case .waiting = answer { isWaiting = true }
            if let instances = view.instances(of: key, isOwn: isOwn), !instances.isEmpty { lists.append(instances) }
            if rule == .priority && !lists.isEmpty { break }
        }
        // A registry that is away does not overrule what others have heard since.
        let news = rule == .union ? views.flatMap { $0.news(of: key) }.filter { !isOwn($0.address) } : []
        let merged = Self.merged(news.isEmpty ? lists : [news] + lists)
        if !merged.isEmpty { unlisted.remove(key) }
        if isWaiting && service.told == nil && !service.isDue {
            if !merged.isEmpty { hurry(key) }
            return
        }
        // That nobody has hosts is told only when all have been asked.
        if isWaiting && service.told == nil && merged.isEmpty { return }
        guard merged != service.told else { return }
        services[key]?.told = merged
        services[key]?.changedAt = Clock.nanoseconds
        onChange(key, merged)
    }

    /// The hosts of all lists in a fixed order; one that several have is taken from the first.
    private static func merged(_ lists: [[Instance]]) -> [Instance] {
        Instance.merged(lists.count == 1 ? lists[0] : Array(lists.joined()), isPreferred: { _, _ in false })
    }

    /// Hosts of one registry do not wait long for those of another.
    private func hurry(_ key: ServiceKey) {
        loop.schedule(after: Self.patience) { [weak self] in
            guard let self, services[key]?.told == nil else { return }
            services[key]?.isDue = true
            tell(key)
        }
    }

    private func state(_ key: ServiceKey) -> ServiceStatus.State {
        var state = ServiceStatus.State.failed
        for view in views {
            switch view.answer(of: key) {
            case .instances: return .ready
            case .saved: state = .saved
            case .failed: continue
            case .waiting: if state == .failed { state = .waiting }
            }
        }
        return views.isEmpty ? .waiting : state
    }

    private func letGo(_ key: ServiceKey) {
        services[key] = nil
        unlisted.remove(key)
        for view in views { view.unwatch(key) }
        onRemove(key)
    }

    /// Lets services go that nobody has asked for for a while.
    private func scheduleSweep() {
        let period = min(max(limits.serviceIdle / 10, .milliseconds(10)), .seconds(10))
        timer = loop.schedule(after: period) { [weak self] in
            self?.sweep()
            self?.scheduleSweep()
        }
    }

    /// Lets every registry be asked again about what is doubted.
    private func scheduleChecks() {
        checks = Array(repeating: nil, count: views.count)
        for index in views.indices { scheduleCheck(index) }
    }

    private func scheduleCheck(_ index: Int) {
        checks[index] = loop.schedule(after: views[index].sweepPeriod) { [weak self] in
            guard let self else { return }
            views[index].sweep()
            if !isAnyDoubtful() { for key in views[index].forgetNews() { tell(key) } }
            scheduleCheck(index)
        }
    }

    private func sweep() {
        let now = Clock.nanoseconds
        for (key, service) in services where !service.isRequired {
            let limit = service.told?.isEmpty == true ? min(Self.emptyIdle, limits.serviceIdle) : limits.serviceIdle
            if now - service.touchedAt >= limit.nanoseconds { letGo(key) }
        }
    }

    private func scheduleUnlistedSweep() {
        let period = min(max(limits.serviceIdle / 10, .milliseconds(10)), .seconds(1))
        unlistedTimer = loop.schedule(after: period) { [weak self] in
            self?.sweepUnlisted()
            self?.scheduleUnlistedSweep()
        }
    }

    private func sweepUnlisted() {
        let now = Clock.nanoseconds
        for key in unlisted {
            guard let service = services[key] else { continue }
            let limit = min(service.told == nil ? Self.emptyIdle : Self.unlistedIdle, limits.serviceIdle)
            if now - service.touchedAt >= limit.nanoseconds { letGo(key) }
        }
    }

    private var hasRoom: Bool {
        services.count - requiredCount < limits.services && unlisted.count < limits.unlistedServices
    }

    /// Lets go what has no hosts and was asked for longest ago: names that no registry lists, else services that have lost theirs.
    /// When there is nothing to let go it looks again a second later, as it looks at all.
    private func makeRoom() -> Bool {
        let now = Clock.nanoseconds
        if let foundNoRoomAt, now - foundNoRoomAt < 1_000_000_000 { return false }
        var empty = unlisted.filter { services[$0]?.told != nil }
        if empty.isEmpty { empty = Set(services.lazy.filter { !$1.isRequired && $1.told?.isEmpty == true }.map(\.key)) }
        guard !empty.isEmpty else {
            foundNoRoomAt = now
            return false
        }
        let oldest = empty.map { (key: $0, touchedAt: services[$0]?.touchedAt ?? 0) }.sorted {
            $0.touchedAt < $1.touchedAt
        }
        for (key, _) in oldest.prefix(max(1, limits.unlistedServices / 8)) { letGo(key) }
        return hasRoom
    }
}
