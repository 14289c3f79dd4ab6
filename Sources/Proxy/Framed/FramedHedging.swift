import Balancing
import Codecs
import Runtime

// A second host beside one that does not answer. The second try has a record of its own, `partner`, with its own id, place in the
// stream and time; the request's record stays the one that the downstream knows. The answer that can be passed on makes its try the
// request's, the other one is dropped: a host's late answer finds no record.
//
// | what happens to one try | the other one |
// |---|---|
// | an answer that can be passed on, or one too long | is dropped |
// | an answer with a status that the policy names, "not executed", a failure | goes on alone |
// | it is too slow (`per_try_timeout`, the first one) | goes on alone, with the time that is left |
// | the downstream goes, the time is over | is dropped |
extension Worker {
    /// Asks another host as well, when that may be and there is one of the same version.
    mutating func hedge<Codec: FramedCodec & ~Copyable>(
        _ framed: Framed<Codec>, _ request: UnsafeMutablePointer<FramedRequest>,
        _ upstream: UnsafeMutablePointer<FramedUpstream>, _ service: UnsafeMutablePointer<Service>
    ) {
        request.pointee.state.isHedged = true
        let event = RequestEvent.overdue(repetition(framed, request))
        guard case .attempt(let cause?) = verdict(on: event, of: request.pointee.state),
            let second = secondTry(framed, request, upstream, service)
        else { return }
        guard let choice = choose(service, second, isUsable: true),
            choice.cluster.pointee.version == request.pointee.state.served,
            request.pointee.limits.beginDouble(service.pointee.traffic.find(request.pointee.state.served)),
            let other = secondUpstream(framed, request, service, choice)
        else { return drop(framed, second) }
        service.pointee.furtherTries.begin(cause, of: &request.pointee.state)
        beginTally(&second.pointee.state, choice.member)
        second.pointee.state.givenAt = now
        choice.member.pointee.endpoint.pointee.take(now: now, timeout: settings.limits.connectTimeout)
        second.pointee.state.served = choice.cluster.pointee.version
        second.pointee.sentVersion = Int(choice.cluster.pointee.interfaceVersion)
        let frame = request.pointee.frame
        enqueue(framed, second, other, frame.bytes, frame.count, isRead: false)
    }

    /// A record for it, as far as no host is chosen. Nil: there is none left.
    private mutating func secondTry<Codec: FramedCodec & ~Copyable>(
        _ framed: Framed<Codec>, _ request: UnsafeMutablePointer<FramedRequest>,
        _ upstream: UnsafeMutablePointer<FramedUpstream>, _ service: UnsafeMutablePointer<Service>
    ) -> UnsafeMutablePointer<FramedRequest>? {
        guard let second = framed.pointee.requests.take() else { return nil }
        second.pointee.isHedge = true
        second.pointee.partner = request
        request.pointee.partner = second
        second.pointee.form = request.pointee.form
        second.pointee.state.service = service
        second.pointee.state.asked = request.pointee.state.asked
        second.pointee.state.tried = request.pointee.state.tried
        second.pointee.state.tried.insert(upstream.pointee.endpoint)
        second.pointee.state.started = request.pointee.state.started
        second.pointee.state.deadline = request.pointee.state.deadline
        second.pointee.frameVersion = request.pointee.frameVersion
        second.pointee.isAdapted = request.pointee.isAdapted
        second.pointee.frameTerms = request.pointee.frameTerms
        second.pointee.sentTerms = request.pointee.frameTerms
        second.pointee.groups = request.pointee.groups
        return second
    }

    /// The second host's connection. Where a circuit breaker counts connections, only one that is open already.
    private mutating func secondUpstream<Codec: FramedCodec & ~Copyable>(
        _ framed: Framed<Codec>, _ request: UnsafeMutablePointer<FramedRequest>,
        _ service: UnsafeMutablePointer<Service>, _ choice: Choice
    ) -> UnsafeMutablePointer<FramedUpstream>? {
        let lane = request.pointee.form.lane
        let isCounted = request.pointee.limits.place != nil
        if isCounted && !hasOpenConnection(choice.member.pointee.endpoint, lane) { return nil }
        let other = upstream(framed, of: choice.member, service, lane: lane)
        framed.pointee.exhaustion = 0
        return other
    }

    // MARK: What happens to one of both

    /// One of both hosts has answered. Nil: its answer is not wanted, and the other one has the request.
    @inline(never)
    mutating func answerTry<Codec: FramedCodec & ~Copyable>(
        _ framed: Framed<Codec>, _ one: UnsafeMutablePointer<FramedRequest>,
        _ upstream: UnsafeMutablePointer<FramedUpstream>, _ execution: Execution, code: Int32
    ) -> UnsafeMutablePointer<FramedRequest>? {
        guard let service = one.pointee.state.service, let partner = one.pointee.partner else { return nil }
        let rules = service.pointee.traffic.find(one.pointee.state.served)
        let isWanted = execution == .possible && !rules.pointee.retries.names(code)
        if isWanted || partner.pointee.upstream == nil { return winTry(framed, one) }
        noteAnswer(one.pointee.state, RequestLimits(), status: code, execution)
        _ = loseTry(framed, one, upstream, mayReturn: false)
        return nil
    }

    /// This try is the request's, and the other one is dropped. Returns the request's record.
    @inline(never)
    mutating func winTry<Codec: FramedCodec & ~Copyable>(
        _ framed: Framed<Codec>, _ one: UnsafeMutablePointer<FramedRequest>
    ) -> UnsafeMutablePointer<FramedRequest> {
        guard let partner = one.pointee.partner else { return one }
        if !one.pointee.isHedge {
            endHedge(framed, one)
            return one
        }
        if let first = partner.pointee.upstream {
            partner.pointee.state.tried.insert(first.pointee.endpoint)
            expireUnsent(partner, first)
            // As slow as one whose try is over.
            noteTimeout(framed, first, since: partner.pointee.state.givenAt)
            leaveUpstream(framed, partner)
        }
        takePlace(framed, of: partner)
        return partner
    }

    /// The request has the place of its second try at that host. The host is done with it, or the request ends now: further answers
    /// would not find it.
    mutating func takePlace<Codec: FramedCodec & ~Copyable>(
        _ framed: Framed<Codec>, of request: UnsafeMutablePointer<FramedRequest>
    ) {
        guard let second = request.pointee.partner, let upstream = second.pointee.upstream else { return }
        upstream.pointee.requests.remove(second)
        upstream.pointee.requests.append(request)
        request.pointee.upstream = upstream
        (request.pointee.position, request.pointee.end) = (second.pointee.position, second.pointee.end)
        request.pointee.state.current = second.pointee.state.current
        second.pointee.state.current = TryState()
        request.pointee.sentVersion = second.pointee.sentVersion
        request.pointee.sentTerms = second.pointee.sentTerms
        second.pointee.upstream = nil
        drop(framed, second)
    }

    /// One of both tries has failed, or is given up.
    ///
    /// - Returns: the request, when no host has it any more; nil: the other one goes on.
    mutating func loseTry<Codec: FramedCodec & ~Copyable>(
        _ framed: Framed<Codec>, _ one: UnsafeMutablePointer<FramedRequest>,
        _ upstream: UnsafeMutablePointer<FramedUpstream>, mayReturn: Bool
    ) -> UnsafeMutablePointer<FramedRequest>? {
        guard let partner = one.pointee.partner else { return nil }
        let request = one.pointee.isHedge ? partner : one
        if !mayReturn { request.pointee.state.tried.insert(upstream.pointee.endpoint) }
        if one.pointee.isHedge {
            drop(framed, one)
        } else {
            expireUnsent(request, upstream)
            leaveUpstream(framed, request)
        }
        return request.pointee.upstream == nil && request.pointee.partner == nil ? request : nil
    }

    /// The first of both hosts has taken as long as one may; the second one has the time that is left.
    mutating func leaveFirst<Codec: FramedCodec & ~Copyable>(
        _ framed: Framed<Codec>, _ request: UnsafeMutablePointer<FramedRequest>
    ) {
        if let first = request.pointee.upstream {
            tallyFailure(request.pointee.state)
            noteTimeout(framed, first, since: request.pointee.state.givenAt)
            _ = loseTry(framed, request, first, mayReturn: false)
        }
        start(request)
    }

    /// The request ends, or its first host has answered: the second one is not waited for.
    @inline(never)
    mutating func endHedge<Codec: FramedCodec & ~Copyable>(
        _ framed: Framed<Codec>, _ request: UnsafeMutablePointer<FramedRequest>
    ) {
        guard let second = request.pointee.partner else { return }
        if let upstream = second.pointee.upstream {
            request.pointee.state.tried.insert(upstream.pointee.endpoint)
        }
        drop(framed, second)
    }

    /// Gives the record of a second try back.
    private mutating func drop<Codec: FramedCodec & ~Copyable>(
        _ framed: Framed<Codec>, _ second: UnsafeMutablePointer<FramedRequest>
    ) {
        if let upstream = second.pointee.upstream {
            expireUnsent(second, upstream)
            leaveUpstream(framed, second)
        }
        letGo(framed, second)
        second.pointee.partner?.pointee.limits.endDouble()
        second.pointee.partner?.pointee.partner = nil
        second.pointee.partner = nil
        second.pointee.isHedge = false
        second.pointee.state.service = nil
        framed.pointee.requests.put(second)
    }
}
