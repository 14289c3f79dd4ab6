import Balancing
import Codecs
import Runtime

// Copies of requests. One is a request that no downstream waits for, as one-way requests are; hosts cannot tell it from others.
//
// | phase | ends by itself after | then |
// |---|---|---|
// | on its way, or waiting for the answer | the request's own timeout, else the copied version's | failed; of what was not begun to be sent nothing is |
// | its connection is lost | at once | failed; it goes to no other host |
// | draining | at once | dropped |
extension Worker {
    /// Keeps a one-way request that is to be copied until it is handed over.
    @inline(never)
    mutating func keepForMirror<Codec: FramedCodec & ~Copyable>(
        _ framed: Framed<Codec>, _ request: UnsafeMutablePointer<FramedRequest>, _ frame: UnsafePointer<UInt8>,
        _ count: Int
    ) {
        if request.pointee.frame.isEmpty && count <= FramedBounds.replayedFrame
            && framed.pointee.heldBytes + count <= FramedBounds.heldBytes
        {
            hold(framed, request, frame, count)
        }
    }

    /// A request ends that is to be copied, or is a copy. True: it was a copy, and has ended.
    @inline(never)
    mutating func endMirrored<Codec: FramedCodec & ~Copyable>(
        _ framed: Framed<Codec>, _ request: UnsafeMutablePointer<FramedRequest>, code: Int32
    ) -> Bool {
        if request.pointee.state.mirror == .copy {
            endCopy(framed, request, .sent)
            return true
        }
        // Nothing is copied that no host had, nor what its client does not want any more.
        if let upstream = request.pointee.upstream, request.pointee.position < upstream.pointee.sent,
            code != RequestCode.downstreamGone
        {
            mirror(framed, request)
        }
        return false
    }

    /// A host has answered a request that is to be copied, has not in time, or has taken one that is not answered: it is not sent again.
    private mutating func mirror<Codec: FramedCodec & ~Copyable>(
        _ framed: Framed<Codec>, _ request: UnsafeMutablePointer<FramedRequest>
    ) {
        request.pointee.state.mirror = .decided
        guard let service = request.pointee.state.service, let version = mirrorVersion(request.pointee.state) else {
            return
        }
        let size = request.pointee.frame.count
        if max(size, Int(request.pointee.end &- request.pointee.position)) > FramedBounds.replayedFrame {
            return service.pointee.metrics.count(.tooLarge, version)
        }
        guard size > 0, mirrors.enter(bytes: size) else { return service.pointee.metrics.count(.dropped, version) }
        guard let copy = framed.pointee.requests.take() else {
            mirrors.letGo(bytes: size)
            mirrors.leave()
            return service.pointee.metrics.count(.dropped, version)
        }
        fill(copy, from: request, to: version)
        swap(&copy.pointee.frame, &request.pointee.frame)
        framed.pointee.newCopies.append(copy)
        beginCopy(of: service)
    }

    /// All but the frame.
    private func fill(
        _ copy: UnsafeMutablePointer<FramedRequest>, from request: UnsafeMutablePointer<FramedRequest>,
        to version: Int32
    ) {
        copy.pointee.state.service = request.pointee.state.service
        copy.pointee.state.asked = request.pointee.state.asked
        copy.pointee.state.mirror = .copy
        copy.pointee.state.served = version
        copy.pointee.state.started = now
        copy.pointee.state.deadline =
            now + (request.pointee.state.deadline - request.pointee.state.started)
        copy.pointee.hasOwnTimeout = request.pointee.hasOwnTimeout
        copy.pointee.isTwoWay = request.pointee.isTwoWay
        copy.pointee.form = request.pointee.form
        copy.pointee.frameVersion = request.pointee.frameVersion
        copy.pointee.frameTerms = request.pointee.frameTerms
        copy.pointee.isAdapted = request.pointee.isAdapted
        copy.pointee.groups = request.pointee.groups
    }

    mutating func startCopies<Codec: FramedCodec & ~Copyable>(_ framed: Framed<Codec>) {
        while let copy = framed.pointee.newCopies.popFirst() { start(framed, copy) }
    }

    mutating func dropCopies<Codec: FramedCodec & ~Copyable>(_ framed: Framed<Codec>) {
        for request in framed.pointee.requests.inUse where request.pointee.state.mirror == .copy {
            endCopy(framed, request, .dropped)
        }
    }

    private mutating func start<Codec: FramedCodec & ~Copyable>(
        _ framed: Framed<Codec>, _ copy: UnsafeMutablePointer<FramedRequest>
    ) {
        mirrors.letGo(bytes: copy.pointee.frame.count)
        guard let service = copy.pointee.state.service else { return }
        let version = copy.pointee.state.served
        let choice = chooseForCopy(service, copy.pointee.state.asked, among: copy.pointee.groups, version: version)
        guard let choice else { return endCopy(framed, copy, .noHost) }
        let upstream = upstream(framed, of: choice.member, service, lane: copy.pointee.form.lane)
        framed.pointee.exhaustion = 0
        guard let upstream else { return endCopy(framed, copy, .failed) }
        // Others share the connection: they are not to wait behind many copies, nor to find that there is no room.
        let frame = copy.pointee.frame
        if upstream.pointee.connection.link.outbound.count + frame.count > FramedBounds.smallBacklog {
            return endCopy(framed, copy, .dropped)
        }
        if !copy.pointee.hasOwnTimeout {
            copy.pointee.state.deadline = now + service.pointee.traffic.find(version).pointee.timeout
        }
        copy.pointee.state.givenAt = now
        choice.member.pointee.endpoint.pointee.take(now: now, timeout: settings.limits.connectTimeout)
        copy.pointee.sentVersion = Int(choice.cluster.pointee.interfaceVersion)
        copy.pointee.sentTerms = CallTerms(group: choice.cluster.pointee.group, path: choice.path)
        enqueue(framed, copy, upstream, frame.bytes, frame.count, isRead: false)
        letGo(framed, copy)
        start(copy)
    }

    /// Ends a copy; an answer that still comes is dropped.
    mutating func endCopy<Codec: FramedCodec & ~Copyable>(
        _ framed: Framed<Codec>, _ copy: UnsafeMutablePointer<FramedRequest>, _ result: MirrorResult
    ) {
        guard let service = copy.pointee.state.service else { return }
        if let upstream = copy.pointee.upstream {
            if upstream.pointee.phase != .broken { expireUnsent(copy, upstream) }
        } else if copy.pointee.queue.isLinked {
            mirrors.letGo(bytes: copy.pointee.frame.count)
            framed.pointee.newCopies.remove(copy)
        }
        let version = copy.pointee.state.served
        wheel.cancel(copy.timer)
        leaveUpstream(framed, copy)
        letGo(framed, copy)
        copy.pointee.state.service = nil
        framed.pointee.requests.put(copy)
        finishCopy(of: service, to: version, result)
    }
}
