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
        func quoted(_ name: (UnsafePointer<UInt8>) -> ByteString) -> String {
            JSONString.quoted(frame.map { name($0).prefix(Self.longestName).text } ?? "")
        }
        return lineStart(Codec.kind, peer: downstream.peerText)
            + ",\"interface\":" + quoted { framed.pointee.codec.interface($0) }
            + ",\"method\":" + quoted { framed.pointee.codec.method($0) }
            + ",\"group\":" + quoted { framed.pointee.codec.group($0) }
    }

    /// Bytes of a name that a line shows: many requests are in flight, each with its line.
    private static var longestName: Int { 256 }
}
