// Connections that are for the worker to end, by when.
extension World {
    private static var second: Int64 { 1_000_000_000 }
    /// What timers may take.
    private static var slack: Int64 { second }

    /// For how long something has been the case while the worker could see it.
    private func time(since begin: Int64) -> Int64 { now - max(begin, resumedAt) }

    /// Nothing else is to happen now: no connection is waited for longer than is promised.
    func checkConnections() {
        for entry in pending
        where entry.socket.phase == .connecting && time(since: entry.since) > 1 * Self.second + Self.slack {
            return fail("kept for ever", "host \(entry.host?.number ?? -1) does not accept", nil)
        }
        for connection in hostConnections where !connection.isClosed && !connection.socket.isPeerClosed {
            if let problem = problem(with: connection) {
                return fail("kept for ever", "host \(connection.host.number) \(problem)", nil)
            }
        }
        if isShortOfDescriptors { return }
        for client in allClients where !client.isClosed {
            note(client)
            guard let since = client.endIsDueSince, !client.socket.isPeerClosed else { continue }
            if time(since: since) > timeToEnd(client) + Self.slack {
                return fail("kept for ever", "a client that does not go on", client.waiting.first)
            }
        }
    }

    /// A host that is silent for half a minute gets a heartbeat, and has a minute to answer.
    private func problem(with connection: HostConnection) -> String? {
        guard let framed = connection as? FramedHostConnection else { return nil }
        if let frozen = framed.frozenAt, time(since: frozen) > 90 * Self.second + Self.slack { return "is silent" }
        if let stalled = framed.stalledAt, time(since: stalled) > 30 * Self.second + Self.slack {
            return "stops in a frame"
        }
        let isWell = framed.frozenAt == nil && framed.stalledAt == nil && framed.output.isEmpty
        if isWell, time(since: framed.activeAt) > 30 * Self.second + Self.slack { return "gets no heartbeat" }
        return nil
    }

    /// Finds out whether it is for the worker to end a client's connection.
    private func note(_ client: any Client) {
        let isDue =
            client.owesNothing && (client.isWithinFrame || client.isPaused && client.socket.isFull || client.isAtEnd)
        if !isDue { client.endIsDueSince = nil } else if client.endIsDueSince == nil { client.endIsDueSince = now }
    }

    private func timeToEnd(_ client: any Client) -> Int64 {
        // Half a minute for the rest of a head or a frame, and for a client that has its last answer and does not end.
        client.isPaused ? 300 * Self.second : 30 * Self.second
    }
}
