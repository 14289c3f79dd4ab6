import Runtime

// Connections to hosts: connecting, sending on and reading.
extension Worker {
    mutating func upstreamReady(_ upstream: UnsafeMutablePointer<ExclusiveUpstream>, _ readiness: Readiness) {
        if upstream.pointee.link.isClosed { return }
        // Nobody asked: whatever comes of a host between responses ends the connection.
        guard let downstream = upstream.pointee.downstream else { return close(upstream) }
        downstream.pointee.active = now
        if downstream.pointee.exchange.upstream != upstream { turn(to: upstream, downstream) }
        if upstream.pointee.phase == .connecting {
            finishConnect(upstream, downstream)
        } else {
            proceed(upstream, downstream, readiness)
        }
        settle(downstream, upstream)
    }

    @inline(__always)
    private mutating func proceed(
        _ upstream: UnsafeMutablePointer<ExclusiveUpstream>, _ downstream: UnsafeMutablePointer<ExclusiveDownstream>,
        _ readiness: Readiness
    ) {
        if readiness.contains(.writable) { continueSending(upstream, downstream) }
        if readiness == .writable { return }
        // The host has ended both ways of a tunnel, and the downstream lags behind.
        if upstream.pointee.link.readClosed { return unwatch(upstream.link) }
        read(upstream, downstream)
    }

    private mutating func finishConnect(
        _ upstream: UnsafeMutablePointer<ExclusiveUpstream>, _ downstream: UnsafeMutablePointer<ExclusiveDownstream>
    ) {
        let error = system.connectError(upstream.pointee.link.descriptor)
        guard error == 0 else { return connectFailed(upstream, error) }
        upstream.pointee.phase = .head
        downstream.pointee.exchange.state.givenAt = now
        downstream.pointee.exchange.limits.endPending()
        continueSending(upstream, downstream)
    }

    /// The host takes more: sends what waits, then lets the downstream go on.
    private mutating func continueSending(
        _ upstream: UnsafeMutablePointer<ExclusiveUpstream>, _ downstream: UnsafeMutablePointer<ExclusiveDownstream>
    ) {
        if upstream.pointee.phase == .tunnel { return flushRelay(upstream.link) }
        if !upstream.pointee.link.outbound.isEmpty { return sendCopy(upstream, downstream) }
        sendRequest(upstream, downstream)
        if !downstream.pointee.exchange.request.isEmpty { return }
        downstream.pointee.exchange.state.givenAt = now
        if !downstream.pointee.exchange.bodyComplete && !downstream.pointee.link.inbound.isEmpty { queue(downstream) }
    }

    // MARK: Reading

    private mutating func read(
        _ upstream: UnsafeMutablePointer<ExclusiveUpstream>, _ downstream: UnsafeMutablePointer<ExclusiveDownstream>
    ) {
        if upstream.pointee.link.inbound.isEmpty {
            let count = receive(upstream.link, scratch, Self.scratchSize)
            if count <= 0 { return endOfResponse(upstream, downstream, count) }
            let used = consume(upstream, downstream, scratch, count)
            if used < count && !upstream.pointee.link.isClosed && upstream.pointee.phase == .head {
                buffers.append(scratch + used, count: count - used, to: &upstream.pointee.link.inbound)
            }
        } else {
            buffers.reserve(4096, in: &upstream.pointee.link.inbound)
            let count = receive(
                upstream.link, upstream.pointee.link.inbound.tail, upstream.pointee.link.inbound.room)
            if count <= 0 { return endOfResponse(upstream, downstream, count) }
            upstream.pointee.link.inbound.filled(count)
            var inbound = upstream.pointee.link.inbound
            upstream.pointee.link.inbound = Buffer()
            let used = consume(upstream, downstream, inbound.bytes, inbound.count)
            inbound.consume(used)
            if inbound.isEmpty || upstream.pointee.link.isClosed || upstream.pointee.phase != .head {
                buffers.release(&inbound)
            } else {
                upstream.pointee.link.inbound = inbound
            }
        }
    }

    /// Passes on what belongs to the response; returns how many bytes were used.
    private mutating func consume(
        _ upstream: UnsafeMutablePointer<ExclusiveUpstream>, _ downstream: UnsafeMutablePointer<ExclusiveDownstream>,
        _ bytes: UnsafeMutablePointer<UInt8>, _ count: Int
    ) -> Int {
        var used = 0
        while used < count && upstream.pointee.phase == .head && !upstream.pointee.link.isClosed {
            let taken = readResponseHead(upstream, downstream, bytes + used, count - used)
            if taken == 0 { return used }
            used += taken
        }
        if used < count && !upstream.pointee.link.isClosed {
            passBody(upstream, downstream, head: 0, bytes + used, count - used)
        }
        return count
    }
}
