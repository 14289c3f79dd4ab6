import Runtime

/// One Nacos service that is asked for again and again.
final class NacosPoll {
    /// Its name in Nacos.
    let name: String
    /// Who wants it. A Dubbo interface wants several names.
    var users: Set<ServiceKey> = []
    /// What is believed about its hosts.
    private(set) var hosts: [NacosHost.Identity: [NacosHost]] = [:]
    /// It has been read once.
    private(set) var isAnswered = false
    /// It could not be read the last time.
    private(set) var failure: String?
    /// The next question, when it waits for its time.
    var timer: EventLoop.Timer?
    /// The question, when it is asked.
    var ticket: NacosClient.Ticket?

    private var list = NacosAnswer.HostList()
    private var answers = AnswerGuard<NacosHost.Identity, [NacosHost]>()
    private var backoff: Backoff

    init(name: String, period: Duration) {
        self.name = name
        backoff = Backoff(first: period * 2, cap: max(.seconds(30), period))
    }

    /// How many servers to pass over: each bad answer moves on to the next.
    var skip: Int { backoff.failures }

    /// Entries of the last answer that could not be read.
    var unreadable: Int { list.unreadable }

    /// Takes an answer. Tells whether users have something new to hear.
    func take(
        _ body: [UInt8], now: Int64, unsteadyAt: Int64?, limits: AnswerLimits
    ) throws(NacosAnswer.Unreadable) -> Bool {
        let isNew = try NacosAnswer.read(body, into: &list)
        let wasAnswered = isAnswered
        isAnswered = true
        failure = nil
        backoff.succeeded()
        // The same answer as before is judged again only while it is not believed.
        guard isNew || answers.isHolding || !wasAnswered else { return false }
        let grouped = Dictionary(grouping: list.hosts.filter(\.isUsable), by: \.identity)
        let believed = answers.judge(grouped, now: now, brokenAt: unsteadyAt, limits: limits)
        if wasAnswered && Self.isSame(believed, hosts) { return false }
        hosts = believed
        return true
    }

    /// The registry was away: the question is asked again as soon as it is back.
    func missed(_ reason: String) {
        failure = reason
        answers.missed()
    }

    /// The question was refused. Returns when to ask again.
    func refused(_ reason: String) -> Duration {
        failure = reason
        answers.missed()
        return backoff.failed()
    }

    /// Several entries for one host come in any order.
    private static func isSame(
        _ left: [NacosHost.Identity: [NacosHost]], _ right: [NacosHost.Identity: [NacosHost]]
    ) -> Bool {
        guard left.count == right.count else { return false }
        return left.allSatisfy { identity, entries in
            guard let others = right[identity], others.count == entries.count else { return false }
            return entries.count == 1 ? entries == others : entries.allSatisfy(others.contains)
        }
    }
}
