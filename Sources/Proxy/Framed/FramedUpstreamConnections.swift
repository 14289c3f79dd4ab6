import Balancing
import Codecs
import Runtime

// Connections to hosts: opening, leaving, giving up and closing.
extension Worker {
    /// The first of a host's connections that take requests, one of each lane.
    @inline(__always)
    private func pool(_ endpoint: UnsafeMutablePointer<Endpoint>) -> UnsafeMutablePointer<FramedUpstream>? {
        endpoint.pointee.pool?.assumingMemoryBound(to: FramedUpstream.self)
    }

    /// The host's connection, a new one when there is none. Nil: connecting failed at once, or the host takes nothing.
    @inline(__always)
    mutating func upstream<Codec: FramedCodec & ~Copyable>(
        _ framed: Framed<Codec>, of member: UnsafeMutablePointer<Member>, _ service: UnsafeMutablePointer<Service>,
        lane: UInt8
    ) -> UnsafeMutablePointer<FramedUpstream>? {
        guard let upstream = pooled(member.pointee.endpoint, lane) else {
            return connect(framed, member, service, lane)
        }
        let waiting = upstream.pointee.connection.link.outbound.count
        return waiting > FramedBounds.smallBacklog && isOverfull(framed, waiting) ? nil : upstream
    }

    /// The same for a request that counts in a circuit breaker.
    ///
    /// - Parameter limit: why there is none, where a limit is.
    @inline(never)
    mutating func upstream<Codec: FramedCodec & ~Copyable>(
        _ framed: Framed<Codec>, of member: UnsafeMutablePointer<Member>, _ service: UnsafeMutablePointer<Service>,
        for request: UnsafeMutablePointer<FramedRequest>, _ rules: UnsafePointer<TrafficRules>,
        _ limit: inout RefusalReason?
    ) -> UnsafeMutablePointer<FramedUpstream>? {
        let lane = request.pointee.form.lane
        let pooled = pooled(member.pointee.endpoint, lane)
        if let pooled, pooled.pointee.phase != .connecting {
            request.pointee.limits.endPending()
        } else if !request.pointee.limits.beginPending(rules) {
            limit = .pending
            return nil
        }
        if pooled != nil { return upstream(framed, of: member, service, lane: lane) }
        guard let counts = request.pointee.limits.place?.takeUnretainedValue() else { return nil }
        guard counts.connections.enter(most: rules.pointee.mostConnections) else {
            limit = .connections
            return nil
        }
        guard let upstream = connect(framed, member, service, lane) else {
            counts.connections.leave()
            return nil
        }
        upstream.pointee.counted = .passRetained(counts)
        return upstream
    }

    /// Whether a host that has this much to take gets no more: too much of its own, or more than its share of too much of all.
    private func isOverfull<Codec: FramedCodec & ~Copyable>(_ framed: Framed<Codec>, _ waiting: Int) -> Bool {
        if waiting > framed.pointee.backlogBound { return true }
        let half = framed.pointee.upstreamBound / 2
        return framed.pointee.upstreamMemory > half && waiting * framed.pointee.upstreams.count > half
    }

    private mutating func connect<Codec: FramedCodec & ~Copyable>(
        _ framed: Framed<Codec>, _ member: UnsafeMutablePointer<Member>, _ service: UnsafeMutablePointer<Service>,
        _ lane: UInt8
    ) -> UnsafeMutablePointer<FramedUpstream>? {
        let endpoint = member.pointee.endpoint
        let address = endpoint.pointee.address
        let descriptor = system.connect(to: address)
        if descriptor < 0 {
            notConnected(framed, member, service, SystemError("connect to \(address)", code: -descriptor))
            return nil
        }
        let upstream = framed.pointee.upstreams.take(
            FramedUpstream(Codec.records.upstream, descriptor: descriptor, lane: lane, endpoint: endpoint))
        let error = open(upstream.link)
        if error != 0 {
            close(upstream.link)
            framed.pointee.upstreams.put(upstream)
            notConnected(framed, member, service, SystemError("watch the connection to \(address)", code: error))
            return nil
        }
        endpoint.pointee.connections += 1
        enterPool(upstream)
        upstream.pointee.phaseEnd = now + settings.limits.connectTimeout
        watch(framed, upstream)
        return upstream
    }

    /// The connection could not even be begun.
    private mutating func notConnected<Codec: FramedCodec & ~Copyable>(
        _ framed: Framed<Codec>, _ member: UnsafeMutablePointer<Member>, _ service: UnsafeMutablePointer<Service>,
        _ error: SystemError
    ) {
        let outcome = Outcome(error: error.code)
        if outcome == .ours { framed.pointee.exhaustion = error.code }
        blame(outcome, member.pointee.endpoint, error.description)
        if outcome.isOfHost { tallyFailure(of: member, service) }
    }

    mutating func finishConnect<Codec: FramedCodec & ~Copyable>(
        _ framed: Framed<Codec>, _ upstream: UnsafeMutablePointer<FramedUpstream>
    ) {
        let error = system.connectError(upstream.pointee.connection.link.descriptor)
        guard error == 0 else {
            return lose(framed, upstream, "connect: " + SystemError.text(of: error), Outcome(error: error))
        }
        upstream.pointee.phase = .ready
        endPending(upstream.pointee.requests)
        endPending(upstream.pointee.oneWayRequests)
        upstream.pointee.connection.progress.hear(now: now)
        wheel.cancel(upstream.link.timer)
        if upstream.pointee.isIdle { closeIfDone(framed, upstream) }
        if upstream.pointee.connection.link.isClosed { return }
        // One-way requests bring no answer that could make it good.
        if upstream.pointee.endpoint.pointee.hasFailed {
            sendHeartbeat(framed, upstream, within: 2 * settings.heartbeat)
        }
        markDirty(framed, upstream)
        watch(framed, upstream)
    }

    /// What waits for a connection has it now.
    private func endPending(_ requests: LinkedQueue<FramedRequest.QueuePlace>) {
        var item = requests.first
        while let request = item {
            request.pointee.limits.endPending()
            item = requests.next(after: request)
        }
    }

    // MARK: The pool

    @inline(__always)
    private func pooled(
        _ endpoint: UnsafeMutablePointer<Endpoint>, _ lane: UInt8
    ) -> UnsafeMutablePointer<FramedUpstream>? {
        var item = pool(endpoint)
        while let upstream = item, upstream.pointee.connection.lane != lane { item = upstream.pointee.nextInPool }
        return item
    }

    /// Whether requests can go out to a host at once.
    func hasOpenConnection(_ endpoint: UnsafeMutablePointer<Endpoint>, _ lane: UInt8) -> Bool {
        pooled(endpoint, lane)?.pointee.isOpen == true
    }

    private func enterPool(_ upstream: UnsafeMutablePointer<FramedUpstream>) {
        let endpoint = upstream.pointee.endpoint
        upstream.pointee.nextInPool = pool(endpoint)
        endpoint.pointee.pool = UnsafeMutableRawPointer(upstream)
    }

    private func leavePool(_ upstream: UnsafeMutablePointer<FramedUpstream>) {
        let endpoint = upstream.pointee.endpoint
        if pool(endpoint) == upstream {
            endpoint.pointee.pool = UnsafeMutableRawPointer(upstream.pointee.nextInPool)
        } else {
            var item = pool(endpoint)
            while let other = item, other.pointee.nextInPool != upstream { item = other.pointee.nextInPool }
            item?.pointee.nextInPool = upstream.pointee.nextInPool
        }
        upstream.pointee.nextInPool = nil
    }

    // MARK: Leaving

    /// How long a host is ejected that told that it takes no new requests, unless it takes that back.
    private static var leavingPause: Int64 { 3_000_000_000 }

    /// The host is going, or wants to be left alone: it gets no new requests, those in flight finish.
    mutating func beginLeaving<Codec: FramedCodec & ~Copyable>(
        _ framed: Framed<Codec>, _ upstream: UnsafeMutablePointer<FramedUpstream>
    ) {
        guard upstream.pointee.phase == .ready else { return }
        upstream.pointee.phase = .leaving
        upstream.pointee.leavingUntil = now + Self.leavingPause
        upstream.pointee.endpoint.pointee.readonlyConnections += 1
        leavePool(upstream)
        closeIfDone(framed, upstream)
        if !upstream.pointee.connection.link.isClosed { watch(framed, upstream) }
    }

    /// The host takes requests again.
    mutating func endLeaving<Codec: FramedCodec & ~Copyable>(
        _ framed: Framed<Codec>, _ upstream: UnsafeMutablePointer<FramedUpstream>
    ) {
        guard upstream.pointee.phase == .leaving else { return }
        stopCounting(upstream)
        guard pooled(upstream.pointee.endpoint, upstream.pointee.connection.lane) == nil else { return }
        upstream.pointee.phase = .ready
        enterPool(upstream)
    }

    /// The connection does not keep its host from new requests any longer: time is over, the host takes it back, or the connection
    /// ends in whatever way.
    func stopCounting(_ upstream: UnsafeMutablePointer<FramedUpstream>) {
        if upstream.pointee.leavingUntil == 0 { return }
        upstream.pointee.leavingUntil = 0
        upstream.pointee.endpoint.pointee.readonlyConnections -= 1
    }

    // MARK: Giving up

    /// How long is read on after writing has failed.
    private static var lastWords: Int64 { 1_000_000_000 }

    /// Whether a connection that has been of use has nothing in flight: a host may close it. Requests that come at that moment are as
    /// good as new.
    func isUnused(_ upstream: UnsafeMutablePointer<FramedUpstream>) -> Bool {
        let sent = upstream.pointee.sent
        if let request = upstream.pointee.requests.first, request.pointee.position < sent { return false }
        if let request = upstream.pointee.oneWayRequests.first, request.pointee.position < sent { return false }
        return sent > 0
    }

    /// The connection is of no use any more: requests that did not leave this process go to other hosts, the others are answered.
    ///
    /// - Parameter wasUnused: the host only closed what nobody used: it did nothing wrong, and may get those requests as well.
    mutating func lose<Codec: FramedCodec & ~Copyable>(
        _ framed: Framed<Codec>, _ upstream: UnsafeMutablePointer<FramedUpstream>, _ reason: String,
        _ outcome: Outcome = .host, wasUnused: Bool = false
    ) {
        if upstream.pointee.connection.link.isClosed { return }
        let endpoint = upstream.pointee.endpoint
        // The endpoint must outlive this.
        endpoint.pointee.active += 1
        let isFailure = upstream.pointee.phase == .connecting || !upstream.pointee.isIdle
        if isFailure && !wasUnused { blame(outcome, endpoint, reason) }
        upstream.pointee.phase = .broken
        leavePool(upstream)
        while let request = upstream.pointee.oneWayRequests.first ?? upstream.pointee.requests.first {
            if outcome.isOfHost && !wasUnused { tallyFailure(request.pointee.state) }
            takeBack(framed, request, upstream, reason, mayReturn: wasUnused)
        }
        close(framed, upstream)
        endpoint.pointee.active -= 1
        freeEndpointIfUnused(endpoint)
    }

    /// Writing has failed. What the host sent before is read first; the poller tells its end.
    mutating func stopWriting<Codec: FramedCodec & ~Copyable>(
        _ framed: Framed<Codec>, _ upstream: UnsafeMutablePointer<FramedUpstream>
    ) {
        upstream.pointee.phase = .broken
        upstream.pointee.phaseEnd = now + Self.lastWords
        leavePool(upstream)
        watch(framed, upstream)
    }

    // MARK: Closing

    /// The last request has left: the connection goes when the host is not listed any more or wants no more requests.
    @inline(__always)
    mutating func closeIfDone<Codec: FramedCodec & ~Copyable>(
        _ framed: Framed<Codec>, _ upstream: UnsafeMutablePointer<FramedUpstream>
    ) {
        let isWanted = upstream.pointee.phase != .leaving && upstream.pointee.endpoint.pointee.references > 0
        if isWanted || upstream.pointee.phase == .broken || !upstream.pointee.isIdle { return }
        close(framed, upstream)
    }

    /// No cluster lists the host any more: its connections go now, or with their last request.
    mutating func retireUpstreams<Codec: FramedCodec & ~Copyable>(
        _ framed: Framed<Codec>, of endpoint: UnsafeMutablePointer<Endpoint>
    ) {
        // The caller frees the endpoint.
        endpoint.pointee.active += 1
        var item = pool(endpoint)
        while let upstream = item {
            item = upstream.pointee.nextInPool
            closeIfDone(framed, upstream)
        }
        endpoint.pointee.active -= 1
    }

    private mutating func close<Codec: FramedCodec & ~Copyable>(
        _ framed: Framed<Codec>, _ upstream: UnsafeMutablePointer<FramedUpstream>
    ) {
        if upstream.pointee.connection.link.isClosed { return }
        leavePool(upstream)
        close(upstream.link)
        framed.pointee.upstreamMemory -= upstream.pointee.connection.countedMemory
        let endpoint = upstream.pointee.endpoint
        if upstream.pointee.leavingUntil != 0 {
            stopCounting(upstream)
            endpoint.pointee.eject(until: now + Self.leavingPause)
        }
        endpoint.pointee.connections -= 1
        upstream.pointee.counted.leaveConnections()
        framed.pointee.upstreams.bury(upstream)
        freeEndpointIfUnused(endpoint)
    }
}
