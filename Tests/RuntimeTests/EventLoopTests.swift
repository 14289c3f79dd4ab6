import CLinux
import Glibc
import Testing

@testable import Runtime

/// A counter whose descriptor is readable while it is above 0 and always writable. Closed with the object.
private final class Counter {
    let descriptor: Int32

    init(_ value: UInt32) { descriptor = eventfd(value, Int32(EFD_NONBLOCK | EFD_CLOEXEC)) }

    deinit { close(descriptor) }
}

@Suite struct EventLoopDescriptorTests {
    private let loop: EventLoop

    init() throws { loop = try EventLoop() }

    /// Ends when the events that are ready now, and those of one more turn, have been handled.
    private func turnTwice() {
        var turns = 0
        loop.schedule(after: .zero) { [loop] in
            turns += 1
            loop.schedule(after: .zero) { turns += 1 }
        }
        #expect(loop.run(for: .seconds(10)) { turns == 2 })
    }

    @Test func tellsReadinessUntilUnwatched() {
        let counter = Counter(1)
        var seen: [Readiness] = []
        #expect(loop.watch(counter.descriptor, [.readable, .writable]) { seen.append($0) })
        #expect(loop.run(for: .seconds(10)) { seen.count == 3 })
        #expect(seen.allSatisfy { $0 == [.readable, .writable] })
        loop.unwatch(counter.descriptor)
        loop.unwatch(counter.descriptor)
        turnTwice()
        #expect(seen.count == 3)
    }

    @Test func aHandlerCanUnwatchItself() {
        let counter = Counter(1)
        var calls = 0
        loop.watch(counter.descriptor, .readable) { [loop] _ in
            calls += 1
            loop.unwatch(counter.descriptor)
        }
        turnTwice()
        #expect(calls == 1)
    }

    @Test func aHandlerCanUnwatchAnotherOfTheSameTurn() {
        let counters = [Counter(1), Counter(1)]
        var calls = 0
        for counter in counters {
            loop.watch(counter.descriptor, .readable) { [loop] _ in
                calls += 1
                for counter in counters { loop.unwatch(counter.descriptor) }
            }
        }
        turnTwice()
        #expect(calls == 1)
    }

    /// The second descriptor of the turn is closed by the first handler and its number given to something new: the event
    /// that still waits belongs to the old one.
    @Test func aStaleEventDoesNotReachTheNextUserOfANumber() {
        let counters = [Counter(1), Counter(1)]
        var calls = 0
        var stale = 0
        for (index, counter) in counters.enumerated() {
            loop.watch(counter.descriptor, .readable) { [loop] _ in
                calls += 1
                let other = counters[1 - index].descriptor
                loop.unwatch(counter.descriptor)
                loop.unwatch(other)
                let fresh = Counter(0)
                #expect(dup2(fresh.descriptor, other) == other)
                loop.watch(other, .readable) { _ in stale += 1 }
            }
        }
        turnTwice()
        #expect(calls == 1)
        #expect(stale == 0)
    }

    /// Both are writable; the first handler narrows the other's interest to reading, for which it is not ready.
    @Test func aStaleEventDoesNotReachANarrowedInterest() {
        let counters = [Counter(0), Counter(0)]
        var calls = 0
        for (index, counter) in counters.enumerated() {
            loop.watch(counter.descriptor, .writable) { [loop] _ in
                calls += 1
                loop.unwatch(counter.descriptor)
                loop.watch(counters[1 - index].descriptor, .readable) { _ in calls += 1 }
            }
        }
        turnTwice()
        #expect(calls == 1)
    }

    @Test func watchingAgainReplacesTheHandler() {
        let counter = Counter(1)
        var calls: [Int] = []
        loop.watch(counter.descriptor, .readable) { _ in calls.append(1) }
        loop.watch(counter.descriptor, .readable) { [loop] _ in
            calls.append(2)
            loop.unwatch(counter.descriptor)
        }
        turnTwice()
        #expect(calls == [2])
    }

    @Test func aNumberThatWasClosedWithoutUnwatchCanBeWatchedAgain() {
        let number = Counter(0)
        var calls: [Int] = []
        loop.watch(number.descriptor, .readable) { _ in calls.append(1) }
        // dup2 closes what the number meant, and the system forgets it.
        let ready = Counter(1)
        #expect(dup2(ready.descriptor, number.descriptor) == number.descriptor)
        let isWatched = loop.watch(number.descriptor, .readable) { [loop] _ in
            calls.append(2)
            loop.unwatch(number.descriptor)
        }
        #expect(isWatched)
        turnTwice()
        #expect(calls == [2])
    }

    @Test func tellsThatAPlainFileCannotBeWatched() {
        let file = open(#filePath, O_RDONLY | O_CLOEXEC)
        defer { close(file) }
        for descriptor in [file, -1] {
            let isWatched = loop.watch(descriptor, .readable) { _ in }
            #expect(!isWatched)
        }
    }

    @Test func tellsTheEndOfTheOtherSide() throws {
        var pair: [Int32] = [0, 0]
        #expect(socketpair(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0, &pair) == 0)
        defer { close(pair[0]) }
        var seen: Readiness = []
        loop.watch(pair[0], [.readable, .peerClosed]) { seen.formUnion($0) }
        close(pair[1])
        #expect(loop.run(for: .seconds(10)) { seen.contains([.readable, .peerClosed, .hangUp]) })
        loop.unwatch(pair[0])
    }

    @Test func stopEndsRunAlsoWhenItComesFirst() {
        loop.stop()
        loop.run()
        var ran = false
        loop.schedule(after: .zero) { [loop] in
            ran = true
            loop.stop()
        }
        loop.run()
        #expect(ran)
    }
}

@Suite struct EventLoopTimerTests {
    private let loop: EventLoop

    init() throws { loop = try EventLoop() }

    @Test func timersFireInTheOrderOfTheirDeadlines() {
        var order: [Int] = []
        let started = Clock.nanoseconds
        for delay in [7, 3, 9, 1, 5] { loop.schedule(after: .milliseconds(delay)) { order.append(delay) } }
        #expect(loop.run(for: .seconds(10)) { order.count == 5 })
        #expect(order == [1, 3, 5, 7, 9])
        #expect(Clock.nanoseconds - started >= 9_000_000)
    }

    @Test func timersOfOneDeadlineFireInTheOrderOfSetting() {
        var order: [Int] = []
        for number in 0..<100 { loop.schedule(after: .seconds(-1)) { order.append(number) } }
        #expect(loop.run(for: .seconds(10)) { order.count == 100 })
        #expect(order == Array(0..<100))
    }

    @Test func aCancelledTimerDoesNotFire() {
        var fired: [String] = []
        let first = loop.schedule(after: .milliseconds(1)) { fired.append("cancelled before") }
        loop.cancel(first)
        loop.cancel(first)
        loop.cancel(nil)
        var later: EventLoop.Timer?
        loop.schedule(after: .milliseconds(1)) { [loop] in
            fired.append("kept")
            loop.cancel(later)
        }
        later = loop.schedule(after: .milliseconds(1)) { fired.append("cancelled by another") }
        loop.schedule(after: .milliseconds(3)) { fired.append("last") }
        #expect(loop.run(for: .seconds(10)) { fired.last == "last" })
        #expect(fired == ["kept", "last"])
    }

    @Test func aTimerThatFiredCanBeCancelled() {
        var fired = 0
        let timer = loop.schedule(after: .zero) { fired += 1 }
        #expect(loop.run(for: .seconds(10)) { fired == 1 })
        loop.cancel(timer)
        loop.schedule(after: .zero) { fired += 1 }
        #expect(loop.run(for: .seconds(10)) { fired == 2 })
    }

    @Test func aDelayWithoutEndNeverFiresAndDoesNotOverflow() {
        var wrong = false
        var right = false
        loop.schedule(after: .seconds(Int64.max)) { wrong = true }
        loop.schedule(after: .nanoseconds(Int64.max)) { wrong = true }
        loop.schedule(after: .milliseconds(1)) { right = true }
        #expect(loop.run(for: .seconds(Int64.max)) { right })
        #expect(!wrong)
    }

    @Test func timersThatSetThemselvesAgainLeaveDescriptorsTheirTurn() {
        let counter = Counter(1)
        var readable = false
        var rounds = 0
        loop.watch(counter.descriptor, .readable) { _ in readable = true }
        func again() {
            rounds += 1
            if rounds < 1_000_000 && !readable { loop.schedule(after: .zero, again) }
        }
        loop.schedule(after: .zero, again)
        #expect(loop.run(for: .seconds(10)) { readable })
        #expect(rounds < 1_000_000)
    }

    @Test func cancelledTimersDoNotPileUp() {
        var kept = false
        loop.schedule(after: .milliseconds(1)) { kept = true }
        for _ in 0..<10_000 { loop.cancel(loop.schedule(after: .seconds(3600)) {}) }
        #expect(loop.timerCount < 200)
        #expect(loop.run(for: .seconds(10)) { kept })
    }

    @Test func manyTimersKeepTheirOrder() {
        var random = FastRandom(seed: 7)
        var order: [Int64] = []
        var timers: [EventLoop.Timer] = []
        for _ in 0..<2000 {
            let delay = Int64(random.below(5_000_000))
            timers.append(loop.schedule(after: .nanoseconds(delay)) { order.append(Clock.nanoseconds) })
        }
        for timer in timers where random.below(2) == 0 { loop.cancel(timer) }
        let expected = loop.liveTimerCount
        #expect(loop.run(for: .seconds(10)) { order.count == expected })
        #expect(loop.liveTimerCount == 0)
        #expect(order == order.sorted())
    }

    @Test func aConditionThatNeverHoldsEndsWithTheTime() {
        let started = Clock.nanoseconds
        #expect(!loop.run(for: .milliseconds(5)) { false })
        #expect(Clock.nanoseconds - started >= 5_000_000)
    }
}
