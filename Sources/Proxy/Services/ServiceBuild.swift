import Balancing
import Model
import Runtime

/// A service's hosts on their way into this worker. What it has goes on serving until all of them are there.
final class ServiceBuild {
    let service: UnsafeMutablePointer<Service>
    let builder: ClusterBuilder

    init(_ service: UnsafeMutablePointer<Service>, _ builder: ClusterBuilder) {
        self.service = service
        self.builder = builder
    }
}

extension Worker {
    /// With so many hosts a service's first request does not take them over by the way.
    private static var manyHosts: Int { 256 }

    /// Takes over what is known of a service: now where requests use it, else when the first one does.
    mutating func adopt(_ snapshot: ServiceSnapshot) {
        let service = service(snapshot.key)
        service.pointee.snapshot = snapshot
        if snapshot.hasHosts { tables.makeKnown(service) }
        if service.pointee.state == .ready || service.pointee.active > 0 {
            updates.current = .service(ServiceBuild(service, ClusterBuilder(snapshot)))
        } else {
            service.pointee.state = .unused
        }
    }

    /// Takes over what holds for requests of a service that wait for the registries.
    func adopt(_ announcement: ServiceAnnouncement) {
        guard let service = findService(announcement.key), service.pointee.state == .pending else { return }
        service.pointee.adopt(announcement.policy, announcement.limits)
    }

    /// Whether a service can be used; makes it so when it is the first time.
    mutating func becomesReady(_ service: UnsafeMutablePointer<Service>) -> Bool {
        guard service.pointee.state == .unused, let snapshot = service.pointee.snapshot else {
            return service.pointee.state == .ready
        }
        if snapshot.hostCount > Self.manyHosts {
            service.pointee.state = .wanted
            updates.wanted.append(service.pointee.key)
            return false
        }
        build(service, snapshot)
        return true
    }

    /// Takes over what is known of a service, however long it takes; false when nothing is known.
    mutating func makeReady(_ service: UnsafeMutablePointer<Service>) -> Bool {
        if service.pointee.state == .ready { return true }
        guard let snapshot = service.pointee.snapshot else { return false }
        build(service, snapshot)
        resumeWaiting(service)
        return true
    }

    /// Begins with a service that requests wait for.
    mutating func buildWanted(_ key: ServiceKey) {
        guard let service = findService(key), service.pointee.state == .wanted, let snapshot = service.pointee.snapshot
        else { return }
        updates.current = .service(ServiceBuild(service, ClusterBuilder(snapshot)))
    }

    /// Does the next step; false when all is done.
    mutating func advance(_ build: ServiceBuild) -> Bool {
        let service = build.service
        let kind = service.pointee.key.kind
        let isMore = build.builder.advance(labels: &service.pointee.labels, replacing: service.pointee.clusters) {
            endpoint(kind, $0)
        }
        if isMore { return true }
        service.pointee.adopt(build.builder.snapshot.policy, build.builder.snapshot.limits)
        // Hosts that stay keep their endpoint and its connections; those that went finish what is in flight.
        let clusters = build.builder.finish(replacing: service.pointee.clusters, random: &random)
        retire(&service.pointee.clusters, for: clusters)
        service.pointee.hasPaths = build.builder.snapshot.hasPaths
        service.pointee.settleLabels()
        // Checks of its hosts begin with its use, not when that is told the next time.
        if service.pointee.state != .ready, build.builder.snapshot.policy.checksHealth(of: kind) {
            outbox.post(.used([service.pointee.key]))
        }
        service.pointee.state = .ready
        resumeWaiting(service)
        return false
    }

    private mutating func build(_ service: UnsafeMutablePointer<Service>, _ snapshot: ServiceSnapshot) {
        let build = ServiceBuild(service, ClusterBuilder(snapshot))
        while advance(build) {}
    }
}
