import Runtime

/// Takes one entry out over HTTP, again and again until it is confirmed, or the server has forgotten the entry for want of beats.
final class NacosDeparture {
    /// Nothing is done any more.
    private(set) var isOver = false

    private let item: NacosEntry
    private let client: NacosClient
    private let loop: EventLoop
    /// For one attempt: who waits is told before it loses patience.
    private let limit: Duration
    private let withdrawal = Withdrawal(lifetime: lifetime)
    private var ticket: NacosClient.Ticket?
    private var timer: EventLoop.Timer?
    /// A registration or beat is under way, which may put it back.
    private var isAwaiting: Bool
    /// That has ended while it was being taken out.
    private var isTooEarly = false

    /// How long a server lists an entry after its last beat.
    private static let lifetime = Duration.seconds(30)
    private static let longest = Duration.seconds(4)
    /// How long the end of what is under way is waited for before the first attempt.
    private static let grace = Duration.seconds(1)

    /// - Parameters:
    ///   - timeout: longest time for an attempt.
    ///   - isAwaiting: a question about the entry is under way; `answered` is called when it has ended.
    init(_ item: NacosEntry, client: NacosClient, loop: EventLoop, timeout: Duration, isAwaiting: Bool) {
        self.item = item
        self.client = client
        self.loop = loop
        self.isAwaiting = isAwaiting
        limit = min(timeout, Self.longest)
        if isAwaiting { attempt(after: Self.grace) } else { attempt() }
    }

    /// Calls `completion` once, not from within, with nil or the reason why the entry may still be listed.
    func tell(_ completion: @escaping (String?) -> Void) { withdrawal.tell(completion) }

    /// What was under way has ended.
    func answered() {
        isAwaiting = false
        if ticket == nil { attempt() } else { isTooEarly = true }
    }

    /// Ends it unconfirmed.
    func stop(_ reason: String) {
        guard !isOver else { return }
        loop.cancel(timer)
        if let ticket { client.cancel(ticket) }
        finish(reason)
    }

    private func attempt(after time: Duration) {
        timer = loop.schedule(after: time) { [weak self] in self?.attempt() }
    }

    private func attempt() {
        guard !isOver, ticket == nil else { return }
        loop.cancel(timer)
        timer = loop.schedule(after: limit) { [weak self] in
            guard let self, let ticket else { return }
            client.cancel(ticket)
            ended("no answer within \(limit)")
        }
        ticket = client.ask(.deregister(item), isUrgent: true) { [weak self] result in
            switch result {
            case .success: self?.ended(nil)
            case .failure(let failure): self?.ended(failure.description)
            }
        }
    }

    private func ended(_ reason: String?) {
        loop.cancel(timer)
        ticket = nil
        if isTooEarly {
            isTooEarly = false
            return attempt()
        }
        // When that has ended it is taken out once more.
        if isAwaiting { return }
        guard let reason else { return finish(nil) }
        let words = "\(reason); without beats the registry drops the entry in half a minute"
        guard let pause = withdrawal.failed(words) else { return finish(words) }
        attempt(after: pause)
    }

    private func finish(_ reason: String?) {
        isOver = true
        withdrawal.end(reason)
    }
}
