import Model
import Runtime

/// One revision of an application that only its instances can tell about.
final class DubboInquiry {
    /// What names it.
    struct Key: Hashable {
        let application: String
        let revision: String
    }

    /// Who wants it: a service of a registry.
    struct User: Hashable {
        private let registry: ObjectIdentifier
        let service: ServiceKey
        private(set) weak var offers: DubboOffers?

        init(offers: DubboOffers, service: ServiceKey) {
            registry = ObjectIdentifier(offers)
            self.service = service
            self.offers = offers
        }

        static func == (left: Self, right: Self) -> Bool {
            left.registry == right.registry && left.service == right.service
        }

        func hash(into hasher: inout Hasher) {
            hasher.combine(registry)
            hasher.combine(service)
        }
    }

    /// How far it has come.
    enum State: Equatable {
        /// It waits for its turn.
        case queued
        /// An instance is being asked, or its answer is being read.
        case underWay
        /// No instance has told; they are asked again.
        case resting
        case answered
    }

    let key: Key
    var state = State.queued
    /// What was told.
    var metadata: DubboMetadata?
    /// Nobody waits for it any longer: its hosts are used without it.
    private(set) var isOverdue = false
    /// With the instances that each knows.
    private(set) var users: [User: [DubboMetadataPlace]] = [:]
    /// Asked since the last rest.
    var tried: Set<DubboMetadataPlace> = []
    var failure: DubboMetadataFailure?
    var call: DubboMetadataCall?
    /// An answer that is being read.
    var answer: (any DubboMetadataReading)?
    /// The end of a rest.
    var timer: EventLoop.Timer?
    /// When it becomes overdue.
    var patience: EventLoop.Timer?
    var backoff: Backoff

    init(_ key: Key, backoff: Backoff) {
        self.key = key
        self.backoff = backoff
    }

    /// Nothing is known yet, and it is not given up.
    var isWaiting: Bool { metadata == nil && !isOverdue }

    /// Adds a user, or replaces the instances that it knows.
    func set(_ user: User, _ places: [DubboMetadataPlace]) {
        let isNew = users.updateValue(state == .answered ? [] : places, forKey: user) == nil
        if isNew && isOverdue { user.offers?.setOverdue(key, true) }
    }

    func remove(_ user: User) {
        if users.removeValue(forKey: user) != nil, isOverdue { user.offers?.setOverdue(key, false) }
    }

    func setOverdue(_ isOverdue: Bool) {
        guard isOverdue != self.isOverdue else { return }
        self.isOverdue = isOverdue
        for user in users.keys { user.offers?.setOverdue(key, isOverdue) }
    }

    /// Instances need not be known any longer.
    func forgetPlaces() {
        for user in users.keys { users[user] = [] }
        tried = []
    }

    /// An instance that was not asked yet; nil when there is none. By chance, so that many processes do not all ask one.
    var nextPlace: DubboMetadataPlace? {
        for places in users.values.shuffled() where !places.isEmpty {
            let first = Int.random(in: 0..<places.count)
            for index in 0..<places.count {
                let place = places[(first + index) % places.count]
                if !tried.contains(place) { return place }
            }
        }
        return nil
    }
}
