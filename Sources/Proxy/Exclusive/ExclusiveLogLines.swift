import Codecs
import Runtime

// HTTP's lines in the access log: one JSON object a line, put together in the worker and written elsewhere.
extension Worker {
    /// Begins a line while the request's head is at hand.
    mutating func beginLogLine(
        _ downstream: UnsafeMutablePointer<ExclusiveDownstream>, _ head: HTTP1.RequestHead,
        _ bytes: UnsafeMutablePointer<UInt8>
    ) {
        var line = lineStart(.http, peer: downstream.peerText)
        if downstream.pointee.isProxy { line += ",\"client\":" + JSONString.quoted(downstream.pointee.client.ip) }
        line += ",\"method\":" + JSONString.quoted(text(head.methodName, bytes))
        line += ",\"host\":" + JSONString.quoted(text(head.host, bytes))
        line += ",\"path\":" + JSONString.quoted(text(head.pathAndQuery, bytes))
        buffers.append(line, to: &downstream.pointee.exchange.state.logLine)
    }

    /// Begins the line of a request whose head cannot be read.
    mutating func beginLogLine(_ downstream: UnsafeMutablePointer<ExclusiveDownstream>) {
        let line = lineStart(.http, peer: downstream.peerText) + ",\"method\":\"\",\"host\":\"\",\"path\":\"\""
        buffers.append(line, to: &downstream.pointee.exchange.state.logLine)
    }

    private func text(_ range: ByteRange, _ bytes: UnsafeMutablePointer<UInt8>) -> String {
        ByteString(base: bytes + Int(range.start), count: Int(range.count)).prefix(Self.longestText).text
    }

    /// Bytes of a path or name that a line shows.
    private static var longestText: Int { 4096 }
}
