import Balancing
import Codecs
import Glibc
import Runtime

// Connections to HTTP hosts: opening, pooling and closing.
extension Worker {
    /// Longest time that a connection waits in the pool. Most servers keep theirs longer.
    static var poolTimeout: Int64 { 60_000_000_000 }

    /// A connection for a request: one from the pool, the latest used first, else a new one. Nil: connecting failed at once.
    @inline(__always)
    mutating func connection(
        to endpoint: UnsafeMutablePointer<Endpoint>, for downstream: UnsafeMutablePointer<Downstream>
    ) -> UnsafeMutablePointer<Upstream>? {
        if !downstream.pointee.exchange.avoidsPool {
            while let upstream = firstIdle(of: endpoint) {
                takeOut(upstream)
                if downstream.pointee.exchange.method.isIdempotent || isAlive(upstream) { return upstream }
                close(upstream)
            }
        }
        return connect(endpoint)
    }

    @inline(__always)
    private func firstIdle(of endpoint: UnsafeMutablePointer<Endpoint>) -> UnsafeMutablePointer<Upstream>? {
        endpoint.pointee.pool?.assumingMemoryBound(to: Upstream.self)
    }

    /// A request that must not be sent twice goes only where the host has not closed already.
    private func isAlive(_ upstream: UnsafeMutablePointer<Upstream>) -> Bool {
        system.isQuiet(upstream.pointee.descriptor)
    }

    private mutating func connect(_ endpoint: UnsafeMutablePointer<Endpoint>) -> UnsafeMutablePointer<Upstream>? {
        let descriptor = system.connect(to: endpoint.pointee.address)
        if descriptor < 0 {
            http.connectError = -descriptor
            return nil
        }
        let upstream = http.upstreams.take(Upstream(descriptor: descriptor, endpoint: endpoint))
        endpoint.pointee.connections += 1
        system.watch(descriptor, .writable, token: Token(.upstream, upstream).rawValue)
        wheel.set(timer(upstream), deadline: now + settings.limits.connectTimeout)
        return upstream
    }

    @inline(__always)
    private mutating func takeOut(_ upstream: UnsafeMutablePointer<Upstream>) {
        let (previous, next) = (upstream.pointee.previousIdle, upstream.pointee.nextIdle)
        if let previous {
            previous.pointee.nextIdle = next
        } else {
            upstream.pointee.endpoint.pointee.pool = UnsafeMutableRawPointer(next)
        }
        next?.pointee.previousIdle = previous
        upstream.pointee.previousIdle = nil
        upstream.pointee.nextIdle = nil
        upstream.pointee.phase = .head
        wheel.pause(timer(upstream))
    }

    /// Back into the pool, unless the host is not listed any more.
    @inline(__always)
    mutating func putBack(_ upstream: UnsafeMutablePointer<Upstream>) {
        let endpoint = upstream.pointee.endpoint
        if endpoint.pointee.references == 0 { return close(upstream) }
        let first = firstIdle(of: endpoint)
        upstream.pointee.phase = .idle
        upstream.pointee.nextIdle = first
        first?.pointee.previousIdle = upstream
        endpoint.pointee.pool = UnsafeMutableRawPointer(upstream)
        wheel.set(timer(upstream), deadline: now + Self.poolTimeout)
        updateInterest(upstream)
    }

    mutating func closeIdleUpstreams(of endpoint: UnsafeMutablePointer<Endpoint>) {
        // The last close may free the endpoint; it must outlive this loop.
        endpoint.pointee.active += 1
        while let upstream = firstIdle(of: endpoint) { close(upstream) }
        endpoint.pointee.active -= 1
    }

    /// Ends the bond between a request and its connection; the endpoint has one request less.
    @inline(__always)
    mutating func detach(_ upstream: UnsafeMutablePointer<Upstream>, from downstream: UnsafeMutablePointer<Downstream>)
    {
        upstream.pointee.downstream = nil
        downstream.pointee.exchange.upstream = nil
        upstream.pointee.endpoint.pointee.active -= 1
    }

    mutating func close(_ upstream: UnsafeMutablePointer<Upstream>) {
        if upstream.pointee.isClosed { return }
        if upstream.pointee.phase == .idle { takeOut(upstream) }
        upstream.pointee.isClosed = true
        wheel.cancel(timer(upstream))
        system.close(upstream.pointee.descriptor)
        buffers.release(&upstream.pointee.inbound)
        let endpoint = upstream.pointee.endpoint
        endpoint.pointee.connections -= 1
        http.upstreams.bury(upstream)
        freeEndpointIfUnused(endpoint)
    }

    mutating func upstreamTimeout(_ upstream: UnsafeMutablePointer<Upstream>) {
        switch upstream.pointee.phase {
        case .connecting: connectFailed(upstream, "timed out")
        case .idle: close(upstream)
        case .head, .body, .tunnel: break
        }
    }

    @inline(__always)
    func timer(_ upstream: UnsafeMutablePointer<Upstream>) -> UnsafeMutablePointer<WheelTimer> {
        UnsafeMutableRawPointer(upstream).assumingMemoryBound(to: WheelTimer.self)
    }

    /// Reads unless the client lags behind; waits for room while a part of the request waits.
    @inline(__always)
    func updateInterest(_ upstream: UnsafeMutablePointer<Upstream>) {
        if upstream.pointee.phase == .connecting { return }
        var interest: Readiness = .readable
        if let downstream = upstream.pointee.downstream {
            if !downstream.pointee.outbound.isEmpty { interest = [] }
            if !downstream.pointee.exchange.request.isEmpty { interest.insert(.writable) }
            if upstream.pointee.readClosed { interest.remove(.readable) }
        }
        if interest == upstream.pointee.interest { return }
        upstream.pointee.interest = interest
        system.rewatch(upstream.pointee.descriptor, interest, token: Token(.upstream, upstream).rawValue)
    }

    /// The client has taken all: the host may go on, or the end of a tunnel is passed on.
    mutating func resumeAfterFlush(
        _ upstream: UnsafeMutablePointer<Upstream>, _ downstream: UnsafeMutablePointer<Downstream>
    ) {
        if upstream.pointee.phase == .tunnel && upstream.pointee.readClosed {
            system.endOutput(downstream.pointee.descriptor)
        }
        updateInterest(upstream)
    }
}
