/// What has happened to a request.
enum RequestEvent {
    /// The registries have told of its service: it can go to a host.
    case ready
    /// The registries have not told of its service in time.
    case undiscovered
    /// It has waited before a further try: time for that.
    case rested(RetryCause)
    /// No connection could be opened for want of descriptors, ports or memory here.
    case exhausted
    /// Its connection to a host could not be made, or has ended. `progress` is how far it has come.
    case ended(Progress)
    /// The host only closed a connection that it had kept open for nobody.
    case stale(Progress)
    /// One try has taken as long as it may, and the host has not begun to answer.
    case slow(Progress)
    /// The host has not answered for so long that another one is asked beside it.
    case overdue(Repetition)
    /// The host has answered. `mayRepeat`: with a status that the policy names, to a request that may be done twice and is at hand.
    case answered(Execution, mayRepeat: Bool = false)
    /// What the host has sent is no answer.
    case unreadable
    /// Its time is over.
    case timedOut

    enum Progress {
        /// Nothing of the request was handed over.
        case nothingSent
        /// The host may have read it.
        case sent(Repetition)
        /// The beginning of the answer is with the downstream.
        case answering
    }
}

/// Whether a request may be sent again that a host may have read.
struct Repetition {
    /// The policy lists its method, and all of it is at hand.
    var isListed = false
    /// It does the same twice as once, and all of it is at hand.
    var isIdempotent = false
}

/// What a host's answer says about whether it has executed the request.
enum Execution {
    /// It has, or nobody can know.
    case possible
    /// It does not have the service.
    case refused
    /// It has too much to do.
    case overloaded
}

/// What becomes of a request.
enum Verdict: Equatable {
    /// A host is tried, or a further one for some cause.
    case attempt(RetryCause?)
    /// What the host says goes to the downstream.
    case pass
    /// The host has the time that is left.
    case wait
    /// An answer of our own.
    case answer(LocalAnswer)
    /// The answer has begun and cannot be completed: the downstream must see that it is cut.
    case cut
}

/// Decides what becomes of requests, for all protocols. Engines tell what has happened and carry out the verdict.
enum Forwarding {
    /// - Parameters:
    ///   - state: its `tried` has the host already that the event is about, but for `stale`, after which that one may get the request
    ///     again, and for `slow` and `answered`, where that host is left only when there is another one.
    ///   - rules: those of the version that has served it last, else the service's.
    ///   - hasRoom: the service's budget has room for another try after something was sent.
    ///   - isHostLeft: false when the verdict was `attempt` and there is no host for it. It is something else then.
    @inline(__always)
    static func verdict(
        on event: RequestEvent, of state: RequestState, _ rules: RetryRules, hasRoom: Bool = true, now: Int64,
        isHostLeft: Bool = true
    ) -> Verdict {
        let isLate = now >= state.deadline
        let tried = state.tried.count
        let isAttempt = isHostLeft && !isLate && tried <= rules.attempts
        // The host that the event is about is not among those tried.
        let isNext = isHostLeft && !isLate && tried < rules.attempts
        switch event {
        case .ready: return isLate ? .answer(.timeout) : isHostLeft ? .attempt(nil) : .answer(.noHost)
        case .rested(let cause):
            if isHostLeft && !isLate { return .attempt(cause) }
            return .answer(isLate ? .timeout : cause.needsRoom ? .lost : .unreachable)
        case .undiscovered: return .answer(isLate ? .timeout : .undiscovered)
        case .exhausted:
            return isAttempt && rules.onConnect ? .attempt(.connect) : .answer(isLate ? .timeout : .exhausted)
        case .ended(.nothingSent):
            return isAttempt && rules.onConnect ? .attempt(.connect) : .answer(isLate ? .timeout : .unreachable)
        case .ended(.sent(let repetition)):
            return isAttempt && rules.onReset && repetition.isListed && hasRoom ? .attempt(.reset) : .answer(.lost)
        case .ended(.answering), .stale(.answering): return .cut
        // No host has seen it, and it was no try.
        case .stale(.nothingSent):
            return isHostLeft && !isLate ? .attempt(.connect) : .answer(isLate ? .timeout : .unreachable)
        case .stale(.sent(let repetition)):
            if isAttempt && rules.repeatsStale && repetition.isIdempotent { return .attempt(.connect) }
            return isNext && rules.onReset && repetition.isListed && hasRoom ? .attempt(.reset) : .answer(.lost)
        case .slow(.nothingSent): return isNext && rules.onConnect ? .attempt(.connect) : .wait
        case .slow(.sent(let repetition)):
            return isNext && rules.onReset && repetition.isListed && hasRoom ? .attempt(.timeout) : .wait
        case .slow(.answering): return .wait
        // What was repeated before counts once in the budget, however many hosts have it now.
        case .overdue(let repetition):
            return isNext && repetition.isListed && hasRoom && !state.isRepeated ? .attempt(.hedge) : .wait
        // Hosts that have too much to do are not to get the same request from one another for long.
        case .answered(.overloaded, _) where isNext && tried == 0: return .attempt(.refused)
        case .answered(.refused, _) where isNext && tried + 1 < mostRefusals: return .attempt(.refused)
        case .answered(_, let mayRepeat): return isNext && mayRepeat && hasRoom ? .attempt(.status) : .pass
        case .unreadable: return .answer(.badAnswer)
        case .timedOut: return .answer(.timeout)
        }
    }

    /// Hosts that are asked at most while all say that they do not have the service.
    private static var mostRefusals: UInt8 { 3 }
}

extension Worker {
    /// What becomes of a request after an event, by the rules of the version that has served it last and the budget of its service.
    @inline(__always)
    func verdict(on event: RequestEvent, of state: RequestState, isHostLeft: Bool = true) -> Verdict {
        guard let service = state.service else {
            return Forwarding.verdict(on: event, of: state, RetryRules(), now: now, isHostLeft: false)
        }
        let rules = service.pointee.traffic.find(state.served)
        return Forwarding.verdict(
            on: event, of: state, rules.pointee.retries,
            hasRoom: service.pointee.hasRoom(for: state, rules.pointee.retries), now: now, isHostLeft: isHostLeft)
    }
}
