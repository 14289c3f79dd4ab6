import Model

// Copies of requests: hosts of the version that is to get them may see one of each request, after a host had the request itself.
extension World {
    private static var replayedBytes: Int { 65_536 }

    private func listingsSince(_ request: Request) -> [Listing] {
        listings[request.plan.service].during(request.headSentAt ?? now, now).compactMap(\.listing)
    }

    /// The host may get a copy of it.
    private func mayGetCopy(of request: Request, _ host: Host) -> Bool {
        let all = listingsSince(request)
        let targets = Set(all.compactMap(\.mirror.version))
        return all.contains { listing in
            listing.entries.contains {
                $0.host == host.number && $0.weight > 0 && targets.contains(Listing.versions[$0.version])
            }
        }
    }

    /// A host has got a copy.
    func copy(of request: Request, at host: Host) -> Request {
        let copy = Request(number: request.number, plan: request.plan, client: request.client)
        copy.isCopy = true
        if let problem = problem(withCopyOf: request, at: host) {
            fail("a copy", "host \(host.number): \(problem)", request)
        }
        request.copy = copy
        return copy
    }

    private func problem(withCopyOf request: Request, at host: Host) -> String? {
        if request.copy != nil { return "it is the second one" }
        if !mayGetCopy(of: request, host) { return "it is not to get any" }
        if request.plan.bodySize > Self.replayedBytes { return "it is too large" }
        if request.plan.wantsUpgrade { return "it is for another protocol" }
        // A host that hangs has it and has not read it.
        let isUnread = hosts.contains { $0.service == request.plan.service && $0.faults.contains(.broken) }
        return request.seen.isEmpty && !isUnread && !request.plan.isOneWay ? "no host has had the request" : nil
    }

    /// What a host of a multiplexed protocol has got: the request, or its copy, which has another id. Of the two the copy may come first,
    /// when the other one is at a host that hangs.
    func incoming(_ request: Request, id: Int64, at host: Host) -> Request {
        if let known = request.workersID, known != id {
            if request.copy == nil, let first = request.seen.first?.host, request.seen.count == 1,
                !mayGetCopy(of: request, host), mayGetCopy(of: request, hosts[first])
            {
                swapRoles(request, hosts[first], known)
            } else if mayBeHedged(request), !mayGetCopy(of: request, host) {
                // A second try has an id of its own, too, and goes to the version that the first one went to.
                request.workersID = id
                return request
            } else {
                let copy = copy(of: request, at: host)
                copy.workersID = id
                return copy
            }
        }
        request.workersID = id
        return request
    }

    /// What was taken for the request was its copy.
    private func swapRoles(_ request: Request, _ host: Host, _ id: Int64) {
        let seen = request.seen
        let copy = copy(of: request, at: host)
        copy.seen = seen
        copy.workersID = id
        request.seen = []
    }

    /// Everything has ended: what had to be copied was.
    func judgeCopies() {
        // A process that goes drops its copies.
        if drainedAt != nil || !shortages.isEmpty || !upgrade.reports.isEmpty { return }
        for request in finished where request.copy == nil && mustBeCopied(request) && !mayBeCrowdedOut(request) {
            return fail("no copy", "none has come to a host", request)
        }
    }

    /// Copies are dropped where much waits on a connection that others share.
    private func mayBeCrowdedOut(_ copied: Request) -> Bool {
        plan.services[copied.plan.service].kind != .http
            && requests.values.contains { $0.plan.service == copied.plan.service && $0.plan.bodySize > 10_000 }
    }

    private func mustBeCopied(_ request: Request) -> Bool {
        guard case .answered(_, let server?)? = request.outcome, request.seen.count == 1,
            case .answer? = request.seen.first?.reaction,
            !request.isDoomed, !request.wasPaused, request.lostTime == 0, !request.plan.wantsUpgrade,
            request.plan.bodySize < 10_000
        else { return false }
        let epochs = listings[request.plan.service].during(request.headSentAt ?? now, now)
        guard epochs.count == 1, let listing = epochs.first?.listing, let version = listing.mirror.version,
            listing.mirror.share == FaultPolicy.all, listing.padding == 0,
            let target = Listing.versions.firstIndex(of: version)
        else { return false }
        let isServed = listing.entries.contains { $0.host == server && $0.version == target }
        let others = listing.entries.filter { $0.version == target && $0.weight > 0 }
        return !isServed && !others.isEmpty && others.allSatisfy { hosts[$0.host].faults.isEmpty }
    }
}
