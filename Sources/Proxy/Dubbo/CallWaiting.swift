import Codecs
import Runtime

// Calls that wait for the registries.
//
// | phase | ends by itself after | then |
// |---|---|---|
// | waiting for the registries | `discovery_timeout` | error: the consumer may try again |
// | the same | the call's own timeout | error; it is never sent |
// | on its way, or waiting for the answer | the call's own timeout, else the service's | error; of what was not begun to be sent nothing is |
//
// One-way calls end in the same way, but nobody is told.
extension Worker {
    mutating func park(
        _ call: UnsafeMutablePointer<Call>, _ service: UnsafeMutablePointer<Service>,
        _ frame: UnsafeMutablePointer<UInt8>, _ count: Int
    ) {
        if dubbo.heldBytes + count > DubboBounds.heldBytes {
            answer(
                call, Dubbo.Status.threadPoolExhausted,
                "greymesh: too many requests wait for the registries to tell of service \(service.pointee.key.name)")
            return
        }
        hold(call, frame, count)
        call.pointee.isWaiting = true
        call.pointee.next = service.pointee.waitingCalls
        service.pointee.waitingCalls?.pointee.previous = call
        service.pointee.waitingCalls = call
        readPatience(call, service)
        let own = call.pointee.started + call.pointee.patience
        wheel.set(timer(call), deadline: min(own, now + settings.limits.discoveryTimeout))
    }

    /// Takes a call off its service's list.
    mutating func stopWaiting(_ call: UnsafeMutablePointer<Call>) {
        let (previous, next) = (call.pointee.previous, call.pointee.next)
        if let previous {
            previous.pointee.next = next
        } else {
            call.pointee.service?.pointee.waitingCalls = next
        }
        next?.pointee.previous = previous
        call.pointee.previous = nil
        call.pointee.next = nil
        call.pointee.isWaiting = false
    }

    /// The service is known now, or is not watched any more.
    mutating func resumeWaiting(_ call: UnsafeMutablePointer<Call>) {
        stopWaiting(call)
        guard let service = call.pointee.service else { return }
        if service.pointee.state != .ready {
            answer(
                call, Dubbo.Status.serverError,
                "greymesh: service \(service.pointee.key.name) was let go while the call waited for it")
            return
        }
        if isOverdue(call) { return callTimeout(call) }
        let (frame, count) = (call.pointee.frame.bytes, call.pointee.frame.count)
        let body = frame + Dubbo.headSize
        _ = Dubbo.parseInvocation(
            body, count: count - Dubbo.headSize, call.pointee.serialization, &dubbo.scratch, into: &dubbo.invocation)
        ask(call, service, body, call.pointee.consumer?.peerText ?? ByteString(base: body, count: 0))
        start(call, service)
        dispatch(call, frame, count)
    }
}
