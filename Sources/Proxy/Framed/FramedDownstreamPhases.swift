import Codecs
import Runtime

// What a downstream connection is waiting for, and for how long.
//
// | phase | ends by itself after | then |
// |---|---|---|
// | between frames | never: to a downstream this is the only address there is | |
// | a frame has begun and does not go on (64 KiB count) | `head_timeout` | nothing more is read; its requests are answered, then it is closed |
// | requests in flight | each one's own timeout, see `RequestWaiting` | the request is answered |
// | answers that it does not take | `idle_timeout` without a byte taken | closed |
// | so many of them that all downstreams together hold too much | at once | those that hold most are closed |
// | its side is ended | with its last answer | closed |
// | writing failed | when what it sent before is read | closed |
// | draining, without requests and answers for 5 ms | 1 s, also within a frame that does not go on | closed |
extension Worker {
    /// Sees to interest, timer and memory after every step: they follow from the state and from nothing else.
    ///
    /// A downstream that does not take its answers, or has very many requests in flight, gets no further requests read.
    @inline(__always)
    mutating func watch<Codec: FramedCodec & ~Copyable>(
        _ framed: Framed<Codec>, _ downstream: UnsafeMutablePointer<FramedDownstream>
    ) {
        let link = downstream.link
        let memory = link.pointee.memory
        framed.pointee.downstreamMemory += memory - downstream.pointee.connection.countedMemory
        downstream.pointee.connection.countedMemory = memory

        let isRead = !link.pointee.readClosed && !lags(framed, downstream)
        var interest: Readiness = isRead ? .readable : []
        if !link.pointee.outbound.isEmpty && !downstream.pointee.connection.isDirty { interest.insert(.writable) }
        if isRead && downstream.pointee.connection.isWithinFrame || link.pointee.takenAt != 0 {
            hasten(link, to: nextDeadline(downstream, isRead))
        }
        if interest == link.pointee.interest { return }
        // Time in which it was not read from is not its fault.
        if isRead && !link.pointee.interest.contains(.readable) {
            downstream.pointee.connection.progress.hear(now: now)
        }
        watch(link, for: interest)
    }

    @inline(__always)
    private func lags<Codec: FramedCodec & ~Copyable>(
        _ framed: Framed<Codec>, _ downstream: UnsafeMutablePointer<FramedDownstream>
    ) -> Bool {
        let waiting = downstream.pointee.connection.link.outbound.count
        if waiting > FramedBounds.laggingDownstream
            || downstream.pointee.requestCount >= FramedBounds.requestsOfDownstream
        {
            return true
        }
        // When all together hold much, those that hold more than their share.
        let half = framed.pointee.downstreamBound / 2
        return framed.pointee.downstreamMemory > half && waiting * framed.pointee.downstreams.count > half
    }

    private func nextDeadline(_ downstream: UnsafeMutablePointer<FramedDownstream>, _ isRead: Bool) -> Int64 {
        var due = Int64.max
        if isRead && downstream.pointee.connection.isWithinFrame {
            due = frameEnd(downstream)
        }
        let takenAt = downstream.pointee.connection.link.takenAt
        return takenAt == 0 ? due : min(due, lag.running(since: takenAt) + settings.limits.idleTimeout)
    }

    private func frameEnd(_ downstream: UnsafeMutablePointer<FramedDownstream>) -> Int64 {
        lag.running(since: downstream.pointee.connection.progress.heardAt) + settings.limits.headTimeout
    }

    /// The timer is set for the earliest deadline there was; since then things may have gone on.
    mutating func downstreamTimeout<Codec: FramedCodec & ~Copyable>(
        _ framed: Framed<Codec>, _ downstream: UnsafeMutablePointer<FramedDownstream>
    ) {
        let link = downstream.link
        if link.pointee.isClosed { return }
        let takenAt = link.pointee.takenAt
        if takenAt != 0 && lag.running(since: takenAt) + settings.limits.idleTimeout <= now {
            return closeUntaken(framed, downstream)
        }
        let isRead = link.pointee.interest.contains(.readable)
        if isRead && downstream.pointee.connection.isWithinFrame && frameEnd(downstream) <= now {
            noteBadInput(downstream, "the rest of a frame does not come")
            return stopReading(framed, downstream)
        }
        watch(framed, downstream)
    }

    /// All downstreams together hold too much: the one that holds most goes, of equal ones the one that has taken nothing for longest.
    /// Nobody else waits for it.
    mutating func closeSlowest<Codec: FramedCodec & ~Copyable>(_ framed: Framed<Codec>) {
        guard var slowest = framed.pointee.all.first else { return }
        var item = framed.pointee.all.next(after: slowest)
        while let downstream = item {
            item = framed.pointee.all.next(after: downstream)
            let (held, most) = (downstream.pointee.connection.countedMemory, slowest.pointee.connection.countedMemory)
            let isSlower = downstream.pointee.connection.link.takenAt < slowest.pointee.connection.link.takenAt
            if held > most || held == most && isSlower { slowest = downstream }
        }
        closeUntaken(framed, slowest)
    }

    private mutating func closeUntaken<Codec: FramedCodec & ~Copyable>(
        _ framed: Framed<Codec>, _ downstream: UnsafeMutablePointer<FramedDownstream>
    ) {
        let waiting = downstream.pointee.connection.link.outbound.count
        noteBadInput(downstream, "\(waiting) bytes of answers are not taken: closed")
        close(framed, downstream)
    }

    // MARK: Ending

    /// Nothing more is read. What it asked before is answered.
    mutating func stopReading<Codec: FramedCodec & ~Copyable>(
        _ framed: Framed<Codec>, _ downstream: UnsafeMutablePointer<FramedDownstream>
    ) {
        downstream.pointee.connection.link.readClosed = true
        downstream.pointee.connection.skip = 0
        buffers.release(&downstream.pointee.connection.link.inbound)
        if !closeIfDone(framed, downstream) { watch(framed, downstream) }
    }

    /// Writing has failed. What it sent before is read to its end, which the poller tells; its answers are of no use.
    mutating func stopWriting<Codec: FramedCodec & ~Copyable>(
        _ framed: Framed<Codec>, _ downstream: UnsafeMutablePointer<FramedDownstream>
    ) {
        let link = downstream.link
        if downstream.pointee.givenAs != 0 { return passOn(framed, downstream) }
        if link.pointee.readClosed { return close(framed, downstream) }
        link.pointee.writeClosed = true
        buffers.release(&link.pointee.outbound)
        link.pointee.takenAt = 0
        watch(framed, downstream)
    }

    /// Closes a downstream that asks nothing more when it has all its answers.
    mutating func closeIfDone<Codec: FramedCodec & ~Copyable>(
        _ framed: Framed<Codec>, _ downstream: UnsafeMutablePointer<FramedDownstream>
    ) -> Bool {
        let link = downstream.link
        guard link.pointee.readClosed, downstream.pointee.requestCount == 0, downstream.pointee.owedAs == 0,
            link.pointee.outbound.isEmpty
        else { return false }
        close(framed, downstream)
        return true
    }

    /// The downstream is gone or must go. Hosts' answers to its requests will find nobody; one-way requests go on.
    mutating func close<Codec: FramedCodec & ~Copyable>(
        _ framed: Framed<Codec>, _ downstream: UnsafeMutablePointer<FramedDownstream>
    ) {
        if downstream.pointee.connection.link.isClosed { return }
        endHandOver(downstream)
        close(downstream.link)
        while let request = downstream.pointee.requests.first {
            if let upstream = request.pointee.upstream { expireUnsent(request, upstream) }
            end(framed, request, code: RequestCode.downstreamGone)
        }
        framed.pointee.downstreamMemory -= downstream.pointee.connection.countedMemory
        framed.pointee.all.remove(downstream)
        listeners[Int(downstream.pointee.listener)].open -= 1
        framed.pointee.downstreams.bury(downstream)
    }
}
