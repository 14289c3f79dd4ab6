import Balancing
import Codecs
import Glibc
import Runtime

// Connections to HTTP hosts: opening, pooling and closing.
extension Worker {
    /// Longest time that a connection waits in the pool. Most servers keep theirs longer.
    static var poolTimeout: Int64 { 60_000_000_000 }

    /// A connection for a request: one from the pool, the latest used first, else a new one.
    ///
    /// - Throws: when connecting has failed at once.
    @inline(__always)
    mutating func connection(
        to endpoint: UnsafeMutablePointer<Endpoint>, for downstream: UnsafeMutablePointer<Downstream>
    ) throws(SystemError) -> UnsafeMutablePointer<Upstream> {
        if !downstream.pointee.exchange.avoidsPool {
            while let upstream = idle(of: endpoint).first {
                takeOut(upstream)
                if maySendTwice(downstream) || isAlive(upstream) { return upstream }
                close(upstream)
            }
        }
        return try connect(endpoint)
    }

    /// The endpoint's idle connections. It keeps only the first of them.
    @inline(__always)
    private func idle(of endpoint: UnsafeMutablePointer<Endpoint>) -> LinkedList<Upstream.IdlePlace> {
        LinkedList(first: endpoint.pointee.pool?.assumingMemoryBound(to: Upstream.self))
    }

    /// Whether the request can be sent again as a whole should the host have closed the connection meanwhile.
    @inline(__always)
    private func maySendTwice(_ downstream: UnsafeMutablePointer<Downstream>) -> Bool {
        downstream.pointee.exchange.method.isIdempotent && downstream.pointee.exchange.bodyComplete
    }

    /// Other requests go only where the host has not closed already.
    private func isAlive(_ upstream: UnsafeMutablePointer<Upstream>) -> Bool {
        system.isQuiet(upstream.pointee.descriptor)
    }

    private mutating func connect(
        _ endpoint: UnsafeMutablePointer<Endpoint>
    ) throws(SystemError) -> UnsafeMutablePointer<Upstream> {
        let descriptor = system.connect(to: endpoint.pointee.address)
        if descriptor < 0 { throw SystemError("connect", code: -descriptor) }
        let upstream = http.upstreams.take(Upstream(descriptor: descriptor, endpoint: endpoint, now: now))
        endpoint.pointee.connections += 1
        system.watch(descriptor, .writable, token: Token(.exclusiveUpstream, upstream).rawValue)
        return upstream
    }

    @inline(__always)
    private mutating func takeOut(_ upstream: UnsafeMutablePointer<Upstream>) {
        let endpoint = upstream.pointee.endpoint
        var list = idle(of: endpoint)
        list.remove(upstream)
        endpoint.pointee.pool = UnsafeMutableRawPointer(list.first)
        upstream.pointee.phase = .head
    }

    /// Back into the pool, unless the host is not listed any more.
    @inline(__always)
    mutating func putBack(_ upstream: UnsafeMutablePointer<Upstream>) {
        let endpoint = upstream.pointee.endpoint
        if endpoint.pointee.references == 0 { return close(upstream) }
        var list = idle(of: endpoint)
        list.insert(upstream)
        endpoint.pointee.pool = UnsafeMutableRawPointer(upstream)
        upstream.pointee.phase = .idle
        upstream.pointee.since = now
    }

    mutating func closeIdleUpstreams(of endpoint: UnsafeMutablePointer<Endpoint>) {
        // The last close may free the endpoint; it must outlive this loop.
        endpoint.pointee.active += 1
        while let upstream = idle(of: endpoint).first { close(upstream) }
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

    @inline(__always)
    func timer(_ upstream: UnsafeMutablePointer<Upstream>) -> UnsafeMutablePointer<WheelTimer> {
        UnsafeMutableRawPointer(upstream).assumingMemoryBound(to: WheelTimer.self)
    }
}
