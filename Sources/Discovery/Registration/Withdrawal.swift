import Runtime

/// The taking out of a registration: tried again and again, with growing pauses, until the registry would have forgotten it by
/// itself. Those who wait for it are told before they lose patience.
final class Withdrawal {
    private var waiting: [(String?) -> Void] = []
    private let startedAt = Clock.nanoseconds
    private let lifetime: Duration
    private var backoff = Backoff(first: .milliseconds(400), cap: .seconds(2))

    /// A little less than those wait who have something taken out.
    private static let patience = Duration.milliseconds(4_500)

    /// - Parameter lifetime: after this time without a renewal the registry has forgotten it.
    init(lifetime: Duration) { self.lifetime = lifetime }

    /// Has somebody told once how it ends.
    func tell(_ completion: @escaping (String?) -> Void) { waiting.append(completion) }

    /// An attempt has failed. Returns how long to wait with the next one; nil: it is over.
    func failed(_ reason: String) -> Duration? {
        let pause = backoff.failed()
        let time = Duration.nanoseconds(Clock.nanoseconds - startedAt)
        let isOver = time + pause >= max(lifetime, Self.patience)
        if isOver || time + pause >= Self.patience { end(reason) }
        return isOver ? nil : pause
    }

    /// Tells those who wait: with nil when the registry has confirmed it, otherwise with the reason why it may still be listed.
    func end(_ reason: String?) {
        let completions = waiting
        waiting = []
        for completion in completions { completion(reason) }
    }
}
