import Balancing
import Codecs
import Glibc
import Runtime

// Clients' connections: opening, reading, writing, timing out and closing.
extension Worker {
    mutating func openDownstream(_ descriptor: Int32, peer: SocketAddress, listener: Int) {
        let downstream = http.downstreams.take(
            Downstream(descriptor: descriptor, listener: Int32(listener), peer: PeerText(peer), now: now))
        http.all.insert(downstream)
        system.watch(descriptor, .readable, token: Token(.exclusiveDownstream, downstream).rawValue)
        settle(downstream, nil)
    }

    mutating func downstreamReady(_ downstream: UnsafeMutablePointer<Downstream>, _ readiness: Readiness) {
        if downstream.pointee.isClosed { return }
        let upstream = downstream.pointee.exchange.upstream
        if !downstream.pointee.outbound.isEmpty { flush(downstream) }
        if !downstream.pointee.isClosed { take(downstream, readiness) }
        settle(downstream, upstream)
    }

    /// What the client has sent counts, even if it is gone by now: reading tells of that when all of it is read.
    @inline(__always)
    private mutating func take(_ downstream: UnsafeMutablePointer<Downstream>, _ readiness: Readiness) {
        if wantsInput(downstream) {
            if readiness != .writable { read(downstream) }
        } else if !readiness.isDisjoint(with: [.error, .hangUp]) {
            endUnread(downstream, readiness)
        }
    }

    /// The client is gone, and what it may have sent before cannot be used now.
    private mutating func endUnread(_ downstream: UnsafeMutablePointer<Downstream>, _ readiness: Readiness) {
        let isBytesWaiting = downstream.pointee.phase == .tunnel && !downstream.pointee.exchange.request.isEmpty
        if isBytesWaiting { unwatch(downstream) } else { abandon(downstream) }
    }

    // MARK: Reading

    private mutating func read(_ downstream: UnsafeMutablePointer<Downstream>) {
        if downstream.pointee.inbound.isEmpty {
            let count = system.receive(downstream.pointee.descriptor, scratch, Self.scratchSize)
            if count <= 0 { return endOfInput(downstream, count) }
            noteInput(downstream)
            let used = consume(downstream, scratch, count)
            if used < count && !downstream.pointee.isClosed {
                buffers.append(scratch + used, count: count - used, to: &downstream.pointee.inbound)
            }
        } else {
            buffers.reserve(min(4096, Self.scratchSize), in: &downstream.pointee.inbound)
            let count = system.receive(
                downstream.pointee.descriptor, downstream.pointee.inbound.tail, downstream.pointee.inbound.room)
            if count <= 0 { return endOfInput(downstream, count) }
            noteInput(downstream)
            downstream.pointee.inbound.filled(count)
            consumeInbound(downstream)
        }
    }

    /// The client is there. While its answer is written only taking it counts: what it sends is dropped then.
    @inline(__always)
    private func noteInput(_ downstream: UnsafeMutablePointer<Downstream>) {
        if downstream.pointee.phase != .flushing { downstream.pointee.active = now }
    }

    /// Goes on with bytes that wait in `inbound`.
    mutating func consumeInbound(_ downstream: UnsafeMutablePointer<Downstream>) {
        if downstream.pointee.inbound.isEmpty { return }
        let used = consume(downstream, downstream.pointee.inbound.bytes, downstream.pointee.inbound.count)
        // Closing and lingering give the buffer back.
        if downstream.pointee.isClosed || downstream.pointee.inbound.isEmpty { return }
        downstream.pointee.inbound.consume(used)
        if downstream.pointee.inbound.isEmpty { buffers.release(&downstream.pointee.inbound) }
    }

    /// Uses bytes as far as the connection's phase allows; returns how many.
    private mutating func consume(
        _ downstream: UnsafeMutablePointer<Downstream>, _ bytes: UnsafeMutablePointer<UInt8>, _ count: Int
    ) -> Int {
        var used = 0
        while used < count && !downstream.pointee.isClosed {
            let rest = bytes + used
            switch downstream.pointee.phase {
            case .head:
                // A client that does not take its answers gets no further requests read.
                if !downstream.pointee.outbound.isEmpty { return used }
                guard let length = readHead(downstream, rest, count - used) else { return used }
                used += length
            case .exchanging:
                if downstream.pointee.exchange.bodyComplete { return used }
                let taken = readBody(downstream, rest, count - used)
                if taken == 0 { return used }
                used += taken
            case .tunnel:
                passToUpstream(downstream, rest, count - used)
                return count
            case .discovering: return used
            case .flushing, .lingering: return count
            }
        }
        return used
    }

    /// The client has ended its side (`count` is 0): `settle` draws the conclusion. Or the connection is broken.
    private mutating func endOfInput(_ downstream: UnsafeMutablePointer<Downstream>, _ count: Int) {
        if count == 0 {
            downstream.pointee.readClosed = true
        } else if count.errorCode != EAGAIN && count.errorCode != EINTR {
            abandon(downstream)
        }
    }

    // MARK: Writing

    /// Writes bytes to the client; what it does not take waits in `outbound`.
    @inline(__always)
    mutating func write(
        _ downstream: UnsafeMutablePointer<Downstream>, _ head: UnsafeMutablePointer<UInt8>, _ headCount: Int,
        _ body: UnsafeMutablePointer<UInt8>, _ bodyCount: Int
    ) {
        var sent = 0
        if downstream.pointee.outbound.isEmpty {
            sent = send(downstream.pointee.descriptor, head, headCount, body, bodyCount)
            if sent == headCount + bodyCount { return }
            if sent < 0 {
                if sent.errorCode != EAGAIN { return abandon(downstream) }
                sent = 0
            }
        }
        if sent < headCount {
            buffers.append(head + sent, count: headCount - sent, to: &downstream.pointee.outbound)
        }
        let skipped = max(0, sent - headCount)
        if skipped < bodyCount {
            buffers.append(body + skipped, count: bodyCount - skipped, to: &downstream.pointee.outbound)
        }
    }

    /// One system call for one or two stretches of bytes.
    @inline(__always)
    private func send(
        _ descriptor: Int32, _ first: UnsafeMutablePointer<UInt8>, _ firstCount: Int,
        _ second: UnsafeMutablePointer<UInt8>, _ secondCount: Int
    ) -> Int {
        if secondCount == 0 { return system.send(descriptor, first, firstCount) }
        if firstCount == 0 { return system.send(descriptor, second, secondCount) }
        return system.sendTwo(descriptor, first, firstCount, second, secondCount)
    }

    private mutating func flush(_ downstream: UnsafeMutablePointer<Downstream>) {
        let sent = system.send(
            downstream.pointee.descriptor, downstream.pointee.outbound.bytes, downstream.pointee.outbound.count)
        if sent < 0 {
            if sent.errorCode != EAGAIN { abandon(downstream) }
            return
        }
        downstream.pointee.active = now
        downstream.pointee.outbound.consume(sent)
        if !downstream.pointee.outbound.isEmpty { return }
        buffers.release(&downstream.pointee.outbound)
        switch downstream.pointee.phase {
        case .flushing: linger(downstream)
        case .head: if !downstream.pointee.inbound.isEmpty { queue(downstream) }
        case .discovering, .exchanging, .tunnel, .lingering: break
        }
    }

    // MARK: Closing

    /// After the last answer: closes at once when nothing can be lost by it, else waits until the client has ended.
    mutating func finishConnection(_ downstream: UnsafeMutablePointer<Downstream>) {
        downstream.pointee.phase = .flushing
        downstream.pointee.active = now
        if downstream.pointee.outbound.isEmpty { linger(downstream) }
    }

    private mutating func linger(_ downstream: UnsafeMutablePointer<Downstream>) {
        if downstream.pointee.readClosed || downstream.pointee.endsWithReset { return close(downstream) }
        system.endOutput(downstream.pointee.descriptor)
        downstream.pointee.phase = .lingering
        downstream.pointee.active = now
        downstream.pointee.lingersUntil = now + Self.longestLinger
        buffers.release(&downstream.pointee.inbound)
    }

    /// The client is gone or must go: ends whatever is in progress.
    mutating func abandon(_ downstream: UnsafeMutablePointer<Downstream>) {
        if downstream.pointee.isClosed { return }
        if downstream.pointee.phase == .discovering { stopWaiting(downstream) }
        if let upstream = downstream.pointee.exchange.upstream {
            detach(upstream, from: downstream)
            close(upstream)
        }
        if downstream.pointee.exchange.isOpen { endExchange(downstream, code: Self.clientGone) }
        close(downstream)
    }

    /// Code that counts requests whose client went before the answer's end, as nginx has it.
    static var clientGone: Int32 { 499 }

    mutating func close(_ downstream: UnsafeMutablePointer<Downstream>) {
        if downstream.pointee.isClosed { return }
        downstream.pointee.isClosed = true
        wheel.cancel(timer(downstream))
        http.queue.remove(downstream)
        http.all.remove(downstream)
        if downstream.pointee.endsWithReset {
            system.reset(downstream.pointee.descriptor)
        } else {
            system.close(downstream.pointee.descriptor)
        }
        buffers.release(&downstream.pointee.inbound)
        buffers.release(&downstream.pointee.outbound)
        buffers.release(&downstream.pointee.exchange.request)
        buffers.release(&downstream.pointee.exchange.logLine)
        listeners[Int(downstream.pointee.listener)].open -= 1
        http.downstreams.bury(downstream)
    }

    // MARK: Pipelining

    /// Has the connection's next request read when this batch of events is through.
    @inline(__always)
    mutating func queue(_ downstream: UnsafeMutablePointer<Downstream>) {
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
