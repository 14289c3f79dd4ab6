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
        let descriptor: Int32
        let handler: (Readiness) -> Void
    }

    private let poller: Poller
    private var watches: [UInt64: Watch] = [:]
    private var tokens: [Int32: UInt64] = [:]
    private var nextToken: UInt64 = 1
    private var timers = Heap()
    private var actions: [UInt64: () -> Void] = [:]
    private var nextTimer: UInt64 = 1
    private var running = false

    /// Creates an idle loop.
    public init() throws { poller = try Poller() }

    /// Calls `handler` whenever the descriptor is ready, until `unwatch`. Watching again replaces interest and handler.
    public func watch(_ descriptor: Int32, _ interest: Readiness, handler: @escaping (Readiness) -> Void) {
        if let token = tokens[descriptor] {
            watches[token] = Watch(descriptor: descriptor, handler: handler)
            poller.modify(descriptor, interest, token: token)
            return
        }
        let token = nextToken
        nextToken += 1
        tokens[descriptor] = token
        watches[token] = Watch(descriptor: descriptor, handler: handler)
        poller.add(descriptor, interest, token: token)
    }

    /// Stops watching. Call it before the descriptor is closed.
    public func unwatch(_ descriptor: Int32) {
        guard let token = tokens.removeValue(forKey: descriptor) else { return }
        watches[token] = nil
        poller.remove(descriptor)
    }

    /// Calls `action` once, not before `delay` has passed.
    @discardableResult
    public func schedule(after delay: Duration, _ action: @escaping () -> Void) -> Timer {
        let timer = Timer(deadline: Clock.nanoseconds &+ max(0, delay.nanoseconds), number: nextTimer)
        nextTimer += 1
        actions[timer.number] = action
        timers.insert(timer)
        return timer
    }

    /// Forgets a timer; one that has fired is forgotten already.
    public func cancel(_ timer: Timer?) {
        if let timer { actions[timer.number] = nil }
    }

    /// Runs until `stop`.
    public func run() {
        running = true
        while running { turn(limit: nil) }
    }

    /// Runs until `condition` holds or the time is over; tells whether it held. For tests and one-shot commands.
    public func run(for limit: Duration, until condition: () -> Bool) -> Bool {
        let deadline = Clock.nanoseconds + limit.nanoseconds
        while !condition() {
            let left = deadline - Clock.nanoseconds
            if left <= 0 { return false }
            turn(limit: left)
        }
        return true
    }

    /// Ends `run` after the callbacks of this turn.
    public func stop() { running = false }

    private func turn(limit: Int64?) {
        let count = poller.wait(milliseconds: waitMilliseconds(limit: limit))
        for index in 0..<count {
            let (token, readiness) = poller.event(index)
            watches[token]?.handler(readiness)
        }
        fireTimers()
    }

    private func waitMilliseconds(limit: Int64?) -> Int32 {
        while let first = timers.first, actions[first.number] == nil { timers.removeFirst() }
        var wait = limit
        if let first = timers.first { wait = min(wait ?? .max, first.deadline - Clock.nanoseconds) }
        guard let wait else { return -1 }
        return Int32(clamping: (max(0, wait) + 999_999) / 1_000_000)
    }

    private func fireTimers() {
        let now = Clock.nanoseconds
        while let first = timers.first, first.deadline <= now {
            timers.removeFirst()
            actions.removeValue(forKey: first.number)?()
        }
    }
}

/// A binary heap of timers, earliest first.
private struct Heap {
    private var items: [EventLoop.Timer] = []

    var first: EventLoop.Timer? { items.first }

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
