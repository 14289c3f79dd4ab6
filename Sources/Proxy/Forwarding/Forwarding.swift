/// What has happened to a request that is with a host, or on its way there.
enum RequestEvent {
    /// Its connection could not be made, or has ended. `progress` is how far it has come.
    case ended(Progress)
    /// The host has answered.
    case answered(Execution)
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
    /// Another host is tried.
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

    /// - Parameter state: its `tried` has the host already that the event is about, but for `answered`.
    static func verdict(on event: RequestEvent, of state: RequestState, now: Int64) -> Verdict {
        switch event {
        case .timedOut: return .answer(.timeout)
        case .ended(.answering): return .cut
        case .ended(.nothingSent):
            if now >= state.deadline { return .answer(.timeout) }
            return state.tried.count < mostAttempts ? .attempt : .answer(.unreachable)
        case .ended(.sent(let mayRepeat)):
            let isAttempt = mayRepeat && now < state.deadline && state.tried.count < mostAttempts
            return isAttempt ? .attempt : .answer(.lost)
        case .answered(.possible): return .pass
        case .answered(.overloaded):
            // Hosts that have too much to do are not to get the same request from one another for long.
            return state.tried.count == 0 && now < state.deadline ? .attempt : .pass
        case .answered(.refused):
            return state.tried.count + 1 < mostAttempts && now < state.deadline ? .attempt : .pass
        }
    }
}
