/// A timer inside the record that it belongs to. Plain bits; must be cancelled before its memory goes.
public struct WheelTimer {
    fileprivate var next: UnsafeMutablePointer<WheelTimer>?
    fileprivate var previous: UnsafeMutablePointer<WheelTimer>?
    /// When it is due, in the wheel's time; 0 when it is not set.
    public fileprivate(set) var deadline: Int64 = 0
    /// The tick of the slot that it is linked in; -1 when it is not.
    fileprivate var tick: Int64 = -1
    /// What it means to its owner.
    public let kind: UInt8

    /// A timer that is not set.
    public init(kind: UInt8) { self.kind = kind }

    /// Whether it is set.
    @inline(__always)
    public var isSet: Bool { deadline != 0 }
}

/// Very many timers that are set and reset with every request and hardly ever fire. Granularity 8 ms.
///
/// Setting a timer to a later time only writes its deadline: it is moved when its old slot comes up.
public struct TimerWheel: ~Copyable {
    private static let shift: Int64 = 23  // a tick is 2^23 ns
    private static let slots = 4096
    private static let words = slots / 64

    private let heads: UnsafeMutablePointer<UnsafeMutablePointer<WheelTimer>?>
    /// One bit a slot: whether it holds timers.
    private let occupied: UnsafeMutablePointer<UInt64>
    private var tick: Int64
    private var linked = 0

    /// Timers that are set, and paused ones whose slot has not come up.
    public var count: Int { linked }

    /// An empty wheel.
    ///
    /// - Parameter now: monotonic nanoseconds.
    public init(now: Int64) {
        heads = .allocate(capacity: Self.slots)
        heads.initialize(repeating: nil, count: Self.slots)
        occupied = .allocate(capacity: Self.words)
        occupied.initialize(repeating: 0, count: Self.words)
        tick = now >> Self.shift
    }

    deinit {
        heads.deallocate()
        occupied.deallocate()
    }

    /// Sets or resets a timer.
    @inline(__always)
    public mutating func set(_ timer: UnsafeMutablePointer<WheelTimer>, deadline: Int64) {
        timer.pointee.deadline = max(1, deadline)
        if timer.pointee.tick >= 0 {
            if timer.pointee.deadline >> Self.shift >= timer.pointee.tick { return }
            unlink(timer)
        }
        link(timer)
    }

    /// Unsets a timer and takes it out.
    @inline(__always)
    public mutating func cancel(_ timer: UnsafeMutablePointer<WheelTimer>) {
        timer.pointee.deadline = 0
        if timer.pointee.tick >= 0 { unlink(timer) }
    }

    /// Unsets a timer that will soon be set again: it stays linked, which makes both cheap.
    @inline(__always)
    public mutating func pause(_ timer: UnsafeMutablePointer<WheelTimer>) { timer.pointee.deadline = .max }

    /// Milliseconds that a poll may wait; -1 for ever. It may be too short, never too long by more than a tick.
    @inline(__always)
    public func waitMilliseconds(now: Int64) -> Int32 {
        if linked == 0 { return -1 }
        let due = (tick + ticksToNextSlot() + 1) << Self.shift
        return Int32(truncatingIfNeeded: max(0, due - now) / 1_000_000 + 1)
    }

    /// Ticks until the next slot that holds a timer, the present one included.
    @inline(__always)
    private func ticksToNextSlot() -> Int64 {
        let position = tick & Int64(Self.slots - 1)
        let word = Int(position >> 6)
        let first = occupied[word] >> UInt64(position & 63)
        if first != 0 { return Int64(first.trailingZeroBitCount) }
        for step in 1...Self.words {
            let next = occupied[(word + step) & (Self.words - 1)]
            if next != 0 { return Int64(step << 6) - (position & 63) + Int64(next.trailingZeroBitCount) }
        }
        return Int64(Self.slots)
    }

    /// Takes one timer that is due; nil when there is none. Call it until then.
    public mutating func popDue(now: Int64) -> UnsafeMutablePointer<WheelTimer>? {
        let target = now >> Self.shift
        if linked == 0 {
            tick = target
            return nil
        }
        if target - tick > Int64(Self.slots) { tick = target - Int64(Self.slots) }
        while true {
            var timer = heads[Int(tick & Int64(Self.slots - 1))]
            while let candidate = timer {
                timer = candidate.pointee.next
                if candidate.pointee.deadline <= now {
                    unlink(candidate)
                    candidate.pointee.deadline = 0
                    return candidate
                }
                if candidate.pointee.deadline >> Self.shift != tick { relink(candidate) }
            }
            if tick >= target { return nil }
            tick += 1
        }
    }

    /// Moves a timer whose slot came up before its time.
    private mutating func relink(_ timer: UnsafeMutablePointer<WheelTimer>) {
        unlink(timer)
        if timer.pointee.deadline == .max {
            timer.pointee.deadline = 0
        } else {
            link(timer)
        }
    }

    @inline(__always)
    private mutating func link(_ timer: UnsafeMutablePointer<WheelTimer>) {
        let due = max(timer.pointee.deadline >> Self.shift, tick + 1)
        timer.pointee.tick = min(due, tick + Int64(Self.slots) - 1)
        let slot = Int(timer.pointee.tick & Int64(Self.slots - 1))
        timer.pointee.previous = nil
        timer.pointee.next = heads[slot]
        heads[slot]?.pointee.previous = timer
        heads[slot] = timer
        occupied[slot >> 6] |= 1 << UInt64(slot & 63)
        linked += 1
    }

    @inline(__always)
    private mutating func unlink(_ timer: UnsafeMutablePointer<WheelTimer>) {
        let slot = Int(timer.pointee.tick & Int64(Self.slots - 1))
        if let previous = timer.pointee.previous {
            previous.pointee.next = timer.pointee.next
        } else {
            heads[slot] = timer.pointee.next
            if timer.pointee.next == nil { occupied[slot >> 6] &= ~(1 << UInt64(slot & 63)) }
        }
        timer.pointee.next?.pointee.previous = timer.pointee.previous
        timer.pointee.next = nil
        timer.pointee.previous = nil
        timer.pointee.tick = -1
        linked -= 1
    }
}
