import Codecs
import Runtime

// The access log: one JSON object a line, put together in the worker and written elsewhere.
extension Worker {
    /// Begins a line while the request's head is at hand.
    mutating func beginLogLine(
        _ downstream: UnsafeMutablePointer<Downstream>, _ head: HTTP1.RequestHead, _ bytes: UnsafeMutablePointer<UInt8>
    ) {
        var line = "{\"time\":\"\(Logger.timestamp(system.wallNanoseconds))\",\"protocol\":\"http\",\"peer\":"
        line += JSONString.quoted(downstream.peerText.text)
        line += ",\"method\":" + JSONString.quoted(text(head.methodName, bytes))
        line += ",\"host\":" + JSONString.quoted(text(head.host, bytes))
        line += ",\"path\":" + JSONString.quoted(text(head.pathAndQuery, bytes))
        buffers.append(line, to: &downstream.pointee.exchange.logLine)
    }

    mutating func finishLogLine(
        _ downstream: UnsafeMutablePointer<Downstream>, _ service: UnsafeMutablePointer<Service>, code: Int32
    ) {
        let line = downstream.pointee.exchange.logLine
        buffers.append(line.bytes, count: line.count, to: &logLines)
        buffers.release(&downstream.pointee.exchange.logLine)
        logOutcome(
            service, served: downstream.pointee.exchange.served, code: code,
            nanoseconds: now - downstream.pointee.exchange.started)
    }

    /// Ends a line with what all protocols have: service, version, code and duration.
    mutating func logOutcome(
        _ service: UnsafeMutablePointer<Service>, served: Int32, code: Int32, nanoseconds: Int64
    ) {
        let version = served >= 0 ? service.pointee.labels[Int(served)].text : ""
        var line = ",\"service\":" + JSONString.quoted(service.pointee.key.name)
        line += ",\"version\":" + JSONString.quoted(version)
        line += ",\"status\":\(code),\"duration_us\":\(nanoseconds / 1000)}\n"
        buffers.append(line, to: &logLines)
    }

    /// Hands the finished lines to the log's thread.
    mutating func writeAccessLog() {
        guard let accessLog, !logLines.isEmpty else { return }
        system.write(Array(UnsafeBufferPointer(start: logLines.bytes, count: logLines.count)), to: accessLog)
        logLines.clear()
    }

    private func text(_ range: ByteRange, _ bytes: UnsafeMutablePointer<UInt8>) -> String {
        ByteString(base: bytes + Int(range.start), count: Int(range.count)).text
    }
}
