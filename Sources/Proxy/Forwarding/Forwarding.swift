/// What has happened to a request.
enum RequestEvent {
    /// The registries have told of its service: it can go to a host.
    case ready
    /// The registries have not told of its service in time.
    case undiscovered
    /// No connection could be opened for want of descriptors, ports or memory here.
    case exhausted
    /// Its connection to a host could not be made, or has ended. `progress` is how far it has come.
    case ended(Progress)
    /// The host has answered.
    case answered(Execution)
    /// What the host has sent is no answer.
    case unreadable
    /// Its time is over.
    case timedOut

    enum Progress {
        /// Nothing of the request was handed over.
        case nothingSent
        /// The host may have read it. It may be done twice when its method says so and all of it is at hand.
        case sent(mayRepeat: Bool)
        /// The beginning of the answer is with the downstream.
        case answering
    }
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
    /// A host is tried, or another one.
    case attempt
    /// What the host says goes to the downstream.
    case pass
    /// An answer of our own.
    case answer(LocalAnswer)
    /// The answer has begun and cannot be completed: the downstream must see that it is cut.
    case cut
}

/// Decides what becomes of requests, for all protocols. Engines tell what has happened and carry out the verdict.
enum Forwarding {
    /// Hosts that a request is sent to at most.
    static var mostAttempts: UInt8 { 3 }

    /// - Parameters:
    ///   - state: its `tried` has the host already that the event is about, but for `answered`, and for a host that only closed a
    ///     connection that it had kept open for nobody: that one may get the request again.
    ///   - isHostLeft: false when the verdict was `attempt` and there is no host for it. It is something else then.
    @inline(__always)
    static func verdict(
        on event: RequestEvent, of state: RequestState, now: Int64, isHostLeft: Bool = true
    ) -> Verdict {
        let isLate = now >= state.deadline
        let attempts = state.tried.count
        let isAttempt = isHostLeft && !isLate && attempts < mostAttempts
        switch event {
        case .ready: return isLate ? .answer(.timeout) : isHostLeft ? .attempt : .answer(.noHost)
        case .undiscovered: return .answer(isLate ? .timeout : .undiscovered)
        case .exhausted: return isAttempt ? .attempt : .answer(isLate ? .timeout : .exhausted)
        case .ended(.nothingSent): return isAttempt ? .attempt : .answer(isLate ? .timeout : .unreachable)
        case .ended(.sent(let mayRepeat)): return isAttempt && mayRepeat ? .attempt : .answer(.lost)
        case .ended(.answering): return .cut
        case .answered(.possible): return .pass
        // Hosts that have too much to do are not to get the same request from one another for long.
        case .answered(.overloaded): return isAttempt && attempts == 0 ? .attempt : .pass
        case .answered(.refused): return isAttempt && attempts + 1 < mostAttempts ? .attempt : .pass
        case .unreadable: return .answer(.badAnswer)
        case .timedOut: return .answer(.timeout)
        }
    }
}
