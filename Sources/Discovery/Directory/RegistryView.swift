import Model
import Runtime

/// What one registry says of the watched services, as far as it is believed, and what it said before this process began.
final class RegistryView {
    /// What is known about a service.
    enum Answer {
        /// Nothing yet.
        case waiting
        /// It could not be read.
        case failed
        /// It could not be read yet; the hosts are those of the last run.
        case saved([Instance])
        /// Its hosts.
        case instances([Instance])

        var instances: [Instance]? {
            switch self {
            case .waiting, .failed: nil
            case .saved(let instances), .instances(let instances): instances
            }
        }
    }

    private struct Service {
        var answer = Answer.waiting
        var doubt = AnswerGuard()
        let watchedAt: Int64
        /// What came before it was known whether there are saved hosts: an answer, or that there is none.
        var early: [Instance]?
        var hasFailed = false
    }

    /// The adapter.
    let registry: any Registry
    /// Called when more is known about a service without the registry having said anything.
    var onChange: (ServiceKey) -> Void = { _ in }

    private let limits: AnswerLimits
    private let saved: SavedHosts?
    private let logger: Logger
    private var services: [ServiceKey: Service] = [:]
    /// Services of which the last answer was not believed as it was.
    private var held: Set<ServiceKey> = []
    /// When they are asked for again, in that order, and which are there.
    private var checks = Fifo<(key: ServiceKey, dueAt: Int64)>()
    private var checked: Set<ServiceKey> = []
    /// Holds those questions to a rate, however many services are doubted.
    private var checkRate = RateLimit(interval: .milliseconds(10), burst: 50)
    /// Hosts of which something was said while another registry was away, which does not know it.
    private var news: [ServiceKey: Set<SocketAddress>] = [:]
    /// Services that no answer is known of.
    private var unanswered: Set<ServiceKey> = []
    /// How many entries are this process itself, by service.
    private var ownEntries: [ServiceKey: Int] = [:]

    /// Longest time after which a service is asked for again because an answer is doubted.
    private static let longestCheckPeriod = Duration.milliseconds(2_500)
    /// How long the registry's answer is waited for before saved hosts are used.
    private static let patience: Duration = .milliseconds(500)

    init(_ registry: any Registry, limits: AnswerLimits, saved: SavedHosts? = nil, logger: Logger) {
        self.registry = registry
        self.limits = limits
        self.saved = saved
        self.logger = logger
        saved?.current = { [unowned self] in listed }
        saved?.onLoaded = { [weak self] in self?.savedHostsLoaded() }
    }

    /// What is known about a service.
    func answer(of key: ServiceKey) -> Answer { services[key]?.answer ?? .waiting }

    /// How the registry is, with the entries that were left out here.
    var status: RegistryStatus {
        var status = registry.status
        if !ownEntries.isEmpty { status.dropped[.ownAddress] = ownEntries.values.reduce(0, +) }
        return status
    }

    /// What is known about a service's hosts, without those that are this process itself.
    func instances(of key: ServiceKey, isOwn: (SocketAddress) -> Bool) -> [Instance]? {
        guard let instances = answer(of: key).instances else { return nil }
        let own = instances.filter { isOwn($0.address) }
        if own.count != ownEntries[key] ?? 0 {
            ownEntries[key] = own.isEmpty ? nil : own.count
            for instance in own {
                logger.log(
                    .warning, "registry.own_address",
                    ["url": registry.url, "service": "\(key)", "address": "\(instance.address)"], limit: 10,
                    limitKey: registry.url)
            }
        }
        return own.isEmpty ? instances : instances.filter { !isOwn($0.address) }
    }

    /// True while the last answer about a service was not believed as it was.
    func isHolding(_ key: ServiceKey) -> Bool { held.contains(key) }

    /// Whether what it says may be old: it is away, or came back a moment ago.
    func isDoubtful(now: Int64) -> Bool {
        let status = registry.status
        return status.state == .failed || status.unsteadyAt.map { now - $0 < limits.settleTime.nanoseconds } ?? false
    }

    /// Why another process that asks the registry now would not learn of hosts that this one uses; nil: it would.
    var upgradeObstacle: String? {
        if !held.isEmpty { return "\(registry.url) does not list all hosts that it has listed before" }
        guard registry.status.state == .failed, saved == nil, !listed.values.allSatisfy(\.isEmpty) else { return nil }
        return "\(registry.url) is away, and its hosts are not saved"
    }

    /// Whether it is away and its hosts of a service are not known.
    func isSilent(about key: ServiceKey) -> Bool {
        registry.status.state == .failed && answer(of: key).instances == nil
    }

    /// Hosts of a service of which it knows more than a registry that is away.
    func news(of key: ServiceKey) -> [Instance] {
        guard let news = news[key], let instances = services[key]?.answer.instances else { return [] }
        return instances.filter { news.contains($0.address) }
    }

    /// No registry is away any more. Returns the services of which there were news.
    func forgetNews() -> [ServiceKey] {
        defer { news.removeAll() }
        return Array(news.keys)
    }

    /// How often `sweep` is to be called.
    var sweepPeriod: Duration {
        let usual = Duration.milliseconds(500)
        return limits.confirmTime > .zero ? max(.milliseconds(10), min(usual, limits.confirmTime / 4)) : usual
    }

    func watch(_ key: ServiceKey) {
        services[key] = Service(watchedAt: Clock.nanoseconds)
        unanswered.insert(key)
        registry.subscribe(key)
    }

    func unwatch(_ key: ServiceKey) {
        services[key] = nil
        unanswered.remove(key)
        held.remove(key)
        ownEntries[key] = nil
        news[key] = nil
        registry.unsubscribe(key)
    }

    func stop() {
        saved?.stop()
        services.removeAll()
        unanswered.removeAll()
        held.removeAll()
        news.removeAll()
        registry.stop()
    }

    /// Takes the registry's answer.
    ///
    /// - Parameter isNews: what changes now is not known to another registry, which is away.
    func take(_ instances: [Instance], of key: ServiceKey, isNews: Bool = false) {
        guard var service = services[key] else { return }
        guard saved?.isLoaded != false else {
            services[key]?.early = instances
            return
        }
        unanswered.remove(key)
        // A registry that has just begun, as this process has, lists nothing yet.
        if case .waiting = service.answer, instances.count < saved?.count(of: key) ?? 0,
            let before = saved?.hosts(of: key)
        {
            service.doubt = AnswerGuard(remembered: before.hosts)
        }
        let believed = service.doubt.judge(
            instances, now: Clock.nanoseconds, unsteadyAt: registry.status.unsteadyAt, limits: limits)
        if isNews {
            let before = Set(service.answer.instances ?? [])
            let changed = believed.lazy.filter { !before.contains($0) }.map(\.address)
            if !changed.isEmpty { news[key, default: []].formUnion(changed) }
        }
        service.answer = .instances(believed)
        services[key] = service
        if service.doubt.isHolding { hold(key) } else { held.remove(key) }
        saved?.changed()
    }

    /// A service could not be read: that takes nothing away that is known.
    func fail(_ key: ServiceKey) {
        guard case .waiting = services[key]?.answer else { return }
        services[key]?.hasFailed = true
        if saved?.isLoaded != false { useSaved(key) }
    }

    /// Asks for what is doubted again, and uses saved hosts where the registry takes its time.
    func sweep() {
        let now = Clock.nanoseconds
        askAboutHeld(now: now)
        guard let saved, saved.isLoaded, !unanswered.isEmpty else { return }
        for key in unanswered where saved.count(of: key) > 0 {
            guard let service = services[key], now - service.watchedAt >= Self.patience.nanoseconds else { continue }
            useSaved(key)
            onChange(key)
        }
    }

    /// What is kept of its hosts; nil: nothing.
    var savedHosts: SavedHosts? { saved }

    private func hold(_ key: ServiceKey) {
        guard held.insert(key).inserted, checked.insert(key).inserted else { return }
        checks.append((key, Clock.nanoseconds + checkPeriod))
    }

    /// Nanoseconds from one question about a doubted service to the next: often enough to confirm it in time.
    private var checkPeriod: Int64 {
        let time = limits.confirmTime > .zero ? limits.confirmTime : limits.settleTime
        return max(.milliseconds(10), min(time / 4, Self.longestCheckPeriod)).nanoseconds
    }

    private func askAboutHeld(now: Int64) {
        while let (key, dueAt) = checks.front, dueAt <= now, checkRate.delay(now: now) == .zero {
            _ = checks.popFirst()
            guard held.contains(key) else {
                checked.remove(key)
                continue
            }
            checkRate.use(now: now)
            checks.append((key, max(dueAt + checkPeriod, now)))
            registry.refresh(key)
        }
    }

    private func savedHostsLoaded() {
        for key in unanswered {
            guard let service = services[key], service.early != nil || service.hasFailed else { continue }
            if let early = service.early { take(early, of: key) } else { useSaved(key) }
            onChange(key)
        }
    }

    private func useSaved(_ key: ServiceKey) {
        guard var service = services[key], case .waiting = service.answer else { return }
        unanswered.remove(key)
        if let (hosts, age) = saved?.hosts(of: key) {
            service.answer = .saved(hosts)
            service.doubt = AnswerGuard(remembered: hosts)
            logger.log(
                .warning, "registry.saved_hosts_used",
                ["url": registry.url, "service": "\(key)", "hosts": "\(hosts.count)", "age_s": "\(age)"], limit: 10,
                limitKey: registry.url)
        } else if service.hasFailed {
            service.answer = .failed
        }
        services[key] = service
    }

    /// What the registry itself has listed.
    private var listed: [ServiceKey: [Instance]] {
        services.compactMapValues { service in
            guard case .instances(let instances) = service.answer else { return nil }
            return instances
        }
    }
}
