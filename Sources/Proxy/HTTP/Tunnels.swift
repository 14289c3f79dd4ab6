import Glibc
import Runtime

// Upgraded connections: bytes pass both ways unread, each way ends on its own, and the pair never returns to the pool.
extension Worker {
    mutating func beginTunnel(
        _ upstream: UnsafeMutablePointer<Upstream>, _ downstream: UnsafeMutablePointer<Downstream>
    ) {
        upstream.pointee.phase = .tunnel
        downstream.pointee.phase = .tunnel
        downstream.pointee.exchange.keepAlive = false
        // Tunnels are silent for long; a peer that has vanished must not keep one.
        system.keepAlive(upstream.pointee.descriptor)
        system.keepAlive(downstream.pointee.descriptor)
        // What the client sent behind its request is for the new protocol.
        if !downstream.pointee.inbound.isEmpty { queue(downstream) }
    }

    mutating func passToUpstream(
        _ downstream: UnsafeMutablePointer<Downstream>, _ bytes: UnsafeMutablePointer<UInt8>, _ count: Int
    ) {
        guard let upstream = downstream.pointee.exchange.upstream, upstream.pointee.sendError == 0 else { return }
        buffers.append(bytes, count: count, to: &downstream.pointee.exchange.request)
        sendRequest(upstream, downstream)
        if !upstream.pointee.isClosed && downstream.pointee.exchange.request.isEmpty {
            buffers.release(&downstream.pointee.exchange.request)
        }
    }

    /// Passes on the end of each way once all that came before it is passed on; with the second one the tunnel ends.
    mutating func settleTunnel(_ downstream: UnsafeMutablePointer<Downstream>) {
        guard let upstream = downstream.pointee.exchange.upstream else { return }
        // What a host does not take any more cannot be waited for.
        if upstream.pointee.sendError != 0 { buffers.release(&downstream.pointee.exchange.request) }
        let isSent = downstream.pointee.inbound.isEmpty && downstream.pointee.exchange.request.isEmpty
        let isEnded = downstream.pointee.readClosed || upstream.pointee.sendError == EPIPE
        if isEnded && isSent && !upstream.pointee.outputEnded {
            upstream.pointee.outputEnded = true
            system.endOutput(upstream.pointee.descriptor)
        }
        if upstream.pointee.readClosed && downstream.pointee.outbound.isEmpty && !downstream.pointee.outputEnded {
            downstream.pointee.outputEnded = true
            system.endOutput(downstream.pointee.descriptor)
        }
        if upstream.pointee.outputEnded && downstream.pointee.outputEnded { endTunnel(downstream) }
    }

    /// Both ways have ended, or nothing has moved for too long.
    mutating func endTunnel(_ downstream: UnsafeMutablePointer<Downstream>) {
        if let upstream = downstream.pointee.exchange.upstream {
            detach(upstream, from: downstream)
            close(upstream)
        }
        endExchange(downstream, code: downstream.pointee.exchange.status)
        close(downstream)
    }
}
