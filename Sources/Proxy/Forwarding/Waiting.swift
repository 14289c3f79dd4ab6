import Runtime

/// A service's requests that wait for the registries' first answer about it.
///
/// | protocol | waits as | when the service is known | ends by itself after |
/// |---|---|---|---|
/// | HTTP | a connection whose head stays in `inbound` | the head is read once more | `discovery_timeout`, or the request's own timeout |
/// | multiplexed | a request with its frame | it is sent | the same |
///
/// They count as requests of the service all the while. What is said at the end is `Forwarding`'s: error, the downstream may try again.
struct Waiting {
    var exclusive = LinkedList<ExclusiveDownstream.WaitingPlace>()
    var framed = LinkedList<FramedRequest.WaitingPlace>()

    var isEmpty: Bool { exclusive.first == nil && framed.first == nil }
}

extension Worker {
    /// The service is known now, or not watched any more: nobody waits for it any longer.
    mutating func resumeWaiting(_ service: UnsafeMutablePointer<Service>) {
        while let downstream = service.pointee.waiting.exclusive.first { resumeWaiting(downstream) }
        while let request = service.pointee.waiting.framed.first {
            resumeWaiting(request, of: service.pointee.key.kind)
        }
    }
}
