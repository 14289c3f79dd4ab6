import Runtime

/// Nodes of this session that nobody wants any more, and that could not be deleted: because the registry was away, or refused it.
/// They are tried again until they have gone, at the latest with the session.
final class ZooKeeperLeftover {
    private let client: ZooKeeperClient
    private let loop: EventLoop
    private var paths: Set<String> = []
    private var timer: EventLoop.Timer?

    /// Nothing would tell when deleting becomes allowed.
    private static let pause = Duration.seconds(10)

    init(client: ZooKeeperClient, loop: EventLoop) {
        self.client = client
        self.loop = loop
    }

    func add(_ more: Set<String>) {
        paths.formUnion(more)
        tryLater()
    }

    /// Somebody wants it again.
    func keep(_ path: String) { paths.remove(path) }

    /// The session is there, again or anew.
    func sessionReady(isNew: Bool) {
        if isNew { paths.removeAll() }
        deleteAll()
    }

    func stop() {
        loop.cancel(timer)
        paths.removeAll()
    }

    private func tryLater() {
        guard timer == nil, !paths.isEmpty else { return }
        timer = loop.schedule(after: Self.pause.jittered) { [weak self] in self?.deleteAll() }
    }

    private func deleteAll() {
        loop.cancel(timer)
        timer = nil
        for path in paths {
            client.send(.delete(path), isUrgent: true) { [weak self] result in
                switch result {
                case .success, .failure(.noNode): self?.paths.remove(path)
                // Then there is a session to come, which begins with this.
                case .failure(.lost): break
                case .failure: self?.tryLater()
                }
            }
        }
    }
}
