import Runtime

/// The servers of a registry: one is used until it fails, then the next, each left alone for a growing while after failures.
struct ServerPool {
    /// Leave to ask a server. A server that has failed is tried by one request at a time, as long as somebody holds its turn:
    /// a turn ends when it is let go, so that nobody can forget to give it back.
    final class Turn {
        /// Index of the server.
        let server: Int

        fileprivate init(_ server: Int) { self.server = server }
    }

    /// What to do with a request now.
    enum Choice {
        /// Send it to this turn's server, and hold the turn until it is known what has come of it.
        case use(Turn)
        /// Ask again after this much time: no server can be asked, or another request is trying the only one.
        case wait(Duration)
    }

    private struct State {
        var backoff: Backoff
        var notBefore: Int64 = 0
        /// Finds out whether the server is back.
        weak var trial: Turn?
        var failedAt: Int64?
    }

    private var states: [State]
    /// Index of the server in use.
    private(set) var current = 0

    /// How long to wait for what comes of another request's trial, in nanoseconds.
    private static let trialPause: Int64 = 100_000_000

    init(count: Int, backoff: Backoff = Backoff()) {
        states = Array(repeating: State(backoff: backoff), count: max(1, count))
    }

    /// How many servers there are.
    var count: Int { states.count }

    /// Chooses a server.
    ///
    /// - Parameter skip: how many usable servers to pass over; for a request that another server has just answered badly.
    mutating func choose(now: Int64, skip: Int = 0) -> Choice {
        guard let server = usable(now: now, skip: skip) else { return .wait(pause(now: now)) }
        let turn = Turn(server)
        let isTrial = states[server].backoff.failures > 0
        if isTrial { states[server].trial = turn }
        if isTrial || skip == 0 { current = server }
        return .use(turn)
    }

    /// The server has answered sensibly. True when it had failed before.
    mutating func succeeded(_ index: Int) -> Bool {
        let hadFailed = states[index].backoff.failures > 0
        states[index].backoff.succeeded()
        states[index].trial = nil
        states[index].notBefore = 0
        return hadFailed
    }

    /// A request sent at `sentAt` found the server away. Requests that were under way together count once.
    mutating func failed(_ index: Int, sentAt: Int64, now: Int64) {
        states[index].trial = nil
        if let failedAt = states[index].failedAt, sentAt < failedAt { return }
        states[index].failedAt = now
        states[index].notBefore = now + states[index].backoff.failed().nanoseconds
        if index == current { current = (current + 1) % count }
    }

    /// Whether no server can be asked now.
    func isAway(now: Int64) -> Bool { usable(now: now, skip: 0) == nil }

    /// The server asks to be left: the next one is used from now on.
    mutating func leave(_ index: Int) {
        if index == current { current = (current + 1) % count }
    }

    /// The server with this index is used from now on, as long as it answers.
    mutating func prefer(_ index: Int) { current = index }

    private func usable(now: Int64, skip: Int) -> Int? {
        let usable = (0..<count).map { (current + $0) % count }.filter { states[$0].notBefore <= now }
        let healthy = usable.filter { states[$0].backoff.failures == 0 }
        if !healthy.isEmpty { return healthy[skip % healthy.count] }
        // All have failed before: one request at a time finds out.
        return usable.first { states[$0].trial == nil }
    }

    private func pause(now: Int64) -> Duration {
        let pauses = states.map { $0.notBefore <= now ? Self.trialPause : $0.notBefore - now }
        return .nanoseconds(pauses.min() ?? Self.trialPause)
    }
}
