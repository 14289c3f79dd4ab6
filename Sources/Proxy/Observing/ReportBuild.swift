import Balancing
import Model
import Routing
import Runtime

/// A report that is being written.
final class ReportBuild {
    let id: UInt64
    var report = WorkerReport()
    let services: [UnsafeMutablePointer<Service>]
    var servicesDone = 0
    /// Parts of the endpoint table that were looked into, and what the last one of them held.
    var partsDone = 0
    var endpoints: [EndpointKey] = []
    var endpointsDone = 0

    init(id: UInt64, services: [UnsafeMutablePointer<Service>]) {
        self.id = id
        self.services = services
    }
}

extension Worker {
    /// Services and hosts that one step writes down.
    private static var entriesAtATime: Int { 32 }

    /// Begins to copy the counters for the control plane.
    func beginReport(_ id: UInt64) -> ReportBuild {
        ReportBuild(id: id, services: tables.services)
    }

    /// Does the next step; false when all is done.
    mutating func advance(_ build: ReportBuild) -> Bool {
        if build.servicesDone < build.services.count {
            let end = min(build.services.count, build.servicesDone + Self.entriesAtATime)
            for service in build.services[build.servicesDone..<end] where service.pointee.metrics.routeCount > 0 {
                build.report.services.append(
                    Self.makeReport(
                        service.pointee.key, service.pointee.metrics, retries: service.pointee.furtherTries.byCause,
                        regardless: service.pointee.regardless
                    ) {
                        service.pointee.labels.contains($0) ? service.pointee.labels[$0].text : nil
                    })
            }
            build.servicesDone = end
            return true
        }
        if build.endpointsDone < build.endpoints.count {
            let end = min(build.endpoints.count, build.endpointsDone + Self.entriesAtATime)
            for key in build.endpoints[build.endpointsDone..<end] {
                if let endpoint = tables.endpoints.find(key) { build.report.endpoints.append(makeReport(endpoint)) }
            }
            build.endpointsDone = end
            return true
        }
        if build.partsDone < EndpointTable.partCount {
            if build.partsDone == 0 { build.report.endpoints.reserveCapacity(tables.endpoints.count) }
            build.endpoints = tables.endpoints.keys(inPart: build.partsDone)
            build.endpointsDone = 0
            build.partsDone += 1
            return true
        }
        addUnlisted(to: build)
        build.report.bufferAllocations = buffers.allocations
        build.report.updates = updates.time
        build.report.listeners = listeners.map {
            ListenerReport(name: $0.configuration.name, accepted: $0.accepted, open: $0.open)
        }
        outbox.post(.report(worker: index, id: build.id, build.report))
        return false
    }

    private func makeReport(_ endpoint: UnsafeMutablePointer<Endpoint>) -> EndpointReport {
        let state = endpoint.pointee
        return EndpointReport(
            kind: state.kind, address: state.address, active: Int(state.active),
            connections: Int(state.connections), requests: state.requests, failures: state.totalFailures,
            pauseMilliseconds: max(0, state.retryAt - now) / 1_000_000, isDraining: state.draining)
    }

    /// Requests for names that no registry lists.
    private func addUnlisted(to build: ReportBuild) {
        func add(_ kind: ServiceKey.Kind, _ metrics: borrowing ServiceMetrics) {
            guard metrics.routeCount > 0 else { return }
            let key = ServiceKey(kind: kind, name: ServiceReport.unlisted)
            build.report.services.append(Self.makeReport(key, metrics) { _ in "" })
        }
        add(.http, tables.unlistedMetrics.http)
        add(.dubbo, tables.unlistedMetrics.dubbo)
        add(.bolt, tables.unlistedMetrics.bolt)
    }

    private static func makeReport(
        _ key: ServiceKey, _ metrics: borrowing ServiceMetrics, retries: [UInt64] = [], regardless: UInt64 = 0,
        text: (Int) -> String?
    ) -> ServiceReport {
        func label(_ number: Int32) -> String? {
            if number == ServiceMetrics.nobody { return nil }
            return number == ServiceMetrics.other ? "other" : text(Int(number)) ?? "other"
        }
        let routes = (0..<metrics.routeCount).map { index in
            let route = metrics.routes[index]
            return ServiceReport.Route(
                requested: label(route.requested), served: label(route.served), count: route.count)
        }
        let versions = (0..<metrics.versionCount).map { index in
            let version = metrics.versions[index]
            return ServiceReport.Version(
                version: label(version.label),
                codes: (0..<version.codeCount).map { (Int(version.codes[$0].code), version.codes[$0].count) },
                buckets: Array(UnsafeBufferPointer(start: version.buckets, count: ServiceMetrics.bucketCount)),
                nanoseconds: version.nanoseconds,
                refusals: RefusalReason.allCases.compactMap { reason in
                    let count = version.refusals[reason.rawValue]
                    return count > 0 ? (reason, count) : nil
                },
                faults: FaultKind.allCases.compactMap { kind in
                    let count = version.faults[kind.rawValue]
                    return count > 0 ? (kind, count) : nil
                },
                copies: MirrorResult.allCases.compactMap { result in
                    let count = version.copies[result.rawValue]
                    return count > 0 ? (result, count) : nil
                })
        }
        let causes = zip(RetryCause.allCases, retries).filter { $0.1 > 0 }
        return ServiceReport(
            key: key, routes: routes, versions: versions, retries: causes.map { (cause: $0.0, count: $0.1) },
            regardless: regardless)
    }
}
