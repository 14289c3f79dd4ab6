import Discovery
import Model
import Proxy
import Runtime

// The new process of an upgrade.
extension ControlPlane {
    private static var pause: Duration { .milliseconds(10) }
    /// How long the registries' answers about services in use are waited for.
    private static var patience: Duration { .seconds(10) }

    /// Tells the process before when this one can serve, and serves when it is told to. Without such a process it serves at once.
    ///
    /// - Parameter onServing: called once, when this process serves.
    public func beginServing(_ onServing: @escaping () -> Void) {
        guard let predecessor = upgrading.predecessor else { return onServing() }
        upgrading.onServing = onServing
        predecessor.onGo = { [weak self] in self?.takeOver($0) }
        predecessor.onConnection = { [weak self] in self?.take($0) }
        predecessor.onOwed = { [weak self] in self?.takeOwed($0, $1) }
        predecessor.onEnd = { [weak self] in self?.predecessorEnded(isComplete: $0) }
        for service in predecessor.hello.services { directory.touch(service) }
        awaitHosts(predecessor, until: Clock.nanoseconds + Self.patience.nanoseconds)
    }

    /// A request that comes at once finds its hosts. Where the registry that has them has gone away, the process before goes on: it
    /// knows them.
    private func awaitHosts(_ predecessor: Predecessor, until end: Int64) {
        let services = predecessor.hello.services
        let unknown = services.first { directory.instances(of: $0)?.isEmpty != false }
        let isSilent = services.contains { directory.silentRegistry(about: $0) != nil }
        let isOver = Clock.nanoseconds >= end
        if isOver, let unknown, let url = directory.silentRegistry(about: unknown) {
            return giveUp(predecessor, "\(url) is away, and the hosts of \(unknown) are not saved")
        }
        if isOver || unknown == nil && !isSilent && directory.knowsRequired { return predecessor.tellReady() }
        loop.schedule(after: Self.pause) { [weak self] in
            guard let self, self.upgrading.predecessor != nil else { return }
            self.awaitHosts(predecessor, until: end)
        }
    }

    /// The process before goes on, and this one ends.
    private func giveUp(_ predecessor: Predecessor, _ reason: String) {
        predecessor.refuse(reason)
        upgrading.predecessor = nil
        failure = reason
        onStopped()
    }

    private func takeOver(_ wishes: UpgradeMessage.Wishes) {
        upgrading.isServing = true
        dataPlane.post(.accept)
        directory.takeOverSavedHosts()
        for subscription in wishes.subscriptions where subscriptions.insert(subscription).inserted {
            directory.require(subscription.service)
        }
        registrations.takeOver((try? SavedPublicationsFile.read(wishes.publications)) ?? [])
        registrations.adopt(configuration)
        upgrading.onServing()
        upgrading.onServing = {}
    }

    private func take(_ connection: HandedConnection) {
        let worker = upgrading.nextWorker
        upgrading.nextWorker = (worker + 1) % workerCount
        upgrading.taken += 1
        if connection.number != 0 { upgrading.owed[connection.number] = worker }
        dataPlane.post(.adopt(connection), to: worker)
    }

    private func takeOwed(_ number: UInt64, _ bytes: [UInt8]?) {
        guard let worker = upgrading.owed[number] else { return }
        if let bytes { return dataPlane.post(.owed(number: number, bytes), to: worker) }
        upgrading.owed[number] = nil
        dataPlane.post(.settled(number: number), to: worker)
    }

    private func predecessorEnded(isComplete: Bool) {
        upgrading.predecessor = nil
        let isServing = upgrading.isServing
        for (number, worker) in upgrading.owed { dataPlane.post(.settled(number: number), to: worker) }
        if !isComplete {
            logger.log(
                isServing ? .warning : .error, "upgrade.predecessor_lost", ["answers_owed": "\(upgrading.owed.count)"])
        }
        upgrading.owed = [:]
        if !isServing {
            failure = "the process to be replaced has ended before it has handed over"
            return onStopped()
        }
        if let completion = upgrading.waiting {
            upgrading.waiting = nil
            upgrade(completion)
        }
    }
}
