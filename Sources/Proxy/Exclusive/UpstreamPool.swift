import Balancing
import Runtime

/// There is no connection for a request.
enum NoConnection: Error {
    /// Connecting has failed at once.
    case failed(SystemError)
    /// The circuit breaker allows none.
    case limited(RefusalReason)
}

// Connections to hosts: opening, pooling and closing.
extension Worker {
    /// Longest time that a connection waits in the pool. Most servers keep theirs longer.
    static var poolTimeout: Int64 { 60_000_000_000 }

    /// A connection for a request: one from the pool, the latest used first, else a new one.
    ///
    /// - Parameter cluster: what the host was picked from.
    /// - Throws: when connecting has failed at once, or when the circuit breaker allows no further connection.
    @inline(__always)
    mutating func connection(
        to endpoint: UnsafeMutablePointer<Endpoint>, for downstream: UnsafeMutablePointer<ExclusiveDownstream>,
        of cluster: UnsafeMutablePointer<Cluster>
    ) throws(NoConnection) -> UnsafeMutablePointer<ExclusiveUpstream> {
        if !downstream.pointee.exchange.avoidsPool {
            while let upstream = idle(of: endpoint).first {
                takeOut(upstream)
                if maySendTwice(downstream) || isAlive(upstream) { return upstream }
                close(upstream)
            }
        }
        if let place = downstream.pointee.exchange.limits.place {
            return try connect(endpoint, for: downstream, place.takeUnretainedValue(), cluster)
        }
        do throws(SystemError) { return try connect(endpoint) } catch { throw .failed(error) }
    }

    /// A connection for the copy of a request, which is sent only once. Nil: connecting has failed at once.
    ///
    /// - Parameter isPooled: one from the pool will do.
    mutating func connectionForCopy(
        to endpoint: UnsafeMutablePointer<Endpoint>, isPooled: Bool
    ) -> UnsafeMutablePointer<ExclusiveUpstream>? {
        while isPooled, let upstream = idle(of: endpoint).first {
            takeOut(upstream)
            if isAlive(upstream) { return upstream }
            close(upstream)
        }
        return try? connect(endpoint)
    }

    /// Connects for a request that counts in a circuit breaker.
    @inline(never)
    private mutating func connect(
        _ endpoint: UnsafeMutablePointer<Endpoint>, for downstream: UnsafeMutablePointer<ExclusiveDownstream>,
        _ counts: BreakerCounts, _ cluster: UnsafeMutablePointer<Cluster>
    ) throws(NoConnection) -> UnsafeMutablePointer<ExclusiveUpstream> {
        guard let service = downstream.pointee.exchange.state.service else { throw .limited(.connections) }
        let rules = service.pointee.traffic.find(downstream.pointee.exchange.state.served)
        if !downstream.pointee.exchange.limits.beginPending(rules) { throw .limited(.pending) }
        let most = rules.pointee.mostConnections
        while !counts.connections.enter(most: most) {
            if closeIdle(of: counts, in: cluster) { continue }
            downstream.pointee.exchange.limits.endPending()
            throw .limited(.connections)
        }
        do throws(SystemError) {
            let upstream = try connect(endpoint)
            upstream.pointee.counted = .passRetained(counts)
            return upstream
        } catch {
            counts.connections.leave()
            downstream.pointee.exchange.limits.endPending()
            throw .failed(error)
        }
    }

    /// Hosts that are looked at for a connection that is not used.
    private static var hostsLookedAt: Int { 64 }

    /// Makes room: closes a connection that is not used and counts there. False: there is none at the hosts that were looked at.
    private mutating func closeIdle(of counts: BreakerCounts, in cluster: UnsafeMutablePointer<Cluster>) -> Bool {
        let count = cluster.pointee.count
        if count == 0 { return false }
        let start = Int(truncatingIfNeeded: random.next() >> 1) % count
        for step in 0..<min(count, Self.hostsLookedAt) {
            let member = cluster.pointee.members + (start + step) % count
            guard let upstream = idle(of: member.pointee.endpoint).first,
                upstream.pointee.counted?.toOpaque() == Unmanaged.passUnretained(counts).toOpaque()
            else { continue }
            close(upstream)
            return true
        }
        return false
    }

    /// The endpoint's idle connections. It keeps only the first of them.
    @inline(__always)
    private func idle(of endpoint: UnsafeMutablePointer<Endpoint>) -> LinkedList<ExclusiveUpstream.IdlePlace> {
        LinkedList(first: endpoint.pointee.pool?.assumingMemoryBound(to: ExclusiveUpstream.self))
    }

    /// Whether the request can be sent again as a whole should the host have closed the connection meanwhile.
    @inline(__always)
    private func maySendTwice(_ downstream: UnsafeMutablePointer<ExclusiveDownstream>) -> Bool {
        guard downstream.pointee.exchange.method.isIdempotent && downstream.pointee.exchange.bodyComplete,
            let service = downstream.pointee.exchange.state.service
        else { return false }
        return service.pointee.traffic.find(downstream.pointee.exchange.state.served).pointee.retries.repeatsStale
    }

    /// Other requests go only where the host has not closed already.
    private func isAlive(_ upstream: UnsafeMutablePointer<ExclusiveUpstream>) -> Bool {
        isQuiet(upstream.link)
    }

    private mutating func connect(
        _ endpoint: UnsafeMutablePointer<Endpoint>
    ) throws(SystemError) -> UnsafeMutablePointer<ExclusiveUpstream> {
        let descriptor = system.connect(to: endpoint.pointee.address)
        if descriptor < 0 { throw SystemError("connect", code: -descriptor) }
        let upstream = http.upstreams.take(ExclusiveUpstream(descriptor: descriptor, endpoint: endpoint, now: now))
        let error = open(upstream.link)
        if error != 0 {
            close(upstream.link)
            http.upstreams.put(upstream)
            throw SystemError("watch", code: error)
        }
        endpoint.pointee.connections += 1
        return upstream
    }

    @inline(__always)
    private mutating func takeOut(_ upstream: UnsafeMutablePointer<ExclusiveUpstream>) {
        let endpoint = upstream.pointee.endpoint
        var list = idle(of: endpoint)
        list.remove(upstream)
        endpoint.pointee.pool = UnsafeMutableRawPointer(list.first)
        upstream.pointee.phase = .head
    }

    /// Back into the pool, unless the host is not listed any more.
    @inline(__always)
    mutating func putBack(_ upstream: UnsafeMutablePointer<ExclusiveUpstream>) {
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
    mutating func detach(
        _ upstream: UnsafeMutablePointer<ExclusiveUpstream>, from downstream: UnsafeMutablePointer<ExclusiveDownstream>
    ) {
        upstream.pointee.downstream = nil
        downstream.pointee.exchange.upstream = nil
        endTally(&downstream.pointee.exchange.state)
        upstream.pointee.endpoint.pointee.active -= 1
    }

    mutating func closeUpstream(of downstream: UnsafeMutablePointer<ExclusiveDownstream>) {
        guard let upstream = downstream.pointee.exchange.upstream else { return }
        if downstream.pointee.exchange.hedge != nil { endHedge(downstream, isBeaten: false) }
        detach(upstream, from: downstream)
        close(upstream)
    }

    mutating func close(_ upstream: UnsafeMutablePointer<ExclusiveUpstream>) {
        if upstream.pointee.link.isClosed { return }
        if upstream.pointee.phase == .idle { takeOut(upstream) }
        close(upstream.link)
        let endpoint = upstream.pointee.endpoint
        endpoint.pointee.connections -= 1
        upstream.pointee.counted.leaveConnections()
        http.upstreams.bury(upstream)
        freeEndpointIfUnused(endpoint)
    }
}
