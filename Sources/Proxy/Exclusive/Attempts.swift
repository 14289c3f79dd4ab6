import Balancing
import Runtime

// A request's way to a host, second part: host, connection, and what becomes of the request when that fails.
extension Worker {
    /// Does what is decided about a request after an event.
    ///
    /// - Parameter text: what an answer of our own says; nil: what it says in general.
    @inline(__always)
    mutating func forward(
        _ downstream: UnsafeMutablePointer<ExclusiveDownstream>, after event: RequestEvent, _ text: StaticString? = nil
    ) {
        var verdict = verdict(on: event, of: downstream.pointee.exchange.state)
        if case .attempt(let cause) = verdict {
            if attempt(downstream, cause) { return }
            verdict = self.verdict(on: event, of: downstream.pointee.exchange.state, isHostLeft: false)
        }
        end(downstream, verdict, text)
    }

    private mutating func end(
        _ downstream: UnsafeMutablePointer<ExclusiveDownstream>, _ verdict: Verdict, _ text: StaticString?
    ) {
        switch verdict {
        case .answer(.noHost): answerNoHost(downstream)
        case .answer(.undiscovered): answerUndiscovered(downstream)
        case .answer(let answer): self.answer(downstream, answer, text ?? answer.text)
        case .cut: cut(downstream)
        case .attempt, .pass, .wait: break
        }
    }

    /// Sends the request to a host: the first time, or again. False: there is no host, or none that was not tried.
    @inline(__always)
    private mutating func attempt(
        _ downstream: UnsafeMutablePointer<ExclusiveDownstream>, _ cause: RetryCause?
    ) -> Bool {
        guard let service = downstream.pointee.exchange.state.service else { return false }
        guard
            let choice = choose(
                service, downstream.pointee.exchange.state.asked, tried: downstream.pointee.exchange.state.tried)
        else { return cause == nil && denyUnserved(downstream, service) }
        downstream.pointee.exchange.state.served = choice.cluster.pointee.version
        if service.pointee.traffic.versionCount > 0 && !takesTime(downstream, service) { return false }
        let rules = service.pointee.traffic.find(downstream.pointee.exchange.state.served)
        if let cause, rests(downstream, rules, cause) { return true }
        if rules.pointee.isGuarded || cause != nil, let isDone = stop(downstream, service, rules, cause) {
            return isDone
        }
        if let cause { service.pointee.furtherTries.begin(cause, of: &downstream.pointee.exchange.state) }
        let endpoint = choice.member.pointee.endpoint
        let upstream: UnsafeMutablePointer<ExclusiveUpstream>
        do throws(NoConnection) {
            upstream = try connection(to: endpoint, for: downstream, of: choice.origin)
        } catch {
            switch error {
            case .failed(let error): notConnected(downstream, choice.member, service, error.code)
            case .limited(let reason): return refuse(downstream, service, Refusal(reason: reason), cause)
            }
            return true
        }
        begin(downstream, service, upstream, choice.member)
        return true
    }

    /// Whether the request waits now before a further try.
    @inline(never)
    private mutating func rests(
        _ downstream: UnsafeMutablePointer<ExclusiveDownstream>, _ rules: UnsafePointer<TrafficRules>,
        _ cause: RetryCause
    ) -> Bool {
        guard let end = pause(before: cause, &downstream.pointee.exchange.state, rules) else { return false }
        delay(downstream, until: end)
        return true
    }

    /// Does what keeps the request from its host. Nil: nothing does; false: what has happened at the one before is the answer.
    @inline(never)
    private mutating func stop(
        _ downstream: UnsafeMutablePointer<ExclusiveDownstream>, _ service: UnsafeMutablePointer<Service>,
        _ rules: UnsafePointer<TrafficRules>, _ cause: RetryCause?
    ) -> Bool? {
        let hindrance = hindrance(
            &downstream.pointee.exchange.state, &downstream.pointee.exchange.limits, rules,
            from: downstream.pointee.client, isFirst: cause == nil)
        switch hindrance {
        case nil: return nil
        case .refused(let refusal): return refuse(downstream, service, refusal, cause)
        case .aborted(let status): abort(downstream, service, status)
        case .delayed(let time):
            service.pointee.metrics.count(.delay, downstream.pointee.exchange.state.served)
            delay(downstream, until: time)
        }
        return true
    }

    /// No host can serve the request. False: nor has its client no access.
    @inline(never)
    private mutating func denyUnserved(
        _ downstream: UnsafeMutablePointer<ExclusiveDownstream>, _ service: UnsafeMutablePointer<Service>
    ) -> Bool {
        if !isDenied(service, downstream.pointee.client) { return false }
        downstream.pointee.exchange.state.served = ServiceMetrics.nobody
        return refuse(downstream, service, Refusal(reason: .denied), nil)
    }

    /// The request is refused. False: what has happened at the host before is the answer.
    @inline(never)
    private mutating func refuse(
        _ downstream: UnsafeMutablePointer<ExclusiveDownstream>, _ service: UnsafeMutablePointer<Service>,
        _ refusal: Refusal, _ cause: RetryCause?
    ) -> Bool {
        service.pointee.metrics.countRefusal(downstream.pointee.exchange.state.served, refusal.reason)
        if let cause, cause != .connect { return false }
        answer(downstream, refusal)
        return true
    }

    /// The request has the time of the version that serves it now. False: that is over.
    @inline(never)
    private func takesTime(
        _ downstream: UnsafeMutablePointer<ExclusiveDownstream>, _ service: UnsafeMutablePointer<Service>
    ) -> Bool {
        let rules = service.pointee.traffic.find(downstream.pointee.exchange.state.served)
        downstream.pointee.exchange.state.deadline = downstream.pointee.exchange.headAt + rules.pointee.timeout
        return now < downstream.pointee.exchange.state.deadline
    }

    /// The request is with a host from now on.
    @inline(__always)
    mutating func begin(
        _ downstream: UnsafeMutablePointer<ExclusiveDownstream>, _ service: UnsafeMutablePointer<Service>,
        _ upstream: UnsafeMutablePointer<ExclusiveUpstream>, _ member: UnsafeMutablePointer<Member>
    ) {
        beginTally(&downstream.pointee.exchange.state, member)
        upstream.pointee.endpoint.pointee.take(now: now, timeout: settings.limits.connectTimeout)
        downstream.pointee.exchange.upstream = upstream
        upstream.pointee.downstream = downstream
        upstream.pointee.uses &+= 1
        downstream.pointee.exchange.state.givenAt = now
        let rules = service.pointee.traffic.find(downstream.pointee.exchange.state.served)
        if rules.pointee.retries.hasTryTime || downstream.pointee.exchange.tryDeadline != .max {
            beginTryTime(downstream, service)
        }
        if upstream.pointee.phase != .connecting { sendRequest(upstream, downstream) }
    }

    /// The time for one try begins; with a policy that has changed meanwhile there may be none any more.
    mutating func beginTryTime(
        _ downstream: UnsafeMutablePointer<ExclusiveDownstream>, _ service: UnsafeMutablePointer<Service>
    ) {
        let rules = service.pointee.traffic.find(downstream.pointee.exchange.state.served)
        downstream.pointee.exchange.tryDeadline = tryEnd(of: downstream.pointee.exchange.state, rules)
    }

    // MARK: Failing

    /// The connection that was begun for a request has failed.
    mutating func connectFailed(_ upstream: UnsafeMutablePointer<ExclusiveUpstream>, _ error: Int32) {
        guard let downstream = upstream.pointee.downstream else { return close(upstream) }
        let outcome = Outcome(error: error)
        lose(upstream, downstream, Self.event(of: outcome), outcome, Self.connectReason(error))
    }

    /// The connection could not even be begun.
    @inline(never)
    private mutating func notConnected(
        _ downstream: UnsafeMutablePointer<ExclusiveDownstream>, _ member: UnsafeMutablePointer<Member>,
        _ service: UnsafeMutablePointer<Service>, _ error: Int32
    ) {
        noteUnconnected(member, service, error)
        downstream.pointee.exchange.state.tried.insert(member.pointee.endpoint)
        retry(downstream, after: Self.event(of: Outcome(error: error)), nil)
    }

    /// Notes that a connection to a host could not even be begun.
    mutating func noteUnconnected(
        _ member: UnsafeMutablePointer<Member>, _ service: UnsafeMutablePointer<Service>, _ error: Int32
    ) {
        let outcome = Outcome(error: error)
        blame(outcome, member.pointee.endpoint, Self.connectReason(error))
        if outcome.isOfHost { tallyFailure(of: member, service) }
    }

    private static func event(of outcome: Outcome) -> RequestEvent {
        outcome == .ours ? .exhausted : .ended(.nothingSent)
    }

    private static func connectReason(_ error: Int32) -> String { "connect: " + SystemError.text(of: error) }

    /// A request's connection is of no use any more: it was not made, has ended, or what came is no response.
    ///
    /// - Parameters:
    ///   - event: `stale`: the host is not at fault, and may get the request again.
    ///   - text: what an answer of our own says; nil: what it says in general.
    mutating func lose(
        _ upstream: UnsafeMutablePointer<ExclusiveUpstream>, _ downstream: UnsafeMutablePointer<ExclusiveDownstream>,
        _ event: RequestEvent, _ outcome: Outcome, _ reason: String, text: StaticString? = nil
    ) {
        if downstream.pointee.exchange.state.mirror.concernsEnd, endsCopy(downstream, after: event) { return }
        let endpoint = upstream.pointee.endpoint
        if case .stale = event {} else if outcome.isOfHost { tallyFailure(downstream.pointee.exchange.state) }
        detach(upstream, from: downstream)
        // Before the connection is closed: the last one may free the endpoint.
        if case .stale = event {
            downstream.pointee.exchange.avoidsPool = true
        } else {
            blame(outcome, endpoint, reason)
            downstream.pointee.exchange.state.tried.insert(endpoint)
        }
        close(upstream)
        if downstream.pointee.exchange.hedge != nil { return goOn(downstream) }
        retry(downstream, after: event, text)
    }

    @inline(never)
    private mutating func retry(
        _ downstream: UnsafeMutablePointer<ExclusiveDownstream>, after event: RequestEvent, _ text: StaticString?
    ) {
        downstream.pointee.exchange.limits.endPending()
        if downstream.pointee.exchange.isReplayable { downstream.pointee.exchange.request.rewind() }
        forward(downstream, after: event, text)
    }

    /// How far a request has come with its host.
    func progress(_ downstream: UnsafeMutablePointer<ExclusiveDownstream>) -> RequestEvent.Progress {
        if downstream.pointee.exchange.isResponding { return .answering }
        let isReplayable = downstream.pointee.exchange.isReplayable
        if isReplayable && downstream.pointee.exchange.request.start == 0 { return .nothingSent }
        return .sent(repetition(downstream))
    }

    /// Whether a request may be sent again that a host may have read.
    func repetition(_ downstream: UnsafeMutablePointer<ExclusiveDownstream>) -> Repetition {
        guard downstream.pointee.exchange.isReplayable, !downstream.pointee.exchange.hasInterim,
            let service = downstream.pointee.exchange.state.service
        else { return Repetition() }
        let method = downstream.pointee.exchange.method
        let rules = service.pointee.traffic.find(downstream.pointee.exchange.state.served)
        return Repetition(
            isListed: rules.pointee.retries.mayRepeat(method),
            isIdempotent: downstream.pointee.exchange.method.isIdempotent)
    }
}

// A host is left although it could go on: only when there is another one that can be asked.
extension Worker {
    /// Another host has the request instead of the one that has it now, when it shall and when there is one.
    ///
    /// - Parameter mayKeep: the connection can be used again.
    /// - Returns: false: nothing has changed.
    mutating func moveOn(
        _ upstream: UnsafeMutablePointer<ExclusiveUpstream>, _ downstream: UnsafeMutablePointer<ExclusiveDownstream>,
        after event: RequestEvent, mayKeep: Bool = false
    ) -> Bool {
        if downstream.pointee.exchange.hedge != nil {
            leave(upstream, downstream, after: event, mayKeep: mayKeep)
            return true
        }
        guard case .attempt(let cause?) = verdict(on: event, of: downstream.pointee.exchange.state),
            let service = downstream.pointee.exchange.state.service
        else { return false }
        let state = downstream.pointee.exchange.state
        downstream.pointee.exchange.state.tried.insert(upstream.pointee.endpoint)
        if leavesForLater(upstream, downstream, service, cause, mayKeep: mayKeep) { return true }
        let wasPending = downstream.pointee.exchange.limits.isPending
        downstream.pointee.exchange.limits.beginMove()
        let other = otherConnection(downstream, service)
        downstream.pointee.exchange.limits.endMove(isDone: other != nil, wasPending: wasPending)
        guard let next = other else {
            downstream.pointee.exchange.state.tried = state.tried
            downstream.pointee.exchange.state.served = state.served
            downstream.pointee.exchange.state.deadline = state.deadline
            return false
        }
        service.pointee.furtherTries.begin(cause, of: &downstream.pointee.exchange.state)
        if case .slow = event { tallyFailure(downstream.pointee.exchange.state) }
        detach(upstream, from: downstream)
        if next.upstream.pointee.phase != .connecting { downstream.pointee.exchange.limits.endPending() }
        // Before the connection is closed: the last one may free the endpoint.
        if case .slow = event { noteTimeout(upstream.pointee.endpoint, since: state.givenAt) }
        if mayKeep { putBack(upstream) } else { close(upstream) }
        downstream.pointee.exchange.request.rewind()
        begin(downstream, service, next.upstream, next.member)
        return true
    }

    /// Whether the request has left a host, whose answer is dropped, and waits before a further try. False: that need not be, or there is
    /// no host to wait for.
    private mutating func leavesForLater(
        _ upstream: UnsafeMutablePointer<ExclusiveUpstream>, _ downstream: UnsafeMutablePointer<ExclusiveDownstream>,
        _ service: UnsafeMutablePointer<Service>, _ cause: RetryCause, mayKeep: Bool
    ) -> Bool {
        if downstream.pointee.exchange.state.tried.count < 2 { return false }
        guard
            let choice = choose(
                service, downstream.pointee.exchange.state.asked, tried: downstream.pointee.exchange.state.tried,
                isUsable: true)
        else { return false }
        let rules = service.pointee.traffic.find(choice.cluster.pointee.version)
        if !rests(downstream, rules, cause) { return false }
        detach(upstream, from: downstream)
        if mayKeep { putBack(upstream) } else { close(upstream) }
        downstream.pointee.exchange.request.rewind()
        return true
    }

    /// A connection to a host that was not tried, made or begun.
    private mutating func otherConnection(
        _ downstream: UnsafeMutablePointer<ExclusiveDownstream>, _ service: UnsafeMutablePointer<Service>
    ) -> (upstream: UnsafeMutablePointer<ExclusiveUpstream>, member: UnsafeMutablePointer<Member>)? {
        let attempts = service.pointee.traffic.find(downstream.pointee.exchange.state.served).pointee.retries.attempts
        while downstream.pointee.exchange.state.tried.count <= attempts {
            guard
                let choice = choose(
                    service, downstream.pointee.exchange.state.asked, tried: downstream.pointee.exchange.state.tried,
                    isUsable: true)
            else { return nil }
            let endpoint = choice.member.pointee.endpoint
            downstream.pointee.exchange.state.served = choice.cluster.pointee.version
            if service.pointee.traffic.versionCount > 0 && !takesTime(downstream, service) { return nil }
            let rules = service.pointee.traffic.find(downstream.pointee.exchange.state.served)
            if case .refused(let refusal)? = hindrance(
                &downstream.pointee.exchange.state, &downstream.pointee.exchange.limits, rules,
                from: downstream.pointee.client, isFirst: false)
            {
                service.pointee.metrics.countRefusal(downstream.pointee.exchange.state.served, refusal.reason)
                return nil
            }
            do throws(NoConnection) {
                return (try connection(to: endpoint, for: downstream, of: choice.origin), choice.member)
            } catch {
                switch error {
                case .failed(let error): noteUnconnected(choice.member, service, error.code)
                case .limited(let reason):
                    service.pointee.metrics.countRefusal(downstream.pointee.exchange.state.served, reason)
                    return nil
                }
                downstream.pointee.exchange.state.tried.insert(endpoint)
            }
        }
        return nil
    }

    /// One try has taken as long as it may: another host is asked, or this one has the time that is left.
    mutating func endTry(
        _ downstream: UnsafeMutablePointer<ExclusiveDownstream>, _ upstream: UnsafeMutablePointer<ExclusiveUpstream>
    ) {
        guard let service = downstream.pointee.exchange.state.service else { return }
        let rules = service.pointee.traffic.find(downstream.pointee.exchange.state.served)
        if rules.pointee.retries.hedge > 0 && !downstream.pointee.exchange.state.isHedged {
            hedge(downstream, upstream, service)
            downstream.pointee.exchange.tryDeadline = tryEnd(
                of: downstream.pointee.exchange.state, rules, after: rules.pointee.retries.hedge)
            return
        }
        if downstream.pointee.exchange.hedge != nil {
            leaveFirst(downstream)
        } else if moveOn(upstream, downstream, after: .slow(progress(downstream))) {
            return
        }
        downstream.pointee.exchange.tryDeadline = .max
    }
}
