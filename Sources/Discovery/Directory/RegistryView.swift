import Runtime

/// What one registry says of the watched services, as far as it is believed.
final class RegistryView {
    /// What is known about a service.
    enum Answer {
        /// Nothing yet.
        case waiting
        /// It could not be read.
        case failed
        /// Its hosts.
        case instances([Instance])
    }

    private struct Service {
        var answer = Answer.waiting
        var doubt = AnswerGuard()
    }

    /// The adapter.
    let registry: any Registry
    private let limits: AnswerLimits
    private var services: [ServiceKey: Service] = [:]
    /// Services of which the last answer was not believed as it was.
    private var held: Set<ServiceKey> = []

    /// Most services that are asked for again at one time, because an answer is doubted.
    private static let refreshesPerSweep = 200

    init(_ registry: any Registry, limits: AnswerLimits) {
        self.registry = registry
        self.limits = limits
    }

    /// What is known about a service.
    func answer(of key: ServiceKey) -> Answer { services[key]?.answer ?? .waiting }

    /// True while the last answer about a service was not believed as it was.
    func isHolding(_ key: ServiceKey) -> Bool { held.contains(key) }

    /// How often `sweep` is to be called.
    var sweepPeriod: Duration { max(.milliseconds(10), min(.seconds(1), limits.confirmTime / 4)) }

    func watch(_ key: ServiceKey) {
        services[key] = Service()
        registry.subscribe(key)
    }

    func unwatch(_ key: ServiceKey) {
        services[key] = nil
        held.remove(key)
        registry.unsubscribe(key)
    }

    func stop() {
        services.removeAll()
        held.removeAll()
        registry.stop()
    }

    /// Takes the registry's answer.
    func take(_ instances: [Instance], of key: ServiceKey) {
        guard services[key] != nil else { return }
        let believed = services[key]?.doubt.judge(
            instances, now: Clock.nanoseconds, unsteadyAt: registry.status.unsteadyAt, limits: limits)
        services[key]?.answer = .instances(believed ?? instances)
        if services[key]?.doubt.isHolding == true { held.insert(key) } else { held.remove(key) }
    }

    /// A service could not be read: that takes nothing away that is known.
    func fail(_ key: ServiceKey) {
        guard case .waiting = services[key]?.answer else { return }
        services[key]?.answer = .failed
    }

    /// Asks for what is doubted again.
    func sweep() {
        for key in held.prefix(Self.refreshesPerSweep) { registry.refresh(key) }
    }
}
