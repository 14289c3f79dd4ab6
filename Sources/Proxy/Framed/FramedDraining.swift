import Codecs
import Runtime

// The end of the process, or of its listeners: downstreams are served on until nothing of theirs is in flight.
extension Worker {
    /// Those that can go elsewhere are told to.
    mutating func beginDrain<Codec: FramedCodec & ~Copyable>(_ framed: Framed<Codec>) {
        framed.pointee.sweptAt = now
        var item = framed.pointee.all.first
        while let downstream = item {
            item = framed.pointee.all.next(after: downstream)
            guard Codec.saysGoodbye(listeners[Int(downstream.pointee.listener)].configuration) else { continue }
            let count = Codec.writeGoodbye(lane: downstream.pointee.connection.lane, into: output)
            send(framed, output, count, to: downstream)
        }
    }

    /// Closes each downstream that has nothing in flight, from a second after draining began, so that a request on its way is still
    /// answered.
    mutating func closeDrained<Codec: FramedCodec & ~Copyable>(_ framed: Framed<Codec>) {
        guard now - drainingSince >= Self.drainPause, now - framed.pointee.sweptAt >= Self.sweepPause else { return }
        framed.pointee.sweptAt = now
        var item = framed.pointee.all.first
        while let downstream = item {
            item = framed.pointee.all.next(after: downstream)
            let isQuiet = isQuiet(downstream)
            if isQuiet && downstream.pointee.wasQuiet {
                close(framed, downstream)
            } else {
                downstream.pointee.wasQuiet = isQuiet
            }
        }
    }

    private func isQuiet(_ downstream: UnsafeMutablePointer<FramedDownstream>) -> Bool {
        let connection = downstream.connection
        if downstream.pointee.requestCount > 0 || !connection.pointee.link.outbound.isEmpty { return false }
        return !connection.pointee.isWithinFrame || now - connection.pointee.progress.heardAt >= Self.drainPause
    }

    private static var sweepPause: Int64 { 20_000_000 }
}
