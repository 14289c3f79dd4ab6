import Model

extension ServicePolicy {
    /// Each host once, in turn; another one beside it after a time, and no waits.
    static func hedging(
        after time: Duration = .milliseconds(50), methods: [String]? = nil,
        _ change: (inout RetryPolicy) -> Void = { _ in }
    ) -> ServicePolicy {
        var policy = ServicePolicy()
        policy.balancer = .roundRobin
        policy.traffic.retries.hedge = time
        policy.traffic.retries.methods = methods
        policy.traffic.retries.backoff = .zero
        change(&policy.traffic.retries)
        return policy
    }
}
