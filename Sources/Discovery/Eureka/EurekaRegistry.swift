import Configuration
import Model
import Runtime

/// Services from a Eureka server, by polling its whole list and then the changes in it.
///
/// - An HTTP service is the Eureka application of its name; case does not count. Dubbo interfaces are not listed in Eureka.
/// - One poll serves all services, from one server as long as it answers.
public final class EurekaRegistry: Registry {
    /// The address without credentials.
    public let url: String

    let settings: EurekaSettings
    let context: DiscoveryContext
    private let source: EurekaSource
    let registrar: EurekaRegistrar
    private let reporter: InstanceReporter
    /// Services by their application in small letters: case may differ.
    private var services: [String: Set<ServiceKey>] = [:]
    private var subscribed: Set<ServiceKey> = []
    /// Applications whose users are to be told.
    private var dirty = Fifo<String>()
    private var isDirty: Set<String> = []
    private var telling: SlicedWork?
    private var isStopped = false

    init(_ settings: EurekaSettings, url: String, context: DiscoveryContext, reports: RegistryReports) {
        self.url = url
        self.settings = settings
        self.context = context
        source = EurekaSource(settings, url: url, context: context)
        registrar = EurekaRegistrar(settings, context: context, reports: reports)
        reporter = InstanceReporter(resolver: context.resolver, reports: reports, logger: context.logger)
        source.wants = { [weak self] in self?.services[$0] != nil }
        source.onChange = { [weak self] in self?.changed($0) }
        source.onConfirmed = { [weak self] in self?.changed($0) }
        source.onUnavailable = { [weak self] in self?.failUnanswered($0) }
    }

    /// How it is now.
    public var status: RegistryStatus {
        var status = source.health.status
        status.subscriptions = subscribed.count
        status.unsteadyAt = source.unsteadyAt
        registrar.describe(&status)
        // Where applications are only registered, nothing else tells.
        if status.state == .connecting, status.registered > 0 { status.state = .connected }
        reporter.describe(&status)
        return status
    }

    /// Starts to report a service.
    public func subscribe(_ service: ServiceKey) {
        guard !isStopped, subscribed.insert(service).inserted else { return }
        guard service.kind == .http else {
            context.loop.schedule(after: .zero) { [weak self] in
                if self?.subscribed.contains(service) == true { self?.reporter.report(service, []) }
            }
            return
        }
        let application = service.name.lowercased()
        services[application, default: []].insert(service)
        source.expect()
        source.start()
        context.loop.schedule(after: .zero) { [weak self] in self?.tellKnown(service, application) }
    }

    /// Ends reports of a service.
    public func unsubscribe(_ service: ServiceKey) {
        guard subscribed.remove(service) != nil else { return }
        reporter.forget(service)
        let application = service.name.lowercased()
        services[application]?.remove(service)
        guard services[application]?.isEmpty == true else { return }
        services[application] = nil
        source.release(application)
        if services.isEmpty { source.stop() }
    }

    /// Asks for a service at once: another server than the one in use, where there are several.
    public func refresh(_ service: ServiceKey) {
        guard subscribed.contains(service) else { return }
        reporter.doubt(service)
        guard service.kind == .http else { return reporter.report(service, []) }
        // The first answer is on its way.
        if source.table != nil { source.check(service.name.lowercased()) }
    }

    /// Ends all work.
    public func stop() {
        isStopped = true
        source.stop()
        telling?.cancel()
        telling = nil
        services.removeAll()
        subscribed.removeAll()
        registrar.stop()
        reporter.stop()
    }

    private func changed(_ applications: Set<String>?) {
        for application in applications ?? Set(services.keys) where services[application] != nil {
            if isDirty.insert(application).inserted { dirty.append(application) }
        }
        guard telling == nil, !dirty.isEmpty else { return }
        let work = SlicedWork(loop: context.loop) { [weak self] in self?.tellNext() ?? false }
        if !work.isDone { telling = work }
    }

    private func tellNext() -> Bool {
        guard let application = dirty.popFirst() else {
            telling = nil
            return false
        }
        isDirty.remove(application)
        tell(application)
        return true
    }

    private func tell(_ application: String) {
        guard let users = services[application], let table = source.table else { return }
        var hosts: [ListedHost] = []
        var unused: [DropReason: Int] = [:]
        for entry in table[application].values {
            switch entry.host {
            case .success(let host): hosts.append(host)
            case .failure(let reason): unused[reason, default: 0] += 1
            // It came while nobody wanted it; its hosts are on their way.
            case nil: return source.fetch(application)
            }
        }
        for service in users { reporter.report(service, hosts, unused: unused) }
    }

    /// Tells a new subscriber what is known already, or that nothing can be.
    private func tellKnown(_ service: ServiceKey, _ application: String) {
        guard subscribed.contains(service) else { return }
        if source.table != nil {
            tell(application)
        } else if source.health.status.state == .failed {
            reporter.fail(service, source.health.reason)
        }
    }

    private func failUnanswered(_ reason: String) {
        for service in subscribed where service.kind == .http { reporter.fail(service, reason) }
    }
}
