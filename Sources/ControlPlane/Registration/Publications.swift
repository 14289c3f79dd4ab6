import Configuration
import Model
import Runtime

/// A Dubbo interface that an application offers and wants listed.
public struct Publication: Sendable {
    /// The interface.
    public var interface: String
    /// Its version; empty for none.
    public var version = ""
    /// Its group; empty for none.
    public var group = ""
    /// Its methods.
    public var methods: [String] = []
    /// The application's port. Where an inbound listener forwards to it, that listener is listed instead. Nil: the inbound
    /// listener.
    public var port: UInt16?
    /// Where others reach it; nil: as the configuration says, else found out.
    public var host: String?
    /// The registry; nil: all that take registrations.
    public var registry: RegistryReference?

    /// An interface without version and group.
    public init(interface: String) { self.interface = interface }
}

/// A registry as an application names it.
public struct RegistryReference: Sendable, CustomStringConvertible {
    /// `zookeeper`, `nacos`, …; empty: any.
    public var type: String
    /// `HOST:PORT`, several with commas; empty: any.
    public var address: String

    /// A registry.
    public init(type: String = "", address: String = "") {
        self.type = type
        self.address = address
    }

    /// `zookeeper 127.0.0.1:2181`
    public var description: String { [type, address].filter { !$0.isEmpty }.joined(separator: " ") }

    /// The registries of a configuration that it means: of that type, with at least one server of that address.
    func matches(in configuration: Configuration) -> [Int] {
        configuration.registries.indices.filter { index in
            guard let url = try? RegistryURL(configuration.registries[index].url) else { return false }
            guard type.isEmpty || type.lowercased() == url.scheme.rawValue else { return false }
            guard !address.isEmpty else { return true }
            let servers = Set(
                url.servers.map { $0.description.lowercased() } + url.servers.map { $0.host.lowercased() })
            return address.lowercased().split(separator: ",").contains { servers.contains(String($0)) }
        }
    }
}

/// Why a call of the admin API was not done, in words.
public struct PublicationError: Error, Equatable, Sendable, CustomStringConvertible {
    /// One line.
    public let description: String

    /// An error with these words.
    public init(_ description: String) { self.description = description }
}

extension Publication {
    /// Whether both are about the same version and group of an interface.
    fileprivate func isSame(as other: Publication) -> Bool {
        func plain(_ version: String) -> String { version == "0.0.0" ? "" : version }
        return interface == other.interface && plain(version) == plain(other.version) && group == other.group
    }
}

extension Registrations {
    /// Lists an interface until `unpublish`, and again after each reload of the configuration. Repeating it changes nothing;
    /// other methods replace the former ones.
    ///
    /// It is kept over a restart where there is a folder for that. An application that does not serve is not listed, and kept until
    /// there are too many.
    ///
    /// - Parameter completion: called once: with nil when the registries have confirmed it, else with what is missing. It is kept,
    ///   and tried on, also then.
    /// - Throws: what makes it impossible.
    public func publish(
        _ publication: Publication, completion: @escaping (String?) -> Void
    ) throws(PublicationError) {
        if isStopping { throw PublicationError("this process is stopping") }
        let wanted = try registration(publication)
        let plan = plan(wanted, .api)
        if source(of: plan.key) == .configuration {
            // The configuration lists it; that is what the application wants.
            return self.await(plan.key, completion: completion)
        }
        if publications[plan.key] == nil, publications.count >= mostPublications { try makeRoom() }
        if !dormant.isEmpty { dormant.removeAll { $0.isSame(as: publication) } }
        if publications[plan.key]?.wanted != wanted {
            publications[plan.key] = Publishing(said: publication, wanted: wanted, plan: plan)
            rebuild()
        }
        self.await(plan.key, completion: completion)
    }

    /// Takes an interface out again. One that is not listed is no error.
    ///
    /// - Parameter completion: called once: with nil when the registries have confirmed it, else with what is missing.
    /// - Throws: what makes it impossible.
    public func unpublish(
        _ publication: Publication, completion: @escaping (String?) -> Void
    ) throws(PublicationError) {
        try checkRegistry(publication.registry)
        let version = publication.version == "0.0.0" ? "" : publication.version
        let service = ServiceKey(kind: .dubbo, name: publication.interface)
        func isMeant(_ key: RegistrationPlan.Key) -> Bool {
            key.service == service && key.interfaceVersion == version && key.group == publication.group
        }
        if settings.registrations.contains(where: { isMeant(plan($0, .configuration).key) }) {
            throw PublicationError("\(publication.interface) is registered by the configuration, not by this API")
        }
        if !dormant.isEmpty { dormant.removeAll { $0.isSame(as: publication) } }
        // An application that gives its port takes out only what it has published itself.
        let port = try publication.port == nil ? nil : plan(registration(publication), .api).key.port
        let keys = publications.keys.filter { isMeant($0) && (port == nil || $0.port == port) }
        guard !keys.isEmpty else { return completion(nil) }
        let left = Countdown(keys.count, completion)
        for key in keys {
            publications[key] = nil
            expect(key, completion: left.done)
        }
        rebuild()
    }

    /// Takes up what was published in the last run. It is listed when the application serves.
    func restore(_ publication: Publication) {
        do {
            if publications.count >= mostPublications { throw PublicationError("there are too many") }
            let wanted = try registration(publication)
            let plan = plan(wanted, .api)
            publications[plan.key] = Publishing(said: publication, wanted: wanted, plan: plan)
        } catch {
            guard dormant.count < mostPublications else { return }
            dormant.append(publication)
            logger.log(
                .warning, "publication.not_restored",
                ["interface": publication.interface, "version": publication.version, "reason": "\(error)"], limit: 20)
        }
    }

    /// An application that does not serve has gone for good more likely than others.
    private func makeRoom() throws(PublicationError) {
        guard let gone = publications.first(where: { isDown($0.value.plan) })?.key else {
            throw PublicationError("\(mostPublications) interfaces are published already")
        }
        publications[gone] = nil
        logger.log(
            .warning, "publication.forgotten",
            ["service": "\(gone)", "reason": "it does not serve, and others are published"], limit: 20)
    }

    private func registration(_ publication: Publication) throws(PublicationError) -> RegistrationConfiguration {
        try checkRegistry(publication.registry)
        let interface = publication.interface
        guard (1...512).contains(interface.utf8.count), ServiceName.isJavaName(interface) else {
            throw PublicationError("\"\(interface.prefix(80))\" is not the name of an interface")
        }
        var wanted = RegistrationConfiguration(service: interface, port: try port(publication.port))
        wanted.protocol = .dubbo
        wanted.version = try Self.word(publication.version, "version")
        if wanted.version == "0.0.0" { wanted.version = "" }
        wanted.group = try Self.word(publication.group, "group")
        if !publication.methods.isEmpty {
            wanted.metadata["methods"] = try publication.methods.map { method throws(PublicationError) in
                try Self.word(method, "method")
            }.joined(separator: ",")
        }
        if let reference = publication.registry {
            wanted.registries = reference.matches(in: settings).map { settings.registries[$0].url }
        }
        if settings.registries(of: wanted).isEmpty {
            throw PublicationError(
                publication.registry.map { "the registry \($0) takes no Dubbo interfaces" }
                    ?? "no registry takes Dubbo interfaces")
        }
        if let host = publication.host {
            wanted.address = try Self.address(host)
        } else if let like = settings.registrations.first(where: { $0.port == wanted.port })
            ?? settings.registrations.first
        {
            wanted.address = like.address
        }
        return wanted
    }

    /// Fails where a registry is named that this process does not use: which ones it does is for its operator to say.
    func checkRegistry(_ reference: RegistryReference?) throws(PublicationError) {
        guard let reference, reference.matches(in: settings).isEmpty else { return }
        let known = settings.registries.map(\.displayURL).joined(separator: ", ")
        throw PublicationError("the registry \(reference) is not configured; known are \(known)")
    }

    private func port(_ port: UInt16?) throws(PublicationError) -> PublishedPort {
        let inbound = settings.listeners.filter { $0.forward != nil && $0.protocol == .dubbo }
        if let port {
            return inbound.first { $0.forward?.port == port }.map { .listener($0.name) } ?? .application(port)
        }
        guard let only = inbound.first else {
            throw PublicationError("the port is missing, and there is no inbound Dubbo listener")
        }
        if inbound.count > 1 {
            throw PublicationError("the port is missing, and there is more than one inbound Dubbo listener")
        }
        return .listener(only.name)
    }

    private static func address(_ host: String) throws(PublicationError) -> PublishedAddress {
        do throws(InvalidValue) {
            return try PublishedAddress(host)
        } catch {
            throw PublicationError("host: \(error.message)")
        }
    }

    private static func word(_ text: String, _ name: String) throws(PublicationError) -> String {
        guard text.utf8.count <= 128, text.utf8.allSatisfy({ $0 > 0x20 && $0 != 0x7f && $0 != UInt8(ascii: ",") })
        else {
            throw PublicationError("\"\(text.prefix(80))\" is not a \(name)")
        }
        return text
    }
}

/// Calls back when several things have ended, with the first reason.
private final class Countdown {
    private var count: Int
    private var reason: String?
    private let completion: (String?) -> Void

    init(_ count: Int, _ completion: @escaping (String?) -> Void) {
        self.count = count
        self.completion = completion
    }

    func done(_ reason: String?) {
        self.reason = self.reason ?? reason
        count -= 1
        if count == 0 { completion(self.reason) }
    }
}
