import Discovery
import Glibc
import Model
import Proxy
import Runtime

/// What an upgrade needs to know in this process.
struct Upgrading {
    /// How this process was started; nil: it cannot be started again.
    var program: OwnProgram?
    /// Another listening socket that goes along: that of the admin API.
    var adminSocket: () -> (address: SocketAddress, descriptor: Int32)? = { nil }
    /// Called when another process serves from now on.
    var onHandOver: (pid_t) -> Void = { _ in }
    /// The process that is to serve in this one's place.
    var successor: Successor?
    /// Its process serves: this one only ends what is in progress.
    var isHandingOver = false
    /// An upgrade waits for the end of the last one.
    var waiting: ((String?) -> Void)?
    /// What the successor is told, for another one where it fails.
    var wishes = UpgradeMessage.Wishes()
    /// Connections for a successor that is not there yet.
    var held: [WorkerEvent] = []
    /// Another successor was started in place of one that failed after it had begun.
    var isRescued = false
    /// Upgrades that have failed.
    var failures = 0

    /// False: the process before still serves.
    var isServing = true
    /// The process in whose place this one serves; nil once it has gone.
    var predecessor: Predecessor?
    /// Workers that have connections with answers owed, by number.
    var owed: [UInt64: Int] = [:]
    /// The worker that gets the next connection.
    var nextWorker = 0
    /// Connections that have come from it.
    var taken = 0
    /// Called when this process may serve.
    var onServing: () -> Void = {}
}

// The old process of an upgrade.
extension ControlPlane {
    /// Lets an upgrade start this program again.
    ///
    /// - Parameters:
    ///   - adminSocket: the listening socket of the admin API.
    ///   - onHandOver: called with the number of the process that serves from now on; again where another one has to.
    public func enableUpgrade(
        _ program: OwnProgram, adminSocket: @escaping () -> (address: SocketAddress, descriptor: Int32)?,
        onHandOver: @escaping (pid_t) -> Void
    ) {
        upgrading.program = program
        upgrading.adminSocket = adminSocket
        upgrading.onHandOver = onHandOver
    }

    /// Whether another process serves in this one's place.
    public var isHandingOver: Bool { upgrading.isHandingOver }

    /// Upgrades that have failed since the start.
    public var failedUpgrades: Int { upgrading.failures }

    /// Connections that have come from the process before.
    public var takenConnections: Int { upgrading.taken }

    /// Starts the program at this one's path with the same arguments, and lets it serve in this process's place when it is ready.
    ///
    /// - Parameter completion: called once, with nil when the new process serves, else with the reason why this one goes on.
    public func upgrade(_ completion: @escaping (String?) -> Void) {
        func refuse(_ reason: String) {
            logger.log(.warning, "upgrade.refused", ["reason": reason])
            completion(reason)
        }
        guard let program = upgrading.program else { return refuse("this process cannot be started again") }
        if isDraining || isHandingOver { return refuse("the process is about to end") }
        if upgrading.successor != nil || upgrading.waiting != nil { return refuse("another upgrade is under way") }
        // It would answer that there are no hosts.
        if let obstacle = directory.upgradeObstacle {
            return refuse("the new process would not know all hosts: \(obstacle)")
        }
        // Answers may still be owed to connections that this process has got: only it knows where they are.
        if upgrading.predecessor != nil {
            logger.log(.info, "upgrade.waiting", ["reason": "the last upgrade has not ended"])
            upgrading.waiting = completion
            return
        }
        start(program, path: program.path, completion)
    }

    private func start(_ program: OwnProgram, path: String, _ completion: @escaping (String?) -> Void) {
        let successor: Successor
        do {
            successor = try Successor(program, path: path, hello: hello(), sockets: offeredSockets(), loop: loop)
        } catch {
            return upgradeFailed("\(error)", completion)
        }
        upgrading.successor = successor
        logger.log(
            .info, "upgrade.started", ["pid": "\(successor.processIdentifier)", "program": path])
        successor.onReady = { [weak self] names in
            self?.handOver(names)
            completion(nil)
        }
        successor.onFailure = { [weak self] reason in
            guard let self else { return }
            self.upgrading.successor = nil
            if self.isHandingOver { return self.rescue(program, reason) }
            self.upgradeFailed(reason, completion)
        }
        successor.onLeave = { [weak self] in self?.dataPlane.post(.handOver(listeners: [])) }
    }

    private func upgradeFailed(_ reason: String, _ completion: (String?) -> Void) {
        upgrading.successor = nil
        upgrading.failures += 1
        logger.log(.error, "upgrade.failed", ["reason": reason])
        completion(reason)
    }

    private func hello() -> UpgradeMessage.Hello {
        let used = directory.statuses.filter { $0.instances > 0 }.map(\.key)
        return UpgradeMessage.Hello(services: used)
    }

    private func offeredSockets() -> [(UpgradeMessage.Socket, descriptor: Int32)] {
        var offered: [(UpgradeMessage.Socket, descriptor: Int32)] = []
        for (listener, sockets) in zip(configuration.listeners, dataPlane.sockets) {
            let socket = UpgradeMessage.Socket(
                name: listener.name, protocol: listener.protocol, address: listener.address)
            offered += sockets.map { (socket, $0) }
        }
        if let admin = upgrading.adminSocket() {
            offered.append((UpgradeMessage.Socket(name: "", protocol: nil, address: admin.address), admin.descriptor))
        }
        return offered
    }

    // MARK: Handing over

    private func handOver(_ names: [String]) {
        guard let successor = upgrading.successor else { return }
        logger.log(.info, "upgrade.ready", ["pid": "\(successor.processIdentifier)"])
        if !isHandingOver {
            upgrading.isHandingOver = true
            upgrading.wishes = UpgradeMessage.Wishes(
                publications: SavedPublicationsFile.write(registrations.leave()), subscriptions: Array(subscriptions))
            directory.leaveToSuccessor()
        }
        upgrading.onHandOver(successor.processIdentifier)
        successor.go(upgrading.wishes)
        for event in upgrading.held { give(event) }
        upgrading.held = []
        dataPlane.post(.handOver(listeners: Set(names)))
        loop.cancel(drainTimer)
        drainTimer = loop.schedule(after: configuration.drainTimeout) { [weak self] in
            guard let self else { return }
            logger.log(.warning, "drain.timeout", ["busy_workers": "\(workerCount - drained.count)"])
            finishHandOver()
        }
    }

    /// Something for the successor.
    func give(_ event: WorkerEvent) {
        guard let successor = upgrading.successor, successor.hasBegun else {
            return upgrading.held.append(event)
        }
        switch event {
        case .handedOver(let connection): successor.give(connection)
        case .owed(let number, let bytes): successor.give(number, bytes)
        case .settled(let number): successor.settle(number)
        default: break
        }
    }

    /// All is given that can be given.
    func finishHandOver() {
        guard let successor = upgrading.successor else { return }
        loop.cancel(drainTimer)
        successor.finish { [weak self] in
            guard let self else { return }
            logger.log(
                .info, "upgrade.done",
                ["pid": "\(successor.processIdentifier)", "connections": "\(successor.given)"])
            onStopped()
        }
    }

    /// The new process has ended after this one has left its place to it. This one's own program, which is known to work, is started
    /// in its stead; meanwhile connections wait in the listening sockets.
    private func rescue(_ program: OwnProgram, _ reason: String) {
        logger.log(.error, "upgrade.lost", ["reason": reason])
        upgrading.failures += 1
        loop.cancel(drainTimer)
        func giveUp(_ reason: String) {
            failure = "the new process has ended, and another one could not be started: \(reason)"
            onStopped()
        }
        if upgrading.isRescued { return giveUp(reason) }
        upgrading.isRescued = true
        start(program, path: OwnProgram.runningImage) { problem in
            if let problem { giveUp(problem) }
        }
    }
}
