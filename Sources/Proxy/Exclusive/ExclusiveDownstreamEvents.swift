import Runtime

// Downstream connections: opening, reading, writing and closing.
extension Worker {
    mutating func openDownstream(_ descriptor: Int32, peer: SocketAddress, listener: Int) {
        let downstream = http.downstreams.take(
            ExclusiveDownstream(
                descriptor: descriptor, listener: Int32(listener), peer: peer,
                isProxy: settings.trustedProxies.contains(peer), now: now))
        http.all.insert(downstream)
        _ = open(downstream.link)
        settle(downstream, nil)
    }

    mutating func downstreamReady(_ downstream: UnsafeMutablePointer<ExclusiveDownstream>, _ readiness: Readiness) {
        if downstream.pointee.link.isClosed { return }
        let upstream = downstream.pointee.exchange.upstream
        if !downstream.pointee.link.outbound.isEmpty { flush(downstream) }
        if !downstream.pointee.link.isClosed { take(downstream, readiness) }
        settle(downstream, upstream)
    }

    /// What the peer has sent counts, even if it is gone by now: reading tells of that when all of it is read.
    @inline(__always)
    private mutating func take(_ downstream: UnsafeMutablePointer<ExclusiveDownstream>, _ readiness: Readiness) {
        if wantsInput(downstream) {
            if readiness != .writable { read(downstream) }
        } else if !readiness.isDisjoint(with: [.error, .hangUp]) {
            endUnread(downstream, readiness)
        }
    }

    /// The peer is gone, and what it may have sent before cannot be used now.
    private mutating func endUnread(_ downstream: UnsafeMutablePointer<ExclusiveDownstream>, _ readiness: Readiness) {
        let upstream = downstream.pointee.exchange.upstream
        let isBytesWaiting = downstream.pointee.phase == .tunnel && upstream?.pointee.link.outbound.isEmpty == false
        if isBytesWaiting { unwatch(downstream.link) } else { abandon(downstream) }
    }

    // MARK: Reading

    private mutating func read(_ downstream: UnsafeMutablePointer<ExclusiveDownstream>) {
        if downstream.pointee.link.inbound.isEmpty {
            let count = receive(downstream.link, scratch, Self.scratchSize)
            if count <= 0 { return endOfInput(downstream, count) }
            noteInput(downstream)
            let used = consume(downstream, scratch, count)
            if used < count && !downstream.pointee.link.isClosed {
                buffers.append(scratch + used, count: count - used, to: &downstream.pointee.link.inbound)
            }
        } else {
            buffers.reserve(min(4096, Self.scratchSize), in: &downstream.pointee.link.inbound)
            let count = receive(
                downstream.link, downstream.pointee.link.inbound.tail, downstream.pointee.link.inbound.room)
            if count <= 0 { return endOfInput(downstream, count) }
            noteInput(downstream)
            downstream.pointee.link.inbound.filled(count)
            consumeInbound(downstream)
        }
    }

    /// The peer is there. While its response is written only taking it counts: what it sends is dropped then.
    @inline(__always)
    private func noteInput(_ downstream: UnsafeMutablePointer<ExclusiveDownstream>) {
        if downstream.pointee.phase != .flushing { downstream.pointee.active = now }
    }

    /// Goes on with bytes that wait in `inbound`.
    mutating func consumeInbound(_ downstream: UnsafeMutablePointer<ExclusiveDownstream>) {
        if downstream.pointee.link.inbound.isEmpty { return }
        let used = consume(downstream, downstream.pointee.link.inbound.bytes, downstream.pointee.link.inbound.count)
        // Closing and lingering give the buffer back.
        if downstream.pointee.link.isClosed || downstream.pointee.link.inbound.isEmpty { return }
        downstream.pointee.link.inbound.consume(used)
        if downstream.pointee.link.inbound.isEmpty { buffers.release(&downstream.pointee.link.inbound) }
    }

    /// Uses bytes as far as the connection's phase allows; returns how many.
    private mutating func consume(
        _ downstream: UnsafeMutablePointer<ExclusiveDownstream>, _ bytes: UnsafeMutablePointer<UInt8>, _ count: Int
    ) -> Int {
        var used = 0
        while used < count && !downstream.pointee.link.isClosed {
            let rest = bytes + used
            switch downstream.pointee.phase {
            case .head:
                // A downstream that does not take its responses gets no further requests read.
                if !downstream.pointee.link.outbound.isEmpty { return used }
                guard let length = readHead(downstream, rest, count - used) else { return used }
                used += length
            case .exchanging:
                if downstream.pointee.exchange.bodyComplete { return used }
                let taken = readBody(downstream, rest, count - used)
                if taken == 0 { return used }
                used += taken
            case .tunnel:
                if let upstream = downstream.pointee.exchange.upstream { relay(rest, count - used, to: upstream.link) }
                return count
            case .discovering, .delayed: return used
            case .flushing, .lingering: return count
            }
        }
        return used
    }

    /// The peer has ended its side (`count` is 0): `settle` draws the conclusion. Or the connection is broken.
    private mutating func endOfInput(_ downstream: UnsafeMutablePointer<ExclusiveDownstream>, _ count: Int) {
        if count == 0 {
            downstream.pointee.link.readClosed = true
        } else if !count.isAgain {
            abandon(downstream)
        }
    }

    // MARK: Writing

    /// Writes bytes to the downstream; what it does not take waits.
    @inline(__always)
    mutating func write(
        _ downstream: UnsafeMutablePointer<ExclusiveDownstream>, _ head: UnsafeMutablePointer<UInt8>, _ headCount: Int,
        _ body: UnsafeMutablePointer<UInt8>, _ bodyCount: Int
    ) {
        if write(downstream.link, head, headCount, body, bodyCount) != 0 { abandon(downstream) }
    }

    private mutating func flush(_ downstream: UnsafeMutablePointer<ExclusiveDownstream>) {
        let waiting = downstream.pointee.link.outbound.count
        switch flush(downstream.link) {
        case .failed: return abandon(downstream)
        case .some:
            if downstream.pointee.link.outbound.count < waiting { downstream.pointee.active = now }
            return
        case .all: downstream.pointee.active = now
        }
        switch downstream.pointee.phase {
        case .flushing: linger(downstream)
        case .head: if !downstream.pointee.link.inbound.isEmpty { queue(downstream) }
        case .discovering, .delayed, .exchanging, .tunnel, .lingering: break
        }
    }

    // MARK: Closing

    /// After the last response: closes at once when nothing can be lost by it, else waits until the peer has ended.
    mutating func finishConnection(_ downstream: UnsafeMutablePointer<ExclusiveDownstream>) {
        downstream.pointee.phase = .flushing
        downstream.pointee.active = now
        if downstream.pointee.link.outbound.isEmpty { linger(downstream) }
    }

    private mutating func linger(_ downstream: UnsafeMutablePointer<ExclusiveDownstream>) {
        if downstream.pointee.link.readClosed || downstream.pointee.endsWithReset { return close(downstream) }
        endOutput(downstream.link)
        downstream.pointee.phase = .lingering
        downstream.pointee.active = now
        downstream.pointee.lingersUntil = now + Self.longestLinger
        buffers.release(&downstream.pointee.link.inbound)
    }

    /// The downstream is gone or must go: ends whatever is in progress.
    mutating func abandon(_ downstream: UnsafeMutablePointer<ExclusiveDownstream>) {
        if downstream.pointee.link.isClosed { return }
        if downstream.pointee.phase == .discovering { stopWaiting(downstream) }
        closeUpstream(of: downstream)
        if downstream.pointee.exchange.isOpen { endExchange(downstream, code: RequestCode.downstreamGone) }
        close(downstream)
    }

    mutating func close(_ downstream: UnsafeMutablePointer<ExclusiveDownstream>) {
        if downstream.pointee.link.isClosed { return }
        http.queue.remove(downstream)
        http.all.remove(downstream)
        if downstream.pointee.endsWithReset { reset(downstream.link) } else { close(downstream.link) }
        buffers.release(&downstream.pointee.exchange.request)
        buffers.release(&downstream.pointee.exchange.state.logLine)
        listeners[Int(downstream.pointee.listener)].open -= 1
        http.downstreams.bury(downstream)
    }

    // MARK: Pipelining

    /// Has the connection's next request read when this batch of events is through.
    @inline(__always)
    mutating func queue(_ downstream: UnsafeMutablePointer<ExclusiveDownstream>) {
        if !downstream.pointee.queue.isLinked { http.queue.insert(downstream) }
    }

    @inline(__always)
    mutating func continuePipelined() {
        while let downstream = http.queue.popFirst() {
            let upstream = downstream.pointee.exchange.upstream
            consumeInbound(downstream)
            settle(downstream, upstream)
        }
    }
}
