import Runtime

/// Copies of requests in one worker. A copy is made when a host has answered the request, or has not in time: then all of it is at hand,
/// and nothing is taken from the request itself, neither time nor bandwidth. It goes out when the batch of events is through.
///
/// Nobody waits for copies, so they are bounded twice, and what is beyond is dropped.
struct Mirrors {
    /// Most copies of a worker that are in flight.
    static let mostInFlight = 256
    /// Most bytes of copies that a worker keeps.
    static let mostBytes = 4 << 20

    /// Copies in flight, and those that go out with this batch.
    private(set) var count = 0
    /// Bytes of them that are not with their host.
    private(set) var bytes = 0
    /// Some are to go out with this batch.
    var isWaiting = false
    /// None is made any more: the process is to end.
    var isOver = false

    /// Counts one in. False: there is no room for it.
    mutating func enter(bytes size: Int) -> Bool {
        if isOver || count >= Self.mostInFlight || bytes + size > Self.mostBytes { return false }
        count += 1
        bytes += size
        isWaiting = true
        return true
    }

    /// Bytes are with their host, or given up.
    mutating func letGo(bytes size: Int) { bytes -= size }

    /// One has ended.
    mutating func leave() { count -= 1 }
}

extension Worker {
    /// Sends what copies this batch has made. What was sent before may have made more of them.
    @inline(never)
    mutating func startCopies() {
        while mirrors.isWaiting {
            mirrors.isWaiting = false
            startExclusiveCopies()
            startCopies(dubbo)
            startCopies(bolt)
            flush(dubbo)
            flush(bolt)
        }
    }

    /// The process is to end: nobody waits for copies.
    mutating func dropCopies() {
        mirrors.isOver = true
        dropExclusiveCopies()
        dropCopies(dubbo)
        dropCopies(bolt)
    }

    /// A copy has ended in whatever way.
    ///
    /// - Parameter result: nil is not counted.
    mutating func finishCopy(
        of service: UnsafeMutablePointer<Service>, to version: Int32, _ result: MirrorResult?
    ) {
        if let result { service.pointee.metrics.count(result, version) }
        service.pointee.copies -= 1
        mirrors.leave()
        finishRequest(of: service)
    }

    /// A copy is made, and keeps its service alive.
    func beginCopy(of service: UnsafeMutablePointer<Service>) {
        service.pointee.active += 1
        service.pointee.copies += 1
    }
}
