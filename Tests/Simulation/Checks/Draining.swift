// Draining: requests in flight end, then the worker does.
extension World {
    private static var second: Int64 { 1_000_000_000 }
    /// After this the control plane ends a worker that has not drained.
    private static var drainTimeout: Int64 { 30 * second }
    /// Longest that draining may take when there is nothing to wait for.
    private static var drainPatience: Int64 { 10 * second }

    func drain() {
        // The process before is to be gone first.
        if upgrade.isUnderWay { return upgrade.isDrainWished = true }
        if drainedAt == nil { drainedAt = now }
        post(.drain)
    }

    /// Nothing else is to happen now: has draining taken too long? Returns whether the worker was told to end.
    func superviseDrain() -> Bool {
        guard let begin = drainedAt, !ending.isDrained, !ending.isStopped else { return false }
        let reason = reasonToDrain()
        let idle = now - max(begin, lastDrainReason)
        if reason != nil { lastDrainReason = now }
        if reason == nil && idle > Self.drainPatience + stoppedTime {
            fail("drain takes too long", "nothing is in flight", open.first)
            return false
        }
        if now - begin < Self.drainTimeout { return false }
        ending.isStopped = true
        post(.stop)
        return true
    }

    /// Why the worker cannot be through.
    private func reasonToDrain() -> String? {
        if requests.values.contains(where: { $0.holders > 0 }) { return "a host is in no hurry" }
        if hosts.contains(where: { $0.mode == .hanging }) { return "a host hangs" }
        if allClients.contains(where: { $0.isPaused || $0.nextTime != nil }) { return "a client takes its time" }
        if hosts.contains(where: { $0.connections.contains { !$0.isClosed && $0.nextTime != nil } }) {
            return "a host pauses"
        }
        for request in open where request.isDoomed || !request.isSent || reasonToWait(request) != nil {
            return "a request waits"
        }
        return nil
    }
}
