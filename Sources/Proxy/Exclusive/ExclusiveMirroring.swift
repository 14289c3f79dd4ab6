import Balancing
import Codecs
import Glibc
import Runtime

// Copies of requests. One is an exchange of its own, with a link to nobody where others have their downstream: the engine sends it and
// reads its answer as any other.
//
// | phase | ends by itself after | then |
// |---|---|---|
// | connecting | `connect_timeout` | failed |
// | waiting for the answer, and in the midst of it | the copied version's `timeout` from its start | failed |
// | draining | at once | dropped |
extension Worker {
    /// A host has answered a request that is to be copied, or has not in time: it is not sent again.
    @inline(never)
    mutating func mirror(_ downstream: UnsafeMutablePointer<ExclusiveDownstream>) {
        downstream.pointee.exchange.state.mirror = .decided
        guard let service = downstream.pointee.exchange.state.service, !downstream.pointee.exchange.wantsUpgrade,
            let version = mirrorVersion(downstream.pointee.exchange.state)
        else { return }
        if !downstream.pointee.exchange.isReplayable { return service.pointee.metrics.count(.tooLarge, version) }
        // What a host has answered before it had all of it cannot be copied as a whole.
        let size = downstream.pointee.exchange.request.end
        guard downstream.pointee.exchange.bodyComplete, mirrors.enter(bytes: size) else {
            return service.pointee.metrics.count(.dropped, version)
        }
        let copy = http.downstreams.take(ExclusiveDownstream(copyOf: downstream.pointee, to: version, now: now))
        copy.pointee.copiedBytes = size
        if downstream.pointee.exchange.request.isEmpty {
            swap(&copy.pointee.exchange.request, &downstream.pointee.exchange.request)
            copy.pointee.exchange.request.rewind()
        } else if let bytes = downstream.pointee.exchange.request.memory {
            buffers.append(bytes, count: size, to: &copy.pointee.exchange.request)
        }
        http.copies.insert(copy)
        http.newCopies.insert(copy)
        beginCopy(of: service)
    }

    mutating func startExclusiveCopies() {
        while let copy = http.newCopies.popFirst() { start(copy) }
    }

    mutating func dropExclusiveCopies() {
        while let copy = http.copies.first { endCopy(copy, .dropped) }
    }

    private mutating func start(_ copy: UnsafeMutablePointer<ExclusiveDownstream>) {
        guard let service = copy.pointee.exchange.state.service else { return }
        // It is a copy already that another Greymesh has made.
        if !mark(copy) { return endCopy(copy, nil) }
        let version = copy.pointee.exchange.state.served
        let choice = chooseForCopy(service, copy.pointee.exchange.state.asked, among: CallGroups(), version: version)
        guard let choice else { return endCopy(copy, .noHost) }
        let rules = service.pointee.traffic.find(version)
        copy.pointee.exchange.state.deadline = now + rules.pointee.timeout
        // Connections that a circuit breaker counts are for those that it counts.
        let isCounted = rules.pointee.breaker != nil
        guard let upstream = connectionForCopy(to: choice.member.pointee.endpoint, isPooled: !isCounted) else {
            return endCopy(copy, .failed)
        }
        upstream.pointee.endpoint.pointee.take(now: now, timeout: settings.limits.connectTimeout)
        copy.pointee.exchange.upstream = upstream
        upstream.pointee.downstream = copy
        upstream.pointee.uses &+= 1
        copy.pointee.exchange.state.givenAt = now
        if upstream.pointee.phase != .connecting { sendRequest(upstream, copy) }
        if copy.pointee.exchange.request.isEmpty { letGo(copy) }
        settle(copy, upstream)
    }

    /// Writes into the head that this is a copy; the whole request is at hand, so nobody need ask for its body. False: it was one before.
    private mutating func mark(_ copy: UnsafeMutablePointer<ExclusiveDownstream>) -> Bool {
        let (bytes, count) = (copy.pointee.exchange.request.bytes, copy.pointee.exchange.request.count)
        var (state, head) = (HTTP1.ScanState(), HTTP1.RequestHead())
        let result = HTTP1.parseRequestHead(
            bytes, count: count, limit: Self.outputSize, state: &state, head: &head, fields: &http.fields)
        let line = Self.mirrorLine
        let name = UnsafeBufferPointer(start: line.utf8Start, count: Self.mirrorNameCount)
        guard case .complete = result, http.fields.find(name, in: bytes) == nil else { return false }
        if let field = http.fields.first(.expect) {
            let start = Int(field.nameStart)
            var end = Int(field.valueStart) + Int(field.valueLength)
            while bytes[end - 1] != 0x0a { end += 1 }
            memmove(bytes + start, bytes + end, count - end)
            copy.pointee.exchange.request.shorten(by: end - start)
        }
        let (place, length) = (Int(head.fieldsStart), line.utf8CodeUnitCount)
        buffers.reserve(length, in: &copy.pointee.exchange.request)
        let new = copy.pointee.exchange.request.bytes
        memmove(new + place + length, new + place, copy.pointee.exchange.request.count - place)
        memcpy(new + place, line.utf8Start, length)
        copy.pointee.exchange.request.filled(length)
        return true
    }

    private static var mirrorLine: StaticString { "x-greymesh-mirror: 1\r\n" }
    private static var mirrorNameCount: Int { 17 }

    /// All of it is with its host.
    private mutating func letGo(_ copy: UnsafeMutablePointer<ExclusiveDownstream>) {
        buffers.release(&copy.pointee.exchange.request)
        mirrors.letGo(bytes: copy.pointee.copiedBytes)
        copy.pointee.copiedBytes = 0
    }

    // MARK: Ending

    /// The host of a copy, or of a request that is to be copied, is lost. True: it was a copy, and has failed.
    @inline(never)
    mutating func endsCopy(
        _ downstream: UnsafeMutablePointer<ExclusiveDownstream>, after event: RequestEvent
    ) -> Bool {
        if downstream.pointee.exchange.state.mirror == .copy {
            endCopy(downstream, .failed)
            return true
        }
        // Of one whose connection has broken nobody knows whether a host had it.
        if case .timedOut = event, downstream.pointee.exchange.request.isEmpty { mirror(downstream) }
        return false
    }

    /// The host's answer has come to its end.
    @inline(never)
    mutating func finishCopy(
        _ upstream: UnsafeMutablePointer<ExclusiveUpstream>, _ copy: UnsafeMutablePointer<ExclusiveDownstream>
    ) {
        let isSent = copy.pointee.exchange.request.isEmpty
        let service = copy.pointee.exchange.state.service
        let rules = service?.pointee.traffic.find(copy.pointee.exchange.state.served)
        detach(upstream, from: copy)
        if upstream.pointee.keepAlive && isSent && rules?.pointee.breaker == nil {
            putBack(upstream)
        } else {
            close(upstream)
        }
        endCopy(copy, .sent)
    }

    /// Ends a copy, with its connection where it still has one.
    ///
    /// - Parameter result: nil is not counted.
    @inline(never)
    mutating func endCopy(_ copy: UnsafeMutablePointer<ExclusiveDownstream>, _ result: MirrorResult?) {
        guard !copy.pointee.link.isClosed, let service = copy.pointee.exchange.state.service else { return }
        closeUpstream(of: copy)
        letGo(copy)
        http.newCopies.remove(copy)
        http.copies.remove(copy)
        close(copy.link)
        copy.pointee.exchange.state.service = nil
        http.downstreams.bury(copy)
        finishCopy(of: service, to: copy.pointee.exchange.state.served, result)
    }
}
