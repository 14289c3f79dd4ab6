import Model
import Runtime

/// Which services had requests, while it is being found out.
final class UseDraft {
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
        guard now - tables.toldAt >= settings.limits.usePeriod, mail.chore == nil else { return }
        mail.chore = .use(UseDraft(since: tables.toldAt, services: tables.services))
        tables.toldAt = now
    }

    /// Does the next step; false when all is done.
    func advance(_ draft: UseDraft) -> Bool {
        let end = min(draft.services.count, draft.done + Self.servicesAtATime)
        for service in draft.services[draft.done..<end] {
            let isUsed = service.pointee.usedAt >= draft.since || service.pointee.active > 0
            if isUsed { draft.used.append(service.pointee.key) }
        }
        draft.done = end
        if end < draft.services.count { return true }
        if !draft.used.isEmpty { outbox.post(.used(draft.used)) }
        return false
    }
}
