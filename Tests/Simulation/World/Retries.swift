import Model

extension Generator {
    /// Half of the services have the defaults.
    mutating func makeRetries() -> RetryPolicy {
        var policy = RetryPolicy()
        if chance(50) { return policy }
        policy.attempts = below(RetryPolicy.mostAttempts + 1)
        policy.onConnect = chance(85)
        policy.onReset = chance(60)
        // Those that simulated hosts answer with.
        if chance(50) { policy.statuses = [2, 4, 40, 100, 413, 500] }
        policy.methods = pick([nil, nil, ["*"], ["GET", "say*"], ["POST", "*1", "*3*"]])
        if policy.onReset && chance(40) { policy.perTryTimeout = .milliseconds(pick([20, 100, 400])) }
        policy.backoff = pick([.zero, .milliseconds(1), .milliseconds(25), .seconds(1)])
        if chance(25) { policy.hedge = .milliseconds(pick([5, 50, 300])) }
        policy.budget = pick([0, 20, 100])
        return policy
    }
}
