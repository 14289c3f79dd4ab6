import Runtime

// Requests that wait, or end, on purpose. One that waits has its head in `request`, and what follows it in `inbound`.
extension Worker {
    /// The request goes on later: the connection's timer tells when.
    mutating func delay(_ downstream: UnsafeMutablePointer<ExclusiveDownstream>, until time: Int64) {
        downstream.pointee.phase = .delayed
        downstream.pointee.delayedUntil = time
    }

    /// The request has waited long enough, or its time is over.
    mutating func endDelay(_ downstream: UnsafeMutablePointer<ExclusiveDownstream>) {
        guard let service = downstream.pointee.exchange.state.service else { return }
        downstream.pointee.phase = .exchanging
        if let cause = downstream.pointee.exchange.state.backoff.cause {
            downstream.pointee.exchange.state.backoff.cause = nil
            forward(downstream, after: .rested(cause))
        } else {
            if let status = endFault(&downstream.pointee.exchange.state, of: service) {
                return abort(downstream, service, status)
            }
            askAgain(downstream, service)
            forward(downstream, after: .ready, Self.delayedTooLong)
        }
        let isBodyWaiting = !downstream.pointee.exchange.bodyComplete && !downstream.pointee.link.inbound.isEmpty
        if downstream.pointee.phase == .exchanging && isBodyWaiting { queue(downstream) }
    }

    private static var delayedTooLong: StaticString { "the time for the request was over before its delay (fault) was" }

    /// Answers in place of a host.
    mutating func abort(
        _ downstream: UnsafeMutablePointer<ExclusiveDownstream>, _ service: UnsafeMutablePointer<Service>,
        _ status: Int32
    ) {
        service.pointee.metrics.count(.abort, downstream.pointee.exchange.state.served)
        answer(downstream, Int(status), "aborted on purpose (fault)", error: "fault")
    }
}
