import Model
import Runtime

/// Which services had requests, while it is being found out.
final class UsageBuild {
    let since: Int64
    let services: [UnsafeMutablePointer<Service>]
    var done = 0
    var used: [ServiceKey] = []

    init(since: Int64, services: [UnsafeMutablePointer<Service>]) {
        self.since = since
        self.services = services
    }
}

extension Worker {
    /// Services that one step looks at.
    private static var servicesAtATime: Int { 64 }

    /// Now and then tells which services had requests, so that the others can be let go.
    mutating func tellUsedServices() {
        guard now - tables.toldAt >= settings.limits.usePeriod, updates.current == nil else { return }
        updates.current = .use(UsageBuild(since: tables.toldAt, services: tables.services))
        tables.toldAt = now
    }

    /// Does the next step; false when all is done.
    func advance(_ build: UsageBuild) -> Bool {
        let end = min(build.services.count, build.done + Self.servicesAtATime)
        for service in build.services[build.done..<end] {
            let isUsed = service.pointee.usedAt >= build.since || service.pointee.active > 0
            if isUsed { build.used.append(service.pointee.key) }
        }
        build.done = end
        if end < build.services.count { return true }
        if !build.used.isEmpty { outbox.post(.used(build.used)) }
        return false
    }
}
