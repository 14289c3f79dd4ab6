// Connections that are for the worker to end, by when.
extension World {
    private static var second: Int64 { 1_000_000_000 }
    /// What timers, and a process that is frozen for a moment, may take.
    private static var slack: Int64 { second }

    /// Nothing else is to happen now: no connection is waited for longer than is promised.
    func checkConnections() {
        for entry in pending where entry.socket.phase == .connecting && now - entry.since > 1 * Self.second + Self.slack
        {
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
            if now - since > timeToEnd(client) + Self.slack {
                return fail("kept for ever", "a client that does not go on", client.waiting.first)
            }
        }
    }

    /// A host that is silent for half a minute gets a heartbeat, and has a minute to answer.
    private func problem(with connection: HostConnection) -> String? {
        guard let framed = connection as? FramedHostConnection else { return nil }
        if let frozen = framed.frozenAt, now - frozen > 90 * Self.second + Self.slack { return "is silent" }
        if let stalled = framed.stalledAt, now - stalled > 30 * Self.second + Self.slack { return "stops in a frame" }
        let isWell = framed.frozenAt == nil && framed.stalledAt == nil && framed.output.isEmpty
        if isWell, now - framed.activeAt > 30 * Self.second + Self.slack { return "gets no heartbeat" }
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
