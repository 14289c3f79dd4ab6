import Model
import Runtime

/// What is known of a subscribed service.
enum ZooKeeperOutcome {
    /// Not everything has been read yet.
    case waiting
    /// It cannot be read.
    case failed(String)
    /// Its hosts.
    case listed(DubboApplication.Providers)
}

/// A subscribed service: the nodes that tell about it, and what they say together.
protocol ZooKeeperService: AnyObject {
    /// Nodes to be read anew when the last list is doubted.
    var lists: [ZooKeeperNode] { get }
    /// Asks instances for what the registry does not say; called before `outcome`.
    func ask()
    /// What is known.
    var outcome: ZooKeeperOutcome { get }
    /// Names of mappings or rules have come or gone.
    func namesChanged()
    /// Forgets the nodes.
    func stop()
}

extension ZooKeeperService {
    func ask() {}
}

/// What services are made from.
struct ZooKeeperSources {
    let tree: ZooKeeperTree
    let loop: EventLoop
    let settings: ZooKeeperSettings
    let applications: ZooKeeperApplications
    /// What only instances of applications can tell.
    let offers: DubboOffers
    /// Interfaces that have a mapping to applications.
    let mappings: ZooKeeperNames
    /// Keys of rules in the config centre.
    let rules: ZooKeeperNames
}

/// An HTTP application.
final class ZooKeeperHTTPService: ZooKeeperService {
    private let key: ServiceKey
    private let sources: ZooKeeperSources
    private let application: ZooKeeperApplication

    init(_ key: ServiceKey, _ sources: ZooKeeperSources) {
        self.key = key
        self.sources = sources
        application = sources.applications.retain(key.name, for: key)
    }

    var lists: [ZooKeeperNode] { application.list.map { [$0] } ?? [] }

    var outcome: ZooKeeperOutcome {
        if let failure = application.failure { return .failed(failure) }
        return application.isKnown ? .listed(application.httpHosts()) : .waiting
    }

    func namesChanged() {}

    func stop() { sources.applications.release(key.name, for: key) }
}

/// A SOFA RPC interface: `/sofa-rpc/INTERFACE/providers`.
final class ZooKeeperSofaService: ZooKeeperService {
    private let sources: ZooKeeperSources
    private let providers: ZooKeeperProviders

    init(_ key: ServiceKey, _ sources: ZooKeeperSources, onChange: @escaping () -> Void) {
        self.sources = sources
        providers = ZooKeeperProviders(
            "/sofa-rpc/\(key.name)/providers", tree: sources.tree, loop: sources.loop,
            parse: { SofaProvider.read($0) }, onChange: onChange)
    }

    var lists: [ZooKeeperNode] { [providers.list] }

    var outcome: ZooKeeperOutcome {
        if case .failed(let reason) = providers.list.state { return .failed(reason) }
        guard providers.isKnown else { return .waiting }
        var found = DubboApplication.Providers()
        for entry in providers.entries.values { found.add(entry) }
        return .listed(found)
    }

    func namesChanged() {}

    func stop() { sources.tree.forget(providers.list) }
}

/// A name that no node can have: there is no such service.
final class ZooKeeperNoService: ZooKeeperService {
    let lists: [ZooKeeperNode] = []
    let outcome = ZooKeeperOutcome.listed(.init())
    func namesChanged() {}
    func stop() {}
}
