import Model
import Runtime

/// Services of which something has changed, to be reported: each once, as many at a time as a turn of the loop has room for.
final class DueReports {
    /// Reports a service.
    var report: (ServiceKey) -> Void = { _ in }
    private let work: WorkQueue
    private var due: Set<ServiceKey> = []

    init(loop: EventLoop) { work = WorkQueue(loop: loop) }

    /// Has a service reported soon.
    ///
    /// - Parameter isLong: it has many hosts.
    func add(_ service: ServiceKey, isLong: Bool = false) {
        guard due.insert(service).inserted else { return }
        work.add(isLong: isLong) { [weak self] in
            guard let self, due.remove(service) != nil else { return }
            report(service)
        }
    }

    func remove(_ service: ServiceKey) { due.remove(service) }

    func removeAll() {
        due.removeAll()
        work.removeAll()
    }
}
