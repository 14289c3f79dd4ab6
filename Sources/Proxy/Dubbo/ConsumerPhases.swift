import Codecs
import Glibc
import Runtime

// What a consumer's connection is waiting for, and for how long.
//
// | phase | ends by itself after | then |
// |---|---|---|
// | between frames | never: to a consumer this is the only address there is | |
// | a frame has begun and does not go on (64 KiB count) | `head_timeout` | nothing more is read; its calls are answered, then it is closed |
// | calls in flight | each call's own timeout, see `Call` | the call is answered |
// | answers that it does not take | `idle_timeout` without a byte taken | closed |
// | so many of them that all consumers together hold too much | at once | those that hold most are closed |
// | its side is ended | with its last answer | closed |
// | writing failed | when what it sent before is read | closed |
// | draining, without calls and answers | 1 s, also within a frame that does not go on | closed |
extension Worker {
    /// Sees to interest, timer and memory after every step: they follow from the state and from nothing else.
    ///
    /// A consumer that does not take its answers, or has very many calls in flight, gets no further requests read.
    @inline(__always)
    mutating func watch(_ consumer: UnsafeMutablePointer<Consumer>) {
        let memory = consumer.pointee.inbound.capacity + consumer.pointee.outbound.capacity
        dubbo.consumerMemory += memory - consumer.pointee.countedMemory
        consumer.pointee.countedMemory = memory

        let isRead = !consumer.pointee.readClosed && !lags(consumer)
        var interest: Readiness = isRead ? .readable : []
        if !consumer.pointee.outbound.isEmpty && !consumer.pointee.isDirty { interest.insert(.writable) }
        if isRead && consumer.pointee.isWithinFrame || consumer.pointee.takenAt != 0 { setTimer(consumer, isRead) }
        if interest == consumer.pointee.interest { return }
        // Time in which it was not read from is not its fault.
        if isRead && !consumer.pointee.interest.contains(.readable) { consumer.pointee.progress.hear(now: now) }
        consumer.pointee.interest = interest
        system.rewatch(consumer.pointee.descriptor, interest, token: Token(.consumer, consumer).rawValue)
    }

    @inline(__always)
    private func lags(_ consumer: UnsafeMutablePointer<Consumer>) -> Bool {
        let waiting = consumer.pointee.outbound.count
        if waiting > DubboBounds.laggingConsumer || consumer.pointee.callCount >= DubboBounds.callsOfConsumer {
            return true
        }
        // When all together hold much, those that hold more than their share.
        let half = consumerBound / 2
        return dubbo.consumerMemory > half && waiting * dubbo.consumers.count > half
    }

    private var consumerBound: Int { max(DubboBounds.consumerMemory, 4 * settings.limits.dubboBody) }

    private mutating func setTimer(_ consumer: UnsafeMutablePointer<Consumer>, _ isRead: Bool) {
        let due = nextDeadline(consumer, isRead)
        let timer = timer(consumer)
        if !timer.pointee.isSet || due < timer.pointee.deadline { wheel.set(timer, deadline: due) }
    }

    private func nextDeadline(_ consumer: UnsafeMutablePointer<Consumer>, _ isRead: Bool) -> Int64 {
        var due = Int64.max
        if isRead && consumer.pointee.isWithinFrame {
            due = consumer.pointee.progress.heardAt + settings.limits.headTimeout
        }
        if consumer.pointee.takenAt != 0 { due = min(due, consumer.pointee.takenAt + settings.limits.idleTimeout) }
        return due
    }

    /// The timer is set for the earliest deadline there was; since then things may have gone on.
    mutating func consumerTimeout(_ consumer: UnsafeMutablePointer<Consumer>) {
        if consumer.pointee.isClosed { return }
        if consumer.pointee.takenAt != 0 && consumer.pointee.takenAt + settings.limits.idleTimeout <= now {
            noteBadInput(consumer, "\(consumer.pointee.outbound.count) bytes of answers are not taken: closed")
            return close(consumer)
        }
        let isRead = consumer.pointee.interest.contains(.readable)
        let frameEnd = consumer.pointee.progress.heardAt + settings.limits.headTimeout
        if isRead && consumer.pointee.isWithinFrame && frameEnd <= now {
            noteBadInput(consumer, "the rest of a frame does not come")
            return stopReading(consumer)
        }
        watch(consumer)
    }

    /// All consumers together hold too much: those that hold most go, of equal ones the one that has taken nothing for longest.
    /// Nobody else waits for them.
    ///
    /// - Returns: whether one was closed.
    mutating func closeSlowConsumers() -> Bool {
        var isOne = false
        while dubbo.consumerMemory > consumerBound, var slowest = dubbo.first {
            isOne = true
            var item = slowest.pointee.next
            while let consumer = item {
                item = consumer.pointee.next
                let (held, most) = (consumer.pointee.countedMemory, slowest.pointee.countedMemory)
                if held > most || held == most && consumer.pointee.takenAt < slowest.pointee.takenAt {
                    slowest = consumer
                }
            }
            noteBadInput(slowest, "\(slowest.pointee.outbound.count) bytes of answers are not taken: closed")
            close(slowest)
        }
        return isOne
    }

    // MARK: Ending

    /// Nothing more is read. What it asked before is answered.
    mutating func stopReading(_ consumer: UnsafeMutablePointer<Consumer>) {
        consumer.pointee.readClosed = true
        consumer.pointee.skip = 0
        buffers.release(&consumer.pointee.inbound)
        if !closeIfDone(consumer) { watch(consumer) }
    }

    /// Writing has failed. What it sent before is read to its end, which the poller tells; its answers are of no use.
    mutating func stopWriting(_ consumer: UnsafeMutablePointer<Consumer>) {
        if consumer.pointee.readClosed { return close(consumer) }
        consumer.pointee.writeClosed = true
        buffers.release(&consumer.pointee.outbound)
        consumer.pointee.takenAt = 0
        watch(consumer)
    }

    /// Closes a consumer that asks nothing more when it has all its answers.
    mutating func closeIfDone(_ consumer: UnsafeMutablePointer<Consumer>) -> Bool {
        guard consumer.pointee.readClosed, consumer.pointee.callCount == 0, consumer.pointee.outbound.isEmpty else {
            return false
        }
        close(consumer)
        return true
    }

    /// The consumer is gone or must go. Hosts' answers to its calls will find nobody; one-way calls go on.
    mutating func close(_ consumer: UnsafeMutablePointer<Consumer>) {
        if consumer.pointee.isClosed { return }
        consumer.pointee.isClosed = true
        while let call = consumer.pointee.firstCall { end(call, code: Self.clientGone) }
        wheel.cancel(timer(consumer))
        system.close(consumer.pointee.descriptor)
        buffers.release(&consumer.pointee.inbound)
        buffers.release(&consumer.pointee.outbound)
        dubbo.consumerMemory -= consumer.pointee.countedMemory
        let (previous, next) = (consumer.pointee.previous, consumer.pointee.next)
        if let previous { previous.pointee.next = next } else { dubbo.first = next }
        next?.pointee.previous = previous
        listeners[Int(consumer.pointee.listener)].open -= 1
        dubbo.consumers.bury(consumer)
    }

    @inline(__always)
    private func timer(_ consumer: UnsafeMutablePointer<Consumer>) -> UnsafeMutablePointer<WheelTimer> {
        UnsafeMutableRawPointer(consumer).assumingMemoryBound(to: WheelTimer.self)
    }

    // MARK: Draining

    /// Consumers are served on: `closeDrainedConsumers` closes each when nothing of it is in flight. Those of an inbound
    /// listener have other providers: they are told to use them.
    mutating func drainConsumers() {
        dubbo.sweptAt = now
        var item = dubbo.first
        while let consumer = item {
            item = consumer.pointee.next
            guard listeners[Int(consumer.pointee.listener)].configuration.forward != nil else { continue }
            send(output, Dubbo.writeReadonlyEvent(id: 0, into: output), to: consumer)
        }
    }

    /// From a second after draining began, so that a request on its way is still answered.
    mutating func closeDrainedConsumers() {
        guard now - drainingSince >= Self.drainPatience, now - dubbo.sweptAt >= 20_000_000 else { return }
        dubbo.sweptAt = now
        var item = dubbo.first
        while let consumer = item {
            item = consumer.pointee.next
            if isQuiet(consumer) { close(consumer) }
        }
    }

    private func isQuiet(_ consumer: UnsafeMutablePointer<Consumer>) -> Bool {
        if consumer.pointee.callCount > 0 || !consumer.pointee.outbound.isEmpty { return false }
        return !consumer.pointee.isWithinFrame || now - consumer.pointee.progress.heardAt >= Self.drainPatience
    }

    private static var drainPatience: Int64 { 1_000_000_000 }
}
