import Runtime

/// What keeps a request from going to its host now.
enum Hindrance {
    /// It is answered at once.
    case refused(Refusal)
}

// What every request has to pass whose version has rules for it, written once for all protocols: first who sends it, then how much there
// is already.
extension Worker {
    /// Whether something keeps a request from the host that was chosen; it counts in circuit breaker and rate limit if nothing does.
    ///
    /// - Parameters:
    ///   - rules: those of the version that is to serve it.
    ///   - client: where it comes from.
    ///   - isFirst: it has been to no host so far.
    @inline(never)
    func hindrance(
        _ limits: inout RequestLimits, _ rules: UnsafePointer<TrafficRules>, from client: SocketAddress, isFirst: Bool
    ) -> Hindrance? {
        if !rules.pointee.access.takes(client) { return .refused(Refusal(reason: .denied)) }
        return limits.admit(rules, isFirst: isFirst, now: now).map { .refused($0) }
    }
}
