import Runtime

/// Sends calls by a plan and counts what they came to.
final class Run {
    /// How much to send, and how fast.
    struct Pace {
        /// Calls in all; nil for no end but time.
        var count: Int?
        /// Until when to send; nil for no end but the count.
        var time: Duration?
        /// Calls a second; nil sends the next one whenever there is room.
        var rate: Double?
    }

    private let loop: EventLoop
    private let caller: any Caller
    private let pace: Pace
    private let started = Clock.nanoseconds
    private var sent = 0
    private var finished = 0
    private var isStopped = false
    private(set) var tally = Tally()

    init(loop: EventLoop, caller: any Caller, pace: Pace) {
        self.loop = loop
        self.caller = caller
        self.pace = pace
    }

    /// Sends all calls, or those until `stop`, and waits for the answers to what was sent.
    func run() {
        loop.schedule(after: .zero) { [weak self] in self?.advance() }
        loop.run()
    }

    /// Sends nothing more.
    func stop() {
        isStopped = true
        endIfDone()
    }

    private var isAllSent: Bool {
        if isStopped { return true }
        if let count = pace.count, sent >= count { return true }
        return pace.time.map { Clock.nanoseconds - started >= $0.nanoseconds } ?? false
    }

    private func advance() {
        while !isAllSent && caller.hasRoom {
            guard let rate = pace.rate else {
                send(dueAt: Clock.nanoseconds)
                continue
            }
            // The time counts from when the call was due, so that waiting for room is not hidden.
            let due = started + Int64(Double(sent) * 1e9 / max(rate, 0.001))
            if due > Clock.nanoseconds { break }
            send(dueAt: due)
        }
        if isAllSent {
            endIfDone()
        } else if pace.rate != nil {
            loop.schedule(after: .milliseconds(1)) { [weak self] in self?.advance() }
        }
    }

    private func send(dueAt due: Int64) {
        let number = sent
        sent += 1
        caller.call(number) { [weak self] result in
            guard let self else { return }
            self.finished += 1
            self.tally.add(result, nanoseconds: Clock.nanoseconds - due)
            if self.pace.rate == nil { self.next(after: result) } else { self.endIfDone() }
        }
    }

    /// A failing server is not asked as fast as possible.
    private func next(after result: Result<Answer, CallFailure>) {
        let pause = if case .failure = result { Duration.milliseconds(10) } else { Duration.zero }
        loop.schedule(after: pause) { [weak self] in self?.advance() }
    }

    private func endIfDone() {
        if isAllSent && finished == sent { loop.stop() }
    }
}
