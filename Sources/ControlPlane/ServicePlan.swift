import Balancing
import Configuration
import Model
import Proxy

/// What a configuration says about services, in the form the control plane works with: which are watched from the start, their
/// policies, and the host names and paths that mean them.
struct ServicePlan {
    /// Services of the configuration: watched for good. By name.
    let required: [ServiceKey]
    /// Metadata keys that say which version an instance is.
    let versionKeys: [String]
    /// What workers are told.
    let routes: RouteTable

    private let services: [String: ServiceConfiguration]
    private let defaultPolicy: ServicePolicy
    /// Kinds of the listeners that applications call through.
    private let listening: Set<ServiceKey.Kind>
    /// What stands behind inbound listeners.
    private let applications: Set<ServiceKey>

    init(_ configuration: Configuration) {
        services = configuration.services
        defaultPolicy = configuration.defaultPolicy
        applications = Set(configuration.listeners.lazy.filter { $0.forward != nil }.map(\.serviceKey))
        versionKeys = configuration.version.instance
        let listening = Set(
            configuration.listeners.lazy.filter { $0.forward == nil }.map { ServiceKey.Kind($0.protocol) })
        self.listening = listening
        let sections = configuration.services.sorted { $0.key < $1.key }
        required = sections.flatMap { name, section in
            Self.kinds(name, section).filter(listening.contains).map { ServiceKey(kind: $0, name: name) }
        }
        var table = RouteTable(services: required)
        if listening.contains(.http) { Self.add(sections, to: &table) }
        routes = table
    }

    /// Whether it is one of `required`.
    func requires(_ key: ServiceKey) -> Bool {
        guard listening.contains(key.kind), let section = services[key.name] else { return false }
        return Self.kinds(key.name, section).contains(key.kind)
    }

    /// Whether it is the application behind an inbound listener.
    func isApplication(_ key: ServiceKey) -> Bool { applications.contains(key) }

    /// How requests for a service are sent on: its own section's policy, else that of `"*"`.
    /// The application behind an inbound listener takes what comes.
    func policy(for key: ServiceKey) -> ServicePolicy {
        guard applications.contains(key) else { return services[key.name]?.policy ?? defaultPolicy }
        var policy = ServicePolicy()
        policy.traffic.timeout = defaultPolicy.traffic.timeout
        policy.traffic.streamIdle = defaultPolicy.traffic.streamIdle
        return policy
    }

    /// What a section's name can stand for. Host names and paths belong to HTTP; what is no Java name cannot be an
    /// interface. All other names may be any of the three, and whichever exists is found.
    private static func kinds(_ name: String, _ section: ServiceConfiguration) -> [ServiceKey.Kind] {
        if !section.hosts.isEmpty || !section.paths.isEmpty || !ServiceName.isJavaName(name) { return [.http] }
        return [.http, .dubbo, .bolt]
    }

    /// What a name is most likely meant as where nothing is known about it: `com.acme.OrderService` is an interface.
    func likelyKind(_ name: String) -> ServiceKey.Kind {
        ServiceKey.Kind(ServiceName.likelyProtocol(name)) == .http ? .http : likelyKindOfInterface
    }

    /// What an interface is most likely called by where nothing is known about it: Dubbo, unless only Bolt is spoken.
    var likelyKindOfInterface: ServiceKey.Kind {
        !listening.contains(.dubbo) && listening.contains(.bolt) ? .bolt : .dubbo
    }

    /// A host name as names are compared: neither the case of letters nor a dot at the end counts.
    static func plainHost(_ name: String) -> String {
        withoutDot(name.lowercased())
    }

    /// Applications may write a service's name in a URL, where upper and lower case are the same.
    private static func add(_ sections: [(key: String, value: ServiceConfiguration)], to table: inout RouteTable) {
        var hosts: Set<String> = []
        var paths: Set<String> = []
        for (name, section) in sections {
            let key = ServiceKey(kind: .http, name: name)
            let plain = plainHost(name)
            for host in section.hosts + (plain == name ? [] : [plain]) where hosts.insert(host).inserted {
                table.hosts.append((host, key))
            }
            for path in section.paths {
                let prefix = path == "/" ? "" : path
                if paths.insert(prefix).inserted { table.paths.append((prefix, key)) }
            }
        }
    }
}
