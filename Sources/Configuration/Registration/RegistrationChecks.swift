import Model

extension Configuration {
    /// What is spoken at an application that is to be registered.
    public func kind(of registration: RegistrationConfiguration) -> ListenerProtocol {
        if let kind = registration.protocol { return kind }
        if case .listener(let name) = registration.port, let listener = listeners.first(where: { $0.name == name }) {
            return listener.protocol
        }
        return ServiceName.likelyProtocol(registration.service)
    }

    /// The registries that take a registration: indexes into `registries`.
    public func registries(of registration: RegistrationConfiguration) -> [Int] {
        let kind = kind(of: registration)
        return registries.indices.filter { index in
            guard let url = try? RegistryURL(registries[index].url), url.scheme.takes(kind) else { return false }
            return registration.registries.isEmpty
                || registration.registries.contains { registries[index].isMeant(by: $0, url) }
        }
    }

    /// Something about a registration that cannot be.
    public struct RegistrationProblem: Equatable, Sendable {
        /// Index of the registration.
        public let index: Int
        /// The setting; empty: the whole entry.
        public let key: String
        /// What is wrong.
        public let message: String
    }

    /// What only shows when listeners and registries are known.
    public func registrationProblems() -> [RegistrationProblem] {
        var problems: [RegistrationProblem] = []
        for (index, registration) in registrations.enumerated() {
            func fail(_ key: String, _ message: String) {
                problems.append(RegistrationProblem(index: index, key: key, message: message))
            }
            checkPort(registration, fail)
            checkKind(registration, fail)
            checkRegistries(registration, fail)
            if let first = registrations[..<index].firstIndex(where: { isSameEntry($0, registration) }) {
                fail(
                    "", "\(registration.service.shown) is register[\(first)] already, with the same port and registries"
                )
            }
        }
        return problems
    }

    private typealias Fail = (_ key: String, _ message: String) -> Void

    private func checkPort(_ registration: RegistrationConfiguration, _ fail: Fail) {
        guard case .listener(let name) = registration.port else { return }
        guard let listener = listeners.first(where: { $0.name == name }) else {
            let inbound = listeners.filter { $0.forward != nil }.map(\.name)
            let near = NearestName.hint(for: name, among: inbound)
            return fail("listener", "there is no listener \(name.shown)\(near)")
        }
        if listener.forward == nil {
            fail("listener", "the listener \(name.shown) is not an inbound one: it needs \"forward\"")
        }
        if let kind = registration.protocol, kind != listener.protocol {
            fail("protocol", "the listener \(name.shown) speaks \(listener.protocol.rawValue)")
        }
    }

    private func checkKind(_ registration: RegistrationConfiguration, _ fail: Fail) {
        switch kind(of: registration) {
        case .http:
            if !registration.group.isEmpty { fail("group", "belongs to an interface, not to an HTTP application") }
            if let other = registration.metadata["version"], !registration.version.isEmpty,
                other != registration.version
            {
                fail("metadata", "says version \(other.shown), \"version\" says \(registration.version.shown)")
            }
        case .dubbo:
            checkInterface(
                registration, "Dubbo", ["version": "version", "group": "group", "interface": "service"], fail)
        case .bolt:
            // "version" is a label of its own: what requests ask for, whatever the interface version is.
            let names = ["interfaceVersion": "version", "uniqueId": "group", "interface": "service"]
            checkInterface(registration, "SOFA RPC", names, fail)
        }
    }

    /// - Parameter keys: the settings that say what these labels would say.
    private func checkInterface(
        _ registration: RegistrationConfiguration, _ kind: String, _ keys: [String: String], _ fail: Fail
    ) {
        if !ServiceName.isJavaName(registration.service) {
            fail("service", "\(registration.service.shown) is not the name of a \(kind) interface")
        }
        for (label, key) in keys.sorted(by: { $0.key < $1.key }) where registration.metadata[label] != nil {
            fail("metadata", "\(label.shown) is said by the key \"\(key)\"")
        }
        if let health = registration.health, health.path != nil, health.port == nil {
            fail("health.path", "needs \"port\": an interface is not asked over HTTP")
        }
    }

    private func checkRegistries(_ registration: RegistrationConfiguration, _ fail: Fail) {
        // They may come from a flag or a variable.
        if registries.isEmpty { return }
        let urls = registries.map { try? RegistryURL($0.url) }
        let kind = kind(of: registration)
        if registration.registries.isEmpty, !urls.contains(where: { $0?.scheme.takes(kind) == true }) {
            return fail("registries", "there is no registry that takes it; \(RegistryURL.Scheme.takers(of: kind))")
        }
        for name in registration.registries {
            let meant = registries.indices.filter { index in
                urls[index].map { registries[index].isMeant(by: name, $0) } ?? false
            }
            let shown = (try? RegistryURL(name))?.description ?? name.withoutCredentials
            if meant.isEmpty {
                let schemes = name.contains(":") ? [] : urls.compactMap { $0?.scheme.rawValue }
                fail(
                    "registries",
                    "\(shown.shown) is none of the registries\(NearestName.hint(for: name, among: schemes))")
            } else if !meant.contains(where: { urls[$0]?.scheme.takes(kind) == true }) {
                fail(
                    "registries",
                    "\(shown.shown) takes no \(kind.rawValue) services; \(RegistryURL.Scheme.takers(of: kind))")
            }
        }
    }

    /// Whether a registry would hold both as one.
    private func isSameEntry(_ one: RegistrationConfiguration, _ other: RegistrationConfiguration) -> Bool {
        guard one.service == other.service, one.port == other.port, one.address == other.address,
            kind(of: one) == kind(of: other)
        else { return false }
        let kind = ServiceKey.Kind(kind(of: one))
        let versions = (kind.meaningful(one.version), kind.meaningful(other.version))
        if kind != .http, versions.0 != versions.1 || one.group != other.group { return false }
        return registries.isEmpty || !Set(registries(of: one)).isDisjoint(with: registries(of: other))
    }
}

extension RegistryURL.Scheme {
    /// Whether applications can be registered there. Eureka lists applications, not interfaces.
    fileprivate func takes(_ kind: ListenerProtocol) -> Bool {
        switch self {
        case .zookeeper: true
        case .nacos, .consul, .etcd: kind != .bolt
        case .eureka: kind == .http
        case .file: false
        }
    }

    /// `nacos, zookeeper, consul, etcd do`
    fileprivate static func takers(of kind: ListenerProtocol) -> String {
        let names = allCases.filter { $0.takes(kind) }.map(\.rawValue)
        return names.joined(separator: ", ") + (names.count == 1 ? " does" : " do")
    }
}

extension RegistryConfiguration {
    /// Whether a name stands for this registry: its scheme, or its URL with or without credentials.
    fileprivate func isMeant(by name: String, _ url: RegistryURL) -> Bool {
        if name == url.scheme.rawValue || name == self.url || name == url.description { return true }
        return (try? RegistryURL(name))?.description == url.description
    }
}

extension String {
    /// What may be a broken URL, without everything before its last `@`.
    fileprivate var withoutCredentials: String { lastIndex(of: "@").map { "…" + self[$0...] } ?? self }
}
