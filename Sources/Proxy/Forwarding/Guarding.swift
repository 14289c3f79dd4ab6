import Runtime

/// What keeps a request from going to its host now.
enum Hindrance {
    /// It is answered at once.
    case refused(Refusal)
    /// It ends with this status, on purpose.
    case aborted(Int32)
    /// It waits until then, on purpose.
    case delayed(until: Int64)
}

// What every request has to pass whose version has rules for it, written once for all protocols: first who sends it, then how much there
// is already, then what is done on purpose. Last it is decided whether the request is copied.
extension Worker {
    /// Whether something keeps a request from the host that was chosen; it counts in circuit breaker and rate limit if nothing does.
    ///
    /// - Parameters:
    ///   - state: the request's.
    ///   - rules: those of the version that is to serve it.
    ///   - client: where it comes from.
    ///   - isFirst: it has been to no host so far.
    @inline(never)
    mutating func hindrance(
        _ state: inout RequestState, _ limits: inout RequestLimits, _ rules: UnsafePointer<TrafficRules>,
        from client: SocketAddress, isFirst: Bool
    ) -> Hindrance? {
        if !rules.pointee.access.takes(client) { return .refused(Refusal(reason: .denied)) }
        // One that has waited on purpose has taken its token before.
        let isFirst = isFirst && state.fault == .open
        if let refusal = limits.admit(rules, isFirst: isFirst, now: now) { return .refused(refusal) }
        if isFirst, let hindrance = fault(&state, rules) { return hindrance }
        if state.mirror == .open && !rules.pointee.mirror.isOff { chooseForMirror(&state, rules) }
        return nil
    }

    /// Whether a request that no host can serve is refused for whom it comes from: what the service itself says holds. Those who have no
    /// access are not told what there is.
    @inline(never)
    func isDenied(_ service: UnsafeMutablePointer<Service>, _ client: SocketAddress) -> Bool {
        !service.pointee.traffic.find(ServiceMetrics.nobody).pointee.access.takes(client)
    }
}
