import Glibc
import Runtime

// Pairs of links whose bytes pass both ways unread. Each way ends on its own.
extension Worker {
    /// Passes bytes on; what the peer does not take waits, and nothing is passed to one that takes nothing any more.
    mutating func relay(_ bytes: UnsafeMutablePointer<UInt8>, _ count: Int, to link: UnsafeMutablePointer<Link>) {
        if link.pointee.sendError != 0 { return }
        link.pointee.sendError = write(link, bytes, count, bytes, 0)
    }

    /// The peer takes more.
    mutating func flushRelay(_ link: UnsafeMutablePointer<Link>) {
        if link.pointee.outbound.isEmpty || link.pointee.sendError != 0 { return }
        if case .failed(let error) = flush(link) { link.pointee.sendError = error }
    }

    /// Passes on the end of each way once all that came before it is passed on. Returns whether both have ended.
    mutating func passEnds(_ one: UnsafeMutablePointer<Link>, _ other: UnsafeMutablePointer<Link>) -> Bool {
        passEnd(of: one, to: other)
        passEnd(of: other, to: one)
        return one.pointee.writeClosed && other.pointee.writeClosed
    }

    private mutating func passEnd(of source: UnsafeMutablePointer<Link>, to sink: UnsafeMutablePointer<Link>) {
        // What a peer does not take any more cannot be waited for.
        if sink.pointee.sendError != 0 { buffers.release(&sink.pointee.outbound) }
        let isPassed = source.pointee.inbound.isEmpty && sink.pointee.outbound.isEmpty
        let isEnded = source.pointee.readClosed || sink.pointee.sendError == EPIPE
        if isEnded && isPassed && !sink.pointee.writeClosed { endOutput(sink) }
    }
}
