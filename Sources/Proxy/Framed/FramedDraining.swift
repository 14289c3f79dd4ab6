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
            guard !isGiven(downstream), Codec.saysGoodbye(listeners[Int(downstream.pointee.listener)].configuration)
            else { continue }
            let count = Codec.writeGoodbye(lane: downstream.pointee.connection.lane, into: output)
            send(framed, output, count, to: downstream)
        }
    }

    /// Closes each downstream that has had nothing in flight for a moment, from a second after draining began, so that a request on its way is still
    /// answered.
    mutating func closeDrained<Codec: FramedCodec & ~Copyable>(_ framed: Framed<Codec>) {
        guard now - drainingSince >= Self.drainPause, now - framed.pointee.sweptAt >= Self.sweepPause else { return }
        framed.pointee.sweptAt = now
        let pause = now - drainingSince < Self.quietDrain ? Self.quietPause : 0
        var item = framed.pointee.all.first
        while let downstream = item {
            item = framed.pointee.all.next(after: downstream)
            if isQuiet(downstream) && now - downstream.pointee.flushedAt >= pause { close(framed, downstream) }
        }
    }

    /// Nothing is in flight.
    private func isQuiet(_ downstream: UnsafeMutablePointer<FramedDownstream>) -> Bool {
        let connection = downstream.connection
        if downstream.pointee.requestCount > 0 || downstream.pointee.owedAs != 0
            || !connection.pointee.link.outbound.isEmpty
        {
            return false
        }
        return !connection.pointee.isWithinFrame || now - connection.pointee.progress.heardAt >= Self.drainPause
    }

    private static var sweepPause: Int64 { 5_000_000 }

    /// How long nothing must have been in flight: Bolt clients forget answers that they have not yet handed on when they see the end.
    private static var quietPause: Int64 { 5_000_000 }

    /// For how long that is waited for: a downstream that never pauses would be cut off in the end with requests in flight.
    private static var quietDrain: Int64 { 10_000_000_000 }
}
