import Runtime

/// Small pieces of work done in order, over as many turns of the loop as they need, so that nothing else waits long.
final class WorkQueue {
    private let loop: EventLoop
    private var items = Fifo<(isLong: Bool, action: () -> Void)>()
    private var isDue = false

    init(loop: EventLoop) { self.loop = loop }

    /// - Parameter isLong: it may take longer than others and has a turn for itself.
    func add(isLong: Bool = false, _ item: @escaping () -> Void) {
        items.append((isLong, item))
        schedule()
    }

    func removeAll() { items = Fifo() }

    private func schedule() {
        guard !isDue else { return }
        isDue = true
        loop.schedule(after: .zero) { [weak self] in self?.run() }
    }

    private func run() {
        isDue = false
        let end = Clock.nanoseconds + EventLoop.slice.nanoseconds
        while let (isLong, action) = items.popFirst() {
            action()
            if isLong || items.front?.isLong == true || Clock.nanoseconds >= end { break }
        }
        if !items.isEmpty { schedule() }
    }
}
