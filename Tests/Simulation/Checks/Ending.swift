import Proxy

/// How a run ends after its last step: everybody is well again, everything must come to its end, and nothing may be left over.
struct Ending {
    enum Phase: Int {
        case script
        /// Peers go on with whatever they held back.
        case healed
        /// Long enough for hosts to be forgiven.
        case rested
        /// Requests that must succeed.
        case probed
        /// The same once more, now that all hosts have answered: nothing is left of earlier trouble.
        case settled
        /// Clients have gone, and with them idle connections to hosts.
        case left
        case reported
        case unlisted
        case draining
    }

    var phase = Phase.script
    var isDrained = false
    /// Draining took too long: the worker was told to end.
    var isStopped = false
    /// The worker ends its turn, so that it can be looked at.
    var pausesWorker = false
    var deadline: Int64 = 0
    var timeLeft: Int64 = 0
    /// Some host did something wrong.
    var hadTrouble = false
    /// Rounds of probes that were sent.
    var probeRounds = 0
}

extension World {
    private var second: Int64 { 1_000_000_000 }

    /// Everything is quiet and the script is done: goes on to the next phase. False: only time has to pass.
    func advanceEnding() -> Bool {
        if failure != nil { return false }
        switch ending.phase {
        case .script:
            heal()
            // Requests of one client may have to wait for one another.
            ending.deadline = now + 800 * second
            ending.phase = .healed
            return true
        case .healed:
            if !open.isEmpty {
                if now > ending.deadline { fail("never ends", "\(open.count) requests are open", open.first) }
                return false
            }
            if drainedAt != nil { return false }
            // One that is under way comes to its end; no other one begins.
            upgrade.isWished = false
            ending.timeLeft = now + 62 * second
            ending.phase = .rested
            return false
        case .rested:
            if now < ending.timeLeft { return false }
            judgeOneWay()
            judgeCopies()
            checkReturned()
            ending.hadTrouble = hosts.contains { !$0.faults.isEmpty }
            for host in hosts { host.forgive() }
            shortages = []
            liftLimits()
            for host in hosts { host.answered = 0 }
            probe()
            ending.phase = .probed
            return true
        case .probed:
            if !open.isEmpty { return false }
            if needsMoreProbes() {
                probe()
                return true
            }
            checkProbes()
            ending.hadTrouble = false
            probe()
            ending.phase = .settled
            return true
        case .settled:
            if !open.isEmpty { return false }
            for client in allClients { client.leaveNow(asReset: false) }
            ending.timeLeft = now + timeToForget
            ending.phase = .left
            return true
        case .left:
            if now < ending.timeLeft { return false }
            if upgrade.isUnderWay {
                fail("left over", "the process before has not come to its end", nil)
                return false
            }
            if !ending.pausesWorker {
                ending.pausesWorker = true
                return false
            }
            ending.pausesWorker = false
            post(.report(id: Self.lastReport))
            ending.phase = .reported
            return true
        case .reported:
            guard reports.last?.id == Self.lastReport else { return false }
            checkCounters()
            for service in plan.services.indices { list(service, Listing()) }
            ending.phase = .unlisted
            return true
        case .unlisted:
            if !ending.pausesWorker {
                ending.pausesWorker = true
                return false
            }
            ending.pausesWorker = false
            drain()
            ending.phase = .draining
            return true
        case .draining: return false
        }
    }

    /// A client that has gone cannot be told from one that waits for the rest of an answer, whose host may have stopped: that takes
    /// as long as nothing may come. Otherwise idle connections to hosts are what stays longest.
    private var timeToForget: Int64 { requests.values.contains { $0.holders > 0 } ? 375 * second : 70 * second }

    static let lastReport: UInt64 = 1_000_000

    func heal() {
        kernel.connectFailures = []
        kernel.acceptFailures = []
        for host in hosts { setMode(.up, host.number, []) }
        for client in allClients {
            client.isPaused = false
            client.releaseAll()
        }
        for host in hosts {
            for case let connection as FramedHostConnection in host.connections where !connection.isClosed {
                connection.sendReadonly(false)
            }
        }
    }

    /// What the worker holds between two turns of the ending.
    func inspect(_ inventory: Inventory) {
        var rest = inventory
        rest.services = 0
        rest.updates = 0
        if ending.phase == .left {
            // Dubbo hosts keep their connection while they are listed.
            rest.endpoints = 0
            rest.framedUpstreams = 0
            rest.connectionsOfEndpoints = 0
            rest.limitedConnections = 0
        }
        if rest != Inventory() { fail("left over", Self.describe(rest), nil) }
    }

    /// Only what is not zero.
    static func describe(_ inventory: Inventory) -> String {
        Mirror(reflecting: inventory).children.compactMap { child in
            (child.value as? Int).flatMap { $0 == 0 ? nil : "\($0) \(child.label ?? "")" }
        }.joined(separator: ", ")
    }
}
