import Admin
import Configuration
import ControlPlane
import Glibc
import Runtime

/// `greymesh run`: forwards requests until a signal ends it.
struct RunCommand {
    let options: RunOptions

    /// How the process was started; nil: it cannot be upgraded.
    let start: ProcessStart?

    /// Serves; returns the exit code. Signals are blocked since the process began.
    func run() throws -> Int32 {
        if let start, start.isParent { return try ContainerParent(start.program).run() }
        let loop = try EventLoop()
        let predecessor = try start?.predecessor.map { try Predecessor(descriptor: $0, loop: loop) }
        do {
            return try serve(loop, predecessor)
        } catch {
            // It knows why then, and not only that this process has ended.
            predecessor?.refuse("\(error)")
            throw error
        }
    }

    private func serve(_ loop: EventLoop, _ predecessor: Predecessor?) throws -> Int32 {
        let startedAt = Clock.nanoseconds
        let configuration = try options.configuration()
        ProcessLimits.raiseDescriptorLimit()
        let logger = Logger(minimum: configuration.logLevel)
        let reload = options.file == nil ? nil : options.configuration
        let control = try ControlPlane(
            configuration: configuration, loop: loop, logger: logger, reload: reload, predecessor: predecessor)
        control.onStopped = { loop.stop() }
        let admin = AdminServer(control: control, version: Program.version)
        let adminAddress: SocketAddress
        do {
            adminAddress = try listen(admin, configuration.admin, predecessor)
        } catch {
            control.stop()
            throw error
        }
        try watchSignals(control, loop, logger)
        if let start {
            control.enableUpgrade(
                start.program, adminSocket: { admin.socket.map { (configuration.admin, $0) } },
                onHandOver: { successor in
                    start.tellSuccessor(successor)
                    admin.leave()
                })
        }
        control.logStart()
        logger.log(.info, "admin.opened", ["address": "\(adminAddress)"])
        control.beginServing {
            if predecessor != nil { admin.accept() }
            let milliseconds = (Clock.nanoseconds - startedAt) / 1_000_000
            logger.log(
                .info, "ready",
                [
                    "version": Program.version, "pid": "\(getpid())", "workers": "\(control.workerCount)",
                    "start_ms": "\(milliseconds)",
                ])
            start?.tellServing()
        }
        ProcessLimits.releaseLibraryCode()
        loop.run()
        admin.stop()
        control.stop()
        if let failure = control.failure { throw CommandError(description: failure) }
        logger.log(.info, "stopped")
        return Program.Exit.success
    }

    private func listen(
        _ admin: AdminServer, _ address: SocketAddress, _ predecessor: Predecessor?
    ) throws -> SocketAddress {
        guard let socket = predecessor?.takeAdminSocket(for: address) else { return try admin.listen(on: address) }
        return try admin.adopt(socket)
    }

    /// The first signal drains, the second one ends at once.
    private func watchSignals(_ control: ControlPlane, _ loop: EventLoop, _ logger: Logger) throws {
        try Signals.watch(Signals.served, on: loop) { signal in
            if signal == SIGHUP { return control.reloadConfiguration() }
            if signal == SIGUSR2 { return control.upgrade { _ in } }
            if control.isDraining {
                logger.log(.warning, "stop.forced", ["signal": "\(signal)"])
                return loop.stop()
            }
            control.drain()
        }
    }
}
