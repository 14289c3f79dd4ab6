/// Work that would block the loop, on a thread of its own, one piece at a time. Its outcome comes back on the loop.
public final class BackgroundWork<Outcome: Sendable> {
    /// Gets the outcome of each piece.
    public var onOutcome: (Outcome) -> Void = { _ in }

    private let loop: EventLoop
    private let outcomes: Mailbox<Outcome>
    private var thread: Thread?

    /// Nothing is running yet.
    ///
    /// - Throws: `SystemError` when the system has no event descriptor left.
    public init(loop: EventLoop) throws {
        self.loop = loop
        outcomes = try Mailbox()
        loop.receive(outcomes) { [weak self] in self?.take($0) }
    }

    /// A piece is running, or its outcome has not come yet.
    public var isRunning: Bool { thread != nil }

    /// Runs a piece; call it only when none is running.
    ///
    /// - Parameters:
    ///   - name: the thread's.
    ///   - failed: makes the outcome where no thread can be started, from the reason.
    public func run(_ name: String, failed: (String) -> Outcome, _ body: @escaping @Sendable () -> Outcome) {
        let outcomes = outcomes
        do { thread = try Thread(name: name) { outcomes.post(body()) } } catch { outcomes.post(failed("\(error)")) }
    }

    /// Waits for the outcome of what is running. Nothing is run afterwards.
    public func finish() {
        loop.unwatch(outcomes.descriptor)
        thread?.join()
        for outcome in outcomes.take() { take(outcome) }
    }

    private func take(_ outcome: Outcome) {
        // It has nothing more to do.
        thread?.join()
        thread = nil
        onOutcome(outcome)
    }
}
