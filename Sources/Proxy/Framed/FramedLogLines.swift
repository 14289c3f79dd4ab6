import Codecs
import Runtime

// Lines of multiplexed protocols in the access log.
extension Worker {
    /// Begins a line while the request that was read last is at hand.
    mutating func beginLogLine<Codec: FramedCodec & ~Copyable>(
        _ framed: Framed<Codec>, _ request: UnsafeMutablePointer<FramedRequest>,
        _ downstream: UnsafeMutablePointer<FramedDownstream>, _ frame: UnsafeMutablePointer<UInt8>
    ) {
        buffers.append(lineStart(framed, downstream, frame), to: &request.pointee.state.logLine)
    }

    /// Adds the group that has served where the request could go to several.
    @inline(never)
    mutating func endLogLine(
        _ request: UnsafeMutablePointer<FramedRequest>, _ service: UnsafeMutablePointer<Service>
    ) {
        guard request.pointee.state.asked.isWide, request.pointee.state.served != ServiceMetrics.nobody else { return }
        let group = service.pointee.labels[Int(request.pointee.sentTerms.group)].text
        buffers.append(",\"served_group\":" + JSONString.quoted(group), to: &request.pointee.state.logLine)
    }

    /// Records a request that has no service.
    ///
    /// - Parameter frame: what was read last; nil when nothing of the request was.
    mutating func recordRefused<Codec: FramedCodec & ~Copyable>(
        _ framed: Framed<Codec>, _ downstream: UnsafeMutablePointer<FramedDownstream>,
        _ frame: UnsafeMutablePointer<UInt8>?, code: Int32
    ) {
        var line = Buffer()
        if accessLog != nil { buffers.append(lineStart(framed, downstream, frame), to: &line) }
        record(RequestRecord(service: nil, kind: Codec.kind, code: code, started: now), line: &line)
    }

    private func lineStart<Codec: FramedCodec & ~Copyable>(
        _ framed: Framed<Codec>, _ downstream: UnsafeMutablePointer<FramedDownstream>,
        _ frame: UnsafeMutablePointer<UInt8>?
    ) -> String {
        var line = lineStart(Codec.kind, peer: downstream.peerText)
        line += ",\"interface\":" + JSONString.quoted(frame.map { framed.pointee.codec.interface($0).text } ?? "")
        line += ",\"method\":" + JSONString.quoted(frame.map { framed.pointee.codec.method($0).text } ?? "")
        return line + ",\"group\":" + JSONString.quoted(frame.map { framed.pointee.codec.group($0).text } ?? "")
    }
}
