import Balancing
import Configuration
import Model
import Runtime

extension Worker {
    /// What holds for a request that a version serves, where that differs between versions.
    func explainRules(
        of version: Int32, _ service: UnsafeMutablePointer<Service>, _ explanation: inout Explanation
    ) {
        guard let policy = service.pointee.snapshot?.policy, !policy.versions.isEmpty else { return }
        let name = service.pointee.labels[Int(version)].text
        if let own = policy.versions[name] {
            explanation.steps.append("version \(name) has rules of its own: \(own.text)")
        } else {
            explanation.steps.append("the service's rules hold: \(policy.traffic.text)")
        }
    }
}

extension TrafficPolicy {
    /// In words.
    fileprivate var text: String {
        let tries = retries.attempts == 1 ? "1 further try" : "\(retries.attempts) further tries"
        let causes = retries.causes.joined(separator: ", ")
        return "timeout \(SettingValue.text(timeout)), "
            + (retries.attempts == 0 ? "no further try" : "\(tries) after \(causes)")
    }
}
