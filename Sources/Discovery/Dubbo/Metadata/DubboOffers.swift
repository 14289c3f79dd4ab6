import Model
import Runtime

/// Revisions of applications that a service needs to know and its registry knows nothing about, with where each can be asked.
struct DubboWishes {
    fileprivate var revisions: [DubboInquiry.Key: [DubboMetadataPlace]] = [:]

    /// Adds an instance of an application. Of one that cannot be used nothing needs to be known.
    mutating func add(_ application: String, _ instance: DubboApplication) {
        guard let revision = instance.revision, instance.speaksDubbo else { return }
        let place = instance.metadataPlace.map { [$0] } ?? []
        revisions[.init(application: application, revision: revision), default: []] += place
    }
}

/// What applications of one registry offer, as far as only their instances can tell.
///
/// The registry says what each of its services needs, and is told when more is known for one.
final class DubboOffers {
    private struct Service {
        /// Revisions that are asked for.
        var asked: Set<DubboInquiry.Key> = []
        /// Revisions that nobody can be asked about.
        var unasked: Set<DubboInquiry.Key> = []
    }

    /// More is known for a service, or is not waited for any longer.
    var onChange: (ServiceKey) -> Void = { _ in }

    private let inquiries: DubboInquiries
    private let logger: Logger
    private var services: [ServiceKey: Service] = [:]
    /// How many services need them.
    private var unasked: [DubboInquiry.Key: Int] = [:]
    private var overdue: [DubboInquiry.Key: Int] = [:]

    init(_ context: DiscoveryContext) {
        inquiries = context.inquiries
        logger = context.logger
    }

    deinit { stop() }

    /// Takes all that a service needs. What it needs no longer is forgotten.
    func update(_ service: ServiceKey, _ wishes: DubboWishes) {
        var new = Service()
        for (key, places) in wishes.revisions {
            if places.isEmpty { new.unasked.insert(key) } else { new.asked.insert(key) }
        }
        let old = services[service] ?? Service()
        services[service] = wishes.revisions.isEmpty ? nil : new
        for (key, places) in wishes.revisions where !places.isEmpty {
            inquiries.want(key, places, user: .init(offers: self, service: service))
        }
        for key in old.asked.subtracting(new.asked) {
            inquiries.drop(key, user: .init(offers: self, service: service))
        }
        for key in new.unasked.subtracting(old.unasked) { noteUnasked(key) }
        for key in old.unasked.subtracting(new.unasked) { Self.count(&unasked, key, -1) }
    }

    /// What a revision offers; nil while that is not known.
    func metadata(of application: String, _ revision: String) -> DubboMetadata? {
        inquiries[.init(application: application, revision: revision)]?.metadata
    }

    /// Instances are being asked what a revision offers, and their answer is waited for.
    func isAwaited(_ application: String, _ revision: String) -> Bool {
        inquiries[.init(application: application, revision: revision)]?.isWaiting ?? false
    }

    /// What an instance means for an interface.
    ///
    /// - Parameter stored: what its registry says of its revision; it goes before what instances tell.
    func providers(
        _ instance: DubboApplication, of interface: String, stored: DubboMetadata?
    ) -> DubboApplication.Providers {
        guard stored == nil, let revision = instance.revision else { return instance.providers(of: interface, stored) }
        if isAwaited(instance.name, revision) { return .init(awaited: Set(instance.hostPorts)) }
        return instance.providers(of: interface, metadata(of: instance.name, revision))
    }

    /// Forgets a service.
    func forget(_ service: ServiceKey) { update(service, DubboWishes()) }

    /// Fills in what the status says about it.
    func describe(_ status: inout RegistryStatus) {
        status.unansweredRevisions = overdue.count
        status.unaskedRevisions = unasked.count
    }

    /// Forgets everything.
    func stop() {
        for service in Array(services.keys) { forget(service) }
    }

    /// An inquiry of a service is overdue, or is not so any longer.
    func setOverdue(_ key: DubboInquiry.Key, _ isOverdue: Bool) { Self.count(&overdue, key, isOverdue ? 1 : -1) }

    private func noteUnasked(_ key: DubboInquiry.Key) {
        Self.count(&unasked, key, 1)
        logger.log(
            .info, "dubbo.metadata_not_asked",
            [
                "application": key.application,
                "reason": "neither the registry nor its instances tell what it offers",
            ], limit: 10)
    }

    private static func count(_ counts: inout [DubboInquiry.Key: Int], _ key: DubboInquiry.Key, _ change: Int) {
        let sum = counts[key, default: 0] + change
        counts[key] = sum > 0 ? sum : nil
    }
}
