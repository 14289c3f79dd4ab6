import CLinux
import Configuration
import Discovery
import Glibc
import Model
import Proxy
import Runtime

/// The process but for its command line: registries on one side, workers on the other, and what goes between them. Lives on one
/// event loop.
public final class ControlPlane {
    /// Everything the process is told now.
    public private(set) var configuration: Configuration
    /// Where the listeners really listen, in the order of the configuration.
    public var listenerAddresses: [SocketAddress] { dataPlane.addresses }
    /// Number of workers.
    public var workerCount: Int { dataPlane.workerCount }
    /// The registries and the services watched.
    public let directory: ServiceDirectory
    /// The applications that are listed in registries.
    public let registrations: Registrations
    /// True once a stop was asked for.
    public internal(set) var isDraining = false
    /// Why the process cannot go on; nil while it can.
    public internal(set) var failure: String?
    /// Called once when everything in flight has ended, or the time for it has, or the process cannot go on.
    public var onStopped: () -> Void = {}

    /// The control loop.
    public let loop: EventLoop
    let logger: Logger
    let dataPlane: DataPlane
    private let ownAddresses: OwnAddresses
    let publisher: SnapshotPublisher
    let health: HostHealth
    let collector: ReportCollector
    let explainer: Explainer
    var drained: Set<Int> = []
    var upgrading = Upgrading()
    var drainTimer: EventLoop.Timer?
    private var ticker: EventLoop.Timer?
    private var updatesBefore: UInt64 = 0
    private var hostsAtTrim = 0
    /// What applications want watched.
    var subscriptions: Set<Subscription> = []
    private let accessLog: AccessLog?
    private let context: DiscoveryContext
    private let reload: (() throws -> Configuration)?
    private let startedAt = Clock.nanoseconds
    private(set) var plan: ServicePlan

    /// Opens the listeners, starts the workers and begins to watch the registries.
    ///
    /// - Parameters:
    ///   - reload: reads the configuration anew; nil when there is nothing to read.
    ///   - predecessor: a process that serves until this one does, see `beginServing`.
    /// - Throws: `SystemError` for what the system refuses (a port that is taken), `InvalidValue` for a registry's address.
    public init(
        configuration: Configuration, loop: EventLoop, logger: Logger, reload: (() throws -> Configuration)? = nil,
        predecessor: Predecessor? = nil
    ) throws {
        let plan = ServicePlan(configuration)
        let accessLog = try configuration.accessLog.map { try AccessLog(path: $0.path) }
        var settings = WorkerSettings(configuration, accessLog: accessLog)
        settings.accepts = predecessor == nil
        let dataPlane = try DataPlane(
            settings: settings, workers: configuration.workers ?? ProcessLimits.processors,
            inherited: predecessor?.takeSockets(for: configuration.listeners) ?? [])
        let health = HostHealth(loop: loop, logger: logger, serviceIdle: configuration.limits.serviceIdle)
        let publisher = SnapshotPublisher(plan: plan, health: health) { dataPlane.post($0) }
        context = try DiscoveryContext(loop: loop, logger: logger)
        let saved: SavedPublications?
        do {
            directory = try ServiceDirectory(
                registries: configuration.registries, limits: configuration.limits, context: context,
                stateFolder: configuration.state, onChange: { publisher.publish($0, $1) },
                onRemove: { publisher.withdraw($0) })
            saved = try configuration.state.map {
                try SavedPublications(folder: $0, loop: loop, logger: logger)
            }
        } catch {
            dataPlane.stop()
            accessLog?.stop()
            throw error
        }
        registrations = Registrations(
            configuration, registries: directory.registries, listeners: dataPlane.addresses, context: context,
            saved: saved)
        // An application that is registered here stands behind an inbound listener: there a request does not come round again.
        let ownAddresses = OwnAddresses(
            zip(configuration.listeners, dataPlane.addresses).filter { $0.0.forward == nil }.map(\.1))
        directory.isOwn = ownAddresses.contains
        directory.onRegistration = { [registrations] in registrations.take($1, from: $0, $2) }
        self.configuration = configuration
        self.loop = loop
        self.logger = logger
        self.accessLog = accessLog
        self.dataPlane = dataPlane
        self.ownAddresses = ownAddresses
        self.publisher = publisher
        self.health = health
        self.reload = reload
        self.plan = plan
        collector = ReportCollector(loop: loop, workerCount: dataPlane.workerCount) { dataPlane.post(.report(id: $0)) }
        explainer = Explainer(loop: loop) { dataPlane.post(.explain(id: $0, $1), to: 0) }
        health.rebuild = { [weak publisher] in publisher?.rebuild($0) }
        health.ask = { dataPlane.post(.tally) }
        health.checksHealth = { [weak self] in self?.plan.policy(for: $0).checksHealth(of: $0.kind) ?? false }
        publisher.onPublish = { [explainer] in explainer.becameKnown($0) }
        dataPlane.post(.routes(plan.routes))
        for listener in configuration.listeners {
            if let forward = listener.forward { publisher.publish(listener.serviceKey, [Instance(address: forward)]) }
        }
        directory.adopt { plan.policy(for: $0).merge }
        for key in plan.required {
            publisher.announce(key)
            directory.require(key)
        }
        scheduleTick()
        if let predecessor {
            upgrading.predecessor = predecessor
            upgrading.isServing = false
            directory.holdSavedHosts()
        } else {
            registrations.restore()
            registrations.adopt(configuration)
        }
        loop.receive(dataPlane.events) { [weak self] in self?.handle($0) }
    }

    /// Whether every service of the configuration has its first answer from the registries or the hosts of the last run, or the
    /// time for it is over, and the process is not about to end.
    public var isReady: Bool {
        if isDraining || isHandingOver { return false }
        if Clock.nanoseconds - startedAt >= configuration.limits.discoveryTimeout.nanoseconds { return true }
        return directory.knowsRequired
    }

    /// The process listens there as well: no host is to have that address.
    public func addOwnAddress(_ address: SocketAddress) {
        ownAddresses.add(address)
        directory.isOwn = ownAddresses.contains
    }

    /// Logs one line for each listener and registry.
    public func logStart() {
        for (listener, address) in zip(configuration.listeners, listenerAddresses) {
            logger.log(
                .info, "listener.opened",
                ["name": listener.name, "protocol": listener.protocol.rawValue, "address": "\(address)"])
        }
        for registry in directory.registries { logger.log(.info, "registry.watched", ["url": registry.url]) }
    }

    private func scheduleTick() {
        ticker = loop.schedule(after: .seconds(1)) { [weak self] in
            self?.publisher.tick()
            self?.health.tick()
            self?.giveBackMemory()
            self?.scheduleTick()
        }
    }

    /// Reading very many hosts leaves much freed memory behind, which the C library would keep.
    private func giveBackMemory() {
        let count = directory.updates.count
        defer { updatesBefore = count }
        guard count == updatesBefore, directory.hostsReported - hostsAtTrim >= 5000 else { return }
        hostsAtTrim = directory.hostsReported
        clinux_trim_heap()
    }

    private func handle(_ event: WorkerEvent) {
        switch event {
        case .wanted(let key): watch(key)
        case .used(let keys):
            for key in keys {
                touch(key)
                health.use(key)
            }
        case .report(let worker, let id, let report): collector.receive(report, from: worker, id: id)
        case .failing(let key, let identity, let address): health.noteStreak(key, identity, address)
        case .tallies(let tallies): health.note(tallies)
        case .explanation(let id, let explanation): explainer.receive(explanation, id: id)
        case .note(let note): logger.log(note)
        case .drained(let worker): workerDrained(worker)
        case .handedOver, .owed, .settled: give(event)
        }
    }

    /// A service that cannot be watched, because there are too many, is told to have no hosts, and a little later
    /// forgotten.
    private func watch(_ key: ServiceKey) {
        if touch(key) {
            if !publisher.repeatSnapshot(of: key) { publisher.announce(key) }
            return
        }
        publisher.publish(key, [])
        loop.schedule(after: .seconds(5)) { [weak self] in
            guard let self, self.directory.instances(of: key) == nil else { return }
            self.publisher.withdraw(key)
        }
    }

    /// Notes that a service is asked for; false when it is not watched because there are too many. The application behind an
    /// inbound listener is in no registry under that name: asked, they would say that it has no hosts.
    @discardableResult
    func touch(_ key: ServiceKey) -> Bool { plan.isApplication(key) || directory.touch(key) }

    // MARK: Reload

    /// Opens the access log anew and takes over the configuration as it stands in its file now. A file that is wrong is refused;
    /// the old settings stay.
    public func reloadConfiguration() {
        accessLog?.reopen()
        if isDraining || isHandingOver || !upgrading.isServing { return }
        guard let reload else {
            logger.log(.info, "configuration.unchanged", ["reason": "there is no configuration file"])
            return
        }
        do {
            adopt(try reload())
        } catch let errors as ConfigurationErrors {
            for error in errors.errors { logger.log(.error, "configuration.refused", ["reason": "\(error)"]) }
        } catch {
            logger.log(.error, "configuration.refused", ["reason": "\(error)"])
        }
    }

    private func adopt(_ new: Configuration) {
        let change = ConfigurationChange(from: configuration, to: new)
        for setting in change.needRestart {
            logger.log(.warning, "configuration.needs_restart", ["setting": setting])
        }
        configuration = change.effective
        let before = Set(plan.required)
        plan = ServicePlan(configuration)
        dataPlane.post(.routes(plan.routes))
        for key in plan.required where !before.contains(key) { directory.require(key) }
        for key in before.subtracting(plan.required) where !isRequired(key) { directory.release(key) }
        publisher.adopt(plan)
        for key in plan.required { publisher.announce(key) }
        directory.adopt { [plan] in plan.policy(for: $0).merge }
        registrations.adopt(configuration)
        logger.log(.info, "configuration.loaded", ["services": "\(configuration.services.count)"])
    }

    // MARK: End

    /// Ends everything at once.
    public func stop() {
        loop.cancel(drainTimer)
        loop.cancel(ticker)
        health.stop()
        loop.unwatch(dataPlane.events.descriptor)
        registrations.stop()
        directory.stop()
        context.resolver.stop()
        context.http.close()
        dataPlane.stop()
        accessLog?.stop()
    }
}
