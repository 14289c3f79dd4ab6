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
        wheel.cancel(timer(downstream))
        // What the client sent behind its request is for the new protocol.
        if !downstream.pointee.inbound.isEmpty { queue(downstream) }
    }

    mutating func passToUpstream(
        _ downstream: UnsafeMutablePointer<Downstream>, _ bytes: UnsafeMutablePointer<UInt8>, _ count: Int
    ) {
        guard let upstream = downstream.pointee.exchange.upstream else { return }
        buffers.append(bytes, count: count, to: &downstream.pointee.exchange.request)
        sendRequest(upstream, downstream)
        if !upstream.pointee.isClosed && downstream.pointee.exchange.request.isEmpty {
            buffers.release(&downstream.pointee.exchange.request)
        }
    }

    /// The client has ended its way.
    mutating func endTunnelInput(_ downstream: UnsafeMutablePointer<Downstream>) {
        guard let upstream = downstream.pointee.exchange.upstream else { return abandon(downstream) }
        if upstream.pointee.readClosed { return endTunnel(upstream, downstream) }
        if downstream.pointee.exchange.request.isEmpty { system.endOutput(upstream.pointee.descriptor) }
        updateInterest(downstream)
    }

    /// The host has ended its way.
    mutating func endTunnelOutput(
        _ upstream: UnsafeMutablePointer<Upstream>, _ downstream: UnsafeMutablePointer<Downstream>
    ) {
        upstream.pointee.readClosed = true
        if downstream.pointee.readClosed { return endTunnel(upstream, downstream) }
        if downstream.pointee.outbound.isEmpty { system.endOutput(downstream.pointee.descriptor) }
        updateInterest(upstream)
    }

    private mutating func endTunnel(
        _ upstream: UnsafeMutablePointer<Upstream>, _ downstream: UnsafeMutablePointer<Downstream>
    ) {
        detach(upstream, from: downstream)
        close(upstream)
        endExchange(downstream, code: downstream.pointee.exchange.status)
        finishConnection(downstream)
    }
}
