import Codecs
import Runtime

// Requests that wait, or end, on purpose.
extension Worker {
    /// The request goes on later: its timer tells when.
    mutating func delay<Codec: FramedCodec & ~Copyable>(
        _ framed: Framed<Codec>, _ request: UnsafeMutablePointer<FramedRequest>, _ frame: UnsafeMutablePointer<UInt8>,
        _ count: Int, until time: Int64
    ) {
        // One that has waited for its hosts is kept already.
        if request.pointee.frame.isEmpty {
            if framed.pointee.heldBytes + count > FramedBounds.heldBytes {
                return answer(
                    framed, request, .overloaded, "greymesh: too many requests are delayed here")
            }
            hold(framed, request, frame, count)
        }
        wheel.set(request.timer, deadline: min(time, request.pointee.state.deadline))
    }

    /// The request has waited long enough, or its time is over.
    mutating func endDelay<Codec: FramedCodec & ~Copyable>(
        _ framed: Framed<Codec>, _ request: UnsafeMutablePointer<FramedRequest>,
        _ service: UnsafeMutablePointer<Service>
    ) {
        if let cause = request.pointee.state.backoff.cause { return endBackoff(framed, request, cause) }
        if let status = endFault(&request.pointee.state, of: service) {
            return abort(framed, request, service, status)
        }
        let frame = request.pointee.frame
        // Versions and rules may be others by now, but time that is over stays so.
        if now < request.pointee.state.deadline, let head = Codec.head(frame.bytes, count: frame.count) {
            _ = framed.pointee.codec.read(frame.bytes, head)
            let client = PeerText(client(of: request)).copied(into: output)
            ask(framed, request, service, frame.bytes, client)
            askMore(framed, request, service, frame.bytes, client)
        }
        start(request)
        forward(
            framed, request, after: .ready, frame.bytes, frame.count, isRead: true,
            "it was over before the delay (fault) was")
    }

    /// The request has waited long enough before a further try.
    private mutating func endBackoff<Codec: FramedCodec & ~Copyable>(
        _ framed: Framed<Codec>, _ request: UnsafeMutablePointer<FramedRequest>, _ cause: RetryCause
    ) {
        request.pointee.state.backoff.cause = nil
        start(request)
        let frame = request.pointee.frame
        forward(framed, request, after: .rested(cause), frame.bytes, frame.count, isRead: false)
    }

    /// Answers in place of a host.
    mutating func abort<Codec: FramedCodec & ~Copyable>(
        _ framed: Framed<Codec>, _ request: UnsafeMutablePointer<FramedRequest>,
        _ service: UnsafeMutablePointer<Service>, _ status: Int32
    ) {
        service.pointee.metrics.count(.abort, request.pointee.state.served)
        if let downstream = request.pointee.downstream {
            let count = Codec.writeError(
                status, "greymesh: aborted on purpose (fault)", id: request.pointee.downstreamID, request.pointee.form,
                into: output)
            send(framed, output, count, to: downstream)
        }
        end(framed, request, code: status)
    }

    /// The worker ends: nobody waits any longer. One-way requests have no connection that would end them.
    mutating func endDelayed<Codec: FramedCodec & ~Copyable>(_ framed: Framed<Codec>) {
        for request in framed.pointee.requests.inUse where request.pointee.state.isDelayed {
            end(framed, request, code: RequestCode.downstreamGone)
        }
    }
}
