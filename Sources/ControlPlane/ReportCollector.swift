import Proxy
import Runtime

/// Asks all workers for their counters and waits for them, but not long.
final class ReportCollector {
    /// Longest time that an answer is waited for.
    static let patience = Duration.seconds(1)

    private let loop: EventLoop
    private let ask: (UInt64) -> Void
    /// The last report of each worker: stands in for one that is late, so that counters never go back.
    private var reports: [WorkerReport?]
    private var missing: Set<Int> = []
    private var waiting: [([WorkerReport]) -> Void] = []
    private var identifier: UInt64 = 0
    private var timer: EventLoop.Timer?

    /// - Parameter ask: sends a question with this number to all workers.
    init(loop: EventLoop, workerCount: Int, ask: @escaping (UInt64) -> Void) {
        self.loop = loop
        self.ask = ask
        reports = Array(repeating: nil, count: workerCount)
    }

    /// Calls `completion` with a report of each worker that has ever answered.
    func collect(_ completion: @escaping ([WorkerReport]) -> Void) {
        waiting.append(completion)
        guard waiting.count == 1 else { return }
        identifier += 1
        missing = Set(reports.indices)
        ask(identifier)
        timer = loop.schedule(after: Self.patience) { [weak self] in self?.finish() }
    }

    /// A worker has answered.
    func receive(_ report: WorkerReport, from worker: Int, id: UInt64) {
        guard reports.indices.contains(worker) else { return }
        reports[worker] = report
        guard id == identifier, missing.remove(worker) != nil, missing.isEmpty else { return }
        finish()
    }

    private func finish() {
        loop.cancel(timer)
        let completions = waiting
        waiting = []
        missing = []
        let known = reports.compactMap(\.self)
        for completion in completions { completion(known) }
    }
}
