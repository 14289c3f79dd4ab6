import Proxy
import Runtime

extension Logger {
    /// Writes what a worker wants logged. Peers cause these lines: each kind has its limit a minute.
    func log(_ note: WorkerNote) {
        switch note {
        case .hostFailed(let address, let reason, let pause):
            log(
                .warning, "host.failed",
                ["address": "\(address)", "reason": reason, "pause_ms": "\(pause)"], limit: 6, limitKey: "\(address)")
        case .hostRecovered(let address):
            log(.info, "host.recovered", ["address": "\(address)"], limit: 6, limitKey: "\(address)")
        case .exhausted(let address, let reason):
            log(.error, "connect.exhausted", ["address": "\(address)", "reason": reason], limit: 6)
        case .badInput(let listener, let peer, let reason):
            log(
                .warning, "input.refused", ["listener": listener, "peer": peer, "reason": reason], limit: 30,
                limitKey: listener)
        }
    }
}
