import Codecs
import Configuration
import Routing
import Runtime

// A request's way to a host, first part: head, service, version.
extension Worker {
    /// Largest request that is kept for another attempt once a part of it was sent.
    static var replayLimit: Int { 65_536 }
    /// How often a request may have come through processes like this one before.
    private static var mostRounds: Int { 8 }

    /// Reads a head at `bytes`. Returns its length; nil when it stays there: it is not whole, waits for its service, or was
    /// refused.
    @inline(__always)
    mutating func readHead(
        _ downstream: UnsafeMutablePointer<ExclusiveDownstream>, _ bytes: UnsafeMutablePointer<UInt8>, _ count: Int
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
        if downstream.pointee.isProxy { noteClient(downstream, bytes) }
        if accessLog != nil { beginLogLine(downstream, head, bytes) }
        let length = Int(head.length)
        if head.method == .connect {
            answer(downstream, .unsupported, "CONNECT is not supported")
            return length
        }
        if head.kinds.contains(HTTP1.FieldKind.via.bit) && HTTP1.rounds(bytes, http.fields) > Self.mostRounds {
            answer(downstream, .loop, "the request goes in a circle: it has come through greymesh more than 8 times")
            return length
        }
        let application = listeners[Int(downstream.pointee.listener)].application
        guard let service = application ?? findService(head, bytes) else {
            refuseUnknown(downstream, head, bytes)
            return length
        }
        service.pointee.usedAt = now
        service.pointee.active += 1
        downstream.pointee.exchange.state.service = service
        if service.pointee.state != .ready && !becomesReady(service) {
            return wait(downstream, for: service) ? nil : length
        }
        dispatch(downstream, service, head, bytes)
        return length
    }

    /// A part of a head is there: the rest must come in time.
    private mutating func waitForHead(_ downstream: UnsafeMutablePointer<ExclusiveDownstream>) {
        if downstream.pointee.exchange.state.started == 0 { downstream.pointee.exchange.state.started = now }
    }

    private mutating func refuse(_ downstream: UnsafeMutablePointer<ExclusiveDownstream>, _ error: HTTP1.HeadError) {
        note(
            .badInput(
                listener: listeners[Int(downstream.pointee.listener)].configuration.name,
                peer: downstream.peerText.text, reason: "\(error.text)"))
        refuseHead(downstream, error.status, error.text)
    }

    /// Answers a head that is wrong or not whole. Nobody knows where its request ends: the connection does with the answer, so
    /// that nothing of it is read as another request.
    mutating func refuseHead(
        _ downstream: UnsafeMutablePointer<ExclusiveDownstream>, _ status: Int, _ reason: StaticString
    ) {
        let started = downstream.pointee.exchange.state.started
        buffers.release(&downstream.pointee.exchange.state.logLine)
        downstream.pointee.exchange = Exchange()
        downstream.pointee.exchange.isOpen = true
        downstream.pointee.exchange.state.started = started == 0 ? now : started
        downstream.pointee.exchange.keepAlive = false
        downstream.pointee.exchange.bodyComplete = false
        if accessLog != nil { beginLogLine(downstream) }
        answer(downstream, status, reason, error: LocalAnswer.word(refusing: status))
    }

    @inline(__always)
    private mutating func begin(_ downstream: UnsafeMutablePointer<ExclusiveDownstream>, _ head: HTTP1.RequestHead) {
        // A head that has waited for its service is read once more.
        buffers.release(&downstream.pointee.exchange.state.logLine)
        let (started, headAt) = (downstream.pointee.exchange.state.started, downstream.pointee.exchange.headAt)
        downstream.pointee.exchange = Exchange()
        downstream.pointee.exchange.isOpen = true
        downstream.pointee.exchange.state.started = started == 0 ? now : started
        downstream.pointee.exchange.headAt = headAt == 0 ? now : headAt
        downstream.pointee.exchange.method = head.method
        downstream.pointee.exchange.framing = head.framing
        downstream.pointee.exchange.bodyComplete = head.framing == .none || head.framing == .length(0)
        downstream.pointee.exchange.isVersion11 = head.minorVersion > 0
        downstream.pointee.exchange.wantsUpgrade = head.flags.contains(.upgrade)
        downstream.pointee.exchange.awaitsContinue = head.flags.contains(.expectContinue)
        downstream.pointee.exchange.keepAlive = head.flags.contains(.keepAlive) && !isEnding(downstream)
    }

    // MARK: Client

    /// Notes whom a request of a trusted proxy comes from.
    @inline(never)
    private func noteClient(
        _ downstream: UnsafeMutablePointer<ExclusiveDownstream>, _ bytes: UnsafeMutablePointer<UInt8>
    ) {
        guard let peer = SocketAddress(ip: downstream.peerText) else { return }
        var client = ClientAddress(behind: peer)
        var index = http.fields.count
        while index > 0 && !client.isFound {
            index -= 1
            let field = http.fields[index]
            if field.kind != .xForwardedFor { continue }
            client.read(
                ByteString(base: bytes + Int(field.valueStart), count: Int(field.valueLength)),
                trusting: settings.trustedProxies)
        }
        downstream.pointee.client = client.address
    }

    /// The address of whom the request comes from, as text that holds until something is written.
    func clientText(_ downstream: UnsafeMutablePointer<ExclusiveDownstream>) -> ByteString {
        if !downstream.pointee.isProxy { return downstream.peerText }
        return PeerText(downstream.pointee.client).copied(into: output)
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
        if tables.paths.count == 0, let service = tables.known.find(.http, host, hash: hash),
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
        if let service = tables.known.find(.http, name) { return service }
        guard HostName.mayBeService(lowered) else { return nil }
        if name.equals(lowered) { return demandService(.http, name) }
        // A registry may list the name as it is written. While that is not known the request waits.
        if let exact = demandService(.http, name), exact.pointee.snapshot == nil { return exact }
        return tables.known.find(.http, lowered) ?? demandService(.http, lowered)
    }

    /// No service is meant, or there are so many unknown names already that nobody can be asked about this one.
    private mutating func refuseUnknown(
        _ downstream: UnsafeMutablePointer<ExclusiveDownstream>, _ head: HTTP1.RequestHead,
        _ bytes: UnsafeMutablePointer<UInt8>
    ) {
        let host = ByteString(base: bytes + Int(head.hostName.start), count: Int(head.hostName.count))
        if HostName.mayBeService(HostName.lowered(HostName.withoutDot(host), into: output)) {
            answer(downstream, .overloaded, "too many names are asked for that no registry lists")
        } else {
            answer(downstream, .unnamed, "no service is known by this host name or path")
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

    /// False: too many wait already, and it is answered.
    private mutating func wait(
        _ downstream: UnsafeMutablePointer<ExclusiveDownstream>, for service: UnsafeMutablePointer<Service>
    ) -> Bool {
        let rules = service.pointee.traffic.find(ServiceMetrics.nobody)
        if let refusal = downstream.pointee.exchange.limits.beginWaiting(rules, now: now) {
            service.pointee.metrics.countRefusal(ServiceMetrics.nobody, refusal.reason)
            answer(downstream, refusal)
            return false
        }
        downstream.pointee.phase = .discovering
        downstream.pointee.exchange.state.deadline = deadline(of: downstream, service)
        service.pointee.waiting.exclusive.insert(downstream)
        return true
    }

    /// Takes a request off its service's list; it still counts as one of the service.
    mutating func stopWaiting(_ downstream: UnsafeMutablePointer<ExclusiveDownstream>) {
        downstream.pointee.exchange.state.service?.pointee.waiting.exclusive.remove(downstream)
        downstream.pointee.phase = .exchanging
    }

    /// The service is known now: the head, which is still in `inbound`, is read once more when this batch of events is through.
    mutating func resumeWaiting(_ downstream: UnsafeMutablePointer<ExclusiveDownstream>) {
        stopWaiting(downstream)
        downstream.pointee.exchange.limits.leaveLimits()
        if let service = downstream.pointee.exchange.state.service { finishRequest(of: service) }
        downstream.pointee.exchange.state.service = nil
        downstream.pointee.phase = .head
        queue(downstream)
        settle(downstream, nil)
    }

    /// The registries have not told of the service in time, or the request's own time is over.
    mutating func waitingTimeout(_ downstream: UnsafeMutablePointer<ExclusiveDownstream>) {
        stopWaiting(downstream)
        // The head is still in `inbound`, and nothing of it is to be read as another request.
        downstream.pointee.exchange.keepAlive = false
        forward(downstream, after: .undiscovered, Self.knownTooLate)
    }

    private static var knownTooLate: StaticString { "the time for the request was over before its service was known" }

    // MARK: Version

    @inline(__always)
    private mutating func dispatch(
        _ downstream: UnsafeMutablePointer<ExclusiveDownstream>, _ service: UnsafeMutablePointer<Service>,
        _ head: HTTP1.RequestHead, _ bytes: UnsafeMutablePointer<UInt8>
    ) {
        ask(downstream, service, bytes)
        if head.minorVersion == 0 {
            writeOldHead(downstream, service, head, bytes)
        } else {
            writeHead(downstream, head, bytes, defaultHost: ByteString(base: bytes, count: 0))
        }
        downstream.pointee.exchange.isReplayable = true
        downstream.pointee.phase = .exchanging
        downstream.pointee.exchange.state.deadline = deadline(of: downstream, service)
        forward(downstream, after: .ready, Self.knownTooLate)
    }

    /// When the service's own time for a request is over: the version that serves may have another.
    @inline(__always)
    private func deadline(
        of downstream: UnsafeMutablePointer<ExclusiveDownstream>, _ service: UnsafeMutablePointer<Service>
    ) -> Int64 {
        downstream.pointee.exchange.headAt + service.pointee.traffic.find(ServiceMetrics.nobody).pointee.timeout
    }

    /// Writes the head for the host into `request`.
    @inline(__always)
    private mutating func writeHead(
        _ downstream: UnsafeMutablePointer<ExclusiveDownstream>, _ head: HTTP1.RequestHead,
        _ bytes: UnsafeMutablePointer<UInt8>,
        defaultHost: ByteString
    ) {
        let peer = downstream.peerText
        let rewrite = HTTP1.RequestRewrite(
            clientAddress: UnsafeBufferPointer(start: peer.base, count: peer.count),
            defaultHost: UnsafeBufferPointer(start: defaultHost.base, count: defaultHost.count))
        let bound = HTTP1.requestHeadBound(head, rewrite)
        buffers.reserve(bound, in: &downstream.pointee.exchange.request)
        let written = HTTP1.writeRequestHead(
            bytes, head, http.fields, rewrite, into: downstream.pointee.exchange.request.tail, capacity: bound)
        downstream.pointee.exchange.request.filled(written)
    }

    /// A downstream of version 1.0 may name no host, but the application must be told one: its address behind an inbound listener,
    /// else the service's name.
    @inline(never)
    private mutating func writeOldHead(
        _ downstream: UnsafeMutablePointer<ExclusiveDownstream>, _ service: UnsafeMutablePointer<Service>,
        _ head: HTTP1.RequestHead, _ bytes: UnsafeMutablePointer<UInt8>
    ) {
        let forward = listeners[Int(downstream.pointee.listener)].configuration.forward
        let name = HostName.mayBeService(service.pointee.name) ? service.pointee.key.name : ""
        let host = ByteString(copying: forward?.description ?? name)
        defer { host.free() }
        writeHead(downstream, head, bytes, defaultHost: host)
    }

    /// What the request asks for: its version, and what makes it stick.
    @inline(__always)
    private mutating func ask(
        _ downstream: UnsafeMutablePointer<ExclusiveDownstream>, _ service: UnsafeMutablePointer<Service>,
        _ bytes: UnsafeMutablePointer<UInt8>
    ) {
        var asked = Asked()
        for index in 0..<settings.versionNameCount {
            guard let value = fieldValue(settings.versionNames[index], bytes) else { continue }
            asked.requested = requestedVersion(value, of: service)
            if asked.requested != .none { break }
        }
        if asked.requested == .none && service.pointee.rules.shareCount > 0 {
            let key = value(of: KeyPlace(service.pointee.sticky), service.pointee.stickyName, downstream, bytes)
            drawChance(&asked, stickyKey: key, of: service)
        }
        if service.pointee.traffic.limitKey != .none {
            noteLimitKey(downstream, service, bytes)
        }
        downstream.pointee.exchange.state.asked = asked
    }

    /// The same for a request that has waited with its head in `request`: versions and rules may be others by now.
    mutating func askAgain(
        _ downstream: UnsafeMutablePointer<ExclusiveDownstream>, _ service: UnsafeMutablePointer<Service>
    ) {
        let request = downstream.pointee.exchange.request
        var (state, head) = (HTTP1.ScanState(), HTTP1.RequestHead())
        let result = HTTP1.parseRequestHead(
            request.bytes, count: request.count, limit: Self.outputSize, state: &state, head: &head,
            fields: &http.fields)
        if case .complete = result { ask(downstream, service, request.bytes) }
    }

    @inline(__always)
    private func fieldValue(_ name: ByteString, _ bytes: UnsafeMutablePointer<UInt8>) -> ByteString? {
        guard let range = http.fields.find(UnsafeBufferPointer(start: name.base, count: name.count), in: bytes) else {
            return nil
        }
        return ByteString(base: bytes + Int(range.start), count: Int(range.count))
    }

    /// Notes what rate limits count the request by.
    @inline(never)
    private func noteLimitKey(
        _ downstream: UnsafeMutablePointer<ExclusiveDownstream>, _ service: UnsafeMutablePointer<Service>,
        _ bytes: UnsafeMutablePointer<UInt8>
    ) {
        let key = value(
            of: service.pointee.traffic.limitKey, service.pointee.traffic.limitKeyName, downstream, bytes)
        downstream.pointee.exchange.limits.limitKey = key.hash()
    }

    /// What the request has as a key; empty where it has nothing.
    private func value(
        of key: KeyPlace, _ name: ByteString, _ downstream: UnsafeMutablePointer<ExclusiveDownstream>,
        _ bytes: UnsafeMutablePointer<UInt8>
    ) -> ByteString {
        switch key {
        case .clientAddress: return clientText(downstream)
        case .header: return fieldValue(name, bytes) ?? ByteString(base: bytes, count: 0)
        case .none: return ByteString(base: bytes, count: 0)
        }
    }
}
