import Runtime

extension ControlPlane {
    /// Takes what is registered out of the registries, serves on until others know, then accepts nothing new and lets what is
    /// in flight end, at most for the configured time; then `onStopped` is called.
    public func drain() {
        guard !isDraining else { return }
        isDraining = true
        upgrading.predecessor?.leave()
        if isHandingOver { return }
        upgrading.successor?.cancel("the process was told to stop")
        guard upgrading.isServing else { return onStopped() }
        registrations.withdraw { [weak self] wasListed in
            guard let self else { return }
            // A registry that is tried again and again in vain tells nobody anything: others have known since.
            let passed = Duration.nanoseconds(Clock.nanoseconds - registrations.withdrawnAt)
            let wait = configuration.withdrawWait - passed
            guard wasListed, wait > .zero else { return drainWorkers() }
            logger.log(.info, "withdraw.waiting", ["time_ms": "\(wait.nanoseconds / 1_000_000)"])
            drainTimer = loop.schedule(after: wait) { [weak self] in self?.drainWorkers() }
        }
    }

    private func drainWorkers() {
        logger.log(.info, "drain.started", ["timeout_ms": "\(configuration.drainTimeout.nanoseconds / 1_000_000)"])
        dataPlane.post(.drain)
        drainTimer = loop.schedule(after: configuration.drainTimeout) { [weak self] in
            guard let self else { return }
            self.logger.log(
                .warning, "drain.timeout", ["busy_workers": "\(self.workerCount - self.drained.count)"])
            self.onStopped()
        }
    }

    func workerDrained(_ worker: Int) {
        if !isDraining && !isHandingOver && failure == nil {
            // Connections that the system gives to its listeners would never be answered.
            failure = "worker \(worker) could not be started"
            onStopped()
            return
        }
        drained.insert(worker)
        guard drained.count == workerCount else { return }
        if isHandingOver { return finishHandOver() }
        loop.cancel(drainTimer)
        logger.log(.info, "drain.done")
        onStopped()
    }
}
