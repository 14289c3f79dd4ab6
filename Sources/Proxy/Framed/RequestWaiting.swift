import Codecs
import Model
import Runtime

// Requests that wait for the registries.
//
// | phase | ends by itself after | then |
// |---|---|---|
// | waiting for the registries | `discovery_timeout` | error: the downstream may try again |
// | the same | the request's own timeout | error; it is never sent |
// | delayed on purpose (`fault`) | the delay | it goes to a host, or is aborted |
// | the same | the request's own timeout, else the service's | error; it is never sent |
// | between two hosts (`backoff`) | the wait | it goes to a host |
// | the same | the request's own timeout, else the service's | error; it is never sent |
// | on its way, or waiting for the answer | `hedge` | another host beside this one, where one can be asked |
// | the same | `per_try_timeout` | another host, where one can be asked |
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
        // Its client's address goes with it: a one-way request has no downstream.
        hold(framed, request, peer.base, peer.count)
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
        let frame = request.pointee.frame.bytes
        guard let head = Codec.head(frame, count: request.pointee.frame.count) else { return }
        let count = head.frameLength
        _ = framed.pointee.codec.read(frame, head)
        let peer = ByteString(base: frame + count, count: request.pointee.frame.count - count)
        ask(framed, request, service, frame, peer)
        askMore(framed, request, service, frame, peer)
        request.pointee.frame.shorten(by: peer.count)
        framed.pointee.heldBytes -= peer.count
        start(request)
        forward(framed, request, after: .ready, frame, count, isRead: true)
    }
}
