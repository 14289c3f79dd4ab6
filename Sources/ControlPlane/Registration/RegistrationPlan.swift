import Configuration
import Discovery
import Model
import Runtime

/// What is to be listed for one application, but for the host: each registry is reached from an address of its own.
struct RegistrationPlan {
    /// What the entries of an operator or application are told apart by.
    struct Key: Hashable {
        let service: ServiceKey
        let interfaceVersion: String
        let group: String
        let port: UInt16
    }

    /// Who wants it listed.
    let source: RegistrationStatus.Source
    /// The inbound listener that is listed; nil: the application itself.
    let listener: ListenerConfiguration?
    /// Where others reach it.
    let address: PublishedAddress
    /// Indexes of the registries.
    let registries: [Int]
    /// How it is found out whether the application serves; nil: it is taken for granted.
    let watch: ApplicationWatch.Key?
    /// Why nothing can be listed; nil where it can.
    let problem: String?
    private let template: Registration

    /// - Parameter addresses: where the listeners of the configuration really listen.
    init(
        _ wanted: RegistrationConfiguration, source: RegistrationStatus.Source, in configuration: Configuration,
        listeners addresses: [SocketAddress]
    ) {
        self.source = source
        let kind = configuration.kind(of: wanted)
        var port: UInt16 = 0
        var listener: ListenerConfiguration?
        var problem: String?
        switch wanted.port {
        case .application(let own): port = own
        case .listener(let name):
            let open = zip(configuration.listeners, addresses).first { $0.0.name == name }
            if let open {
                (listener, port) = (open.0, open.1.port)
                listener?.address = open.1
            } else {
                problem = "the listener \(name) is not open; it needs a restart"
            }
        }
        self.listener = listener
        self.problem = problem
        address = wanted.address
        registries = configuration.registries(of: wanted)
        watch = Self.watch(wanted, listener: listener, port: port)
        var template = Registration(
            service: ServiceKey(kind: ServiceKey.Kind(kind), name: wanted.service), host: "", port: port)
        template.weight = Double(wanted.weight) / 100
        template.metadata = wanted.metadata
        template.group = wanted.group
        if kind != .http {
            template.interfaceVersion = template.service.kind.meaningful(wanted.version)
        } else if !wanted.version.isEmpty {
            template.metadata["version"] = wanted.version
        }
        self.template = template
    }

    var key: Key {
        Key(
            service: template.service, interfaceVersion: template.interfaceVersion, group: template.group,
            port: template.port)
    }

    var weight: Double { template.weight }
    var metadata: [String: String] { template.metadata }

    /// What is listed with this host.
    func registration(host: String) -> Registration {
        var registration = template
        registration.host = host
        return registration
    }

    /// Whether others are told to connect where only this machine can.
    func isUnreachable(host: String) -> Bool {
        guard let listener, listener.address.isLoopback else { return false }
        return SocketAddress(ip: host, port: 0)?.isLoopback != true
    }

    /// The application itself is asked, not the listener before it.
    private static func watch(
        _ wanted: RegistrationConfiguration, listener: ListenerConfiguration?, port: UInt16
    ) -> ApplicationWatch.Key? {
        guard let settings = wanted.health else { return nil }
        var addresses: [SocketAddress]
        var own = HealthTarget.OwnAddresses.none
        if let forward = listener?.forward {
            addresses = [forward]
        } else {
            addresses = [SocketAddress(ip: "127.0.0.1", port: port)!, SocketAddress(ip: "::1", port: port)!]
            switch wanted.address {
            case .detected: own = .all
            case .named(let name):
                if let listed = SocketAddress(ip: name, port: port) {
                    if !addresses.contains(listed) { addresses.append(listed) }
                } else {
                    // A host's name stands for addresses that only others may be able to look up.
                    own = NetworkInterface.addresses(of: name) == nil ? .all : .interface(name)
                }
            }
        }
        if let port = settings.port { addresses = addresses.map { $0.with(port: port) } }
        let target = HealthTarget(addresses: addresses, path: settings.path, timeout: settings.timeout, own: own)
        return ApplicationWatch.Key(target: target, settings: settings)
    }
}
