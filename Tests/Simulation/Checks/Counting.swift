import Proxy

// Counters and access log against what has happened.
extension World {
    /// Everything has ended.
    func checkCounters() {
        let all = allReports
        if all.isEmpty { return }
        for (number, service) in plan.services.enumerated() {
            let name = key(number).name
            // Counters go with a service that is not watched any more.
            if listings[number].epochs.contains(where: { $0.listing == nil }) { continue }
            let own = finished.filter { $0.plan.service == number && isRouted($0, throughout: true) }
            let counted = all.flatMap(\.services).filter { $0.key.name == name }
            let routes = requestCount(counted)
            let together = unlistedCount(all, service.kind)
            let certain = own.filter {
                let isOneWay = $0.plan.isOneWay && $0.isSent && !$0.wasPaused
                return !$0.isDoomed && $0.outcome != .unanswered && ($0.outcome != .given || isOneWay)
                    && listings[number].isKnown(at: $0.startedAt ?? 0) && !$0.plan.isTooLong
            }.count
            let possible = requests.values.filter { $0.plan.service == number }.count
            if routes + together < certain || routes > possible {
                return fail("counters", "\(name) counts \(routes) requests, there were \(certain) to \(possible)", nil)
            }
            if together == 0 { checkCodes(own, counted, service) }
        }
    }

    /// While no registry lists it, a name is counted together with all such names.
    private func unlistedCount(_ all: [WorkerReport], _ kind: ServicePlan.Kind) -> Int {
        requestCount(
            all.flatMap(\.services).filter {
                $0.key.name == ServiceReport.unlisted && $0.key.kind == kind.modelKind
            })
    }

    /// The last report, and those of processes that have ended before.
    private var allReports: [WorkerReport] { reports.last.map { upgrade.reports + [$0.report] } ?? [] }

    private func requestCount(_ services: [ServiceReport]) -> Int {
        services.reduce(0) { $0 + $1.routes.reduce(0) { $0 + Int($1.count) } }
    }

    private func checkCodes(_ own: [Request], _ counted: [ServiceReport], _ service: ServicePlan) {
        guard service.kind == .http else { return }
        let counts = codes(counted)
        var seen: [Int: Int] = [:]
        // How a tunnel ends is for both sides to say.
        for case .answered(let status, _)? in own.filter({ !$0.isDoomed && $0.wasKnown }).map(\.outcome) {
            seen[status, default: 0] += 1
        }
        seen[101] = nil
        for (status, count) in seen.sorted(by: { $0.key < $1.key }) where counts[status, default: 0] < count {
            return fail(
                "counters", "\(service.name) counts \(counts[status, default: 0]) of \(count) answers with \(status)",
                nil)
        }
    }

    private func codes(_ reports: [ServiceReport]) -> [Int: Int] {
        var counts: [Int: Int] = [:]
        for version in reports.flatMap(\.versions) {
            for (code, count) in version.codes { counts[code, default: 0] += Int(count) }
        }
        return counts
    }

    // MARK: Access log

    /// The worker has ended and all lines are there: each request that was answered has one, and it says what was answered.
    func checkLog() {
        guard plan.hasLog else { return }
        let lines = kernel.log.split(separator: 10).compactMap { LogLine($0) }
        var own: [Int: LogLine] = [:]
        for line in lines {
            guard let number = line.number else { continue }
            if own[number] != nil { return fail("log", "request \(number) has two lines", requests[number]) }
            own[number] = line
        }
        for request in finished where !request.isDoomed {
            guard case .answered(let status, let host)? = request.outcome else { continue }
            guard let line = own[request.number] else {
                if status == 408 || request.plan.isTooLong { continue }
                return fail("log", "no line for an answer with \(status)", request)
            }
            if let problem = line.differs(from: request, host, self) { return fail("log", problem, request) }
        }
        checkTotals(lines)
    }

    /// One line for each request that was counted. Once drained, a worker reports no more.
    private func checkTotals(_ lines: [LogLine]) {
        guard reports.last?.id == Self.lastReport else { return }
        let all = allReports
        if listings.contains(where: { $0.epochs.contains { $0.listing == nil } }) { return }
        let counted = requestCount(all.flatMap(\.services))
        if lines.count != counted { fail("log", "\(lines.count) lines for \(counted) requests that were counted", nil) }
        for service in plan.services.indices {
            let name = key(service).name
            if unlistedCount(all, plan.services[service].kind) > 0 { continue }
            var logged: [Int: Int] = [:]
            for line in lines where line.service == name { logged[line.status, default: 0] += 1 }
            let counts = codes(all.flatMap(\.services).filter { $0.key.name == name })
            if logged != counts { fail("log", "\(name): \(logged) are logged, \(counts) are counted", nil) }
        }
    }
}

/// A line of the access log.
struct LogLine {
    /// Of the request, where it can be told.
    let number: Int?
    let service: String
    let version: String
    let status: Int

    init?(_ line: ArraySlice<UInt8>) {
        // Nothing that is logged here has a quotation mark or a comma in it.
        var fields: [String: String] = [:]
        for field in line.dropFirst().dropLast().split(separator: UInt8(ascii: ",")) {
            guard let colon = field.firstIndex(of: UInt8(ascii: ":")) else { continue }
            fields[Self.unquoted(field[..<colon])] = Self.unquoted(field[(colon + 1)...])
        }
        guard let status = Int(fields["status"] ?? "") else { return nil }
        self.status = status
        service = fields["service"] ?? ""
        version = fields["version"] ?? ""
        // The path ends with it, the method of a call too.
        let name = fields["path"] ?? fields["method"] ?? ""
        let digits = name.utf8.reversed().prefix { $0 >= 0x30 && $0 <= 0x39 }
        number = Int(String(decoding: digits.reversed(), as: UTF8.self))
    }

    private static func unquoted(_ text: ArraySlice<UInt8>) -> String {
        let mark = UInt8(ascii: "\"")
        return String(decoding: text.first == mark ? text.dropFirst().dropLast() : text, as: UTF8.self)
    }

    /// What does not agree with the answer that the client has read.
    func differs(from request: Request, _ host: Int?, _ world: World) -> String? {
        let plan = world.plan.services[request.plan.service]
        if host != nil && service != world.key(request.plan.service).name { return "it names service \(service)" }
        guard let raw = request.rawStatus else { return nil }
        // An exception of our own goes out with the status of a result.
        let isException = plan.kind != .http && host == nil && raw == (plan.kind == .dubbo ? 20 : 0)
        if !isException && status != raw { return "status \(status), the client has read \(raw)" }
        guard let host else { return nil }
        let listed = world.listings[request.plan.service].during(request.headSentAt ?? 0, request.endedAt ?? .max)
        let versions = Set(
            listed.flatMap { $0.listing?.entries ?? [] }.filter { $0.host == host }.map { Listing.versions[$0.version] }
        )
        return versions.contains(version) ? nil : "version \(version), the host has \(versions.sorted())"
    }
}
