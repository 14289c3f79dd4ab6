import Model
import Runtime

// What limits may refuse, and what they must not let through.
extension World {
    private func listingsDuring(_ request: Request) -> [Listing] {
        listings[request.plan.service].during(request.headSentAt ?? now, now).compactMap(\.listing)
    }

    /// A limit held for it at some time.
    func mayBeLimited(_ request: Request) -> Bool { listingsDuring(request).contains(where: \.isLimited) }

    /// Refusals of limits that may have been reached.
    func limitErrors(_ request: Request) -> Set<Int> {
        var errors: Set<Int> = []
        let all = listingsDuring(request)
        if all.contains(where: { mayBeFull(request, $0.breaker) }) { errors.insert(503) }
        if all.contains(where: { mayBeOutOfTokens(request, $0.rateLimit) }) {
            errors.insert(plan.services[request.plan.service].kind == .http ? 429 : 503)
        }
        return errors
    }

    /// Errors that are made on purpose, and the one of those who have no access.
    func deliberateErrors(_ request: Request) -> Set<Int> {
        let isHTTP = plan.services[request.plan.service].kind == .http
        var errors: Set<Int> = []
        for listing in listingsDuring(request) {
            if listing.isClosed { errors.insert(isHTTP ? 403 : 503) }
            if let status = listing.fault.abort { errors.insert(isHTTP ? status : 503) }
        }
        return errors
    }

    /// It may have been delayed on purpose.
    func mayBeDelayed(_ request: Request) -> Bool { listingsDuring(request).contains { $0.fault.delay != nil } }

    /// It may wait on purpose now.
    func isDelayed(_ request: Request) -> Bool {
        let delays = listingsDuring(request).compactMap { $0.fault.delay?.nanoseconds }
        guard request.seen.isEmpty, let longest = delays.max() else { return false }
        guard request.wasKnown, let begin = request.startedAt, let whole = request.headDoneAt else { return true }
        return now - max(begin, whole) <= longest + tick + request.lostTime
    }

    /// A host has a request: what is wrong with that; nil: nothing.
    func trespass(_ request: Request) -> String? {
        let all = listings[request.plan.service].during(request.headSentAt ?? now, now)
        if all.isEmpty { return nil }
        if all.allSatisfy({ $0.listing?.isClosed == true }) { return "nobody has access" }
        let faults = all.map { $0.listing?.fault ?? FaultPolicy() }
        if faults.contains(where: { $0.share < FaultPolicy.all }) { return nil }
        if faults.allSatisfy({ $0.abort != nil }) { return "all requests are aborted" }
        // A timer has milliseconds.
        let shortest = faults.map { $0.delay?.nanoseconds ?? 0 }.min() ?? 0
        let waited = now - (request.headSentAt ?? now) + 1_000_000
        return waited < shortest ? "it was not delayed" : nil
    }

    private func mayBeFull(_ request: Request, _ breaker: CircuitBreakerPolicy) -> Bool {
        if breaker.isOff { return false }
        // Connections stay when the requests have gone that opened them.
        if breaker.connections != nil { return true }
        let start = request.headSentAt ?? now
        let others = requests.values.count { other in
            guard other !== request, other.plan.service == request.plan.service, other.headSentAt != nil else {
                return false
            }
            // The worker may notice later that a client has gone.
            let isUnclear = other.isDoomed || other.outcome == .given || other.outcome == .unanswered
            return isUnclear || (other.endedAt ?? .max) >= start
        }
        return others >= min(breaker.requests ?? .max, breaker.pending ?? .max)
    }

    private func mayBeOutOfTokens(_ request: Request, _ limit: RateLimitPolicy) -> Bool {
        if limit.rate == nil { return false }
        let same = requests.values.count { other in
            other.plan.service == request.plan.service && other.headSentAt != nil
                && (limit.key == nil || other.plan.user == request.plan.user)
        }
        return same > limit.effectiveBurst
    }

    /// A host sees a request: what is wrong with how many there are at hosts of its service now; nil: nothing.
    ///
    /// Only HTTP's hosts know which requests are still wanted.
    func crowding(at host: Host) -> String? {
        let busy = hostConnections.compactMap { ($0 as? HTTPHostConnection)?.wanted }
            .filter { $0.plan.service == host.service }
        let start = busy.compactMap(\.headSentAt).min() ?? now
        let limits = listings[host.service].during(start, now).map { $0.listing?.breaker.requests ?? .max }
        guard let most = limits.max(), busy.count > most else { return nil }
        return "\(busy.count) requests at hosts, \(most) are allowed"
    }
}
