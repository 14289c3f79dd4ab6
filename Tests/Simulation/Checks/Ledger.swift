// From a request's beginning to its end.
extension World {
    var tick: Int64 { plan.slowness == 0 ? 60_000_000 : 400_000_000 }
    private static var headTimeout: Int64 { 30_000_000_000 }
    /// A listener that found no descriptor tries again after a second, or the next time that something happens after it.
    var acceptPause: Int64 { 2_100_000_000 }

    /// Connections may wait to be accepted.
    var isShortOfDescriptors: Bool { now - kernel.failedAt < acceptPause + stoppedTime }

    /// Its turn has come and its head is sent.
    func begin(_ request: Request) {
        if request.startedAt != nil { return }
        request.startedAt = now
        request.wasKnown = listings[request.plan.service].isKnown(at: now)
        if let client = clients[request.client], client.isPaused || client.wasGivenUp { request.wasPaused = true }
        if let stoppedUntil { request.lostTime += stoppedUntil - now }
        open.append(request)
    }

    /// A host has read its head; returns what it does.
    func see(_ request: Request, at host: Host) -> Reaction {
        let reaction = request.nextReaction()
        if request.isCopy {
            request.seen.append((host.number, reaction))
            return reaction
        }
        let problem = problem(with: request, seenNowAt: host)
        checkEjected(request, at: host)
        request.seen.append((host.number, reaction))
        if let problem { fail("sent twice", "\(problem): host \(host.number)", request) }
        if let trespass = trespass(request) { fail("at a host", trespass, request) }
        if let crowding = crowding(at: host) { fail("over the limit", crowding, request) }
        host.answered += 1
        if request === inquiry?.request { inquiry?.touch(host.address) }
        return reaction
    }

    /// Nothing is begun to be sent for which nobody waits any more.
    func checkInTime(_ request: Request, sentAt time: Int64) {
        guard let start = request.headDoneAt, request.plan.timeoutMilliseconds > 0 else { return }
        let late = time - start - Int64(request.plan.timeoutMilliseconds) * 1_000_000 - request.lostTime
        if late > tick && kernel.failedAt + acceptPause < start {
            fail("sent too late", "\(late / 1_000_000) ms after its own deadline", request)
        }
    }

    func answerBegins(_ request: Request) { request.hasAnswer = true }

    func end(_ request: Request, _ outcome: Request.Outcome) {
        if !request.isOpen { return }
        request.outcome = outcome
        request.endedAt = now
        open.removeAll { $0 === request }
        finished.append(request)
        kernel.trace?("-- request \(request.number) of client \(request.client) ends: \(outcome)")
        judge(request, outcome)
    }

    /// It never got anywhere and nobody is to blame.
    func drop(_ request: Request) {
        if request.startedAt == nil {
            request.outcome = .given
            return
        }
        end(request, .given)
    }

    func endTunnel(_ request: Request) {
        let tunnel = request.tunnel
        let hasFaults = request.isDoomed || request.seen.contains { !hosts[$0.host].faults.isEmpty } || drainedAt != nil
        if tunnel.isClean && !hasFaults {
            if tunnel.atClient < tunnel.hostSize {
                fail("tunnel lost bytes", "\(tunnel.atClient) of \(tunnel.hostSize) reached the client", request)
            }
            let received = tunnel.hostSide.received
            if tunnel.hostSide.sawEnd && received < tunnel.clientSize {
                fail("tunnel lost bytes", "\(received) of \(tunnel.clientSize) reached the host", request)
            }
        } else if !tunnel.isClean && !hasFaults && request.plan.wantsUpgrade {
            fail("tunnel was reset", "neither side had", request)
        }
        end(request, .answered(status: 101, host: request.seen.last?.host))
    }

    // MARK: While it is open

    /// Nothing is ready, nobody can act, and the worker waits: every request must have a reason to wait, too.
    func checkQuiet() {
        for client in allClients where !client.isPaused && !client.isClosed {
            for request in client.waiting where request.isOpen && request.isSent && reasonToWait(request) == nil {
                return fail("stuck", "nothing is to happen any more but timeouts", request)
            }
        }
        checkConnections()
        if !isShortOfDescriptors, upgrade.nextTime == .max,
            allClients.contains(where: { ($0 as? FramedClient)?.isPingOpen == true })
        {
            return fail("heartbeat", "is not answered", nil)
        }
        for complaint in kernel.complaints { fail("descriptors", complaint, nil) }
    }

    func reasonToWait(_ request: Request) -> String? {
        if let reason = outerReasonToWait(request) {
            request.idle = nil
            return reason
        }
        if request.idle?.seen != request.seen.count { request.idle = (now, request.seen.count) }
        // Over HTTP requests wait for the one before them.
        let isHTTP = plan.services[request.plan.service].kind == .http
        return mayRest(isHTTP ? clients[request.client]?.waiting.first ?? request : request)
            ? "a wait before a further try" : nil
    }

    private func outerReasonToWait(_ request: Request) -> String? {
        let service = request.plan.service
        if request.isDoomed { return "doomed" }
        if request.holders > 0 { return "a host is in no hurry" }
        guard listings[service].isKnown(at: now) else { return "discovery" }
        if case .name = request.plan.target {} else if !isRouted(request, throughout: true) { return "not routed" }
        if isConnecting(to: service) { return "a connect" }
        // Over HTTP requests wait for the one before them.
        let first = plan.services[service].kind == .http ? clients[request.client]?.waiting.first : nil
        if isDelayed(first ?? request) { return "a delay" }
        for host in hosts where host.service == service {
            if host.mode == .hanging { return "a host hangs" }
            // What it says to others comes first on its connection.
            if host.connections.contains(where: { !$0.isClosed && $0.nextTime != nil }) { return "a host pauses" }
        }
        if isShortOfDescriptors { return "a listener pauses" }
        if upgrade.nextTime != .max { return "something is between two processes" }
        if !request.seen.isEmpty && request.plan.wantsUpgrade { return tunnelReason(request) }
        return nil
    }

    private func tunnelReason(_ request: Request) -> String? {
        request.tunnel.isClean ? nil : "a tunnel that is broken"
    }

    /// The time in which its answer must have begun.
    func checkDeadlines() {
        for request in open where !request.wasPaused && !request.isDoomed {
            guard let begin = request.startedAt, !request.hasAnswer else { continue }
            let pauses = 2 * acceptPause * Int64(shortages.count)
            // Its time begins when its head is whole, for which it has time as well.
            let start = max(begin, request.headDoneAt ?? begin)
            let time = request.headDoneAt == nil ? Self.headTimeout : timeout(request, start)
            let limit = time + request.lostTime + tick + pauses
            if now - start > limit {
                return fail(
                    "deadline", "no answer after \((now - start) / 1_000_000) ms of \(limit / 1_000_000)", request)
            }
        }
    }

    func timeout(_ request: Request, _ start: Int64) -> Int64 {
        let own = Int64(request.plan.timeoutMilliseconds) * 1_000_000
        if own > 0 { return own }
        let all = listings[request.plan.service].during(start, now)
        let longest = Int64(all.compactMap { $0.listing?.timeoutMilliseconds }.max() ?? 0) * 1_000_000
        let isTold = request.wasKnown && all.allSatisfy { $0.listing != nil } && isRouted(request, throughout: true)
        return longest + (isTold ? 0 : Self.discoveryTimeout)
    }

    /// Whether the names that it uses meant its service.
    func isRouted(_ request: Request, throughout: Bool) -> Bool {
        func matches(_ routes: Routes) -> Bool {
            switch request.plan.target {
            case .name: true
            case .alias: routes.hasAlias
            case .path: routes.hasPath
            }
        }
        if case .name = request.plan.target { return true }
        let start = request.headSentAt ?? now
        let end = request.endedAt ?? now
        var during: [Bool] = []
        for (index, epoch) in routes.enumerated() {
            let ended = index + 1 < routes.count ? routes[index + 1].takenAt ?? .max : .max
            if epoch.postedAt <= end && ended >= start { during.append(matches(epoch.routes)) }
        }
        if (routes.first?.takenAt ?? .max) > start { during.append(false) }
        return throughout ? !during.contains(false) : during.contains(true)
    }
}
