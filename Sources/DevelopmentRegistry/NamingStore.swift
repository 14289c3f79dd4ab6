/// The registered services, in memory. Time is given from outside (monotonic nanoseconds), so that tests need not wait.
struct NamingStore {
    /// What a beat was answered with.
    enum BeatResult: Equatable {
        /// Known; the milliseconds until the next beat.
        case accepted(interval: Int64)
        /// Not known: the host has to register.
        case unknown
    }

    /// Ephemeral and persistent hosts cannot stand in one service.
    struct KindMismatch: Error {
        var serviceIsEphemeral: Bool
    }

    private struct Service {
        var instances: [NamingInstance.Key: NamingInstance] = [:]
        var overrides: [NamingInstance.Key: NamingOverride] = [:]
        /// Since when nobody is registered.
        var emptySince: Int64?
    }

    private var services: [ServiceName: Service] = [:]

    /// How long the name of a service stays listed after its last host has left.
    static let emptyServiceNanoseconds: Int64 = 60_000_000_000

    /// Adds or replaces a host.
    mutating func register(_ instance: NamingInstance, in name: ServiceName, at now: Int64) throws(KindMismatch) {
        var service = services[name] ?? Service()
        if let other = service.instances.values.first(where: { $0.isEphemeral != instance.isEphemeral }) {
            throw KindMismatch(serviceIsEphemeral: other.isEphemeral)
        }
        var instance = instance
        instance.lastBeat = now
        service.instances[instance.key] = instance
        service.emptySince = nil
        services[name] = service
    }

    /// Removes a host of that kind; nothing when there is none.
    mutating func deregister(_ key: NamingInstance.Key, isEphemeral: Bool, in name: ServiceName, at now: Int64) {
        guard var service = services[name], service.instances[key]?.isEphemeral == isEphemeral else { return }
        service.instances[key] = nil
        if service.instances.isEmpty { service.emptySince = now }
        services[name] = service
    }

    /// Sets what an operator wants; false when there is no such service.
    mutating func override(_ key: NamingInstance.Key, with change: NamingOverride, in name: ServiceName) -> Bool {
        guard services[name] != nil else { return false }
        services[name]?.overrides[key] = change
        return true
    }

    /// Notes a sign of life.
    ///
    /// - Parameter registration: what to register where the host is not known; nil for a light beat.
    mutating func beat(
        _ key: NamingInstance.Key, registration: NamingInstance?, in name: ServiceName, at now: Int64
    ) throws(KindMismatch) -> BeatResult {
        if var known = services[name]?.instances[key], known.isEphemeral {
            known.lastBeat = now
            known.healthy = true
            services[name]?.instances[key] = known
            return .accepted(interval: known.beatInterval)
        }
        guard let registration else { return .unknown }
        try register(registration, in: name, at: now)
        return .accepted(interval: registration.beatInterval)
    }

    /// Marks silent hosts unhealthy and removes those silent for longer, and names nobody has used for long.
    mutating func expire(at now: Int64) {
        for name in Array(services.keys) { expire(name, at: now) }
    }

    private mutating func expire(_ name: ServiceName, at now: Int64) {
        guard var service = services[name] else { return }
        for (key, instance) in service.instances where instance.isEphemeral {
            if instance.isSilent(for: instance.deleteTimeout, at: now) {
                service.instances[key] = nil
            } else if instance.healthy && instance.isSilent(for: instance.beatTimeout, at: now) {
                service.instances[key]?.healthy = false
            }
        }
        if service.instances.isEmpty && service.emptySince == nil { service.emptySince = now }
        let isOver = service.emptySince.map { now - $0 > Self.emptyServiceNanoseconds } ?? false
        services[name] = isOver ? nil : service
    }

    /// A service's hosts as they are served, disabled ones included, in a stable order.
    func instances(of name: ServiceName) -> [NamingInstance] {
        guard let service = services[name] else { return [] }
        return service.instances.values
            .map { service.overrides[$0.key]?.applied(to: $0) ?? $0 }
            .sorted { ($0.key.ip, $0.key.port) < ($1.key.ip, $1.key.port) }
    }

    /// The names of a group's services, sorted.
    func services(namespace: String, group: String) -> [String] {
        services.keys.filter { $0.namespace == namespace && $0.group == group }.map(\.name).sorted()
    }

    /// The namespaces that hold a service, sorted.
    var namespaces: [String] { Set(services.keys.map(\.namespace)).sorted() }
}
