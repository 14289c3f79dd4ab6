import Configuration
import Discovery
import Model
import Runtime

/// Checks an application again and again. Registrations of the same application share one.
final class ApplicationWatch {
    /// What makes two watches the same.
    struct Key: Hashable {
        let target: HealthTarget
        let settings: HealthCheckConfiguration
    }

    let key: Key
    /// Called when it is to be listed or not any more, and when the first check has ended.
    var onChange: () -> Void = {}
    private(set) var gate: HealthGate
    /// Why the last check has failed; nil after a good one.
    private(set) var problem: String?

    private let loop: EventLoop
    private let logger: Logger
    private var probe: HealthProbe?
    private var timer: EventLoop.Timer?

    /// An application that is not listed is checked at least that often: it wants to be.
    private static let eager = Duration.seconds(1)

    init(_ key: Key, startsUp: Bool, loop: EventLoop, logger: Logger) {
        self.key = key
        self.loop = loop
        self.logger = logger
        gate = HealthGate(key.settings, startsUp: startsUp)
        timer = loop.schedule(after: .zero) { [weak self] in self?.check() }
    }

    func stop() {
        loop.cancel(timer)
        probe?.cancel()
        onChange = {}
    }

    private func check() {
        probe = HealthProbe(key.target, loop: loop) { [weak self] reason in self?.take(reason) }
    }

    private func take(_ reason: String?) {
        probe = nil
        let before = gate
        problem = reason
        if reason == nil { gate.succeeded(at: Clock.nanoseconds) } else { gate.failed(at: Clock.nanoseconds) }
        let pause = gate.isUp ? key.settings.interval : min(key.settings.interval, Self.eager)
        timer = loop.schedule(after: pause.jittered(by: 0.1)) { [weak self] in self?.check() }
        tell(before)
        if before.isUp != gate.isUp || !before.isKnown { onChange() }
    }

    private func tell(_ before: HealthGate) {
        let name = "\(key.target)"
        if !before.isUp && gate.isUp {
            logger.log(.info, "application.up", ["address": name], limit: 6, limitKey: name)
        } else if before.isUp && !gate.isUp {
            logger.log(
                .warning, "application.down",
                [
                    "address": name, "reason": problem ?? "", "failed_checks": "\(gate.failures)",
                    "trial_ms": "\(gate.trial.nanoseconds / 1_000_000)",
                ], limit: 6, limitKey: name)
        } else if !gate.isUp && !before.isKnown, let problem {
            logger.log(
                .warning, "application.awaited", ["address": name, "reason": problem], limit: 6, limitKey: name)
        }
    }
}

extension Duration {
    /// This duration and up to that share more, by chance.
    fileprivate func jittered(by share: Double) -> Duration { self * Double.random(in: 1...(1 + share)) }
}
