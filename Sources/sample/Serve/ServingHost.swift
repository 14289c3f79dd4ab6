import Glibc
import Runtime

/// The life of a sample host: registered while it serves; on SIGTERM it leaves in an order that costs no request.
final class ServingHost {
    /// What differs between the kinds of services.
    struct Actions {
        /// Tells peers that hold connections to go elsewhere.
        var announceStop: () -> Void
        /// Ends listening; connections live on.
        var stopListening: () -> Void
        /// Whether no request is in hand.
        var isDone: () -> Bool
        /// Closes what is left.
        var close: () -> Void
    }

    private let loop: EventLoop
    private let registrar: Registrar?
    private let drain: Duration
    private let actions: Actions
    private var isStopping = false

    /// How long requests in hand may take to end once nothing new is accepted.
    private static let grace = Duration.seconds(30)

    init(loop: EventLoop, registrar: Registrar?, drain: Duration, actions: Actions) {
        self.loop = loop
        self.registrar = registrar
        self.drain = drain
        self.actions = actions
    }

    /// Serves until SIGTERM or SIGINT and until all is finished behind that; a second signal ends it at once.
    func run() throws {
        try Signals.watch([SIGTERM, SIGINT], on: loop) { [weak self] _ in self?.stop() }
        registrar?.start { say("REGISTERED") }
        // The signal's handler does not keep this object, and nothing below does.
        withExtendedLifetime(self) { loop.run() }
    }

    private func stop() {
        if isStopping { return loop.stop() }
        isStopping = true
        guard let registrar else { return leave() }
        registrar.stop { [self] in leave() }
    }

    /// Those who poll the registry learn late that this host is gone: it serves on for a while.
    private func leave() {
        actions.announceStop()
        loop.schedule(after: drain) { [self] in
            actions.stopListening()
            finish(until: Clock.nanoseconds + Self.grace.nanoseconds)
        }
    }

    private func finish(until deadline: Int64) {
        if !actions.isDone() && Clock.nanoseconds < deadline {
            loop.schedule(after: .milliseconds(5)) { [self] in finish(until: deadline) }
            return
        }
        actions.close()
        loop.stop()
    }
}

/// Writes a line to standard output at once: scripts and tests wait for it.
func say(_ line: String) {
    print(line)
    fflush(nil)
}
