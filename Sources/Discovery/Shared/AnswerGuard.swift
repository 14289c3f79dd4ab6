import Runtime

/// When an answer is believed that takes hosts away.
struct AnswerLimits: Equatable {
    /// How many empty answers in a row are needed.
    var emptyAnswers = 3
    /// How long they must have been coming.
    var emptyTime: Duration = .seconds(10)
    /// How long after the registry was away no host is taken away.
    var settleTime: Duration = .seconds(30)
}

/// Doubts answers that would take hosts away for no good reason.
///
/// A restarted registry says that all is well and lists nothing until the owners of the hosts have come back; a server that
/// was just switched to may not know everything yet. So
/// - an empty answer after one with hosts counts only when it has been repeated;
/// - for a while after the registry was away, an answer adds hosts and takes none away.
struct AnswerGuard<Identity: Hashable, Host> {
    /// What is believed now.
    private(set) var known: [Identity: Host] = [:]
    /// True while an answer was not believed as it was: the same answer must be judged again.
    private(set) var isHolding = false
    private var emptySince: Int64?
    private var emptyCount = 0

    /// Judges a complete answer and returns what is to be believed.
    ///
    /// - Parameter brokenAt: when the registry was last found away, nil for never.
    mutating func judge(_ answer: [Identity: Host], now: Int64, brokenAt: Int64?, limits: AnswerLimits) -> [Identity:
        Host]
    {
        let isSettling = brokenAt.map { now - $0 < limits.settleTime.nanoseconds } ?? false
        isHolding = false
        if answer.isEmpty && !known.isEmpty {
            emptyCount += 1
            let since = emptySince ?? now
            emptySince = since
            let isConfirmed = emptyCount >= limits.emptyAnswers && now - since >= limits.emptyTime.nanoseconds
            if isSettling || !isConfirmed {
                isHolding = true
                return known
            }
        } else if !answer.isEmpty {
            emptySince = nil
            emptyCount = 0
            if isSettling {
                let gone = known.filter { answer[$0.key] == nil }
                isHolding = !gone.isEmpty
                known = answer.merging(gone) { answered, _ in answered }
                return known
            }
        }
        known = answer
        return known
    }

    /// The registry could not be asked: a run of empty answers is broken.
    mutating func missed() {
        emptySince = nil
        emptyCount = 0
    }
}
