// Whether a request ended as it had to.
extension World {
    func judge(_ request: Request, _ outcome: Request.Outcome) {
        switch outcome {
        case .given: return
        case .unanswered:
            if request.isDoomed || request.wasPaused || ending.isStopped || drainedAt != nil && request.seen.isEmpty {
                return
            }
            fail("unanswered", "the connection ended instead", request)
        case .cut:
            let mayBeCut = request.seen.contains { isBroken($0.reaction) || hosts[$0.host].faults.contains(.broken) }
            if mayBeCut || isLiedTo(request) || request.wasPaused || request.isDoomed || ending.isStopped { return }
            fail("cut", "the answer is not whole and no host broke it off", request)
        case .answered(let status, let host?): judgeServed(request, status, hosts[host])
        case .answered(let status, nil): judgeRefused(request, status)
        }
    }

    private func isBroken(_ reaction: Reaction) -> Bool {
        switch reaction {
        case .answer, .status, .early, .wrongID, .twice, .exhausted: false
        case .silent, .stall, .cut, .reset, .hangUp, .garbage, .upgrade, .oversized: true
        }
    }

    private func epochs(_ request: Request) -> [ListingHistory.Epoch] {
        listings[request.plan.service].during(request.headSentAt ?? now, now)
    }

    // MARK: A host's answer

    /// An answer that names another request. That is the host's own doing when it lies about what it was asked.
    func judgeForeign(_ request: Request, of number: Int?, by host: Int?) {
        if let host, hosts.indices.contains(host), hosts[host].service == request.plan.service,
            hosts[host].faults.contains(.lying)
        {
            // Over HTTP it may be what was meant for nobody; otherwise the request must have been there, or on its way.
            let isThere = request.seen.isEmpty || request.seen.contains { $0.host == host }
            if isThere || plan.services[request.plan.service].kind == .http { return }
        }
        fail("another's answer", "of request \(number ?? -1) by host \(host ?? -1)", request)
    }

    /// Over HTTP an answer is whatever comes of the host next.
    func isLiedTo(_ request: Request) -> Bool {
        plan.services[request.plan.service].kind == .http
            && plan.services[request.plan.service].hosts.contains { hosts[$0].faults.contains(.lying) }
    }

    private func judgeServed(_ request: Request, _ status: Int, _ host: Host) {
        if request.plan.isTooLong { return fail("too long", "and sent all the same", request) }
        if host.service != request.plan.service { return fail("wrong service", "host \(host.number)", request) }
        let entries = epochs(request).flatMap { epoch in epoch.listing?.entries ?? [] }
        let its = entries.filter { $0.host == host.number && $0.weight > 0 }
        if its.isEmpty { return fail("wrong host", "host \(host.number) was not listed", request) }
        // What came to a second host is told from a copy only by the versions that there were.
        let seen = request.seen + (mayBeHedged(request) ? request.copy?.seen ?? [] : [])
        guard seen.contains(where: { $0.host == host.number }) || host.faults.contains(.lying) else {
            return fail("another's answer", "host \(host.number) never saw it", request)
        }
        guard let wanted = wantedVersions(request), !its.contains(where: { wanted.contains($0.version) }) else {
            return
        }
        if epochs(request).allSatisfy({ $0.listing?.isStrict ?? true }) {
            return fail("wrong version", "host \(host.number), strict", request)
        }
        // After a failure one request tries a host first; those that come together with it go elsewhere.
        if request.isProbe && ending.hadTrouble { return }
        if canServeSpotlessly(request, wanted) {
            let names = wanted.sorted().map { Listing.versions[$0] }
            fail("wrong version", "host \(host.number), though \(names) can serve", request)
        }
    }

    /// The versions of which it must get one while that can serve; nil: any will do, or they changed meanwhile.
    private func wantedVersions(_ request: Request) -> Set<Int>? {
        let all = Set(epochs(request).map { $0.listing?.wanted(request.plan.version) })
        // Dubbo calls that ask for nothing go to hosts without a tag, if there are any.
        return all.count == 1 ? all.first ?? nil : nil
    }

    /// Whichever version it gets has a host that was listed all the time and never did anything wrong.
    private func canServeSpotlessly(_ request: Request, _ versions: Set<Int>?) -> Bool {
        guard let versions else { return hasSpotlessHost(request, version: nil) }
        return versions.allSatisfy { hasSpotlessHost(request, version: $0) }
    }

    func hasSpotlessHost(_ request: Request, version: Int?) -> Bool {
        let all = epochs(request)
        return hosts.contains { host in
            host.faults.isEmpty
                && all.allSatisfy { epoch in
                    epoch.listing?.entries.contains {
                        $0.host == host.number && $0.weight > 0 && (version == nil || $0.version == version)
                    } ?? false
                }
        }
    }

    // MARK: An answer of our own

    private func judgeRefused(_ request: Request, _ status: Int) {
        if request.isDoomed || drainedAt != nil || isLiedTo(request) { return }
        let allowed = request.plan.isTooLong ? [400] : allowedErrors(request)
        // A host that has sent an answer of its own making first has had its say.
        let isLiedTo = request.seen.contains { hosts[$0.host].faults.contains(.lying) }
        if !mayBeDropped(request), !isLiedTo, let delivered = request.deliveredAt, let start = request.headDoneAt,
            isDue(request, start, delivered)
        {
            return fail("answer lost", "\(status), though the answer of a host was there", request)
        }
        if allowed.contains(status) { return }
        let known = allowed.isEmpty ? "nothing was wrong" : "could be \(allowed.sorted())"
        fail("error without a cause", "\(status), \(known)", request)
    }

    /// Whether an answer that came at a time must be passed on: there was time enough, and one was enough.
    private func isDue(_ request: Request, _ start: Int64, _ delivered: Int64) -> Bool {
        if request.seen.count != 1 || delivered > now { return false }
        if now - start < shortestTime(request) / 2 { return true }
        // In time by a hair is in time.
        return request.isReadAtOnce && request.lostTime == 0 && delivered - start < shortestTime(request)
    }

    /// Nanoseconds that it has at least.
    private func shortestTime(_ request: Request) -> Int64 {
        let listed = epochs(request).compactMap { $0.listing?.timeoutMilliseconds }.min() ?? 0
        return Int64(request.plan.timeoutMilliseconds > 0 ? request.plan.timeoutMilliseconds : listed) * 1_000_000
    }

    /// Errors that there is a reason for; an answer of a host is always good, too.
    private func allowedErrors(_ request: Request) -> Set<Int> {
        var errors: Set<Int> = []
        let start = request.headSentAt ?? now
        let plan = request.plan
        for (_, reaction) in request.seen {
            switch reaction {
            case .answer, .status, .early, .wrongID, .twice: break
            case .silent: errors.formUnion([503, 504])
            case .reset, .hangUp, .garbage, .cut, .stall, .upgrade, .oversized: errors.formUnion([502, 503, 504])
            case .exhausted: errors.formUnion([503])
            }
        }
        if mayBeDropped(request) {
            errors.formUnion([502, 503, 504])
        } else if !mayBeLimited(request), case .early? = request.seen.last?.reaction,
            let delivered = request.deliveredAt, delivered - start < shortestTime(request)
        {
            return []
        }
        let all = epochs(request)
        if all.isEmpty || all.contains(where: { !canServe(request, $0.listing) }) { errors.insert(503) }
        if !isRouted(request, throughout: true) { errors.formUnion([503, 404]) }
        errors.formUnion(limitErrors(request))
        errors.formUnion(deliberateErrors(request))
        if kernel.failedAt >= start { errors.insert(503) }
        if hasHostTrouble(request) { errors.formUnion([502, 503, 504]) }
        let waited = now - start + 10_000_000
        // The time for waiting to be told of a service's hosts is part of the timeout, which may be told with them.
        let shortest = all.compactMap { $0.listing?.timeoutMilliseconds }.min() ?? 0
        let isTold = request.wasKnown && all.allSatisfy { $0.listing != nil }
        let isShortest = waited >= Int64(shortest) * 1_000_000
        // It may have either time, where that has changed.
        let hasChanged = Set(all.map { $0.listing?.timeoutMilliseconds }).count > 1
        if isShortest && (!isTold || hasChanged) { errors.insert(504) }
        if isShortest && request.lostTime > 0 { errors.formUnion([504, 408]) }
        let mayBeSlow =
            !request.seen.isEmpty || mayBeDelayed(request) || plan.isHeldBack || request.lostTime > 0 || !isTold
            || self.plan.slowness > 0
        if waited >= timeout(request, start) && mayBeSlow {
            errors.formUnion([504, 408])
        }
        if waited >= Self.discoveryTimeout && !request.wasKnown { errors.insert(503) }
        if plan.isHeldBack && waited >= 300_000_000 { errors.formUnion([504, 408]) }
        return errors
    }

    private func canServe(_ request: Request, _ listing: Listing?) -> Bool {
        guard let listing else { return false }
        let usable = Set(listing.entries.filter { $0.weight > 0 }.map(\.version))
        guard let wanted = listing.wanted(request.plan.version) else {
            // A Dubbo call that asks for nothing may use hosts without a tag only, when strict.
            let isBound = plan.services[request.plan.service].kind != .http && listing.isStrict
            return isBound ? usable.contains(0) : !usable.isEmpty
        }
        return listing.isStrict ? wanted.isSubset(of: usable) : !usable.isEmpty
    }

    /// Hosts did something that can end in an error: not so when a few refuse connections and another one is well.
    private func hasHostTrouble(_ request: Request) -> Bool {
        let listed = Set(epochs(request).flatMap { $0.listing?.entries.map(\.host) ?? [] })
        let faulty = listed.map { hosts[$0] }.filter { !$0.faults.isEmpty }
        if faulty.contains(where: { $0.faults != .refused }) { return true }
        if faulty.isEmpty { return false }
        return faulty.count > refusalsBorne(request) || !canServeSpotlessly(request, wantedVersions(request))
    }

    // MARK: Calls without an answer

    /// Every one-way call that was wholly sent must have reached a host where nothing was wrong.
    func judgeOneWay() {
        for request in finished where request.plan.isOneWay && request.isSent && !request.isDoomed {
            if !request.wholeAt.isEmpty || drainedAt != nil || !shortages.isEmpty || request.plan.isTooLong { continue }
            if mayBeLimited(request) { continue }
            // Its time may have been over before it could be sent.
            if request.lostTime > 0 || request.wasPaused { continue }
            let start = request.startedAt ?? now
            let all = listings[request.plan.service].during(start, now)
            let isListed =
                request.wasKnown && all.allSatisfy { canServe(request, $0.listing) && $0.listing?.padding == 0 }
            let isWell = hosts.allSatisfy { $0.service != request.plan.service || $0.faults.isEmpty }
            if isListed && isWell { return fail("one-way call lost", "no host has seen it", request) }
        }
    }
}
