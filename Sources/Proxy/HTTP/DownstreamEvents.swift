import Balancing
import Codecs
import Glibc
import Runtime

// Clients' connections: opening, reading, writing, timing out and closing.
extension Worker {
    mutating func openDownstream(_ descriptor: Int32, peer: SocketAddress, listener: Int) {
        let downstream = http.downstreams.take(
            Downstream(descriptor: descriptor, listener: Int32(listener), peer: PeerText(peer)))
        downstream.pointee.next = http.first
        http.first?.pointee.previous = downstream
        http.first = downstream
        system.watch(descriptor, .readable, token: Token(.downstream, downstream).rawValue)
        setTimer(downstream, after: settings.limits.idleTimeout)
    }

    mutating func downstreamReady(_ downstream: UnsafeMutablePointer<Downstream>, _ readiness: Readiness) {
        if downstream.pointee.isClosed { return }
        if !readiness.isDisjoint(with: [.error, .hangUp]) {
            abandon(downstream)
            return
        }
        if readiness.contains(.writable) {
            flush(downstream)
            if downstream.pointee.isClosed { return }
        }
        if readiness.contains(.readable) { read(downstream) }
    }

    // MARK: Reading

    private mutating func read(_ downstream: UnsafeMutablePointer<Downstream>) {
        if downstream.pointee.inbound.isEmpty {
            let count = system.receive(downstream.pointee.descriptor, scratch, Self.scratchSize)
            if count <= 0 { return endOfInput(downstream, count) }
            let used = consume(downstream, scratch, count)
            if used < count && !downstream.pointee.isClosed {
                buffers.append(scratch + used, count: count - used, to: &downstream.pointee.inbound)
            }
        } else {
            buffers.reserve(min(4096, Self.scratchSize), in: &downstream.pointee.inbound)
            let count = system.receive(
                downstream.pointee.descriptor, downstream.pointee.inbound.tail, downstream.pointee.inbound.room)
            if count <= 0 { return endOfInput(downstream, count) }
            downstream.pointee.inbound.filled(count)
            consumeInbound(downstream)
        }
        if !downstream.pointee.isClosed { updateInterest(downstream) }
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

    /// The client has ended its side (`count` is 0) or the connection is broken.
    private mutating func endOfInput(_ downstream: UnsafeMutablePointer<Downstream>, _ count: Int) {
        if count < 0 {
            if count.errorCode == EAGAIN || count.errorCode == EINTR { return }
            abandon(downstream)
            return
        }
        downstream.pointee.readClosed = true
        switch downstream.pointee.phase {
        case .head, .lingering: close(downstream)
        case .discovering, .flushing: updateInterest(downstream)
        case .tunnel: endTunnelInput(downstream)
        case .exchanging:
            if downstream.pointee.exchange.bodyComplete {
                downstream.pointee.exchange.keepAlive = false
                updateInterest(downstream)
            } else {
                abandon(downstream)
            }
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
        setTimer(downstream, after: settings.limits.idleTimeout)
        updateInterest(downstream)
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
        let waiting = downstream.pointee.outbound.count
        if waiting > 0 {
            let sent = system.send(
                downstream.pointee.descriptor, downstream.pointee.outbound.bytes, waiting)
            if sent < 0 {
                if sent.errorCode != EAGAIN { abandon(downstream) }
                return
            }
            downstream.pointee.outbound.consume(sent)
            setTimer(downstream, after: settings.limits.idleTimeout)
        }
        if downstream.pointee.outbound.isEmpty {
            buffers.release(&downstream.pointee.outbound)
            flushed(downstream)
        }
        if !downstream.pointee.isClosed { updateInterest(downstream) }
    }

    /// The client has taken all: the host may go on, or the connection ends.
    private mutating func flushed(_ downstream: UnsafeMutablePointer<Downstream>) {
        switch downstream.pointee.phase {
        case .flushing: linger(downstream)
        case .exchanging, .tunnel:
            if downstream.pointee.exchange.hasAnswered {
                wheel.pause(timer(downstream))
            } else if let service = downstream.pointee.exchange.service {
                setTimer(downstream, after: service.pointee.timeout)
            }
            if let upstream = downstream.pointee.exchange.upstream { resumeAfterFlush(upstream, downstream) }
        case .head: if !downstream.pointee.inbound.isEmpty { queue(downstream) }
        case .discovering, .lingering: break
        }
    }

    // MARK: Closing

    /// After the last answer: closes at once when nothing can be lost by it, else waits until the client has ended.
    mutating func finishConnection(_ downstream: UnsafeMutablePointer<Downstream>) {
        downstream.pointee.phase = .flushing
        if downstream.pointee.outbound.isEmpty { linger(downstream) } else { updateInterest(downstream) }
    }

    private mutating func linger(_ downstream: UnsafeMutablePointer<Downstream>) {
        if downstream.pointee.readClosed { return close(downstream) }
        system.endOutput(downstream.pointee.descriptor)
        downstream.pointee.phase = .lingering
        buffers.release(&downstream.pointee.inbound)
        setTimer(downstream, after: 2_000_000_000)
        updateInterest(downstream)
    }

    /// The client is gone or must go: ends whatever is in progress.
    mutating func abandon(_ downstream: UnsafeMutablePointer<Downstream>) {
        if downstream.pointee.isClosed { return }
        switch downstream.pointee.phase {
        case .discovering: stopWaiting(downstream)
        default: break
        }
        if let upstream = downstream.pointee.exchange.upstream {
            detach(upstream, from: downstream)
            close(upstream)
        }
        if downstream.pointee.exchange.service != nil { endExchange(downstream, code: Self.clientGone) }
        close(downstream)
    }

    /// Code that counts requests whose client went before the answer's end, as nginx has it.
    static var clientGone: Int32 { 499 }

    mutating func close(_ downstream: UnsafeMutablePointer<Downstream>) {
        if downstream.pointee.isClosed { return }
        downstream.pointee.isClosed = true
        wheel.cancel(timer(downstream))
        unqueue(downstream)
        system.close(downstream.pointee.descriptor)
        buffers.release(&downstream.pointee.inbound)
        buffers.release(&downstream.pointee.outbound)
        buffers.release(&downstream.pointee.exchange.request)
        buffers.release(&downstream.pointee.exchange.logLine)
        let (previous, next) = (downstream.pointee.previous, downstream.pointee.next)
        if let previous { previous.pointee.next = next } else { http.first = next }
        next?.pointee.previous = previous
        listeners[Int(downstream.pointee.listener)].open -= 1
        http.downstreams.bury(downstream)
    }

    // MARK: Interest and timers

    @inline(__always)
    func timer(_ downstream: UnsafeMutablePointer<Downstream>) -> UnsafeMutablePointer<WheelTimer> {
        UnsafeMutableRawPointer(downstream).assumingMemoryBound(to: WheelTimer.self)
    }

    @inline(__always)
    mutating func setTimer(_ downstream: UnsafeMutablePointer<Downstream>, after delay: Int64) {
        wheel.set(timer(downstream), deadline: now + delay)
    }

    /// Watches for what the connection's state can use: not for input that nobody takes, nor for room that nobody fills.
    @inline(__always)
    func updateInterest(_ downstream: UnsafeMutablePointer<Downstream>) {
        var interest: Readiness = wantsInput(downstream) ? .readable : []
        if !downstream.pointee.outbound.isEmpty { interest.insert(.writable) }
        if interest == downstream.pointee.interest { return }
        downstream.pointee.interest = interest
        system.rewatch(downstream.pointee.descriptor, interest, token: Token(.downstream, downstream).rawValue)
    }

    @inline(__always)
    private func wantsInput(_ downstream: UnsafeMutablePointer<Downstream>) -> Bool {
        if downstream.pointee.readClosed { return false }
        switch downstream.pointee.phase {
        case .head: return downstream.pointee.outbound.isEmpty
        case .lingering: return true
        case .discovering: return downstream.pointee.inbound.count < Self.scratchSize
        case .flushing: return false
        case .tunnel: return downstream.pointee.exchange.request.isEmpty
        case .exchanging:
            if downstream.pointee.exchange.bodyComplete { return downstream.pointee.inbound.count < Self.scratchSize }
            guard let upstream = downstream.pointee.exchange.upstream else { return false }
            return upstream.pointee.phase != .connecting && downstream.pointee.exchange.request.isEmpty
        }
    }

    mutating func downstreamTimeout(_ downstream: UnsafeMutablePointer<Downstream>) {
        switch downstream.pointee.phase {
        case .head:
            if downstream.pointee.inbound.isEmpty || !downstream.pointee.outbound.isEmpty {
                close(downstream)
            } else {
                refuseHead(downstream, 408, "the request's head did not arrive in time")
            }
        case .discovering:
            stopWaiting(downstream)
            answerUndiscovered(downstream)
        case .exchanging:
            if downstream.pointee.exchange.hasAnswered || !downstream.pointee.outbound.isEmpty {
                abandon(downstream)
            } else {
                responseTimeout(downstream)
            }
        case .tunnel, .flushing: abandon(downstream)
        case .lingering: close(downstream)
        }
    }

    // MARK: Pipelining and draining

    /// Has the connection's next request read when this batch of events is through.
    @inline(__always)
    mutating func queue(_ downstream: UnsafeMutablePointer<Downstream>) {
        if downstream.pointee.isQueued { return }
        downstream.pointee.isQueued = true
        downstream.pointee.nextWaiting = http.queued
        http.queued = downstream
    }

    private mutating func unqueue(_ downstream: UnsafeMutablePointer<Downstream>) {
        guard downstream.pointee.isQueued else { return }
        downstream.pointee.isQueued = false
        if http.queued == downstream {
            http.queued = downstream.pointee.nextWaiting
            return
        }
        var item = http.queued
        while let current = item {
            if current.pointee.nextWaiting == downstream {
                current.pointee.nextWaiting = downstream.pointee.nextWaiting
                return
            }
            item = current.pointee.nextWaiting
        }
    }

    @inline(__always)
    mutating func continuePipelined() {
        while let downstream = http.queued {
            http.queued = downstream.pointee.nextWaiting
            downstream.pointee.nextWaiting = nil
            downstream.pointee.isQueued = false
            consumeInbound(downstream)
            if !downstream.pointee.isClosed { updateInterest(downstream) }
        }
    }

    /// Connections without a request close a second later, so that a request on its way is still answered; the others are
    /// told with their answer.
    mutating func drainDownstreams() {
        var item = http.first
        while let downstream = item {
            item = downstream.pointee.next
            if downstream.pointee.phase == .head { setTimer(downstream, after: 1_000_000_000) }
        }
    }
}
