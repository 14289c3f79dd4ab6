import Runtime

// Upgraded connections: the links of an exchange become a pair, and never return to their pool or to HTTP.
extension Worker {
    mutating func beginTunnel(
        _ upstream: UnsafeMutablePointer<ExclusiveUpstream>, _ downstream: UnsafeMutablePointer<ExclusiveDownstream>
    ) {
        upstream.pointee.phase = .tunnel
        downstream.pointee.phase = .tunnel
        downstream.pointee.exchange.keepAlive = false
        // What the host has not taken of the request goes before what comes.
        upstream.pointee.link.outbound = downstream.pointee.exchange.request
        downstream.pointee.exchange.request = Buffer()
        // Tunnels are silent for long; a peer that has vanished must not keep one.
        system.keepAlive(upstream.pointee.link.descriptor)
        system.keepAlive(downstream.pointee.link.descriptor)
        // What the downstream sent behind its request is for the new protocol.
        if !downstream.pointee.link.inbound.isEmpty { queue(downstream) }
    }

    mutating func settleTunnel(_ downstream: UnsafeMutablePointer<ExclusiveDownstream>) {
        guard let upstream = downstream.pointee.exchange.upstream else { return }
        if passEnds(downstream.link, upstream.link) { endTunnel(downstream) }
    }

    /// Both ways have ended, or nothing has moved for too long.
    mutating func endTunnel(_ downstream: UnsafeMutablePointer<ExclusiveDownstream>) {
        closeUpstream(of: downstream)
        endExchange(downstream, code: downstream.pointee.exchange.status)
        close(downstream)
    }
}
