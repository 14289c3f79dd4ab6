import Admin
import Configuration
import ControlPlane
import Glibc
import Runtime

/// `greymesh run`: forwards requests until a signal ends it.
struct RunCommand {
    let options: RunOptions

    /// Serves; returns the exit code. Signals are blocked since the process began.
    func run() throws -> Int32 {
        let startedAt = Clock.nanoseconds
        let configuration = try options.configuration()
        ProcessLimits.raiseDescriptorLimit()
        let logger = Logger(minimum: configuration.logLevel)
        let loop = try EventLoop()
        let reload = options.file == nil ? nil : options.configuration
        let control = try ControlPlane(configuration: configuration, loop: loop, logger: logger, reload: reload)
        control.onStopped = { loop.stop() }
        let admin = AdminServer(control: control, version: Program.version)
        let adminAddress: SocketAddress
        do {
            adminAddress = try admin.listen(on: configuration.admin)
        } catch {
            control.stop()
            throw error
        }
        try watchSignals(control, loop, logger)
        control.logStart()
        logger.log(.info, "admin.opened", ["address": "\(adminAddress)"])
        let milliseconds = (Clock.nanoseconds - startedAt) / 1_000_000
        logger.log(
            .info, "ready",
            [
                "version": Program.version, "pid": "\(getpid())", "workers": "\(control.workerCount)",
                "start_ms": "\(milliseconds)",
            ])
        ProcessLimits.releaseLibraryCode()
        loop.run()
        admin.stop()
        control.stop()
        if let failure = control.failure { throw CommandError(description: failure) }
        logger.log(.info, "stopped")
        return Program.Exit.success
    }

    /// The first signal drains, the second one ends at once.
    private func watchSignals(_ control: ControlPlane, _ loop: EventLoop, _ logger: Logger) throws {
        try Signals.watch(Signals.served, on: loop) { signal in
            if signal == SIGHUP { return control.reloadConfiguration() }
            if control.isDraining {
                logger.log(.warning, "stop.forced", ["signal": "\(signal)"])
                return loop.stop()
            }
            control.drain()
        }
    }
}
