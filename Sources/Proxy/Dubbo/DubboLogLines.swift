import Codecs
import Runtime

// Dubbo's lines in the access log.
extension Worker {
    /// Begins a line while the request's body is at hand.
    mutating func beginLogLine(
        _ call: UnsafeMutablePointer<Call>, _ consumer: UnsafeMutablePointer<Consumer>,
        _ body: UnsafeMutablePointer<UInt8>
    ) {
        buffers.append(lineStart(consumer, body), to: &call.pointee.logLine)
    }

    /// Records a request that has not become a call.
    ///
    /// - Parameter body: what was read of it last; nil when nothing was.
    mutating func recordRefused(
        _ consumer: UnsafeMutablePointer<Consumer>, _ body: UnsafeMutablePointer<UInt8>?, status: UInt8
    ) {
        var line = Buffer()
        if accessLog != nil { buffers.append(lineStart(consumer, body), to: &line) }
        record(RequestRecord(service: nil, kind: .dubbo, code: Int32(status), started: now), line: &line)
    }

    private func lineStart(
        _ consumer: UnsafeMutablePointer<Consumer>, _ body: UnsafeMutablePointer<UInt8>?
    ) -> String {
        func quoted(_ range: ByteRange) -> String {
            guard let body, !range.isEmpty else { return "\"\"" }
            return JSONString.quoted(ByteString(base: body + Int(range.start), count: Int(range.count)).text)
        }
        var line = lineStart(.dubbo, peer: consumer.peerText)
        line += ",\"interface\":" + quoted(dubbo.invocation.interface)
        line += ",\"method\":" + quoted(dubbo.invocation.calledMethod)
        line += ",\"group\":" + quoted(dubbo.invocation.group)
        return line
    }
}
