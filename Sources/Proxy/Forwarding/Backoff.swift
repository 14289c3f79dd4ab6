import Runtime

/// What a request waits for that has failed at several hosts.
struct Backoff {
    /// Why it is to go to a further one; nil: it does not wait.
    var cause: RetryCause?
    /// Hosts that it had been to when it last began to wait: before each one it waits once.
    var tried: UInt8 = 0
}

extension Worker {
    /// Until when a request waits before a further try, for which there is a host; nil: it does not. It takes the room for the try if it
    /// does. At most half of the time that it has left is waited for: the rest is for the host.
    ///
    /// What a host says itself, that it has not executed the request, is no reason to wait. One that is too slow keeps the request
    /// meanwhile: `tryEnd`.
    @inline(never)
    mutating func pause(
        before cause: RetryCause, _ state: inout RequestState, _ rules: UnsafePointer<TrafficRules>
    ) -> Int64? {
        let tried = state.tried.count
        if tried <= state.backoff.tried || cause == .refused || cause == .timeout { return nil }
        let average = rules.pointee.retries.backoff(afterTrying: tried)
        if average == 0 { return nil }
        state.backoff = Backoff(cause: cause, tried: tried)
        state.service?.pointee.furtherTries.reserve(cause, for: &state)
        return now + min(jittered(average), (state.deadline - now) / 2)
    }

    /// When something is done about the present try: another host is asked beside the one that has it, or in its place. The wait before
    /// another try belongs to this one: the host may still answer.
    ///
    /// - Parameter elapsed: how long the try has taken already, in nanoseconds.
    @inline(never)
    mutating func tryEnd(
        of state: RequestState, _ rules: UnsafePointer<TrafficRules>, after elapsed: Int64 = 0
    ) -> Int64 {
        let (hedge, longest) = (rules.pointee.retries.hedge, rules.pointee.retries.perTryTimeout)
        if hedge > 0 && !state.isHedged { return now + hedge }
        if longest == 0 { return .max }
        let average = rules.pointee.retries.backoff(afterTrying: state.tried.count &+ 1)
        return now + max(0, longest - elapsed) + (average == 0 ? 0 : jittered(average))
    }

    /// From a half to one and a half of it: requests that have failed together do not come together again.
    private mutating func jittered(_ average: Int64) -> Int64 {
        average / 2 + Int64(random.below(UInt64(average) + 1))
    }
}
