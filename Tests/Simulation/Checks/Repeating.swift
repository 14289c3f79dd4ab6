import Model

// Whether a request may be seen by a further host, or by one again.
extension World {
    /// Policies that may have held while a request was on its way.
    func retryPolicies(_ request: Request) -> [RetryPolicy] {
        let epochs = listings[request.plan.service].during(request.headSentAt ?? now, now)
        return epochs.compactMap { $0.listing?.retries }
    }

    /// What is wrong with a host seeing it now; nil: nothing.
    func problem(with request: Request, seenNowAt host: Host) -> String? {
        guard !request.seen.isEmpty else { return nil }
        let before = request.seen.map(\.host)
        let policies = retryPolicies(request)
        // A host that closes a kept connection was not tried, and may get the request once more.
        let isAgain = before.contains(host.number)
        if isAgain && (!request.staleHosts.contains(host.number) || before.count(where: { $0 == host.number }) > 1) {
            return "a host that had it already"
        }
        let tries = Set(before).union([host.number]).subtracting(isAgain ? [] : request.staleHosts).count
        if policies.allSatisfy({ tries > $0.attempts + 1 }) { return "more tries than there may be" }
        if policies.isEmpty || policies.contains(where: { mayFollow(request, $0) }) { return nil }
        return "nothing lets it be repeated"
    }

    /// It may wait before a further try: no longer than for all waits that there may be.
    func mayRest(_ request: Request) -> Bool {
        guard let idle = request.idle else { return true }
        let longest = retryPolicies(request).map { policy in
            policy.attempts < 2 ? 0 : policy.backoff.nanoseconds * 3 / 2 * (1 << Int64(policy.attempts - 1) - 1)
        }
        guard let longest = longest.max(), longest > 0 else { return false }
        return now - idle.since <= longest + tick + request.lostTime
    }

    /// Two hosts may have it at a time.
    func mayBeHedged(_ request: Request) -> Bool {
        retryPolicies(request).contains { $0.hedge != nil && isListed(request, $0) }
    }

    private func mayFollow(_ request: Request, _ policy: RetryPolicy) -> Bool {
        guard let last = request.seen.last else { return true }
        let kind = plan.services[request.plan.service].kind
        if policy.attempts == 0 { return false }
        if case .exhausted = last.reaction, kind != .http { return true }
        if let hedge = policy.hedge, isListed(request, policy), now - (request.headDoneAt ?? now) >= hedge.nanoseconds {
            return true
        }
        if kind == .http && policy.onConnect && request.plan.isIdempotent && request.staleHosts.contains(last.host) {
            return true
        }
        return isListed(request, policy) && (policy.onReset || namesStatus(of: last.reaction, kind, policy))
    }

    private func isListed(_ request: Request, _ policy: RetryPolicy) -> Bool {
        let isHTTP = plan.services[request.plan.service].kind == .http
        if !isHTTP && (request.plan.isOneWay || request.plan.bodySize > 65_536) { return false }
        let name = isHTTP ? request.plan.method : "say\(request.number)"
        let methods = policy.methods ?? (isHTTP ? HTTPMethods.idempotent : [])
        return methods.contains { NamePattern($0).matches(name) }
    }

    private func namesStatus(of reaction: Reaction, _ kind: ServicePlan.Kind, _ policy: RetryPolicy) -> Bool {
        switch (reaction, kind) {
        case (.status(let status), .http), (.early(let status), .http):
            kind.modelKind.hasErrorStatus(status) && policy.statuses.contains(status)
        case (.status, .dubbo): policy.statuses.contains(DubboWire().failed)
        case (.status, .bolt): policy.statuses.contains(BoltWire(lane: 0).failed)
        case (.exhausted, _): true
        default: false
        }
    }

    /// A host's answer may have been dropped, or not have been waited for, because another host was to be asked.
    func mayBeDropped(_ request: Request) -> Bool {
        guard let last = request.seen.last else { return false }
        let kind = plan.services[request.plan.service].kind
        return retryPolicies(request).contains { policy in
            policy.attempts > 0
                && (policy.perTryTimeout != nil
                    || isListed(request, policy) && namesStatus(of: last.reaction, kind, policy))
        }
    }

    /// Hosts that refuse a request without an end to it: so many are left all the same.
    func refusalsBorne(_ request: Request) -> Int {
        retryPolicies(request).map { $0.onConnect ? min($0.attempts, 2) : 0 }.min() ?? 2
    }
}
