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
            } else {
                return
            }
        }
    }

    @inline(__always)
    private mutating func flush(_ provider: UnsafeMutablePointer<Provider>) {
        if provider.pointee.phase == .connecting || provider.pointee.phase == .broken { return }
        let waiting = provider.pointee.outbound.count
        if waiting > 0 {
            let sent = system.send(provider.pointee.descriptor, provider.pointee.outbound.bytes, waiting)
            if sent < 0 {
                if sent.errorCode != EAGAIN && sent.errorCode != EINTR { return stopWriting(provider) }
            } else {
                provider.pointee.outbound.consume(sent)
            }
        }
        if provider.pointee.outbound.isEmpty { buffers.release(&provider.pointee.outbound) }
        updateInterest(provider)
        if provider.pointee.oneWayCalls.first != nil { endWrittenCalls(provider) }
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
                if sent.errorCode != EAGAIN && sent.errorCode != EINTR { return close(consumer) }
            } else {
                consumer.pointee.outbound.consume(sent)
            }
        }
        if consumer.pointee.outbound.isEmpty {
            buffers.release(&consumer.pointee.outbound)
            if consumer.pointee.readClosed && consumer.pointee.callCount == 0 { return close(consumer) }
        } else if isDeaf(consumer) {
            noteBadInput(consumer, "\(consumer.pointee.outbound.count) bytes of answers are not taken: closed")
            return close(consumer)
        }
        updateInterest(consumer)
    }

    private func isDeaf(_ consumer: UnsafeMutablePointer<Consumer>) -> Bool {
        consumer.pointee.outbound.count > max(DubboBounds.deafConsumer, 2 * settings.limits.dubboBody)
    }
}
