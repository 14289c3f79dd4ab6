import Configuration
import Model

/// What applications want watched through the admin API.
struct Subscription: Hashable {
    let service: ServiceKey
    let interfaceVersion: String
    let group: String
}

extension ControlPlane {
    /// Most subscriptions that applications can make.
    static let mostSubscriptions = 10_000

    /// Watches a Dubbo interface for good, until `unsubscribe` with the same version and group. Repeating it changes nothing.
    ///
    /// - Throws: what makes it impossible.
    public func subscribe(_ publication: Publication) throws(PublicationError) {
        try registrations.checkRegistry(publication.registry)
        let interface = publication.interface
        guard (1...512).contains(interface.utf8.count), ServiceName.isJavaName(interface) else {
            throw PublicationError("\"\(interface.prefix(80))\" is not the name of an interface")
        }
        let subscription = Subscription(publication)
        if subscriptions.contains(subscription) { return }
        if subscriptions.count >= Self.mostSubscriptions {
            throw PublicationError("\(Self.mostSubscriptions) interfaces are subscribed already")
        }
        subscriptions.insert(subscription)
        directory.require(subscription.service)
    }

    /// Takes a subscription back. One that was not made is no error.
    ///
    /// - Throws: what makes it impossible.
    public func unsubscribe(_ publication: Publication) throws(PublicationError) {
        try registrations.checkRegistry(publication.registry)
        let subscription = Subscription(publication)
        guard subscriptions.remove(subscription) != nil, !isRequired(subscription.service) else { return }
        directory.release(subscription.service)
    }

    /// Whether the configuration or an application wants a service watched for good.
    func isRequired(_ service: ServiceKey) -> Bool {
        plan.requires(service) || subscriptions.contains { $0.service == service }
    }
}

extension Subscription {
    fileprivate init(_ publication: Publication) {
        service = ServiceKey(kind: .dubbo, name: publication.interface)
        interfaceVersion = publication.version == "0.0.0" ? "" : publication.version
        group = publication.group
    }
}
