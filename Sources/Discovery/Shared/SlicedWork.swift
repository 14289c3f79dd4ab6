import Runtime

/// A long piece of work on a loop, done a little at a time so that the loop's other work is not held up.
final class SlicedWork {
    private let loop: EventLoop
    private var step: (() -> Bool)?
    private var timer: EventLoop.Timer?

    /// Begins at once and goes on in later turns.
    ///
    /// - Parameter step: does a small part; false when nothing is left. It is let go after the last part.
    init(loop: EventLoop, step: @escaping () -> Bool) {
        self.loop = loop
        self.step = step
        advance()
    }

    /// Nothing is left, or it was cancelled.
    var isDone: Bool { step == nil }

    /// Leaves the rest undone.
    func cancel() {
        step = nil
        loop.cancel(timer)
    }

    private func advance() {
        let deadline = Clock.nanoseconds + EventLoop.slice.nanoseconds
        while let step {
            guard step() else {
                self.step = nil
                return
            }
            if Clock.nanoseconds >= deadline { break }
        }
        guard step != nil else { return }
        timer = loop.schedule(after: .zero) { [weak self] in self?.advance() }
    }
}
