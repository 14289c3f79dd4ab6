import Balancing
import Codecs
import Runtime

// Another host for a request that was with one already.
extension Worker {
    /// A host that was asked will not answer. Another one is, when nothing of the request was handed to this one, or when it may
    /// be repeated.
    ///
    /// - Parameter mayReturn: this host may be that other one.
    mutating func takeBack<Codec: FramedCodec & ~Copyable>(
        _ framed: Framed<Codec>, _ request: UnsafeMutablePointer<FramedRequest>,
        _ upstream: UnsafeMutablePointer<FramedUpstream>, _ reason: String, mayReturn: Bool
    ) {
        if request.pointee.state.mirror == .copy { return endCopy(framed, request, .failed) }
        let endpoint = upstream.pointee.endpoint
        let host = endpoint.pointee.address.description
        if request.pointee.partner != nil {
            guard let last = loseTry(framed, request, upstream, mayReturn: mayReturn) else { return }
            return repeatOrEnd(framed, last, "\(host) closed while the request waited for its answer: \(reason)")
        }
        let isSent = request.pointee.position < upstream.pointee.sent
        if !isSent && request.pointee.frame.isEmpty { recover(framed, request, upstream) }
        leaveUpstream(framed, request)
        if !mayReturn { request.pointee.state.tried.insert(endpoint) }
        if isSent {
            return repeatOrEnd(framed, request, "\(host) closed while the request waited for its answer: \(reason)")
        }
        let frame = request.pointee.frame
        forward(
            framed, request, after: mayReturn ? .stale(.nothingSent) : .ended(.nothingSent), frame.bytes, frame.count,
            isRead: false, "\(host): \(reason)")
    }

    /// The connection to a host is gone that may have read the request.
    private mutating func repeatOrEnd<Codec: FramedCodec & ~Copyable>(
        _ framed: Framed<Codec>, _ request: UnsafeMutablePointer<FramedRequest>, _ reason: String
    ) {
        if case .attempt(let cause) = verdict(on: .ended(.sent(repetition(framed, request))), of: request.pointee.state)
        {
            let frame = request.pointee.frame
            if attempt(framed, request, frame.bytes, frame.count, isRead: false, cause) { return }
            framed.pointee.exhaustion = 0
        }
        answer(framed, request, .lost, "greymesh: the connection to " + reason)
    }

    /// Whether a request may be sent again that a host may have read. Its method is looked up only now.
    func repetition<Codec: FramedCodec & ~Copyable>(
        _ framed: Framed<Codec>, _ request: UnsafeMutablePointer<FramedRequest>
    ) -> Repetition {
        let frame = request.pointee.frame
        // A larger one may be here all the same: it has waited for the registries or for its connection.
        guard !frame.isEmpty, frame.count <= FramedBounds.replayedFrame, request.pointee.isTwoWay,
            let service = request.pointee.state.service,
            let head = Codec.head(frame.bytes, count: frame.count)
        else { return Repetition() }
        let rules = service.pointee.traffic.find(request.pointee.state.served)
        if rules.pointee.repeatableMethods.pointee.count == 0 { return Repetition() }
        guard case .named = framed.pointee.codec.read(frame.bytes, head), framed.pointee.codec.isReadable else {
            return Repetition()
        }
        return Repetition(
            isListed: rules.pointee.repeatableMethods.pointee.contains(framed.pointee.codec.method(frame.bytes)))
    }

    // MARK: Leaving a host that could go on

    /// Whether another host has the request, for this one has answered that it has not executed it, or with a status that the
    /// policy names.
    @inline(never)
    mutating func sendElsewhere<Codec: FramedCodec & ~Copyable>(
        _ framed: Framed<Codec>, _ request: UnsafeMutablePointer<FramedRequest>,
        _ upstream: UnsafeMutablePointer<FramedUpstream>, _ execution: Execution, code: Int32
    ) -> Bool {
        guard !request.pointee.frame.isEmpty, let service = request.pointee.state.service else { return false }
        let rules = service.pointee.traffic.find(request.pointee.state.served)
        let mayRepeat = rules.pointee.retries.names(code) && repetition(framed, request).isListed
        return moveOn(framed, request, upstream, after: .answered(execution, mayRepeat: mayRepeat))
    }

    /// Another host has the request instead of the one that has it now, when it shall and when there is one.
    ///
    /// - Returns: false: nothing has changed.
    private mutating func moveOn<Codec: FramedCodec & ~Copyable>(
        _ framed: Framed<Codec>, _ request: UnsafeMutablePointer<FramedRequest>,
        _ upstream: UnsafeMutablePointer<FramedUpstream>, after event: RequestEvent
    ) -> Bool {
        guard case .attempt(let cause?) = verdict(on: event, of: request.pointee.state) else { return false }
        let tried = request.pointee.state.tried
        let (terms, deadline) = (request.pointee.sentTerms, request.pointee.state.deadline)
        request.pointee.state.tried.insert(upstream.pointee.endpoint)
        let frame = request.pointee.frame
        let wasPending = request.pointee.limits.isPending
        request.pointee.limits.beginMove()
        let isDone = attempt(
            framed, request, frame.bytes, frame.count, isRead: false, cause, isUsable: true)
        request.pointee.limits.endMove(isDone: isDone, wasPending: wasPending)
        if isDone { return true }
        // What the host says is the answer, not why there is no other one.
        framed.pointee.exhaustion = 0
        request.pointee.state.tried = tried
        request.pointee.sentTerms = terms
        request.pointee.state.deadline = deadline
        return false
    }

    /// One try has taken as long as it may: another host is asked, or this one has the time that is left.
    mutating func endTry<Codec: FramedCodec & ~Copyable>(
        _ framed: Framed<Codec>, _ request: UnsafeMutablePointer<FramedRequest>,
        _ service: UnsafeMutablePointer<Service>
    ) {
        let rules = service.pointee.traffic.find(request.pointee.state.served)
        if request.pointee.partner != nil { return leaveFirst(framed, request) }
        guard let upstream = request.pointee.upstream else { return }
        if rules.pointee.retries.hedge > 0 && !request.pointee.state.isHedged {
            hedge(framed, request, upstream, service)
            return startTry(request, rules, after: rules.pointee.retries.hedge)
        }
        let place = request.pointee.position..<request.pointee.end
        let givenAt = request.pointee.state.givenAt
        let isSent = place.lowerBound < upstream.pointee.sent
        let event = RequestEvent.slow(isSent ? .sent(repetition(framed, request)) : .nothingSent)
        guard case .attempt = verdict(on: event, of: request.pointee.state) else { return start(request) }
        if !isSent && request.pointee.frame.isEmpty { recover(framed, request, upstream) }
        guard moveOn(framed, request, upstream, after: event) else { return start(request) }
        if upstream.pointee.connection.link.isClosed { return }
        noteTimeout(framed, upstream, since: givenAt)
        if !isSent { expire(place, upstream) }
    }
}
