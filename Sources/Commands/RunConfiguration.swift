import Configuration
import Runtime

extension RunOptions {
    /// What the process runs with: flags and variables over the file over the defaults.
    ///
    /// - Throws: `ConfigurationErrors` where the file is wrong, `UsageError` where it leaves nothing to do.
    public func configuration() throws -> Configuration {
        try apply(to: try file.map { try Configuration.load(path: $0) } ?? Configuration())
    }

    /// Puts flags and variables over the settings of a file.
    public func apply(to settings: Configuration) throws(UsageError) -> Configuration {
        var settings = settings
        if !registries.isEmpty { settings.registries = try distinct(registries) }
        if !registrations.isEmpty { settings.registrations = registrations }
        if let admin { settings.admin = admin }
        if let workers { settings.workers = workers }
        if let state { settings.state = state }
        if let accessLog { settings.accessLog = AccessLogConfiguration(path: accessLog) }
        if let logLevel { settings.logLevel = logLevel }
        replace(.http, http, in: &settings)
        replace(.dubbo, dubbo, in: &settings)
        replace(.bolt, bolt, in: &settings)
        try check(settings)
        return settings
    }

    private func distinct(_ urls: [String]) throws(UsageError) -> [RegistryConfiguration] {
        var registries: [RegistryConfiguration] = []
        for url in urls {
            let registry = RegistryConfiguration(url: url)
            if registries.contains(registry) { throw UsageError("the registry \(registry.displayURL) is given twice") }
            registries.append(registry)
        }
        return registries
    }

    /// The new listener keeps name and place of the first one that it replaces. Inbound listeners are none of its business.
    private func replace(_ kind: ListenerProtocol, _ choice: ListenerChoice?, in settings: inout Configuration) {
        guard let choice else { return }
        let first = settings.listeners.firstIndex { $0.protocol == kind && $0.forward == nil }
        let name = first.map { settings.listeners[$0].name }
        settings.listeners.removeAll { $0.protocol == kind && $0.forward == nil }
        guard case .on(let address) = choice else { return }
        let listener = ListenerConfiguration(
            name: name ?? unusedName(kind.rawValue, settings.listeners), protocol: kind, address: address)
        settings.listeners.insert(listener, at: first ?? settings.listeners.count)
    }

    private func unusedName(_ name: String, _ listeners: [ListenerConfiguration]) -> String {
        var candidate = name
        var number = 2
        while listeners.contains(where: { $0.name == candidate }) {
            candidate = "\(name)-\(number)"
            number += 1
        }
        return candidate
    }

    private func check(_ settings: Configuration) throws(UsageError) {
        // One that registers an application need not carry requests.
        if settings.listeners.isEmpty && settings.registrations.isEmpty {
            throw UsageError("run: all listeners are off, nothing is left to do")
        }
        if let clash = settings.addressClashes().first { throw UsageError("run: \(clash.message)") }
        if settings.registries.isEmpty {
            throw UsageError(
                "run: no registry to watch; pass --registry nacos://HOST:8848 or --registry file:services.yaml, "
                    + "or set GREYMESH_REGISTRY, or list registries in the --config file")
        }
        if let problem = settings.registrationProblems().first {
            let service = settings.registrations[problem.index].service
            let key = problem.key.isEmpty ? "" : "\(problem.key): "
            throw UsageError("run: registration of \(service): \(key)\(problem.message)")
        }
    }
}
