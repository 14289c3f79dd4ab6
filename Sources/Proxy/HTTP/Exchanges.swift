import Balancing
import Codecs
import Glibc
import Runtime

// How requests end: with the host's answer, with an answer of our own, or with neither.
extension Worker {
    /// The host's answer has been passed on to its end.
    @inline(__always)
    mutating func finishExchange(
        _ upstream: UnsafeMutablePointer<Upstream>, _ downstream: UnsafeMutablePointer<Downstream>
    ) {
        // What the host has not taken of a body is nobody's any more; the client has sent it all the same, and may go on.
        let isRead = downstream.pointee.exchange.bodyComplete
        let isSent = isRead && downstream.pointee.exchange.request.isEmpty
        detach(upstream, from: downstream)
        if upstream.pointee.keepAlive && isSent { putBack(upstream) } else { close(upstream) }
        endExchange(downstream, code: downstream.pointee.exchange.status)
        if downstream.pointee.exchange.keepAlive && isRead {
            nextRequest(downstream)
        } else {
            finishConnection(downstream)
        }
    }

    /// The connection is ready for another request, which may be there already.
    @inline(__always)
    private mutating func nextRequest(_ downstream: UnsafeMutablePointer<Downstream>) {
        downstream.pointee.phase = .head
        downstream.pointee.exchange.started = 0
        downstream.pointee.exchange.headAt = 0
        downstream.pointee.active = now
        if !downstream.pointee.inbound.isEmpty { queue(downstream) }
    }

    /// Counts and logs a request that has ended in whatever way, and gives back what it held.
    @inline(__always)
    mutating func endExchange(_ downstream: UnsafeMutablePointer<Downstream>, code: Int32) {
        buffers.release(&downstream.pointee.exchange.request)
        let service = downstream.pointee.exchange.service
        downstream.pointee.exchange.isOpen = false
        record(
            RequestRecord(
                service: service, kind: .http, wished: downstream.pointee.exchange.asked.wishLabel,
                served: downstream.pointee.exchange.served, code: code,
                started: downstream.pointee.exchange.started), line: &downstream.pointee.exchange.logLine)
        guard let service else { return }
        downstream.pointee.exchange.service = nil
        finishRequest(of: service)
    }

    /// Answers for the host. Closes the connection behind it when the request's body is not read to its end.
    mutating func answer(_ downstream: UnsafeMutablePointer<Downstream>, _ status: Int, _ reason: StaticString) {
        answer(downstream, status, ByteString(base: reason.utf8Start, count: reason.utf8CodeUnitCount))
    }

    mutating func answer(_ downstream: UnsafeMutablePointer<Downstream>, _ status: Int, _ text: ByteString) {
        let isHead = downstream.pointee.exchange.method == .head
        if !downstream.pointee.exchange.bodyComplete || drainingSince != 0 {
            downstream.pointee.exchange.keepAlive = false
        }
        let keepsAlive = downstream.pointee.exchange.keepAlive
        let count = HTTP1.writeAnswer(
            status: status, text: UnsafeBufferPointer(start: text.base, count: text.count), isHead: isHead,
            connection: keepsAlive ? (downstream.pointee.exchange.isVersion11 ? .omitted : .keepAlive) : .close,
            into: output, capacity: Self.outputSize)
        downstream.pointee.phase = .exchanging
        write(downstream, output, count, output, 0)
        if downstream.pointee.isClosed { return }
        endExchange(downstream, code: Int32(status))
        if keepsAlive { nextRequest(downstream) } else { finishConnection(downstream) }
    }

    /// No host may or can serve: says for which service and version.
    mutating func answerNoHost(_ downstream: UnsafeMutablePointer<Downstream>, _ service: UnsafeMutablePointer<Service>)
    {
        downstream.pointee.exchange.served = ServiceMetrics.nobody
        var text = "no usable host of service \(Self.printable(service.pointee.name))"
        switch wantedTarget(service, downstream.pointee.exchange.asked) {
        case .version(let label) where label >= 0: text += " version \(Self.printable(service.pointee.labels[label]))"
        case .version: text += " " + unknownVersion(downstream)
        case .own, .any, .nothing: break
        }
        let bytes = ByteString(copying: text)
        defer { bytes.free() }
        answer(downstream, 503, bytes)
    }

    /// A version that no host ever had is not among the service's labels: it is in the request's head, which is still here.
    private func unknownVersion(_ downstream: UnsafeMutablePointer<Downstream>) -> String {
        let request = downstream.pointee.exchange.request
        var (head, state) = (HTTP1.RequestHead(), HTTP1.ScanState())
        var fields = HTTP1.FieldTable()
        guard downstream.pointee.exchange.isReplayable, let bytes = request.memory,
            HTTP1.parseRequestHead(
                bytes, count: request.end, limit: request.end, state: &state, head: &head, fields: &fields) == .complete
        else { return "in the version asked for" }
        for index in 0..<settings.wishCount {
            let name = UnsafeBufferPointer(
                start: settings.wishNames[index].base, count: settings.wishNames[index].count)
            guard let range = fields.find(name, in: bytes) else { continue }
            let value = ByteString(base: bytes + Int(range.start), count: Int(range.count))
            if value.count > 0 && !value.equals(settings.noVersion) { return "version \(Self.printable(value))" }
        }
        return "in the version asked for"
    }

    /// A name from outside in an answer's text: not too long, and nothing in it that only a terminal understands.
    static func printable(_ name: ByteString) -> String {
        var text = ""
        for scalar in name.text.unicodeScalars.prefix(64) {
            text += scalar.properties.generalCategory == .control ? scalar.escaped(asASCII: true) : String(scalar)
        }
        return name.text.unicodeScalars.count > 64 ? text + "…" : text
    }

    /// The registries have not told the service's hosts in time.
    mutating func answerUndiscovered(_ downstream: UnsafeMutablePointer<Downstream>) {
        let name = downstream.pointee.exchange.service.map { Self.printable($0.pointee.name) } ?? ""
        let bytes = ByteString(copying: "the registries have not answered in time about service \(name)")
        defer { bytes.free() }
        downstream.pointee.exchange.keepAlive = false
        answer(downstream, 503, bytes)
    }
}
