import Balancing
import Codecs
import Glibc
import Runtime

// Hosts' answers on their way to the consumers.
extension Worker {
    @inline(__always)
    mutating func providerReady(_ provider: UnsafeMutablePointer<Provider>, _ readiness: Readiness) {
        if provider.pointee.isClosed { return }
        if provider.pointee.phase == .connecting { return finishConnect(provider) }
        if readiness.contains(.writable) { markDirty(provider) }
        if !readiness.isDisjoint(with: [.readable, .error, .hangUp]) { read(provider) }
    }

    // MARK: Reading

    @inline(__always)
    private mutating func read(_ provider: UnsafeMutablePointer<Provider>) {
        if !provider.pointee.inbound.isEmpty { return readOn(provider) }
        let count = system.receive(provider.pointee.descriptor, scratch, Self.scratchSize)
        if count <= 0 { return endOfAnswers(provider, count) }
        noteArrival(provider, count)
        let used = consume(provider, scratch, count)
        if used < count && !provider.pointee.isClosed {
            buffers.append(scratch + used, count: count - used, to: &provider.pointee.inbound)
        }
        if !provider.pointee.isClosed && provider.pointee.isWithinFrame { watch(provider) }
    }

    /// A frame's beginning is there. Memory grows with what arrives, not with what the head promises.
    private mutating func readOn(_ provider: UnsafeMutablePointer<Provider>) {
        buffers.reserve(4096, in: &provider.pointee.inbound)
        let count = system.receive(
            provider.pointee.descriptor, provider.pointee.inbound.tail, provider.pointee.inbound.room)
        if count <= 0 { return endOfAnswers(provider, count) }
        noteArrival(provider, count)
        var inbound = provider.pointee.inbound
        provider.pointee.inbound = Buffer()
        inbound.filled(count)
        inbound.consume(consume(provider, inbound.bytes, inbound.count))
        if inbound.isEmpty || provider.pointee.isClosed {
            buffers.release(&inbound)
        } else {
            provider.pointee.inbound = inbound
        }
        if !provider.pointee.isClosed { watch(provider) }
    }

    /// Bytes of a frame that had begun before are no sign of life until they are many: nothing can overtake them, and what comes
    /// may never end.
    @inline(__always)
    private func noteArrival(_ provider: UnsafeMutablePointer<Provider>, _ count: Int) {
        if !provider.pointee.isWithinFrame {
            hear(provider)
        } else if provider.pointee.progress.goOn(count, now: now) {
            provider.pointee.answerBy = 0
        }
    }

    @inline(__always)
    private func hear(_ provider: UnsafeMutablePointer<Provider>) {
        provider.pointee.progress.hear(now: now)
        provider.pointee.answerBy = 0
    }

    private mutating func endOfAnswers(_ provider: UnsafeMutablePointer<Provider>, _ count: Int) {
        if count < 0 && (count.errorCode == EAGAIN || count.errorCode == EINTR) { return }
        if count == 0 { return lose(provider, "the host closed the connection") }
        lose(provider, SystemError.text(of: count.errorCode), Outcome(error: count.errorCode))
    }

    /// Uses whole frames; returns how many bytes were used.
    @inline(__always)
    private mutating func consume(
        _ provider: UnsafeMutablePointer<Provider>, _ bytes: UnsafeMutablePointer<UInt8>, _ count: Int
    ) -> Int {
        var used = 0
        while used < count && !provider.pointee.isClosed {
            let step = Dubbo.nextFrame(
                bytes, count: count, used: &used, skip: &provider.pointee.skip, limit: settings.limits.dubboBody)
            switch step {
            case .incomplete: return used
            case .invalid:
                lose(provider, "the host sent something that is not a Dubbo frame")
                return count
            case .oversized(let head): refuseOversized(provider, head)
            case .frame(let head):
                hear(provider)
                if head.isRequest || head.isEvent {
                    handleRequest(provider, head, bytes + used)
                } else {
                    passAnswer(provider, head, bytes + used)
                }
                used += head.frameLength
            }
        }
        return used
    }

    // MARK: Answers

    @inline(__always)
    private mutating func passAnswer(
        _ provider: UnsafeMutablePointer<Provider>, _ head: Dubbo.FrameHead, _ frame: UnsafeMutablePointer<UInt8>
    ) {
        noteSuccess(provider.pointee.endpoint)
        // Nobody waits for answers that come too late.
        guard let call = dubbo.calls.find(head.id, from: provider) else { return }
        let body = frame + Dubbo.headSize
        var code = Int32(head.status)
        if head.status == Dubbo.Status.ok {
            let kind = Dubbo.responseKind(body, count: head.bodyLength, status: head.status, head.serialization)
            if kind == .exception { code = Self.exceptionCode }
        } else if sendElsewhere(call, provider, head, body) {
            return
        }
        if let consumer = call.pointee.consumer {
            Dubbo.writeID(call.pointee.consumerID, frame)
            send(frame, head.frameLength, to: consumer)
        }
        end(call, code: code)
    }

    /// Code that counts results that are exceptions of the called method: their status is 20.
    static var exceptionCode: Int32 { 1000 }

    /// Tells the consumer; the body is dropped as it comes.
    private mutating func refuseOversized(_ provider: UnsafeMutablePointer<Provider>, _ head: Dubbo.FrameHead) {
        guard !head.isRequest, !head.isEvent, let call = dubbo.calls.find(head.id, from: provider) else { return }
        let host = provider.pointee.endpoint.pointee.address.description
        answer(
            call, Dubbo.Status.badResponse,
            "greymesh: the answer of \(host) has \(head.bodyLength) bytes, more than the limit of "
                + "\(settings.limits.dubboBody)")
    }

    // MARK: What hosts ask

    /// Heartbeats, readonly and writeable events, and callbacks.
    private mutating func handleRequest(
        _ provider: UnsafeMutablePointer<Provider>, _ head: Dubbo.FrameHead, _ frame: UnsafeMutablePointer<UInt8>
    ) {
        // Answers to our heartbeats.
        if !head.isRequest { return noteAlive(provider.pointee.endpoint) }
        let body = frame + Dubbo.headSize
        if !head.isEvent {
            if head.isTwoWay { refuseCallback(provider, head.id) }
        } else if Dubbo.isReadonlyEvent(body, count: head.bodyLength, head.serialization) {
            beginReadonly(provider)
        } else if Dubbo.isWriteableEvent(body, count: head.bodyLength, head.serialization) {
            endReadonly(provider)
        } else if head.isTwoWay && Dubbo.isHeartbeat(body, count: head.bodyLength, head.serialization) {
            let count = Dubbo.writeHeartbeatAnswer(request: frame, count: head.frameLength, into: frame)
            send(frame, count, to: provider)
        }
    }

    private mutating func noteAlive(_ endpoint: UnsafeMutablePointer<Endpoint>) {
        if endpoint.pointee.failures == 0 { return }
        endpoint.pointee.noteAlive()
        if endpoint.pointee.failures == 0 { note(.hostRecovered(address: endpoint.pointee.address)) }
    }

    /// A callback would have to reach the consumer that registered it, but this connection is everybody's.
    private mutating func refuseCallback(_ provider: UnsafeMutablePointer<Provider>, _ id: Int64) {
        let text: StaticString = "greymesh: requests of providers (argument callbacks) are not passed to consumers"
        let count = Dubbo.writeError(
            status: Dubbo.Status.serviceNotFound, id: id, text: text.utf8Start, count: text.utf8CodeUnitCount,
            into: output)
        send(output, count, to: provider)
    }

    private mutating func send(
        _ frame: UnsafeMutablePointer<UInt8>, _ count: Int, to provider: UnsafeMutablePointer<Provider>
    ) {
        buffers.append(frame, count: count, to: &provider.pointee.outbound)
        provider.pointee.queued &+= UInt64(count)
        markDirty(provider)
    }
}
