import Codecs
import Glibc
import Runtime

// Writing: whatever a batch of events has put together for a connection goes out in one system call.
extension Worker {
    @inline(__always)
    mutating func markDirty(_ consumer: UnsafeMutablePointer<Consumer>) {
        if consumer.pointee.isDirty { return }
        consumer.pointee.isDirty = true
        consumer.pointee.nextDirty = dubbo.dirtyConsumers
        dubbo.dirtyConsumers = consumer
    }

    @inline(__always)
    mutating func markDirty(_ provider: UnsafeMutablePointer<Provider>) {
        if provider.pointee.isDirty { return }
        provider.pointee.isDirty = true
        provider.pointee.nextDirty = dubbo.dirtyProviders
        dubbo.dirtyProviders = provider
    }

    /// Writes to hosts first: they have work to do. What fails may make more to write; calls have only so many attempts.
    @inline(__always)
    mutating func flushDubbo() {
        while true {
            if let provider = dubbo.dirtyProviders {
                dubbo.dirtyProviders = provider.pointee.nextDirty
                provider.pointee.isDirty = false
                if !provider.pointee.isClosed { flush(provider) }
            } else if let consumer = dubbo.dirtyConsumers {
                dubbo.dirtyConsumers = consumer.pointee.nextDirty
                consumer.pointee.isDirty = false
                if !consumer.pointee.isClosed { flush(consumer) }
            } else if dubbo.consumerMemory > DubboBounds.consumerMemory && closeSlowConsumers() {
                continue
            } else {
                return
            }
        }
    }

    @inline(__always)
    private mutating func flush(_ provider: UnsafeMutablePointer<Provider>) {
        if provider.pointee.phase == .connecting || provider.pointee.phase == .broken { return }
        if provider.pointee.firstExpired != .max { dropExpired(provider) }
        let waiting = provider.pointee.outbound.count
        if waiting > 0 {
            let sent = system.send(provider.pointee.descriptor, provider.pointee.outbound.bytes, waiting)
            if sent < 0 {
                if sent.errorCode != EAGAIN && sent.errorCode != EINTR { return stopWriting(provider) }
            } else {
                provider.pointee.outbound.consume(sent)
            }
            noteTaken(sent, ofAll: sent == waiting, &provider.pointee.takenAt)
        }
        if provider.pointee.outbound.isEmpty { buffers.release(&provider.pointee.outbound) }
        watch(provider)
        if provider.pointee.oneWayCalls.first != nil { endWrittenCalls(provider) }
    }

    /// Notes when a peer last took something of what it has to take; 0 when it has taken all.
    @inline(__always)
    private func noteTaken(_ sent: Int, ofAll isAll: Bool, _ takenAt: inout Int64) {
        if isAll {
            takenAt = 0
        } else if sent > 0 || takenAt == 0 {
            takenAt = now
        }
    }

    /// One-way calls end when the last byte of their frame is handed over.
    private mutating func endWrittenCalls(_ provider: UnsafeMutablePointer<Provider>) {
        while let call = provider.pointee.oneWayCalls.first, call.pointee.end <= provider.pointee.sent {
            end(call, code: Self.writtenCode)
            if provider.pointee.isClosed { return }
        }
    }

    /// Code that counts one-way calls: the status that nobody sends them.
    private static var writtenCode: Int32 { 20 }

    @inline(__always)
    private mutating func flush(_ consumer: UnsafeMutablePointer<Consumer>) {
        let waiting = consumer.pointee.outbound.count
        if waiting > 0 {
            let sent = system.send(consumer.pointee.descriptor, consumer.pointee.outbound.bytes, waiting)
            if sent < 0 {
                if sent.errorCode != EAGAIN && sent.errorCode != EINTR { return stopWriting(consumer) }
            } else {
                consumer.pointee.outbound.consume(sent)
            }
            noteTaken(sent, ofAll: sent == waiting, &consumer.pointee.takenAt)
        }
        if consumer.pointee.outbound.isEmpty { buffers.release(&consumer.pointee.outbound) }
        if consumer.pointee.readClosed && closeIfDone(consumer) { return }
        watch(consumer)
    }

    // MARK: Requests that are not sent any more

    /// A call has ended before any byte of its request was sent: it is not sent any more.
    mutating func expire(_ call: UnsafeMutablePointer<Call>, _ provider: UnsafeMutablePointer<Provider>) {
        let offset = Int(call.pointee.position &- provider.pointee.sent)
        provider.pointee.outbound.bytes[offset] = Self.expiredMark
        provider.pointee.firstExpired = min(provider.pointee.firstExpired, call.pointee.position)
    }

    /// What such a request begins with, in place of Dubbo's 0xda.
    private static var expiredMark: UInt8 { 0 }

    /// Takes expired requests out of what waits. From the first one on there are whole frames.
    private mutating func dropExpired(_ provider: UnsafeMutablePointer<Provider>) {
        let bytes = provider.pointee.outbound.bytes
        let end = provider.pointee.outbound.count
        var from = Int(provider.pointee.firstExpired &- provider.pointee.sent)
        var to = from
        while from < end {
            let isExpired = bytes[from] == Self.expiredMark
            bytes[from] = 0xda
            guard case .complete(let head) = Dubbo.parseFrameHead(bytes + from, count: end - from) else { break }
            if !isExpired {
                if head.isRequest, let call = dubbo.calls.find(head.id, from: provider) {
                    call.pointee.position &-= UInt64(from - to)
                    call.pointee.end &-= UInt64(from - to)
                }
                memmove(bytes + to, bytes + from, head.frameLength)
                to += head.frameLength
            }
            from += head.frameLength
        }
        provider.pointee.outbound.shorten(by: end - to)
        provider.pointee.queued &-= UInt64(end - to)
        provider.pointee.firstExpired = .max
    }
}
