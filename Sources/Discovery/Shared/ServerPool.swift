import Runtime

/// The servers of a registry: one is used until it fails, then the next, each left alone for a growing while after failures.
struct ServerPool {
    /// What to do with a request now.
    enum Choice: Equatable {
        /// Send it to the server with this index.
        case use(Int)
        /// Nothing can be sent before this much time has passed.
        case wait(Duration)
        /// The server is being tried by another request; its outcome decides.
        case probing
    }

    private struct State {
        var backoff: Backoff
        var notBefore: Int64 = 0
        var isProbed = false
        var failedAt: Int64?
    }

    private var states: [State]
    /// Index of the server in use.
    private(set) var current = 0

    init(count: Int, backoff: Backoff = Backoff()) {
        states = Array(repeating: State(backoff: backoff), count: max(1, count))
    }

    /// How many servers there are.
    var count: Int { states.count }

    /// Chooses a server.
    ///
    /// - Parameter skip: how many usable servers to pass over; for a request that another server has just answered badly.
    mutating func choose(now: Int64, skip: Int = 0) -> Choice {
        let usable = (0..<count).map { (current + $0) % count }.filter { states[$0].notBefore <= now }
        guard !usable.isEmpty else {
            let earliest = states.map(\.notBefore).min() ?? now
            return .wait(.nanoseconds(earliest - now))
        }
        let healthy = usable.filter { states[$0].backoff.failures == 0 }
        if !healthy.isEmpty {
            let index = healthy[skip % healthy.count]
            if skip == 0 { current = index }
            return .use(index)
        }
        // All have failed before: one request at a time finds out.
        guard let index = usable.first(where: { !states[$0].isProbed }) else { return .probing }
        states[index].isProbed = true
        current = index
        return .use(index)
    }

    /// The server has answered sensibly. True when it had failed before.
    mutating func succeeded(_ index: Int) -> Bool {
        let hadFailed = states[index].backoff.failures > 0
        states[index].backoff.succeeded()
        states[index].isProbed = false
        states[index].notBefore = 0
        return hadFailed
    }

    /// A request sent at `sentAt` found the server away. Requests that were under way together count once.
    mutating func failed(_ index: Int, sentAt: Int64, now: Int64) {
        states[index].isProbed = false
        if let failedAt = states[index].failedAt, sentAt < failedAt { return }
        states[index].failedAt = now
        states[index].notBefore = now + states[index].backoff.failed().nanoseconds
        if index == current { current = (current + 1) % count }
    }

    /// Whether no server can be asked now.
    mutating func isAway(now: Int64) -> Bool {
        guard case .use(let next) = choose(now: now) else { return true }
        released(next)
        return false
    }

    /// The server asks to be left: the next one is used from now on.
    mutating func leave(_ index: Int) {
        if index == current { current = (current + 1) % count }
    }

    /// The server with this index is used from now on, as long as it answers.
    mutating func prefer(_ index: Int) { current = index }

    /// A request ended without telling anything about the server: it was cancelled.
    mutating func released(_ index: Int) { states[index].isProbed = false }
}
