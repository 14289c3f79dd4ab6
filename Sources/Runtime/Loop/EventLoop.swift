import CLinux
import Glibc

/// The control plane's loop: callbacks for descriptors and timers on one thread.
///
/// Ordinary code with closures; the workers have a loop of their own (`Proxy`). Not thread safe: other threads reach it
/// through a `Mailbox`.
public final class EventLoop {
    /// Names a timer so that it can be cancelled.
    public struct Timer: Hashable {
        fileprivate let deadline: Int64
        fileprivate let number: UInt64
    }

    private struct Watch {
        let interest: Readiness
        let handler: (Readiness) -> Void
    }

    private let poller: Poller
    private var watches: [UInt64: Watch] = [:]
    private var tokens: [Int32: UInt64] = [:]
    private var nextToken: UInt64 = 1
    private var timers = Heap()
    private var actions: [UInt64: () -> Void] = [:]
    private var nextTimer: UInt64 = 1
    private var stopping = false

    /// What one turn may spend on a long piece of work: little, as a turn can have a slice of several such works.
    public static let slice = Duration.milliseconds(1)

    /// Creates an idle loop.
    public init() throws { poller = try Poller() }

    /// Calls `handler` whenever the descriptor is ready, until `unwatch`. Watching again replaces interest and handler.
    ///
    /// - Returns: false where the system cannot watch it (a plain file, or no memory); nothing is watched then.
    @discardableResult
    public func watch(
        _ descriptor: Int32, _ interest: Readiness, handler: @escaping (Readiness) -> Void
    ) -> Bool {
        if let token = tokens[descriptor] {
            if poller.modify(descriptor, interest, token: token) {
                watches[token] = Watch(interest: interest, handler: handler)
                return true
            }
            // It was closed without `unwatch`, and the number now means something new.
            forget(descriptor)
        }
        // Every watch has a token of its own: an event that waits for an old one finds nobody.
        let token = nextToken
        nextToken += 1
        guard poller.add(descriptor, interest, token: token) else { return false }
        tokens[descriptor] = token
        watches[token] = Watch(interest: interest, handler: handler)
        return true
    }

    /// Stops watching. Call it before the descriptor is closed.
    public func unwatch(_ descriptor: Int32) {
        if forget(descriptor) { poller.remove(descriptor) }
    }

    @discardableResult
    private func forget(_ descriptor: Int32) -> Bool {
        guard let token = tokens.removeValue(forKey: descriptor) else { return false }
        watches[token] = nil
        return true
    }

    /// Calls `action` once, not before `delay` has passed.
    @discardableResult
    public func schedule(after delay: Duration, _ action: @escaping () -> Void) -> Timer {
        let timer = Timer(deadline: Self.deadline(after: delay), number: nextTimer)
        nextTimer += 1
        actions[timer.number] = action
        timers.insert(timer)
        return timer
    }

    /// Forgets a timer; one that has fired is forgotten already.
    public func cancel(_ timer: Timer?) {
        guard let timer, actions.removeValue(forKey: timer.number) != nil else { return }
        // Deadlines that are set and cancelled all the time must not pile up until they would have been due.
        if timers.count > 64, timers.count > 2 * actions.count {
            timers.keep { actions[$0.number] != nil }
        }
    }

    /// The loop's turns, in processor time: while one lasts everything else waits.
    public private(set) var turns = WorkTime()

    /// Timers that are kept, cancelled ones included.
    var timerCount: Int { timers.count }

    /// Timers that will fire.
    var liveTimerCount: Int { actions.count }

    /// Now and a delay; what is too far is never.
    private static func deadline(after delay: Duration) -> Int64 {
        let (deadline, overflow) = Clock.nanoseconds.addingReportingOverflow(max(0, delay.nanoseconds))
        return overflow ? .max : deadline
    }

    /// Runs until `stop`.
    public func run() {
        while !stopping { turn(limit: nil) }
        stopping = false
    }

    /// Runs until `condition` holds or the time is over; tells whether it held. For tests and one-shot commands.
    public func run(for limit: Duration, until condition: () -> Bool) -> Bool {
        let deadline = Self.deadline(after: limit)
        while !condition() {
            let left = deadline - Clock.nanoseconds
            if left <= 0 { return false }
            turn(limit: left)
        }
        return true
    }

    /// Ends `run` after the callbacks of this turn; before `run`, lets it end at once, so that a signal during the start
    /// is not lost.
    public func stop() { stopping = true }

    private func turn(limit: Int64?) {
        let count = poller.wait(milliseconds: waitMilliseconds(limit: limit))
        // Timers that are set meanwhile have to wait for the next turn, or they could keep descriptors from theirs.
        let end = nextTimer
        let begin = Clock.threadNanoseconds
        for index in 0..<count {
            let (token, readiness) = poller.event(index)
            guard let watch = watches[token] else { continue }
            // A handler of this turn may have changed the interest since the event was fetched.
            let wanted = readiness.intersection(watch.interest.union([.error, .hangUp]))
            if !wanted.isEmpty { watch.handler(wanted) }
        }
        fireTimers(before: end)
        turns.add(nanoseconds: Clock.threadNanoseconds - begin)
    }

    private func waitMilliseconds(limit: Int64?) -> Int32 {
        while let first = timers.first, actions[first.number] == nil { timers.removeFirst() }
        var wait = limit
        if let first = timers.first { wait = min(wait ?? .max, first.deadline - Clock.nanoseconds) }
        guard let wait else { return -1 }
        // Rounded up: waking early would only mean to wait again.
        return Int32(clamping: max(0, wait) / 1_000_000 + (wait > 0 && wait % 1_000_000 > 0 ? 1 : 0))
    }

    private func fireTimers(before end: UInt64) {
        let now = Clock.nanoseconds
        while let first = timers.first, first.deadline <= now, first.number < end {
            timers.removeFirst()
            actions.removeValue(forKey: first.number)?()
        }
    }
}

/// A binary heap of timers, earliest first.
private struct Heap {
    private var items: [EventLoop.Timer] = []

    var first: EventLoop.Timer? { items.first }

    var count: Int { items.count }

    /// Forgets all others. A sorted array is a heap.
    mutating func keep(_ isKept: (EventLoop.Timer) -> Bool) {
        items = items.filter(isKept).sorted { ($0.deadline, $0.number) < ($1.deadline, $1.number) }
    }

    mutating func insert(_ item: EventLoop.Timer) {
        items.append(item)
        var child = items.count - 1
        while child > 0 {
            let parent = (child - 1) / 2
            if !precedes(child, parent) { break }
            items.swapAt(child, parent)
            child = parent
        }
    }

    mutating func removeFirst() {
        items.swapAt(0, items.count - 1)
        items.removeLast()
        var parent = 0
        while true {
            var smallest = parent
            for child in [2 * parent + 1, 2 * parent + 2] where child < items.count && precedes(child, smallest) {
                smallest = child
            }
            if smallest == parent { return }
            items.swapAt(parent, smallest)
            parent = smallest
        }
    }

    private func precedes(_ left: Int, _ right: Int) -> Bool {
        (items[left].deadline, items[left].number) < (items[right].deadline, items[right].number)
    }
}
