import Model
import Runtime

/// When an answer is believed that takes hosts away.
public struct AnswerLimits: Equatable, Sendable {
    /// For how long an answer that takes all or nearly all hosts away must be repeated; 0 believes it at once.
    public var confirmTime: Duration = .seconds(10)
    /// How often it must be given in that time.
    public var confirmations = 3
    /// The share of the known hosts, where they are 5 or more, below which an answer takes nearly all away.
    public var smallShare = 0.2
    /// How long after the registry was away no host is taken away; 0 takes them away at once.
    public var settleTime: Duration = .seconds(30)

    /// The defaults.
    public init() {}
}

/// Doubts answers that would take hosts away for no good reason.
///
/// A restarted registry says that all is well and lists nothing until the owners of the hosts have come back; a server that
/// was just switched to may not know everything yet. So
/// - an answer without hosts, or with few of those that were many, counts only when it has been repeated for a while;
/// - for a while after the registry was away, an answer adds hosts and takes none away.
/// What is new in a doubted answer counts at once.
struct AnswerGuard {
    /// What is believed now.
    private(set) var known: [Instance]
    private var doubtedSince: Int64?
    private var doubtedAnswers = 0

    /// A guard that believes the first answer, or compares it with what is remembered.
    init(remembered: [Instance] = []) { known = remembered }

    /// True while an answer was not believed as it was: the registry is to be asked again.
    var isHolding: Bool { doubtedSince != nil }

    /// Judges a complete answer and returns what is to be believed.
    ///
    /// - Parameter unsteadyAt: when what the registry says became doubtful last, nil for never.
    mutating func judge(_ answer: [Instance], now: Int64, unsteadyAt: Int64?, limits: AnswerLimits) -> [Instance] {
        let isSettling = unsteadyAt.map { now - $0 < limits.settleTime.nanoseconds } ?? false
        guard isSettling || isSmall(answer, limits) else { return believe(answer) }
        let missing = missing(in: answer)
        if missing.isEmpty { return believe(answer) }
        var since = doubtedSince ?? now
        if let unsteadyAt, unsteadyAt > since {
            (since, doubtedAnswers) = (now, 0)
        }
        doubtedAnswers += 1
        let isConfirmed =
            limits.confirmTime <= .zero
            || doubtedAnswers >= limits.confirmations && now - since >= limits.confirmTime.nanoseconds
        if !isSettling && isConfirmed { return believe(answer) }
        doubtedSince = since
        known = Instance.merged(answer + missing)
        return known
    }

    /// The known hosts that an answer lacks. Both are in order as a rule, so that one walk finds them.
    private func missing(in answer: [Instance]) -> [Instance] {
        let listed = Instance.merged(answer)
        var place = 0
        return Instance.merged(known).filter { host in
            while place < listed.count, Instance.precedes(listed[place], host) { place += 1 }
            return place == listed.count || Instance.precedes(host, listed[place])
        }
    }

    private func isSmall(_ answer: [Instance], _ limits: AnswerLimits) -> Bool {
        if answer.isEmpty { return !known.isEmpty }
        return known.count >= 5 && Double(answer.count) < Double(known.count) * limits.smallShare
    }

    private mutating func believe(_ answer: [Instance]) -> [Instance] {
        known = answer
        doubtedSince = nil
        doubtedAnswers = 0
        return answer
    }
}
