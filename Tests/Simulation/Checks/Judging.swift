// Whether a request ended as it had to.
extension World {
    func judge(_ request: Request, _ outcome: Request.Outcome) {
        switch outcome {
        case .given: return
        case .unanswered:
            if request.isDoomed || drainedAt != nil && request.seen.isEmpty { return }
            fail("unanswered", "the connection ended instead", request)
        case .cut:
            let mayBeCut = request.seen.contains { isBroken($0.reaction) || hosts[$0.host].faults.contains(.broken) }
            if mayBeCut || request.wasPaused || request.isDoomed { return }
            fail("cut", "the answer is not whole and no host broke it off", request)
        case .answered(let status, let host?): judgeServed(request, status, hosts[host])
        case .answered(let status, nil): judgeRefused(request, status)
        }
    }

    private func isBroken(_ reaction: Reaction) -> Bool {
        switch reaction {
        case .answer, .status, .early, .wrongID, .twice, .exhausted: false
        case .silent, .stall, .cut, .reset, .hangUp, .garbage, .upgrade: true
        }
    }

    private func epochs(_ request: Request) -> [ListingHistory.Epoch] {
        listings[request.plan.service].during(request.headSentAt ?? now, now)
    }

    // MARK: A host's answer

    private func judgeServed(_ request: Request, _ status: Int, _ host: Host) {
        if host.service != request.plan.service { return fail("wrong service", "host \(host.number)", request) }
        let entries = epochs(request).flatMap { epoch in epoch.listing?.entries ?? [] }
        let its = entries.filter { $0.host == host.number && $0.weight > 0 }
        if its.isEmpty { return fail("wrong host", "host \(host.number) was not listed", request) }
        guard request.seen.contains(where: { $0.host == host.number }) else {
            return fail("another's answer", "host \(host.number) never saw it", request)
        }
        let wanted = wantedVersion(request)
        guard let wanted, !its.contains(where: { $0.version == wanted }) else { return }
        if epochs(request).allSatisfy({ $0.listing?.isStrict ?? true }) {
            return fail("wrong version", "host \(host.number), strict", request)
        }
        // After a failure one request tries a host first; those that come together with it go elsewhere.
        if request.isProbe && ending.hadTrouble { return }
        if hasSpotlessHost(request, version: wanted) {
            fail("wrong version", "host \(host.number), though version \(Listing.versions[wanted]) is well", request)
        }
    }

    /// The version that it must get while that can serve; nil: any will do, or it changed meanwhile.
    private func wantedVersion(_ request: Request) -> Int? {
        if request.plan.version > 0 { return request.plan.version }
        let stable = Set(epochs(request).map { $0.listing?.stable ?? 0 })
        // Dubbo calls that ask for nothing go to hosts without a tag, if there are any.
        guard let only = stable.first, stable.count == 1, only > 0 else { return nil }
        return only
    }

    /// A host of the version that was listed all the time and never did anything wrong.
    private func hasSpotlessHost(_ request: Request, version: Int?) -> Bool {
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
        if request.isDoomed || drainedAt != nil { return }
        let allowed = allowedErrors(request)
        if allowed.contains(status) { return }
        let known = allowed.isEmpty ? "nothing was wrong" : "could be \(allowed.sorted())"
        fail("error without a cause", "\(status), \(known)", request)
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
            case .reset, .hangUp, .garbage, .cut, .stall, .upgrade: errors.formUnion([502, 503, 504])
            case .exhausted: errors.formUnion([503])
            }
        }
        if case .early? = request.seen.last?.reaction { return [] }
        let all = epochs(request)
        if all.isEmpty || all.contains(where: { !canServe(request, $0.listing) }) { errors.insert(503) }
        if !isRouted(request, throughout: true) { errors.formUnion([503, 404]) }
        if kernel.failedAt >= start { errors.insert(503) }
        if hasHostTrouble(request) { errors.formUnion([502, 503, 504]) }
        let waited = now - start + 10_000_000
        // The time for waiting to be told of a service's hosts is part of the timeout, which may be told with them.
        let shortest = all.compactMap { $0.listing?.timeoutMilliseconds }.min() ?? 0
        if !request.wasKnown && waited >= Int64(shortest) * 1_000_000 { errors.insert(504) }
        let mayBeSlow = !request.seen.isEmpty || plan.isHeldBack || request.lostTime > 0 || !request.wasKnown
        if waited >= timeout(request, start) && mayBeSlow {
            errors.formUnion([504, 408])
        }
        if waited >= Self.discoveryTimeout && !request.wasKnown { errors.insert(503) }
        if plan.isHeldBack && waited >= 300_000_000 { errors.formUnion([504, 408]) }
        return errors
    }

    private func canServe(_ request: Request, _ listing: Listing?) -> Bool {
        guard let listing else { return false }
        let usable = listing.entries.filter { $0.weight > 0 }
        let wanted = request.plan.version > 0 ? request.plan.version : listing.stable
        // A Dubbo call that asks for nothing may use hosts without a tag only, when strict.
        if plan.services[request.plan.service].kind == .dubbo && wanted == 0 && listing.isStrict {
            return usable.contains { $0.version == 0 }
        }
        return usable.contains { wanted == 0 || !listing.isStrict || $0.version == wanted }
    }

    /// Hosts did something that can end in an error: not so when a few refuse connections and another one is well.
    private func hasHostTrouble(_ request: Request) -> Bool {
        let listed = Set(epochs(request).flatMap { $0.listing?.entries.map(\.host) ?? [] })
        let faulty = listed.map { hosts[$0] }.filter { !$0.faults.isEmpty }
        if faulty.contains(where: { $0.faults.contains(.broken) }) { return true }
        if faulty.isEmpty { return false }
        return faulty.count > 2 || !hasSpotlessHost(request, version: wantedVersion(request))
    }

    // MARK: Calls without an answer

    /// Every one-way call that was wholly sent must have reached a host where nothing was wrong.
    func judgeOneWay() {
        for request in finished where request.plan.isOneWay && request.isSent && !request.isDoomed {
            if !request.wholeAt.isEmpty || drainedAt != nil || !shortages.isEmpty { continue }
            let start = request.startedAt ?? now
            let all = listings[request.plan.service].during(start, now)
            let isListed =
                request.wasKnown && all.allSatisfy { canServe(request, $0.listing) && $0.listing?.padding == 0 }
            let isWell = hosts.allSatisfy { $0.service != request.plan.service || $0.faults.isEmpty }
            if isListed && isWell { return fail("one-way call lost", "no host has seen it", request) }
        }
    }
}
