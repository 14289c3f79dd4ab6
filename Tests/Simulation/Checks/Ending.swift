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
        case reported
        /// Clients have gone, and with them idle connections to hosts.
        case left
        case unlisted
        case draining
    }

    var phase = Phase.script
    var isDrained = false
    /// The worker ends its turn, so that it can be looked at.
    var pausesWorker = false
    var deadline: Int64 = 0
    var timeLeft: Int64 = 0
    /// Some host did something wrong.
    var hadTrouble = false
}

extension World {
    private var second: Int64 { 1_000_000_000 }

    /// Everything is quiet and the script is done: goes on to the next phase. False: only time has to pass.
    func advanceEnding() -> Bool {
        if failure != nil { return false }
        switch ending.phase {
        case .script:
            heal()
            ending.deadline = now + 400 * second
            ending.phase = .healed
            return true
        case .healed:
            if !open.isEmpty {
                if now > ending.deadline { fail("never ends", "\(open.count) requests are open", open.first) }
                return false
            }
            if drainedAt != nil { return waitForDrain() }
            ending.timeLeft = now + 62 * second
            ending.phase = .rested
            return false
        case .rested:
            if now < ending.timeLeft { return false }
            judgeOneWay()
            ending.hadTrouble = hosts.contains { !$0.faults.isEmpty }
            for host in hosts { host.forgive() }
            shortages = []
            probe()
            ending.phase = .probed
            return true
        case .probed:
            if !open.isEmpty { return false }
            checkProbes()
            post(.report(id: 1_000_000))
            ending.phase = .reported
            return true
        case .reported:
            guard let report = reports.last else { return false }
            checkCounters(report)
            for client in allClients { client.leaveNow(asReset: false) }
            ending.timeLeft = now + 70 * second
            ending.phase = .left
            return true
        case .left:
            if now < ending.timeLeft { return false }
            if !ending.pausesWorker {
                ending.pausesWorker = true
                return false
            }
            ending.pausesWorker = false
            for service in plan.services.indices { list(service, Listing()) }
            ending.phase = .unlisted
            return true
        case .unlisted:
            if !ending.pausesWorker {
                ending.pausesWorker = true
                return false
            }
            ending.pausesWorker = false
            drainedAt = now
            ending.deadline = now + 10 * second
            post(.drain)
            ending.phase = .draining
            return true
        case .draining: return waitForDrain()
        }
    }

    private func waitForDrain() -> Bool {
        if ending.phase != .draining {
            ending.phase = .draining
            ending.deadline = now + 10 * second
        }
        if now > ending.deadline && !ending.isDrained { fail("drain takes too long", "nothing is in flight", nil) }
        return false
    }

    func heal() {
        kernel.connectFailures = []
        kernel.acceptFailures = []
        for host in hosts { setMode(.up, host.number, []) }
        for client in allClients {
            client.isPaused = false
            client.releaseAll()
        }
        for host in hosts {
            for case let connection as DubboHostConnection in host.connections where !connection.isClosed {
                connection.sendEvent("W")
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
        }
        if rest != Inventory() { fail("left over", "\(rest)".replacing("Inventory", with: ""), nil) }
    }

    // MARK: Probes

    private func probe() {
        let hadTrouble = ending.hadTrouble
        for host in hosts { host.answered = 0 }
        var number = 1_000_000
        for (service, service_) in plan.services.enumerated() {
            guard let listing = listings[service].last else { continue }
            for version in Set(listing.entries.filter { $0.weight > 0 }.map(\.version)).sorted() {
                let isReachable = version > 0 || listing.stable == 0
                if !isReachable { continue }
                let client = number
                addClient(client, service_.kind)
                for _ in 0..<(hadTrouble ? 60 * listing.entries.count : 3) {
                    var request = RequestPlan()
                    request.service = service
                    request.version = version
                    let entry = Request(number: number, plan: request, client: client)
                    requests[number] = entry
                    clients[client]?.send(entry)
                    number += 1
                }
            }
        }
    }

    /// All hosts are well and have been for long: each gets its share.
    private func checkProbes() {
        if !ending.hadTrouble { return }
        for service in plan.services.indices {
            guard let listing = listings[service].last else { continue }
            for entry in listing.entries where entry.weight > 0 && (entry.version > 0 || listing.stable == 0) {
                if hosts[entry.host].answered == 0 {
                    return fail("left alone for ever", "host \(entry.host) is well and gets nothing", nil)
                }
            }
        }
    }

    // MARK: Counters

    private func checkCounters(_ report: WorkerReport) {
        for (number, service) in plan.services.enumerated() {
            let own = finished.filter { $0.plan.service == number && isRouted($0, throughout: true) }
            let counted = report.services.first { $0.key.name == service.name }
            let routes = counted?.routes.reduce(0) { $0 + Int($1.count) } ?? 0
            // While no registry lists it, it is counted together with all such names.
            let isHTTP = service.kind == .http
            let unlisted = report.services.first {
                $0.key.name == ServiceReport.unlisted && ($0.key.kind == .http) == isHTTP
            }
            let together = unlisted?.routes.reduce(0) { $0 + Int($1.count) } ?? 0
            let certain = own.filter {
                !$0.isDoomed && ($0.outcome != .given || $0.plan.isOneWay && $0.isSent)
                    && listings[number].isKnown(at: $0.startedAt ?? 0)
            }.count
            let possible = requests.values.filter { $0.plan.service == number }.count
            if listings[number].epochs.contains(where: { $0.listing == nil }) { continue }
            if routes + together < certain || routes > possible {
                return fail(
                    "counters", "\(service.name) counts \(routes) requests, there were \(certain) to \(possible)", nil)
            }
            if together == 0 { checkCodes(own, counted, service) }
        }
    }

    private func checkCodes(_ own: [Request], _ counted: ServiceReport?, _ service: ServicePlan) {
        guard service.kind == .http else { return }
        var counts: [Int: Int] = [:]
        for version in counted?.versions ?? [] {
            for (code, count) in version.codes { counts[code, default: 0] += Int(count) }
        }
        var seen: [Int: Int] = [:]
        for case .answered(let status, _)? in own.filter({ !$0.isDoomed && $0.wasKnown }).map(\.outcome) {
            seen[status, default: 0] += 1
        }
        for (status, count) in seen.sorted(by: { $0.key < $1.key }) where counts[status, default: 0] < count {
            return fail(
                "counters", "\(service.name) counts \(counts[status, default: 0]) of \(count) answers with \(status)",
                nil)
        }
    }

    /// One line for each request that was counted.
    func checkLog() {
        // Once drained, a worker reports no more.
        guard plan.hasLog, drainedAt == nil, let report = reports.last,
            ending.phase.rawValue >= Ending.Phase.left.rawValue
        else { return }
        if listings.contains(where: { $0.epochs.contains { $0.listing == nil } }) { return }
        let counted = report.services.reduce(0) { $0 + $1.routes.reduce(0) { $0 + Int($1.count) } }
        let lines = kernel.log.count { $0 == 10 }
        if lines != counted { fail("log", "\(lines) lines for \(counted) requests that were counted", nil) }
    }
}
