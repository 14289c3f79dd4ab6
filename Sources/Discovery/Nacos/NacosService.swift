import Model
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
    private(set) var hosts: [NacosHost] = []
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
        [.unreadable: list.unreadable, .unhealthy: list.readable - hosts.count].filter { $0.value > 0 }
    }

    /// Takes an answer; nil is one that is as the last. Tells whether users have something new to hear.
    func take(_ next: NacosAnswer.HostList?) -> Bool {
        if let next { list = next }
        let wasAnswered = isAnswered
        isAnswered = true
        failure = nil
        backoff.succeeded()
        guard next != nil || !wasAnswered else { return false }
        hosts = list.hosts.filter(\.isUsable)
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
}
