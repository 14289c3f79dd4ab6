import Codecs
import Runtime

// Dubbo's lines in the access log.
extension Worker {
    /// Begins a line while the request's body is at hand.
    mutating func beginLogLine(
        _ call: UnsafeMutablePointer<Call>, _ consumer: UnsafeMutablePointer<Consumer>,
        _ body: UnsafeMutablePointer<UInt8>
    ) {
        func quoted(_ range: ByteRange) -> String {
            JSONString.quoted(ByteString(base: body + Int(range.start), count: Int(range.count)).text)
        }
        var line = "{\"time\":\"\(Logger.timestamp(system.wallNanoseconds))\",\"protocol\":\"dubbo\",\"peer\":"
        line += JSONString.quoted(consumer.peerText.text)
        line += ",\"interface\":" + quoted(dubbo.invocation.interface)
        line += ",\"method\":" + quoted(dubbo.invocation.calledMethod)
        line += ",\"group\":" + quoted(dubbo.invocation.group)
        buffers.append(line, to: &call.pointee.logLine)
    }

    mutating func finishLogLine(
        _ call: UnsafeMutablePointer<Call>, _ service: UnsafeMutablePointer<Service>, code: Int32
    ) {
        let line = call.pointee.logLine
        buffers.append(line.bytes, count: line.count, to: &logLines)
        buffers.release(&call.pointee.logLine)
        logOutcome(service, served: call.pointee.served, code: code, nanoseconds: now - call.pointee.started)
    }
}
