import Balancing
import Configuration
import Model
import Runtime

extension Worker {
    /// What holds for a request that a version serves, where that differs between versions or something is limited.
    ///
    /// - Parameter version: nil: one of several.
    func explainRules(
        of version: Int32?, _ request: ExplainRequest, _ service: UnsafeMutablePointer<Service>,
        _ explanation: inout Explanation
    ) {
        guard let snapshot = service.pointee.snapshot else { return }
        if version == nil && !snapshot.policy.versions.isEmpty {
            return explanation.steps.append("what the version says that serves holds")
        }
        let name = version.map { service.pointee.labels[Int($0)].text } ?? ""
        let own = snapshot.policy.versions[name]
        let policy = own ?? snapshot.policy.traffic
        if own != nil {
            explanation.steps.append("version \(name) has rules of its own: \(policy.text)")
        } else if !snapshot.policy.versions.isEmpty {
            explanation.steps.append("the service's rules hold: \(policy.text)")
        } else if policy.retries != RetryPolicy() {
            explanation.steps.append(policy.text)
        }
        explainAccess(policy.access, request, &explanation)
        if !FaultRules(policy.fault, for: request.key.kind).isOff {
            explanation.steps.append("fault: \(policy.fault.text(request.key.kind))")
        }
        if let target = policy.mirror.version, target != name {
            let share = SettingValue.text(share: policy.mirror.share)
            explanation.steps.append("mirror: \(share) % of the requests are copied to version \(target)")
        }
        guard let part = snapshot.limits?.part(of: name) else { return }
        if let counts = part.breaker {
            let owner = own?.hasOwnBreaker == true ? "the version" : "the service"
            if !policy.circuitBreaker.isOff {
                explanation.steps.append("circuit breaker of \(owner): \(policy.circuitBreaker.text(counts))")
            }
            if policy.adaptsConcurrency {
                let (active, most) = (counts.requests.current, counts.concurrency.current)
                explanation.steps.append("adaptive limit of \(owner): \(active) of \(most) requests")
            }
        }
        if part.bucket != nil {
            let owner = own?.hasOwnRate == true ? "the version" : "the service"
            explanation.steps.append("rate limit of \(owner): \(policy.rateLimit.text)")
        }
    }
}

extension Worker {
    /// Whether the client's requests are taken, and what says so.
    private func explainAccess(_ policy: AccessPolicy, _ request: ExplainRequest, _ explanation: inout Explanation) {
        if policy.isOff { return }
        guard let text = request.client, let client = SocketAddress(ip: text, port: 0)?.unmapped else {
            explanation.dependsOn = "client"
            return explanation.steps.append("access goes by the client's address, which the question does not tell")
        }
        let allowed = policy.allow.first { $0.contains(client) }
        if policy.takes(client) {
            let reason = allowed.map { "\($0) is allowed" } ?? "nothing denies it"
            return explanation.steps.append("\(client.ip) has access: \(reason)")
        }
        let denied = policy.deny.first { $0.contains(client) }
        let reason = denied.map { "\($0) is denied" } ?? "nothing allows it"
        explanation.steps.append("\(client.ip) has no access: \(reason): the request is refused")
        (explanation.cluster, explanation.version, explanation.hosts) = (nil, nil, [])
    }
}

extension TrafficPolicy {
    /// In words.
    fileprivate var text: String {
        let tries = retries.attempts == 1 ? "1 further try" : "\(retries.attempts) further tries"
        let causes = retries.causes.joined(separator: ", ")
        return "timeout \(SettingValue.text(timeout)), "
            + (retries.attempts == 0 ? "no further try" : "\(tries) after \(causes)" + hedgeText)
    }

    private var hedgeText: String {
        retries.hedge.map { ", another host as well after \(SettingValue.text($0))" } ?? ""
    }
}

extension FaultPolicy {
    /// In words.
    fileprivate func text(_ kind: ServiceKey.Kind) -> String {
        let parts = [
            delay.map { "delayed for \(SettingValue.text($0))" },
            abort.flatMap { kind.canAbort(with: $0) ? "aborted with \($0)" : nil },
        ]
        return "\(SettingValue.text(share: share)) % of the requests are "
            + parts.compactMap { $0 }.joined(separator: " and ")
    }
}

extension CircuitBreakerPolicy {
    /// In words, with what is in flight now.
    fileprivate func text(_ counts: BreakerCounts) -> String {
        [
            requests.map { "\(counts.requests.current) of \($0) requests" },
            pending.map { "\(counts.pending.current) of \($0) pending" },
            connections.map { "\(counts.connections.current) of \($0) connections" },
        ].compactMap { $0 }.joined(separator: ", ")
    }
}

extension RateLimitPolicy {
    /// In words.
    fileprivate var text: String {
        guard let rate else { return "none" }
        return "\(rate), burst \(effectiveBurst)" + (key.map { ", by \($0.text)" } ?? "")
    }
}
