import Runtime
import Testing

@Suite struct TimerWheelTests {
    private static let tick: Int64 = 1 << 23

    /// Timers in memory of their own.
    private func timers(_ count: Int) -> UnsafeMutablePointer<WheelTimer> {
        let memory = UnsafeMutablePointer<WheelTimer>.allocate(capacity: count)
        for index in 0..<count { (memory + index).initialize(to: WheelTimer(kind: UInt8(index & 255))) }
        return memory
    }

    /// What fires until `now`.
    private func fired(_ wheel: inout TimerWheel, _ now: Int64) -> [UInt8] {
        var kinds: [UInt8] = []
        while let timer = wheel.popDue(now: now) { kinds.append(timer.pointee.kind) }
        return kinds
    }

    @Test func timersFireInTimeAndNotBefore() {
        var wheel = TimerWheel(now: 0)
        let timers = timers(3)
        defer { timers.deallocate() }
        wheel.set(timers, deadline: 100 * Self.tick)
        wheel.set(timers + 1, deadline: 5 * Self.tick)
        wheel.set(timers + 2, deadline: 10_000 * Self.tick)
        #expect(fired(&wheel, 4 * Self.tick).isEmpty)
        #expect(fired(&wheel, 6 * Self.tick) == [1])
        #expect(fired(&wheel, 99 * Self.tick).isEmpty)
        #expect(fired(&wheel, 101 * Self.tick) == [0])
        #expect(fired(&wheel, 9_999 * Self.tick).isEmpty)
        #expect(fired(&wheel, 10_001 * Self.tick) == [2])
        #expect(wheel.waitMilliseconds(now: 10_001 * Self.tick) == -1)
    }

    @Test func aTimerCanBeMovedBothWaysPausedAndCancelled() {
        var wheel = TimerWheel(now: 0)
        let timers = timers(4)
        defer { timers.deallocate() }
        wheel.set(timers, deadline: 10 * Self.tick)
        wheel.set(timers, deadline: 50 * Self.tick)
        wheel.set(timers + 1, deadline: 50 * Self.tick)
        wheel.set(timers + 1, deadline: 10 * Self.tick)
        wheel.set(timers + 2, deadline: 10 * Self.tick)
        wheel.pause(timers + 2)
        wheel.set(timers + 3, deadline: 10 * Self.tick)
        wheel.cancel(timers + 3)
        #expect(fired(&wheel, 20 * Self.tick) == [1])
        wheel.set(timers + 2, deadline: 30 * Self.tick)
        #expect(fired(&wheel, 40 * Self.tick) == [2])
        #expect(fired(&wheel, 60 * Self.tick) == [0])
    }

    @Test func randomTimersAllFireOnceAtTheirTime() {
        var random = FastRandom(seed: 11)
        var wheel = TimerWheel(now: 0)
        let count = 200
        let timers = timers(count)
        defer { timers.deallocate() }
        var due = [Int64](repeating: 0, count: count)
        var now: Int64 = 0
        for _ in 0..<20_000 {
            let index = Int(random.below(UInt64(count)))
            let deadline = now + Int64(random.below(UInt64(6000 * Self.tick)))
            wheel.set(timers + index, deadline: deadline)
            due[index] = max(1, deadline)
            now += Int64(random.below(UInt64(20 * Self.tick)))
            while let timer = wheel.popDue(now: now) {
                let fired = timer - timers
                #expect(due[fired] > 0 && due[fired] <= now)
                due[fired] = 0
            }
            // Nothing is later than a tick or two.
            #expect(due.allSatisfy { $0 == 0 || $0 > now - 3 * Self.tick })
        }
    }

    @Test func aPollNeverSleepsPastATimer() {
        var random = FastRandom(seed: 5)
        for _ in 0..<500 {
            let start = Int64(random.below(1 << 40))
            var wheel = TimerWheel(now: start)
            let timer = timers(1)
            defer { timer.deallocate() }
            let deadline = start + Int64(random.below(UInt64(4000 * Self.tick))) + 1
            wheel.set(timer, deadline: deadline)
            let wake = start + Int64(wheel.waitMilliseconds(now: start)) * 1_000_000
            #expect(wake < deadline + 3 * Self.tick)
            #expect(wake >= start)
        }
    }
}

@Suite struct BufferPoolTests {
    private func text(_ buffer: Buffer) -> String {
        ByteString(base: buffer.bytes, count: buffer.count).text
    }

    @Test func bytesComeOutAsTheyWentIn() {
        var pool = BufferPool()
        var random = FastRandom(seed: 3)
        var buffer = Buffer()
        var expected: [UInt8] = []
        for round in 0..<3000 {
            let part = (0..<Int(random.below(300))).map { UInt8(truncatingIfNeeded: $0 &+ round) }
            part.withUnsafeBufferPointer { pool.append($0.baseAddress!, count: $0.count, to: &buffer) }
            expected += part
            let taken = Int(random.below(UInt64(min(expected.count, 350) + 1)))
            #expect(Array(UnsafeBufferPointer(start: buffer.bytes, count: taken)) == Array(expected.prefix(taken)))
            buffer.consume(taken)
            expected.removeFirst(taken)
            #expect(buffer.count == expected.count)
        }
        pool.release(&buffer)
        #expect(buffer.isEmpty)
    }

    @Test func memoryIsUsedAgain() {
        var pool = BufferPool()
        for _ in 0..<1000 {
            var (small, large) = (Buffer(), Buffer())
            pool.append("some text", to: &small)
            pool.reserve(100_000, in: &large)
            #expect(large.room >= 100_000)
            pool.release(&small)
            pool.release(&large)
        }
        #expect(pool.allocations == 2)
    }

    /// Frames that are gathered for one connection.
    @Test func aBufferThatGrowsIsMovedSeldom() {
        var pool = BufferPool()
        var buffer = Buffer()
        defer { pool.release(&buffer) }
        let frame = [UInt8](repeating: 7, count: 420)
        var capacities: Set<Int> = []
        for _ in 0..<32 {
            pool.append(frame, count: frame.count, to: &buffer)
            capacities.insert(buffer.capacity)
        }
        #expect(buffer.count == 32 * 420)
        #expect(capacities == [512, 2048, 8192, 32768])
    }

    @Test func whatWasPassedCanBeTakenBack() {
        var pool = BufferPool()
        var buffer = Buffer()
        pool.append("hello world", to: &buffer)
        buffer.pass(6)
        #expect(text(buffer) == "world")
        buffer.rewind()
        #expect(text(buffer) == "hello world")
        buffer.consume(11)
        #expect(buffer.isEmpty && buffer.room > 11)
        pool.release(&buffer)
    }

    @Test func sizesBeyondThePoolWork() {
        var pool = BufferPool()
        var buffer = Buffer()
        pool.reserve(40 << 20, in: &buffer)
        #expect(buffer.room >= 40 << 20)
        buffer.tail[(40 << 20) - 1] = 1
        pool.release(&buffer)
    }
}

@Suite struct ByteStringTests {
    @Test func hashesAreStableAndSpread() {
        let text = ByteString(copying: "order-service")
        defer { text.free() }
        #expect(text.hash() == ByteString(copying: "order-service").hash())
        #expect(text.hash() != text.hash(salt: 1))
        var buckets = [Int](repeating: 0, count: 10)
        for number in 0..<10_000 {
            let key = ByteString(copying: "user-\(number)")
            buckets[Int(key.hash() % 10)] += 1
            key.free()
        }
        #expect(buckets.allSatisfy { abs($0 - 1000) < 150 })
    }
}
