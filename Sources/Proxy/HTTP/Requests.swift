import Balancing
import CLinux
import Codecs
import Configuration
import Discovery
import Glibc
import Routing
import Runtime

// A request's way to a host: head, service, version, connection, body.
extension Worker {
    /// Largest request that is kept for another attempt, and most bytes that wait for a host.
    static let replayLimit = 65_536
    /// Most hosts that a request is tried on.
    static let mostAttempts: UInt8 = 3
    /// How often a request may have come through processes like this one before.
    static let mostRounds = 8

    /// Reads a head at `bytes`. Returns its length; nil when it stays there: it is not whole, waits for its service, or was
    /// refused.
    @inline(__always)
    mutating func readHead(
        _ downstream: UnsafeMutablePointer<Downstream>, _ bytes: UnsafeMutablePointer<UInt8>, _ count: Int
    ) -> Int? {
        var head = HTTP1.RequestHead()
        let result = HTTP1.parseRequestHead(
            bytes, count: count, limit: settings.limits.httpHead, state: &downstream.pointee.scan, head: &head,
            fields: &http.fields)
        switch result {
        case .complete: break
        case .incomplete:
            waitForHead(downstream)
            return nil
        case .invalid(let error):
            refuse(downstream, error)
            return nil
        }
        downstream.pointee.scan = HTTP1.ScanState()
        begin(downstream, head)
        let length = Int(head.length)
        if head.method == .connect {
            answer(downstream, 501, "CONNECT is not supported")
            return length
        }
        if head.kinds.contains(HTTP1.FieldKind.via.bit) && HTTP1.rounds(bytes, http.fields) > Self.mostRounds {
            answer(downstream, 508, "the request goes in a circle: it has come through greymesh more than 8 times")
            return length
        }
        let application = listeners[Int(downstream.pointee.listener)].application
        guard let service = application ?? findService(head, bytes) else {
            refuseUnknown(downstream, head, bytes)
            return length
        }
        service.pointee.usedAt = now
        service.pointee.active += 1
        downstream.pointee.exchange.service = service
        if service.pointee.state != .ready && !becomesReady(service) {
            wait(downstream, for: service)
            return nil
        }
        dispatch(downstream, service, head, bytes)
        return length
    }

    /// A part of a head is there: the rest must come in time.
    private mutating func waitForHead(_ downstream: UnsafeMutablePointer<Downstream>) {
        if downstream.pointee.exchange.started == 0 {
            downstream.pointee.exchange.started = now
            setTimer(downstream, after: settings.limits.headTimeout)
        }
    }

    private mutating func refuse(_ downstream: UnsafeMutablePointer<Downstream>, _ error: HTTP1.HeadError) {
        note(
            .badInput(
                listener: listeners[Int(downstream.pointee.listener)].configuration.name,
                peer: downstream.peerText.text, reason: "\(error.text)"))
        refuseHead(downstream, error.status, error.text)
    }

    /// Answers a head that is wrong or not whole. Nobody knows where its request ends: the connection does with the answer, so
    /// that nothing of it is read as another request.
    mutating func refuseHead(
        _ downstream: UnsafeMutablePointer<Downstream>, _ status: Int, _ reason: StaticString
    ) {
        downstream.pointee.exchange = Exchange()
        downstream.pointee.exchange.keepAlive = false
        downstream.pointee.exchange.bodyComplete = false
        answer(downstream, status, reason)
    }

    @inline(__always)
    private func begin(_ downstream: UnsafeMutablePointer<Downstream>, _ head: HTTP1.RequestHead) {
        let started = downstream.pointee.exchange.started
        downstream.pointee.exchange = Exchange()
        downstream.pointee.exchange.started = started == 0 ? now : started
        downstream.pointee.exchange.method = head.method
        downstream.pointee.exchange.framing = head.framing
        downstream.pointee.exchange.bodyComplete = head.framing == .none || head.framing == .length(0)
        downstream.pointee.exchange.isVersion11 = head.minorVersion > 0
        downstream.pointee.exchange.wantsUpgrade = head.flags.contains(.upgrade)
        downstream.pointee.exchange.keepAlive =
            head.flags.contains(.keepAlive) && !downstream.pointee.readClosed && drainingSince == 0
    }

    // MARK: Service

    /// What the configuration names comes first: host names, then paths. Then a service that a registry lists, by its name.
    @inline(__always)
    private mutating func findService(
        _ head: HTTP1.RequestHead, _ bytes: UnsafeMutablePointer<UInt8>
    ) -> UnsafeMutablePointer<Service>? {
        let host = ByteString(base: bytes + Int(head.hostName.start), count: Int(head.hostName.count))
        let hash = host.hash()
        if tables.hosts.count > 0, let service = tables.hosts.find(host, hash: hash) { return service }
        if tables.paths.count == 0, let service = tables.known.http.find(host, hash: hash),
            service.pointee.isLowerCase || tables.hosts.count == 0
        {
            return service
        }
        return findRareService(host, path: ByteString(base: bytes + Int(head.path.start), count: Int(head.path.count)))
    }

    /// The same for names that are written in another way, for paths, and for names that are new.
    private mutating func findRareService(_ host: ByteString, path: ByteString) -> UnsafeMutablePointer<Service>? {
        let name = HostName.withoutDot(host)
        // The output buffer holds nothing now; it is larger than any head.
        let lowered = HostName.lowered(name, into: output)
        if let service = tables.hosts.find(lowered) ?? findServiceByPath(path) { return service }
        if let service = tables.known.http.find(name) { return service }
        guard HostName.mayBeService(lowered) else { return nil }
        if name.equals(lowered) { return demandService(.http, name) }
        // A registry may list the name as it is written. While that is not known the request waits.
        if let exact = demandService(.http, name), exact.pointee.snapshot == nil { return exact }
        return tables.known.http.find(lowered) ?? demandService(.http, lowered)
    }

    /// No service is meant, or there are so many unknown names already that nobody can be asked about this one.
    private mutating func refuseUnknown(
        _ downstream: UnsafeMutablePointer<Downstream>, _ head: HTTP1.RequestHead, _ bytes: UnsafeMutablePointer<UInt8>
    ) {
        let host = ByteString(base: bytes + Int(head.hostName.start), count: Int(head.hostName.count))
        if HostName.mayBeService(HostName.lowered(HostName.withoutDot(host), into: output)) {
            answer(downstream, 503, "too many names are asked for that no registry lists")
        } else {
            answer(downstream, 404, "no service is known by this host name or path")
        }
    }

    /// The longest path prefix that ends where a segment ends.
    private func findServiceByPath(_ path: ByteString) -> UnsafeMutablePointer<Service>? {
        if tables.paths.count == 0 { return nil }
        var length = min(path.count, tables.longestPath)
        while length >= 0 {
            if length == path.count || path.base[length] == 0x2f {
                if let service = tables.paths.find(ByteString(base: path.base, count: length)) { return service }
            }
            length -= 1
        }
        return nil
    }

    // MARK: Waiting for discovery

    private mutating func wait(
        _ downstream: UnsafeMutablePointer<Downstream>, for service: UnsafeMutablePointer<Service>
    ) {
        downstream.pointee.phase = .discovering
        downstream.pointee.nextWaiting = service.pointee.waitingDownstreams
        downstream.pointee.previousWaiting = nil
        service.pointee.waitingDownstreams?.pointee.previousWaiting = downstream
        service.pointee.waitingDownstreams = downstream
        setTimer(downstream, after: settings.limits.discoveryTimeout)
    }

    /// Takes a request off its service's list; it still counts as one of the service.
    mutating func stopWaiting(_ downstream: UnsafeMutablePointer<Downstream>) {
        let (previous, next) = (downstream.pointee.previousWaiting, downstream.pointee.nextWaiting)
        if let previous {
            previous.pointee.nextWaiting = next
        } else {
            downstream.pointee.exchange.service?.pointee.waitingDownstreams = next
        }
        next?.pointee.previousWaiting = previous
        downstream.pointee.nextWaiting = nil
        downstream.pointee.previousWaiting = nil
        downstream.pointee.phase = .exchanging
    }

    /// The service is known now: the head, which is still in `inbound`, is read once more. Its patience has ended with that, even
    /// if its timer is due in the same batch of events.
    mutating func resumeWaiting(_ downstream: UnsafeMutablePointer<Downstream>) {
        stopWaiting(downstream)
        wheel.pause(timer(downstream))
        if let service = downstream.pointee.exchange.service { finishRequest(of: service) }
        downstream.pointee.exchange.service = nil
        downstream.pointee.phase = .head
        queue(downstream)
    }

    // MARK: Version, host and connection

    @inline(__always)
    private mutating func dispatch(
        _ downstream: UnsafeMutablePointer<Downstream>, _ service: UnsafeMutablePointer<Service>,
        _ head: HTTP1.RequestHead, _ bytes: UnsafeMutablePointer<UInt8>
    ) {
        ask(downstream, service, bytes)
        if accessLog != nil { beginLogLine(downstream, head, bytes) }
        let peer = downstream.peerText
        let rewrite = HTTP1.RequestRewrite(
            clientAddress: UnsafeBufferPointer(start: peer.base, count: peer.count),
            defaultHost: UnsafeBufferPointer(start: service.pointee.name.base, count: service.pointee.name.count))
        let bound = HTTP1.requestHeadBound(head, rewrite)
        buffers.reserve(bound, in: &downstream.pointee.exchange.request)
        let written = HTTP1.writeRequestHead(
            bytes, head, http.fields, rewrite, into: downstream.pointee.exchange.request.tail, capacity: bound)
        downstream.pointee.exchange.request.filled(written)
        downstream.pointee.exchange.isReplayable = true
        downstream.pointee.phase = .exchanging
        setTimer(downstream, after: service.pointee.timeout)
        if !attempt(downstream, service) { answerNoHost(downstream, service) }
    }

    /// What the request asks for: its wish, and what makes it stick.
    @inline(__always)
    private mutating func ask(
        _ downstream: UnsafeMutablePointer<Downstream>, _ service: UnsafeMutablePointer<Service>,
        _ bytes: UnsafeMutablePointer<UInt8>
    ) {
        var asked = Asked()
        for index in 0..<settings.wishCount {
            guard let value = fieldValue(settings.wishNames[index], bytes) else { continue }
            asked.wish = wish(value, of: service)
            if asked.wish != .none { break }
        }
        if asked.wish == .none && service.pointee.rules.shareCount > 0 {
            drawChance(&asked, stickyKey: stickyKey(downstream, service, bytes), of: service)
        }
        downstream.pointee.exchange.asked = asked
    }

    @inline(__always)
    private func fieldValue(_ name: ByteString, _ bytes: UnsafeMutablePointer<UInt8>) -> ByteString? {
        guard let range = http.fields.find(UnsafeBufferPointer(start: name.base, count: name.count), in: bytes) else {
            return nil
        }
        return ByteString(base: bytes + Int(range.start), count: Int(range.count))
    }

    private func stickyKey(
        _ downstream: UnsafeMutablePointer<Downstream>, _ service: UnsafeMutablePointer<Service>,
        _ bytes: UnsafeMutablePointer<UInt8>
    ) -> ByteString {
        switch service.pointee.sticky {
        case .clientAddress: return downstream.peerText
        case .header: return fieldValue(service.pointee.stickyName, bytes) ?? ByteString(base: bytes, count: 0)
        case nil: return ByteString(base: bytes, count: 0)
        }
    }

    /// Sends the request to a host: the first time, or again. False: there is no host, or none that was not tried.
    @inline(__always)
    private mutating func attempt(
        _ downstream: UnsafeMutablePointer<Downstream>, _ service: UnsafeMutablePointer<Service>
    ) -> Bool {
        guard
            let choice = choose(
                service, downstream.pointee.exchange.asked, tried: downstream.pointee.exchange.tried)
        else { return false }
        let endpoint = choice.member.pointee.endpoint
        downstream.pointee.exchange.served = choice.cluster.pointee.version
        guard let upstream = connection(to: endpoint, for: downstream) else {
            downstream.pointee.exchange.tried.insert(endpoint)
            noteFailure(endpoint, "connect: " + SystemError.text(of: errno))
            retryOrAnswer(downstream, 503, "no host could be reached")
            return true
        }
        endpoint.pointee.take(now: now, patience: settings.limits.connectTimeout)
        downstream.pointee.exchange.upstream = upstream
        upstream.pointee.downstream = downstream
        upstream.pointee.uses &+= 1
        if upstream.pointee.phase != .connecting { sendRequest(upstream, downstream) }
        return true
    }

    /// Another host, while that can help; else the error.
    mutating func retryOrAnswer(
        _ downstream: UnsafeMutablePointer<Downstream>, _ status: Int, _ reason: StaticString
    ) {
        if let service = downstream.pointee.exchange.service, downstream.pointee.exchange.isReplayable,
            downstream.pointee.exchange.tried.count < Self.mostAttempts
        {
            downstream.pointee.exchange.request.rewind()
            if attempt(downstream, service) { return }
        }
        answer(downstream, status, reason)
    }

    // MARK: Sending

    /// Writes what waits in `request`; when the host does not take all, the poller tells when it will.
    @inline(__always)
    mutating func sendRequest(
        _ upstream: UnsafeMutablePointer<Upstream>, _ downstream: UnsafeMutablePointer<Downstream>
    ) {
        let waiting = downstream.pointee.exchange.request.count
        if waiting > 0 {
            let sent = clinux_send(
                upstream.pointee.descriptor, downstream.pointee.exchange.request.bytes, waiting)
            if sent < 0 {
                if errno != EAGAIN { return upstreamBroken(upstream, errno) }
            } else if downstream.pointee.exchange.isReplayable {
                downstream.pointee.exchange.request.pass(sent)
            } else {
                downstream.pointee.exchange.request.consume(sent)
            }
        }
        updateInterest(upstream)
    }

    /// Takes body bytes and sends them on; returns how many were taken.
    mutating func readBody(
        _ downstream: UnsafeMutablePointer<Downstream>, _ bytes: UnsafeMutablePointer<UInt8>, _ count: Int
    ) -> Int {
        guard let taken = measureBody(downstream, bytes, count) else {
            downstream.pointee.exchange.keepAlive = false
            if let upstream = downstream.pointee.exchange.upstream {
                detach(upstream, from: downstream)
                close(upstream)
            }
            if downstream.pointee.exchange.hasAnswered {
                abandon(downstream)
            } else {
                answer(downstream, 400, "the chunked body is malformed")
            }
            return count
        }
        guard let upstream = downstream.pointee.exchange.upstream else { return taken }
        if downstream.pointee.exchange.isReplayable
            && downstream.pointee.exchange.request.end + taken > Self.replayLimit
        {
            stopReplaying(downstream)
        }
        if !downstream.pointee.exchange.hasAnswered, let service = downstream.pointee.exchange.service {
            setTimer(downstream, after: service.pointee.timeout)
        }
        keep(downstream, bytes, taken)
        if upstream.pointee.phase != .connecting { sendRequest(upstream, downstream) }
        return taken
    }

    /// Adds body bytes to `request`. What was sent stays in front of them as long as it may have to be sent again.
    private mutating func keep(
        _ downstream: UnsafeMutablePointer<Downstream>, _ bytes: UnsafeMutablePointer<UInt8>, _ count: Int
    ) {
        let sent = downstream.pointee.exchange.isReplayable ? downstream.pointee.exchange.request.start : 0
        if sent > 0 { downstream.pointee.exchange.request.rewind() }
        buffers.append(bytes, count: count, to: &downstream.pointee.exchange.request)
        downstream.pointee.exchange.request.pass(sent)
    }

    /// How many of the bytes belong to the request's body; nil when its framing is broken.
    private func measureBody(
        _ downstream: UnsafeMutablePointer<Downstream>, _ bytes: UnsafeMutablePointer<UInt8>, _ count: Int
    ) -> Int? {
        switch downstream.pointee.exchange.framing {
        case .none, .untilClose: return 0
        case .length(let left):
            let taken = Int(min(left, UInt64(count)))
            downstream.pointee.exchange.framing = .length(left - UInt64(taken))
            downstream.pointee.exchange.bodyComplete = left == UInt64(taken)
            return taken
        case .chunked:
            switch HTTP1.advanceChunked(bytes, count: count, state: &downstream.pointee.exchange.chunked) {
            case .needMore: return count
            case .done(let taken):
                downstream.pointee.exchange.bodyComplete = true
                return taken
            case .invalid: return nil
            }
        }
    }

    /// What was sent need not be kept any more.
    @inline(__always)
    mutating func stopReplaying(_ downstream: UnsafeMutablePointer<Downstream>) {
        downstream.pointee.exchange.isReplayable = false
        if downstream.pointee.exchange.request.isEmpty { buffers.release(&downstream.pointee.exchange.request) }
    }
}
