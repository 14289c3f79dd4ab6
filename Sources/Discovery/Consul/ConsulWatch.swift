import Model
import Runtime

/// One Consul service that is watched: what is known about it and when it is asked for next.
final class ConsulWatch {
    /// Its name in Consul.
    let service: String
    /// Who wants it: an HTTP application and a Dubbo interface may have one name.
    var users: Set<ServiceKey> = []
    /// What Consul listed last.
    private(set) var list = ConsulList()
    /// It has been read once.
    private(set) var isAnswered = false
    /// Why it could not be read the last time.
    var failure: String?
    /// The next answer is told also when it is as before.
    var isDoubted = false

    /// The next query, when it waits for its time.
    var timer: EventLoop.Timer?
    /// The query, when it is asked.
    var ticket: ConsulClient.Ticket?
    /// A query beside the one that hangs, because the list is doubted.
    var check: ConsulClient.Ticket?
    /// An answer that is being read.
    var reading: SlicedWork?

    private var index = ConsulIndex()
    private var indexEra: UInt64 = 0
    private(set) var agent: Int?
    private var pace: ConsulPace
    private var backoff: Backoff
    private let slowPace: Duration

    init(service: String, _ settings: ConsulSettings) {
        self.service = service
        pace = ConsulPace(quick: settings.pace, slow: settings.slowPace)
        slowPace = settings.slowPace
        backoff = settings.refusalBackoff
    }

    /// How many agents to pass over: each refusal moves on to the next.
    var skip: Int { backoff.failures }

    /// What the next query's answer must be newer than; nil answers at once.
    func indexToSend(era: UInt64) -> UInt64? { indexEra == era ? index.value : nil }

    /// Takes the index of an answer.
    func takeIndex(_ header: String?, agent: Int, era: UInt64) -> ConsulIndex.Verdict {
        if agent != self.agent { index.forget() }
        self.agent = agent
        indexEra = era
        return index.take(header)
    }

    /// Tells whether an answer to another query is older than what is known.
    func isOutdated(_ header: String?, agent: Int) -> Bool {
        guard agent == self.agent, let header, let number = UInt64(header), let seen = index.seen else {
            return false
        }
        return number < seen
    }

    /// Takes a list that was read; nil: it is as before. Tells whether users have something new to hear.
    func take(_ list: ConsulList?) -> Bool {
        let isFirst = !isAnswered
        isAnswered = true
        failure = nil
        backoff.succeeded()
        if let list { self.list = list }
        return isFirst || list != nil
    }

    /// How long to wait with the next query after an answer.
    func pause(_ verdict: ConsulIndex.Verdict, _ exchange: ConsulExchange, isNew: Bool) -> Duration {
        let now = Clock.nanoseconds
        if isNew || exchange.isQuiet { pace.speedUp(now: now) } else { pace.slowDown() }
        let delay = pace.take(now: now)
        // Without an index nothing hangs: that is polling.
        return verdict == .missing ? max(delay, slowPace.jittered) : delay
    }

    /// The connection broke. Returns when to ask again: at once if that is rare.
    func cut() -> Duration {
        index.distrust()
        return pace.take(now: Clock.nanoseconds)
    }

    /// The agent was away. Returns when to ask again; that waits until there is one. An agent that breaks every query that
    /// hangs, and no other, seems to come back each time.
    func missed(_ reason: String) -> Duration {
        failure = reason
        return cut()
    }

    /// The query was refused. Returns when to ask again.
    func refused(_ reason: String) -> Duration {
        failure = reason
        return backoff.failed()
    }
}
