import Runtime

// A link's bytes.
extension Worker {
    /// Reads; 0 is the end of the stream, less is the negative error.
    @inline(__always)
    func receive(_ link: UnsafeMutablePointer<Link>, _ bytes: UnsafeMutablePointer<UInt8>, _ count: Int) -> Int {
        system.receive(link.pointee.descriptor, bytes, count)
    }

    /// Sends past `outbound`; returns how many bytes the peer has taken, or the negative error.
    @inline(__always)
    func send(_ link: UnsafeMutablePointer<Link>, _ bytes: UnsafePointer<UInt8>, _ count: Int) -> Int {
        system.send(link.pointee.descriptor, bytes, count)
    }

    /// The same with two stretches of bytes, one or none of them empty, in one system call.
    @inline(__always)
    private func send(
        _ link: UnsafeMutablePointer<Link>, _ first: UnsafeMutablePointer<UInt8>, _ firstCount: Int,
        _ second: UnsafeMutablePointer<UInt8>, _ secondCount: Int
    ) -> Int {
        if link.pointee.peer == .nobody { return firstCount + secondCount }
        if secondCount == 0 { return send(link, first, firstCount) }
        if firstCount == 0 { return send(link, second, secondCount) }
        return system.sendTwo(link.pointee.descriptor, first, firstCount, second, secondCount)
    }

    /// Sends two stretches of bytes behind what waits; what the peer does not take waits in `outbound`. Returns 0, or the error
    /// of a peer that takes nothing any more.
    @inline(__always)
    mutating func write(
        _ link: UnsafeMutablePointer<Link>, _ first: UnsafeMutablePointer<UInt8>, _ firstCount: Int,
        _ second: UnsafeMutablePointer<UInt8>, _ secondCount: Int
    ) -> Int32 {
        var sent = 0
        if link.pointee.outbound.isEmpty {
            sent = send(link, first, firstCount, second, secondCount)
            if sent == firstCount + secondCount { return 0 }
            if sent < 0 {
                if !sent.isAgain { return sent.errorCode }
                sent = 0
            }
        }
        if sent < firstCount { buffers.append(first + sent, count: firstCount - sent, to: &link.pointee.outbound) }
        let skipped = max(0, sent - firstCount)
        if skipped < secondCount {
            buffers.append(second + skipped, count: secondCount - skipped, to: &link.pointee.outbound)
        }
        return 0
    }

    /// Sends what waits in `outbound`.
    @inline(__always)
    mutating func flush(_ link: UnsafeMutablePointer<Link>) -> Link.Flushed {
        let waiting = link.pointee.outbound.count
        if waiting > 0 {
            let flushed = flush(link, first: waiting)
            if !link.pointee.outbound.isEmpty { return flushed }
        }
        link.pointee.takenAt = 0
        buffers.release(&link.pointee.outbound)
        return .all
    }

    /// Sends the first `count` bytes of what waits in `outbound`, which is more than none.
    @inline(__always)
    mutating func flush(_ link: UnsafeMutablePointer<Link>, first count: Int) -> Link.Flushed {
        let sent = send(link, link.pointee.outbound.bytes, count)
        if sent < 0 && !sent.isAgain { return .failed(sent.errorCode) }
        if sent > 0 { link.pointee.outbound.consume(sent) }
        if sent > 0 || link.pointee.takenAt == 0 { link.pointee.takenAt = now }
        return .some
    }
}
