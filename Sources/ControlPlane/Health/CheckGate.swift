import Model

/// Whether a host is well, by its checks so far.
struct CheckGate: Equatable {
    /// Until a check has said otherwise.
    private(set) var isHealthy = true
    /// Checks in a row that speak against what holds.
    private(set) var against = 0
    private var isNew = true

    /// A check has ended. A host whose very first one fails is taken out at once: nothing speaks for it, and it may have been listed
    /// before it serves, or after it has died.
    ///
    /// - Returns: whether it is another now.
    mutating func note(isGood: Bool, _ policy: HealthCheckPolicy) -> Bool {
        defer { isNew = false }
        if isGood == isHealthy {
            against = 0
            return false
        }
        against += 1
        let limit = isHealthy ? (isNew ? 1 : policy.unhealthy) : policy.healthy
        if against < limit { return false }
        against = 0
        isHealthy = isGood
        return true
    }
}
