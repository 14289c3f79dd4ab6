import Configuration
import Discovery
import Model
import Runtime

/// Lists applications in registries while they serve. Lives on the control loop.
///
/// What is to be listed follows from the registrations, the health of the applications and the addresses of this machine; it is
/// worked out anew whenever one of them changes, and each registry is told the difference.
public final class Registrations {
    private var waiters: [UInt64: Waiter] = [:]
    private var lanes: [Int: RegistrarLane] = [:]
    private var plans: [RegistrationPlan] = []
    private var watches: [ApplicationWatch.Key: ApplicationWatch] = [:]
    private var configuration: Configuration
    private var listeners: [SocketAddress]
    private let urls: [String]
    private let patience: Duration
    private let loop: EventLoop
    let logger: Logger
    private let finder: AddressFinder
    private var timer: EventLoop.Timer?
    private var nextWaiter: UInt64 = 1
    private var onWithdrawn: (() -> Void)?
    private var isApplying = false
    /// Something has changed while registries were told.
    private var isStale = false
    /// What applications have published through the admin API.
    var publications: [RegistrationPlan.Key: Publishing] = [:] { didSet { saved?.changed() } }
    /// What they have published before this process began, and what cannot be listed by the present configuration.
    var dormant: [Publication] = [] { didSet { saved?.changed() } }
    private let saved: SavedPublications?
    /// Most interfaces that applications can have listed.
    let mostPublications: Int
    /// When something was last taken out while everything is, in monotonic nanoseconds; before that, when it began.
    private(set) var withdrawnAt: Int64 = 0
    /// True once everything is to be taken out.
    private(set) var isStopping = false

    /// What an application has published.
    struct Publishing {
        let said: Publication
        let wanted: RegistrationConfiguration
        let plan: RegistrationPlan
    }

    private struct Waiter {
        let key: RegistrationPlan.Key
        let timer: EventLoop.Timer
        let completion: (String?) -> Void
        /// What a registry said that has not taken it out.
        var problem: String?
    }

    private static let period = Duration.seconds(1)

    /// Registrations that begin with `adopt`.
    ///
    /// - Parameters:
    ///   - registries: in the order of the configuration.
    ///   - listeners: where the listeners of the configuration really listen.
    ///   - saved: what applications publish is kept there; nil: nowhere.
    ///   - patience: longest time that a registry may take to answer before it is said to be away.
    init(
        _ configuration: Configuration, registries: [any Registry], listeners: [SocketAddress],
        context: DiscoveryContext, saved: SavedPublications? = nil, patience: Duration = .seconds(5),
        mostPublications: Int = 1000
    ) {
        self.saved = saved
        self.mostPublications = mostPublications
        self.patience = patience
        self.configuration = configuration
        self.listeners = listeners
        loop = context.loop
        logger = context.logger
        finder = AddressFinder(resolver: context.resolver)
        urls = registries.map(\.url)
        for (index, registry) in registries.enumerated() {
            guard let registrar = registry as? any Registrar else { continue }
            let url = configuration.registries.indices.contains(index) ? configuration.registries[index].url : ""
            let servers = (try? RegistryURL(url))?.servers ?? []
            let lane = RegistrarLane(registrar, servers: servers, patience: patience, loop: loop, logger: logger)
            lane.onChange = { [weak self] in self?.settle() }
            lane.onLeft = { [weak self] identity, reason in
                guard let self else { return }
                guard let reason else { return withdrawnAt = Clock.nanoseconds }
                for (number, waiter) in waiters where identity.belongs(to: waiter.key) {
                    waiters[number]?.problem = "\(registry.url): \(reason)"
                }
            }
            lanes[index] = lane
        }
    }

    /// What a registry says of a registration.
    func take(_ identity: Registration.Identity, from registry: Int, _ reason: String?) {
        lanes[registry]?.take(identity, reason)
    }

    /// Takes up what applications had published when the last run ended.
    func restore() {
        guard let saved else { return }
        for publication in saved.load() { restore(publication) }
        saved.current = { [unowned self] in publications.values.map(\.said) + dormant }
    }

    /// Takes up what another process has listed for applications.
    func takeOver(_ publications: [Publication]) {
        for publication in publications { restore(publication) }
        saved?.current = { [unowned self] in self.publications.values.map(\.said) + dormant }
        saved?.changed()
    }

    /// Ends all work for good: another process lists the same. What applications have published is given to it.
    func leave() -> [Publication] {
        let said = publications.values.map(\.said) + dormant
        saved?.leave()
        stop()
        lanes.removeAll()
        return said
    }

    /// Goes over to another configuration. What applications have published stays.
    func adopt(_ configuration: Configuration) {
        self.configuration = configuration
        publications = publications.mapValues {
            Publishing(said: $0.said, wanted: $0.wanted, plan: plan($0.wanted, .api))
        }
        rebuild()
    }

    /// Takes everything out; `completion` is called once with true when that has ended or no registry will answer any more, and
    /// at once with false where nothing was listed.
    func withdraw(_ completion: @escaping (Bool) -> Void) {
        isStopping = true
        withdrawnAt = Clock.nanoseconds
        let wasListed = lanes.values.contains { !$0.listings.isEmpty || !$0.isQuiet }
        guard wasListed else { return completion(false) }
        onWithdrawn = { completion(true) }
        settle()
    }

    /// Ends all work; what is listed is not taken out.
    func stop() {
        loop.cancel(timer)
        timer = nil
        for watch in watches.values { watch.stop() }
        watches.removeAll()
        for lane in lanes.values { lane.stop() }
        for waiter in waiters.values { loop.cancel(waiter.timer) }
        waiters.removeAll()
        onWithdrawn = nil
        saved?.stop()
    }

    // MARK: What is to be listed

    /// Works out the plans from the configuration and the publications.
    func rebuild() {
        var seen: Set<RegistrationPlan.Key> = []
        let former = Set(plans.filter(isUp).map(\.key))
        plans = configuration.registrations.map { plan($0, .configuration) }
        seen.formUnion(plans.map(\.key))
        // What the configuration says wins over what an application says.
        for key in Array(publications.keys) where seen.contains(key) { publications[key] = nil }
        plans += publications.values.map(\.plan).sorted { RegistrationPlan.Key.precedes($0.key, $1.key) }
        replaceWatches(former)
        tellProblems()
        if timer == nil && !plans.isEmpty { tick() }
        settle()
    }

    /// A registration as it would be listed.
    func plan(_ wanted: RegistrationConfiguration, _ source: RegistrationStatus.Source) -> RegistrationPlan {
        RegistrationPlan(wanted, source: source, in: configuration, listeners: listeners)
    }

    var settings: Configuration { configuration }

    private func replaceWatches(_ former: Set<RegistrationPlan.Key>) {
        let kept = Set(plans.compactMap(\.watch))
        // One of the entries of an application that is listed is enough.
        let up = Set(plans.filter { former.contains($0.key) }.compactMap(\.watch))
        for key in kept where watches[key] == nil {
            let watch = ApplicationWatch(key, startsUp: up.contains(key), loop: loop, logger: logger)
            watch.onChange = { [weak self] in self?.settle() }
            watches[key] = watch
        }
        for (key, watch) in watches where !kept.contains(key) {
            watch.stop()
            watches[key] = nil
        }
    }

    private func tellProblems() {
        for plan in plans {
            let problem = plan.problem ?? unsupported(plan)
            guard let problem else { continue }
            logger.log(
                .error, "registration.impossible", ["service": plan.key.description, "reason": problem], limit: 1,
                limitKey: "\(plan.key) \(problem)")
        }
    }

    /// Why no chosen registry can list it.
    private func unsupported(_ plan: RegistrationPlan) -> String? {
        guard plan.registries.allSatisfy({ lanes[$0] == nil }) else { return nil }
        return plan.registries.isEmpty
            ? "none of the registries that it is for is in use; a new one needs a restart"
            : "none of the registries takes registrations"
    }

    /// Whether the application of a publication has been found not to serve.
    func isDown(_ plan: RegistrationPlan) -> Bool {
        guard let gate = plan.watch.flatMap({ watches[$0]?.gate }) else { return false }
        return gate.isKnown && !gate.isUp
    }

    private func isUp(_ plan: RegistrationPlan) -> Bool {
        guard let key = plan.watch else { return true }
        return watches[key]?.gate.isUp ?? false
    }

    private func tick() {
        for lane in lanes.values { lane.sweep() }
        timer = loop.schedule(after: Self.period) { [weak self] in
            self?.settle()
            self?.tick()
        }
    }

    /// Tells every registry the difference between what it lists and what it shall list, and those who wait for it.
    private func settle() {
        // A registry may answer from within: the outer call goes on with what has changed meanwhile.
        if isApplying { return isStale = true }
        isApplying = true
        repeat {
            isStale = false
            for (index, lane) in lanes { lane.apply(wanted(in: index, lane)) }
        } while isStale
        isApplying = false
        tellWaiters()
        if isStopping, let onWithdrawn, lanes.values.allSatisfy(\.isQuiet) {
            self.onWithdrawn = nil
            onWithdrawn()
        }
    }

    private func wanted(in index: Int, _ lane: RegistrarLane) -> [Registration.Identity: Registration] {
        var wanted: [Registration.Identity: Registration] = [:]
        if isStopping { return wanted }
        for plan in plans where plan.problem == nil && plan.registries.contains(index) && isUp(plan) {
            guard let host = host(of: plan, in: lane) else { continue }
            let registration = plan.registration(host: host)
            // The first of two that would be one entry is listed.
            guard wanted[registration.identity] == nil else { continue }
            wanted[registration.identity] = registration
            if plan.isUnreachable(host: host), lane.listings[registration.identity] == nil {
                logger.log(
                    .warning, "registration.unreachable",
                    [
                        "service": "\(registration.identity)", "listener": plan.listener?.name ?? "",
                        "reason": "the listener is on loopback, which others do not reach",
                    ], limit: 1, limitKey: "\(registration.identity)")
            }
        }
        return wanted
    }

    /// The address that is listed: while a new one is looked up, the one that is.
    private func host(of plan: RegistrationPlan, in lane: RegistrarLane) -> String? {
        switch finder.find(plan.address, towards: lane.servers) {
        case .found(let host): host
        case .failed: nil
        case .pending: lane.listings.keys.first { $0.belongs(to: plan.key) }?.host
        }
    }

    // MARK: Who waits

    /// Calls `completion` once: with nil when all chosen registries have confirmed what has this key, with a reason when one of
    /// them has refused or time is over.
    func await(_ key: RegistrationPlan.Key, completion: @escaping (String?) -> Void) {
        expect(key, completion: completion)
        tellWaiters()
    }

    /// As `await`, before the change that is waited for is made: what a registry says at once counts as well.
    func expect(_ key: RegistrationPlan.Key, completion: @escaping (String?) -> Void) {
        let number = nextWaiter
        nextWaiter += 1
        let timer = loop.schedule(after: patience) { [weak self] in
            guard let self, let waiter = waiters.removeValue(forKey: number) else { return }
            waiter.completion(outcome(key).reason ?? "the registry has not answered yet")
        }
        waiters[number] = Waiter(key: key, timer: timer, completion: completion)
    }

    private func tellWaiters() {
        for (number, waiter) in waiters {
            let (isSettled, reason) = outcome(waiter.key)
            guard isSettled, waiters.removeValue(forKey: number) != nil else { continue }
            loop.cancel(waiter.timer)
            waiter.completion(reason ?? waiter.problem)
        }
    }

    private func outcome(_ key: RegistrationPlan.Key) -> (isSettled: Bool, reason: String?) {
        guard let plan = plans.first(where: { $0.key == key }) else {
            // Taken out: settled when every registry has said so.
            return (!lanes.values.contains { $0.isLeaving(key) }, nil)
        }
        let status = status(plan)
        if let problem = status.problem { return (plan.problem != nil || unsupported(plan) != nil, problem) }
        let entries = status.registries
        let open = entries.first { $0.state == .waiting || $0.state == .registering }
        if let open { return (false, open.reason) }
        let failed = entries.first { $0.state == .failed }
        return (true, failed.map { "\($0.registry): \($0.reason ?? "failed")" })
    }

    // MARK: How it is

    /// How every registration is, those of the configuration first.
    public var statuses: [RegistrationStatus] { plans.map(status) }

    /// Whether a registration of the configuration or an application has this key.
    func source(of key: RegistrationPlan.Key) -> RegistrationStatus.Source? {
        plans.first { $0.key == key }?.source
    }

    private func status(_ plan: RegistrationPlan) -> RegistrationStatus {
        let watch = plan.watch.flatMap { watches[$0] }
        let health: RegistrationStatus.Health =
            watch.map { $0.gate.isUp ? .up : $0.gate.isKnown ? .down : .unknown } ?? .unchecked
        let problem = plan.problem ?? unsupported(plan) ?? (health == .down ? watch?.reason : nil)
        return RegistrationStatus(
            service: plan.key.service, interfaceVersion: plan.key.interfaceVersion, group: plan.key.group,
            port: plan.key.port, listener: plan.listener?.name, weight: plan.weight, metadata: plan.metadata,
            source: plan.source, health: health, checked: plan.watch.map { "\($0.target)" }, problem: problem,
            registries: plan.registries.map { entry(plan, $0) })
    }

    private func entry(_ plan: RegistrationPlan, _ index: Int) -> RegistrationStatus.Entry {
        var entry = RegistrationStatus.Entry(registry: urls.indices.contains(index) ? urls[index] : "", state: .waiting)
        guard let lane = lanes[index] else {
            entry.state = .failed
            entry.reason = "this registry takes no registrations"
            return entry
        }
        switch finder.find(plan.address, towards: lane.servers) {
        case .pending: entry.reason = "the address is being looked up"
        case .failed(let reason): entry.reason = reason
        case .found(let host):
            entry.host = host
            let registration = plan.registration(host: host)
            guard let listing = lane.listings[registration.identity] else { break }
            guard listing.registration == registration else {
                entry.state = .failed
                entry.reason = "another registration is listed with the same name, address and port"
                break
            }
            entry.state =
                switch listing.state {
                case .pending: .registering
                case .registered: .registered
                case .failed: .failed
                }
            entry.reason = listing.reason
            entry.since = listing.since
        }
        return entry
    }
}

extension RegistrationPlan.Key: CustomStringConvertible {
    /// `dubbo:com.acme.OrderService:1.0.0:blue port 20880`
    var description: String {
        let suffix = interfaceVersion.isEmpty && group.isEmpty ? "" : ":\(interfaceVersion):\(group)"
        return "\(service)\(suffix) port \(port)"
    }

    /// By name, then by version, group and port.
    static func precedes(_ one: Self, _ other: Self) -> Bool {
        (one.service.name, one.interfaceVersion, one.group, one.port)
            < (other.service.name, other.interfaceVersion, other.group, other.port)
    }
}

extension ApplicationWatch {
    /// Why the application is not listed.
    var reason: String {
        problem ?? "it answers again and has to do so for \(SettingValue.text(gate.trial)) before it is listed"
    }
}
