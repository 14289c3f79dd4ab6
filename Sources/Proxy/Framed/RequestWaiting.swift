import Codecs
import Model
import Runtime

// Requests that wait for the registries.
//
// | phase | ends by itself after | then |
// |---|---|---|
// | waiting for the registries | `discovery_timeout` | error: the downstream may try again |
// | the same | the request's own timeout | error; it is never sent |
// | on its way, or waiting for the answer | `per_try_timeout` | another host, where one can be asked |
// | the same | the request's own timeout, else the service's | error; of what was not begun to be sent nothing is |
//
// One-way requests end in the same way, but nobody is told.
extension Worker {
    mutating func park<Codec: FramedCodec & ~Copyable>(
        _ framed: Framed<Codec>, _ request: UnsafeMutablePointer<FramedRequest>,
        _ service: UnsafeMutablePointer<Service>, _ frame: UnsafeMutablePointer<UInt8>, _ count: Int,
        _ peer: ByteString
    ) {
        if framed.pointee.heldBytes + count > FramedBounds.heldBytes {
            return answer(
                framed, request, .overloaded,
                "greymesh: too many requests wait for the registries to tell of service \(service.pointee.key.name)")
        }
        let rules = service.pointee.traffic.find(ServiceMetrics.nobody)
        if let refusal = request.pointee.limits.beginWaiting(rules, now: now) {
            service.pointee.metrics.countRefusal(ServiceMetrics.nobody, refusal.reason)
            return answer(framed, request, refusal.answer, "\(refusal.text)")
        }
        hold(framed, request, frame, count)
        request.pointee.state.asked.chance = peer.hash(salt: service.pointee.salt)
        service.pointee.waiting.framed.insert(request)
        readTimeout(framed, request, service)
        wheel.set(
            request.timer, deadline: min(request.pointee.state.deadline, now + settings.limits.discoveryTimeout))
    }

    /// The service of a waiting request is known now, or is not watched any more.
    mutating func resumeWaiting(_ request: UnsafeMutablePointer<FramedRequest>, of kind: ServiceKey.Kind) {
        if kind == .bolt { resumeWaiting(bolt, request) } else { resumeWaiting(dubbo, request) }
    }

    private mutating func resumeWaiting<Codec: FramedCodec & ~Copyable>(
        _ framed: Framed<Codec>, _ request: UnsafeMutablePointer<FramedRequest>
    ) {
        guard let service = request.pointee.state.service else { return }
        service.pointee.waiting.framed.remove(request)
        request.pointee.limits.leaveLimits()
        if service.pointee.state != .ready {
            return answer(
                framed, request, .undiscovered,
                "greymesh: service \(service.pointee.key.name) was let go while the request waited for it")
        }
        if now >= request.pointee.state.deadline { return requestTimeout(framed, request) }
        let (frame, count) = (request.pointee.frame.bytes, request.pointee.frame.count)
        guard let head = Codec.head(frame, count: count) else { return }
        _ = framed.pointee.codec.read(frame, head)
        let peerHash = request.pointee.state.asked.chance
        let peer = request.pointee.downstream?.peerText ?? ByteString(base: frame, count: 0)
        ask(framed, request, service, frame, peer)
        // A one-way request has no downstream any more.
        if service.pointee.sticky == .clientAddress {
            request.pointee.state.asked.isSticky = true
            request.pointee.state.asked.chance = peerHash
        }
        askMore(framed, request, service, frame, peer)
        start(request)
        forward(framed, request, after: .ready, frame, count, isRead: true)
    }
}
