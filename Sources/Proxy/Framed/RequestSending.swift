import Balancing
import Codecs
import Runtime

// A request's way to a host, second part: version, host, connection.
extension Worker {
    /// From now on the request has its own deadline.
    @inline(__always)
    mutating func start(_ request: UnsafeMutablePointer<FramedRequest>) {
        wheel.set(request.timer, deadline: request.pointee.state.deadline)
    }

    /// Does what is decided about a request after an event.
    ///
    /// - Parameters:
    ///   - frame: the request as it came.
    ///   - isRead: it was read last.
    ///   - reason: what has failed, in words.
    @inline(__always)
    mutating func forward<Codec: FramedCodec & ~Copyable>(
        _ framed: Framed<Codec>, _ request: UnsafeMutablePointer<FramedRequest>, after event: RequestEvent,
        _ frame: UnsafeMutablePointer<UInt8>, _ count: Int, isRead: Bool, _ reason: String = ""
    ) {
        if case .attempt(let cause) = verdict(on: event, of: request.pointee.state),
            attempt(framed, request, frame, count, isRead: isRead, cause)
        {
            return
        }
        giveUp(framed, request, after: event, frame, count, reason)
    }

    /// No host is left for a request, or no time.
    private mutating func giveUp<Codec: FramedCodec & ~Copyable>(
        _ framed: Framed<Codec>, _ request: UnsafeMutablePointer<FramedRequest>, after event: RequestEvent,
        _ frame: UnsafeMutablePointer<UInt8>, _ count: Int, _ reason: String
    ) {
        var event = event
        if case .ready = event, request.pointee.state.tried.count > 0 { event = .ended(.nothingSent) }
        if framed.pointee.exhaustion != 0 { event = .exhausted }
        guard case .answer(let answer) = verdict(on: event, of: request.pointee.state, isHostLeft: false) else {
            return
        }
        let text = text(of: answer, framed, request, frame, count, reason)
        framed.pointee.exhaustion = 0
        self.answer(framed, request, answer, text)
    }

    /// Sends the request to a host. False: no host may or can serve.
    ///
    /// - Parameters:
    ///   - cause: why to a further one; nil: to its first.
    ///   - isUsable: not to one that is left alone after failures.
    @inline(__always)
    mutating func attempt<Codec: FramedCodec & ~Copyable>(
        _ framed: Framed<Codec>, _ request: UnsafeMutablePointer<FramedRequest>, _ frame: UnsafeMutablePointer<UInt8>,
        _ count: Int, isRead: Bool, _ cause: RetryCause?, isUsable: Bool = false
    ) -> Bool {
        guard let service = request.pointee.state.service else { return false }
        guard let choice = choose(service, request, isUsable: isUsable) else {
            return cause == nil && denyUnserved(framed, request, service)
        }
        let endpoint = choice.member.pointee.endpoint
        let rules = service.pointee.traffic.find(choice.cluster.pointee.version)
        let hasVersions = service.pointee.traffic.versionCount > 0
        if hasVersions && !takesTime(request, rules) { return false }
        if let cause, rests(framed, request, frame, count, rules, cause) { return true }
        if rules.pointee.isGuarded || cause != nil,
            let isDone = stop(framed, request, frame, count, choice, rules, cause)
        {
            return isDone
        }
        var limit: RefusalReason?
        let upstream =
            request.pointee.limits.place == nil
            ? upstream(framed, of: choice.member, service, lane: request.pointee.form.lane)
            : upstream(framed, of: choice.member, service, for: request, rules, &limit)
        guard let upstream else {
            if let limit { return refuse(framed, request, choice, Refusal(reason: limit), cause) }
            request.pointee.state.tried.insert(endpoint)
            return attemptAgain(framed, request, frame, count, rules, cause ?? .connect, isUsable: isUsable)
        }
        if let cause {
            service.pointee.furtherTries.begin(cause, of: &request.pointee.state)
            // Only now, when there is another one, it leaves the host that it is with.
            if cause == .timeout { tallyFailure(request.pointee.state) }
            leaveUpstream(framed, request)
        }
        beginTally(&request.pointee.state, choice.member)
        request.pointee.state.givenAt = now
        endpoint.pointee.take(now: now, timeout: settings.limits.connectTimeout)
        request.pointee.state.served = choice.cluster.pointee.version
        request.pointee.sentVersion = Int(choice.cluster.pointee.interfaceVersion)
        enqueue(framed, request, upstream, frame, count, isRead: isRead)
        if request.pointee.state.tried.count > 0 { framed.pointee.exhaustion = 0 }
        if rules.pointee.retries.hasTryTime {
            startTry(request, rules)
        } else if cause != nil || hasVersions {
            // The timer may have ended a try, or the time is another version's; the policy can have changed since then.
            start(request)
        }
        return true
    }

    /// Whether the request waits now before a further try, and has left the host that it was with.
    @inline(never)
    private mutating func rests<Codec: FramedCodec & ~Copyable>(
        _ framed: Framed<Codec>, _ request: UnsafeMutablePointer<FramedRequest>, _ frame: UnsafeMutablePointer<UInt8>,
        _ count: Int, _ rules: UnsafePointer<TrafficRules>, _ cause: RetryCause
    ) -> Bool {
        guard let end = pause(before: cause, &request.pointee.state, rules) else { return false }
        leaveUpstream(framed, request)
        framed.pointee.exhaustion = 0
        delay(framed, request, frame, count, until: end)
        return true
    }

    /// Does what keeps the request from its host. Nil: nothing does; false: what has happened at the one before is the answer.
    @inline(never)
    private mutating func stop<Codec: FramedCodec & ~Copyable>(
        _ framed: Framed<Codec>, _ request: UnsafeMutablePointer<FramedRequest>, _ frame: UnsafeMutablePointer<UInt8>,
        _ count: Int, _ choice: Choice, _ rules: UnsafePointer<TrafficRules>, _ cause: RetryCause?
    ) -> Bool? {
        let hindrance = hindrance(
            &request.pointee.state, &request.pointee.limits, rules, from: client(of: request), isFirst: cause == nil)
        guard let hindrance else { return nil }
        if case .refused(let refusal) = hindrance { return refuse(framed, request, choice, refusal, cause) }
        guard let service = request.pointee.state.service else { return false }
        request.pointee.state.served = choice.cluster.pointee.version
        switch hindrance {
        case .aborted(let status): abort(framed, request, service, status)
        case .delayed(let time):
            service.pointee.metrics.count(.delay, request.pointee.state.served)
            delay(framed, request, frame, count, until: time)
        case .refused: break
        }
        return true
    }

    /// No host can serve the request. False: nor has its client no access.
    @inline(never)
    private mutating func denyUnserved<Codec: FramedCodec & ~Copyable>(
        _ framed: Framed<Codec>, _ request: UnsafeMutablePointer<FramedRequest>,
        _ service: UnsafeMutablePointer<Service>
    ) -> Bool {
        if !isDenied(service, client(of: request)) { return false }
        let refusal = Refusal(reason: .denied)
        service.pointee.metrics.countRefusal(ServiceMetrics.nobody, refusal.reason)
        answer(framed, request, refusal.answer, "\(refusal.text)")
        return true
    }

    /// Whom a request comes from. One-way requests may outlive their connection.
    func client(of request: UnsafeMutablePointer<FramedRequest>) -> SocketAddress {
        request.pointee.downstream?.pointee.client ?? request.pointee.client
    }

    /// The request is refused. False: what has happened at the host before is the answer.
    @inline(never)
    private mutating func refuse<Codec: FramedCodec & ~Copyable>(
        _ framed: Framed<Codec>, _ request: UnsafeMutablePointer<FramedRequest>, _ choice: Choice, _ refusal: Refusal,
        _ cause: RetryCause?
    ) -> Bool {
        let version = choice.cluster.pointee.version
        request.pointee.state.service?.pointee.metrics.countRefusal(version, refusal.reason)
        // One that is with a host stays there.
        if let cause, cause != .connect || request.pointee.upstream != nil { return false }
        request.pointee.state.served = version
        answer(framed, request, refusal.answer, "\(refusal.text)")
        return true
    }

    /// The request has the time of the version that is to serve it, unless it brings its own. False: that is over.
    @inline(never)
    private func takesTime(
        _ request: UnsafeMutablePointer<FramedRequest>, _ rules: UnsafePointer<TrafficRules>
    ) -> Bool {
        if !request.pointee.hasOwnTimeout {
            request.pointee.state.deadline = request.pointee.state.started + rules.pointee.timeout
        }
        return now < request.pointee.state.deadline
    }

    /// A connection could not even be begun, or the host takes nothing.
    @inline(never)
    private mutating func attemptAgain<Codec: FramedCodec & ~Copyable>(
        _ framed: Framed<Codec>, _ request: UnsafeMutablePointer<FramedRequest>, _ frame: UnsafeMutablePointer<UInt8>,
        _ count: Int, _ rules: UnsafePointer<TrafficRules>, _ cause: RetryCause, isUsable: Bool
    ) -> Bool {
        guard rules.pointee.retries.onConnect, request.pointee.state.tried.count <= rules.pointee.retries.attempts
        else { return false }
        return attempt(framed, request, frame, count, isRead: false, cause, isUsable: isUsable)
    }

    /// The request's timer ends this try, or all of them.
    ///
    /// - Parameter elapsed: how long this try has taken already, in nanoseconds.
    mutating func startTry(
        _ request: UnsafeMutablePointer<FramedRequest>, _ rules: UnsafePointer<TrafficRules>, after elapsed: Int64 = 0
    ) {
        let end = tryEnd(of: request.pointee.state, rules, after: elapsed)
        wheel.set(request.timer, deadline: min(end, request.pointee.state.deadline))
    }

    @inline(__always)
    mutating func choose(
        _ service: UnsafeMutablePointer<Service>, _ request: UnsafeMutablePointer<FramedRequest>, isUsable: Bool
    ) -> Choice? {
        if request.pointee.isAdapted { return chooseAdapted(service, request, isUsable: isUsable) }
        return choose(
            service, request.pointee.state.asked, tried: request.pointee.state.tried, isUsable: isUsable)
    }

    /// Notes how the host has to be called, too.
    @inline(never)
    private mutating func chooseAdapted(
        _ service: UnsafeMutablePointer<Service>, _ request: UnsafeMutablePointer<FramedRequest>, isUsable: Bool
    ) -> Choice? {
        let (asked, tried) = (request.pointee.state.asked, request.pointee.state.tried)
        let choice =
            asked.isWide
            ? choose(service, asked, among: request.pointee.groups, tried: tried, isUsable: isUsable)
            : choose(service, asked, tried: tried, isUsable: isUsable)
        guard let choice else { return nil }
        request.pointee.sentTerms = CallTerms(group: choice.cluster.pointee.group, path: choice.path)
        return choice
    }

    /// Puts a request into the stream of a connection.
    @inline(__always)
    mutating func enqueue<Codec: FramedCodec & ~Copyable>(
        _ framed: Framed<Codec>, _ request: UnsafeMutablePointer<FramedRequest>,
        _ upstream: UnsafeMutablePointer<FramedUpstream>, _ frame: UnsafeMutablePointer<UInt8>, _ count: Int,
        isRead: Bool
    ) {
        let link = upstream.link
        let offset = link.pointee.outbound.count
        if !Codec.knowsNoVersion && request.pointee.sentVersion == 0 {
            request.pointee.sentVersion = ownVersion(request)
        }
        let isAsItCame =
            request.pointee.sentVersion == request.pointee.frameVersion && !request.pointee.isAdapted
        if isAsItCame || !appendChanged(framed, request, upstream, frame, count, isRead: isRead) {
            // It could not be changed: what is copied out of the stream later is what came. The terms stay the host's, for the log.
            if !isAsItCame { request.pointee.sentVersion = request.pointee.frameVersion }
            buffers.append(frame, count: count, to: &link.pointee.outbound)
        }
        let written = link.pointee.outbound.count - offset
        let isLate = request.pointee.state.started != now
        let left = isLate ? max(1, (request.pointee.state.deadline - now) / 1_000_000) : 0
        Codec.stampRequest(
            link.pointee.outbound.bytes + offset, count: written, id: request.pointee.upstreamID,
            milliseconds: Int32(truncatingIfNeeded: min(left, Int64(Int32.max))))
        request.pointee.position = upstream.pointee.queued
        upstream.pointee.queued &+= UInt64(written)
        request.pointee.end = upstream.pointee.queued
        request.pointee.upstream = upstream
        if request.pointee.isTwoWay {
            upstream.pointee.requests.append(request)
            if request.pointee.frame.isEmpty && count <= FramedBounds.replayedFrame
                && framed.pointee.heldBytes + count <= FramedBounds.heldBytes
            {
                hold(framed, request, frame, count)
            }
        } else {
            upstream.pointee.oneWayRequests.append(request)
            if request.pointee.state.mirror == .chosen {
                keepForMirror(framed, request, frame, count)
            } else {
                letGo(framed, request)
            }
        }
        markDirty(framed, upstream)
    }

    /// The interface version that the request came with: what a host gets of which none is known. What was copied out of another
    /// host's stream may have that one's.
    @inline(__always)
    private func ownVersion(_ request: UnsafeMutablePointer<FramedRequest>) -> Int {
        let version = request.pointee.state.asked.interfaceVersion
        return version == CallView.anyInterfaceVersion ? request.pointee.frameVersion : version
    }

    /// Puts the request into the connection's stream in the terms of the host that was chosen. False: this cannot be done to it, it
    /// is to be sent as it is.
    private mutating func appendChanged<Codec: FramedCodec & ~Copyable>(
        _ framed: Framed<Codec>, _ request: UnsafeMutablePointer<FramedRequest>,
        _ upstream: UnsafeMutablePointer<FramedUpstream>, _ frame: UnsafeMutablePointer<UInt8>, _ count: Int,
        isRead: Bool
    ) -> Bool {
        let isChanged =
            request.pointee.sentVersion != request.pointee.frameVersion
            || request.pointee.sentTerms != request.pointee.frameTerms
        guard isChanged, let service = request.pointee.state.service, let head = Codec.head(frame, count: count) else {
            return false
        }
        if !isRead { _ = framed.pointee.codec.read(frame, head) }
        guard framed.pointee.codec.isReadable else { return false }
        let changes = changes(as: Codec.self, request, service)
        let link = upstream.link
        buffers.reserve(framed.pointee.codec.changedBound(changes, frame, head), in: &link.pointee.outbound)
        let written = framed.pointee.codec.writeChanged(changes, frame, head, into: link.pointee.outbound.tail)
        link.pointee.outbound.filled(written)
        return written > 0
    }

    private func changes<Codec: FramedCodec & ~Copyable>(
        as codec: Codec.Type, _ request: UnsafeMutablePointer<FramedRequest>, _ service: UnsafeMutablePointer<Service>
    ) -> RequestChanges {
        var changes = RequestChanges()
        if request.pointee.sentVersion != request.pointee.frameVersion {
            let label = service.pointee.labels[request.pointee.sentVersion]
            let none = ByteString(base: Codec.noVersion.utf8Start, count: Codec.noVersion.utf8CodeUnitCount)
            changes.version = label.count == 0 ? none : label
        }
        if !request.pointee.isAdapted { return changes }
        let (old, new) = (request.pointee.frameTerms, request.pointee.sentTerms)
        if new.group != old.group { changes.group = service.pointee.labels[Int(new.group)] }
        if new.path != old.path {
            let label = new.path.label
            changes.path = label == 0 ? service.pointee.name : service.pointee.labels[label]
            changes.isPathInBody = new.path.isInBody
        }
        return changes
    }

    // MARK: Keeping requests

    /// Keeps the request for another attempt.
    @inline(__always)
    mutating func hold<Codec: FramedCodec & ~Copyable>(
        _ framed: Framed<Codec>, _ request: UnsafeMutablePointer<FramedRequest>, _ frame: UnsafePointer<UInt8>,
        _ count: Int
    ) {
        buffers.append(frame, count: count, to: &request.pointee.frame)
        framed.pointee.heldBytes += count
    }

    /// The request need not be kept any more.
    @inline(__always)
    mutating func letGo<Codec: FramedCodec & ~Copyable>(
        _ framed: Framed<Codec>, _ request: UnsafeMutablePointer<FramedRequest>
    ) {
        framed.pointee.heldBytes -= request.pointee.frame.count
        buffers.release(&request.pointee.frame)
    }

    /// Copies a request that was not kept out of the stream that it did not leave.
    mutating func recover<Codec: FramedCodec & ~Copyable>(
        _ framed: Framed<Codec>, _ request: UnsafeMutablePointer<FramedRequest>,
        _ upstream: UnsafeMutablePointer<FramedUpstream>
    ) {
        let offset = Int(request.pointee.position &- upstream.pointee.sent)
        let count = Int(request.pointee.end &- request.pointee.position)
        hold(framed, request, upstream.pointee.connection.link.outbound.bytes + offset, count)
        Codec.unstampRequest(request.pointee.frame.bytes)
        request.pointee.frameVersion = request.pointee.sentVersion
        request.pointee.frameTerms = request.pointee.sentTerms
    }
}
