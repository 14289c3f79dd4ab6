import Runtime

/// One Nacos service that is watched: what it lists, and how that is learnt.
final class NacosService {
    /// How its list is learnt.
    enum Feed: Equatable {
        /// It is asked for again and again.
        case polled
        /// The server tells. It is read anew now and then all the same.
        case pushed
    }

    /// Its name in Nacos.
    let name: String
    /// Who wants it. A Dubbo interface wants several names.
    var users: Set<ServiceKey> = []
    /// Its usable hosts.
    private(set) var hosts: [NacosHost.Identity: [NacosHost]] = [:]
    /// It has been read once.
    private(set) var isAnswered = false
    /// It could not be read the last time.
    private(set) var failure: String?
    /// How its list is learnt now.
    var feed = Feed.polled
    /// When it is asked for next, by whichever way.
    var timer: EventLoop.Timer?
    /// The question, when it is polled just now.
    var ticket: NacosClient.Ticket?
    /// It is being subscribed or read anew over the push connection.
    var isSubscribing = false
    /// When it is subscribed again after that was refused.
    var retry: EventLoop.Timer?
    /// What is pushed says of unhealthy hosts that they are healthy: the truth is asked for.
    var isProtected = false
    /// Its next answer is told also when it is as before.
    var isDoubted = false

    private(set) var list = NacosAnswer.HostList()
    private var backoff: Backoff

    init(name: String, period: Duration) {
        self.name = name
        backoff = Backoff(first: period * 2, cap: max(.seconds(30), period))
    }

    /// How many servers to pass over: each bad answer moves on to the next.
    var skip: Int { backoff.failures }

    /// Entries of the last answer that are not used.
    var unused: [DropReason: Int] {
        let unusable = list.hosts.count { !$0.isUsable }
        return [.unreadable: list.unreadable, .unhealthy: unusable].filter { $0.value > 0 }
    }

    /// Takes an answer; nil is one that is as the last. Tells whether users have something new to hear.
    func take(_ next: NacosAnswer.HostList?) -> Bool {
        if let next { list = next }
        let wasAnswered = isAnswered
        isAnswered = true
        failure = nil
        backoff.succeeded()
        guard next != nil || !wasAnswered else { return false }
        let usable = Dictionary(grouping: list.hosts.filter(\.isUsable), by: \.identity)
        if wasAnswered && Self.isSame(usable, hosts) { return false }
        hosts = usable
        return true
    }

    /// The registry was away: the question is asked again as soon as it is back.
    func missed(_ reason: String) {
        failure = reason
    }

    /// The question was refused. Returns when to ask again.
    func refused(_ reason: String) -> Duration {
        failure = reason
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
