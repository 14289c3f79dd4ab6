import Codecs
import Runtime

// What a connection to a host is waiting for, and for how long. `heartbeat` is 30 s.
//
// | phase | ends by itself after | then |
// |---|---|---|
// | connecting | `connect_timeout` | the host is ejected, its requests go to others |
// | nothing heard | `heartbeat` | it gets a heartbeat; without an answer for two more it is lost |
// | nothing heard since before a request that has run out of time | at once | it gets a heartbeat; without an answer for 5 s from when it took the last byte of that or of what stands before it, it is lost |
// | an answer has begun and does not go on (64 KiB count) | `heartbeat` | lost: no heartbeat's answer can overtake it |
// | requests that it does not take | `heartbeat` without a byte taken | lost |
// | leaving | 3 s | the host may be connected to anew; this connection goes with its last request |
// | writing failed | when what it sent before is read, at most 1 s | lost |
//
// Lost: the host is ejected when there were requests; those of which nothing was sent go to other hosts, the others are answered.
// Closed by the host while nothing is in flight: nothing is wrong with it, requests of this moment may go to it again.
extension Worker {
    /// Sees to interest, timer and memory after every step: they follow from the state and from nothing else.
    @inline(__always)
    mutating func watch<Codec: FramedCodec & ~Copyable>(
        _ framed: Framed<Codec>, _ upstream: UnsafeMutablePointer<FramedUpstream>
    ) {
        let memory = upstream.pointee.connection.link.memory
        framed.pointee.upstreamMemory += memory - upstream.pointee.connection.countedMemory
        upstream.pointee.connection.countedMemory = memory
        hasten(upstream.link, to: nextDeadline(upstream))
        watch(upstream.link, for: wantedInterest(upstream))
    }

    @inline(__always)
    private func wantedInterest(_ upstream: UnsafeMutablePointer<FramedUpstream>) -> Readiness {
        switch upstream.pointee.phase {
        case .connecting: return [.writable, .peerClosed]
        case .broken: return [.readable, .peerClosed]
        case .ready, .leaving:
            let writes =
                !upstream.pointee.connection.link.outbound.isEmpty && !upstream.pointee.connection.isDirty
            return writes ? [.readable, .writable, .peerClosed] : [.readable, .peerClosed]
        }
    }

    @inline(__always)
    private func nextDeadline(_ upstream: UnsafeMutablePointer<FramedUpstream>) -> Int64 {
        if !upstream.pointee.isOpen { return upstream.pointee.phaseEnd }
        var due = upstream.pointee.answerBy
        if due == 0 || upstream.pointee.connection.isWithinFrame {
            let frameEnd = heardAt(upstream) + settings.heartbeat
            due = due == 0 ? frameEnd : min(due, frameEnd)
        }
        let takenAt = upstream.pointee.connection.link.takenAt
        if takenAt != 0 { due = min(due, lag.running(since: takenAt) + settings.heartbeat) }
        if upstream.pointee.leavingUntil != 0 { due = min(due, upstream.pointee.leavingUntil) }
        return due
    }

    /// When the host was last heard. It cannot go on with a frame of which nobody reads the beginning.
    @inline(__always)
    private func heardAt(_ upstream: UnsafeMutablePointer<FramedUpstream>) -> Int64 {
        let time = upstream.pointee.connection.progress.heardAt
        return upstream.pointee.connection.isWithinFrame ? lag.running(since: time) : time
    }

    /// The timer is set for the earliest deadline there was; since then things may have gone on.
    mutating func upstreamTimeout<Codec: FramedCodec & ~Copyable>(
        _ framed: Framed<Codec>, _ upstream: UnsafeMutablePointer<FramedUpstream>
    ) {
        if upstream.pointee.connection.link.isClosed { return }
        if nextDeadline(upstream) <= now {
            switch upstream.pointee.phase {
            case .connecting:
                let milliseconds = settings.limits.connectTimeout / 1_000_000
                return lose(framed, upstream, "connect: not within \(milliseconds) ms", .network)
            case .broken: return lose(framed, upstream, "writing failed")
            case .ready, .leaving: keepAlive(framed, upstream)
            }
        }
        if !upstream.pointee.connection.link.isClosed { watch(framed, upstream) }
    }

    /// Sends a heartbeat when the host was not heard for a while, and gives the connection up when that does not help.
    private mutating func keepAlive<Codec: FramedCodec & ~Copyable>(
        _ framed: Framed<Codec>, _ upstream: UnsafeMutablePointer<FramedUpstream>
    ) {
        let silence = now - heardAt(upstream)
        let seconds = silence / 1_000_000_000
        let answerBy = upstream.pointee.answerBy
        let takenAt = upstream.pointee.connection.link.takenAt
        if upstream.pointee.leavingUntil != 0 && upstream.pointee.leavingUntil <= now { stopCounting(upstream) }
        if takenAt != 0 && lag.running(since: takenAt) + settings.heartbeat <= now {
            return lose(framed, upstream, "it has taken nothing for \((now - takenAt) / 1_000_000_000) s")
        }
        if silence >= settings.heartbeat && upstream.pointee.connection.isWithinFrame {
            return lose(framed, upstream, "it has stopped within a frame for \(seconds) s")
        }
        if answerBy != 0 && answerBy <= now {
            return lose(framed, upstream, "nothing heard for \(seconds) s, heartbeats included")
        }
        if silence >= settings.heartbeat && answerBy == 0 {
            sendHeartbeat(framed, upstream, within: 2 * settings.heartbeat)
        }
    }

    /// A request has run out of time and the host was not heard since it began: is it still there?
    mutating func probe<Codec: FramedCodec & ~Copyable>(
        _ framed: Framed<Codec>, _ upstream: UnsafeMutablePointer<FramedUpstream>
    ) {
        if !upstream.pointee.isOpen { return }
        if upstream.pointee.answerBy != 0 && upstream.pointee.answerBy <= now + probeTimeout { return }
        sendHeartbeat(framed, upstream, within: probeTimeout)
    }

    /// How long a host may take to answer the heartbeat that is sent when a request has run out of time.
    private var probeTimeout: Int64 { min(5_000_000_000, 2 * settings.heartbeat) }

    /// A host that takes what stands before its heartbeat is alive, be it slow: it cannot have answered yet.
    ///
    /// - Parameter sent: how far the stream had been sent.
    @inline(never)
    mutating func noteTaken(_ upstream: UnsafeMutablePointer<FramedUpstream>, since sent: UInt64) {
        if upstream.pointee.answerBy == 0 || sent >= upstream.pointee.heartbeatEnd { return }
        if upstream.pointee.sent == sent { return }
        upstream.pointee.answerBy = max(upstream.pointee.answerBy, now + probeTimeout)
    }

    mutating func sendHeartbeat<Codec: FramedCodec & ~Copyable>(
        _ framed: Framed<Codec>, _ upstream: UnsafeMutablePointer<FramedUpstream>, within timeout: Int64
    ) {
        let id = framed.pointee.requests.unusedID
        let count = Codec.writeHeartbeat(lane: upstream.pointee.connection.lane, id: id, into: output)
        upstream.pointee.answerBy = now + timeout
        upstream.pointee.heartbeatEnd = upstream.pointee.queued &+ UInt64(count)
        // An answer may come long before `answerBy` and sets no timer: the next heartbeat is due `heartbeat` after it.
        hasten(upstream.link, to: now + min(timeout, settings.heartbeat))
        send(framed, output, count, to: upstream)
        watch(framed, upstream)
    }
}
