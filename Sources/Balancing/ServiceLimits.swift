import Model

/// What all workers count together for the limits of a service and of its versions.
public final class ServiceLimits: Sendable {
    /// One of the service, or of a version.
    public final class Part: Sendable {
        /// Nil: nothing is limited.
        public let breaker: BreakerCounts?
        /// Nil: nothing is limited.
        public let bucket: RateBucket?
        /// `BreakerCounts.concurrency` holds.
        public let isAdaptive: Bool

        init(breaker: BreakerCounts?, bucket: RateBucket?, isAdaptive: Bool = false) {
            self.breaker = breaker
            self.bucket = bucket
            self.isAdaptive = isAdaptive
        }
    }

    /// What counts for the service, and for versions that say nothing of their own.
    public let own: Part
    /// What counts for versions.
    public let versions: [String: Part]
    private let policies: [String: TrafficPolicy]
    private let policy: TrafficPolicy

    private init(_ policy: ServicePolicy, after last: ServiceLimits?) {
        let own = Self.part(policy.traffic, after: last?.own)
        self.own = own
        self.policy = policy.traffic
        policies = policy.versions
        versions = Dictionary(
            uniqueKeysWithValues: policy.versions.map { name, version in
                let former = last?.versions[name]
                let alone = Self.part(
                    version,
                    after: Part(
                        breaker: former?.breaker === last?.own.breaker ? nil : former?.breaker,
                        bucket: former?.bucket === last?.own.bucket ? nil : former?.bucket))
                return (
                    name,
                    Part(
                        breaker: version.hasOwnBreaker ? alone.breaker : own.breaker,
                        bucket: version.hasOwnRate ? alone.bucket : own.bucket,
                        isAdaptive: version.adaptsConcurrency)
                )
            })
    }

    /// What belongs to a policy; nil where it limits nothing.
    ///
    /// - Parameter last: what belonged to the one before: what is in flight stays counted, and so do requests where their rate is the
    ///   same.
    public static func following(_ last: ServiceLimits?, _ policy: ServicePolicy) -> ServiceLimits? {
        let all = [policy.traffic] + policy.versions.values
        if all.allSatisfy({ !$0.limitsWhatIsInFlight && $0.rateLimit.rate == nil }) { return nil }
        if let last, last.policy == policy.traffic, last.policies == policy.versions { return last }
        return ServiceLimits(policy, after: last)
    }

    private static func part(_ policy: TrafficPolicy, after last: Part?) -> Part {
        let bucket = last?.bucket?.policy == policy.rateLimit ? last?.bucket : RateBucket(policy.rateLimit)
        return Part(
            breaker: policy.limitsWhatIsInFlight ? last?.breaker ?? BreakerCounts() : nil, bucket: bucket,
            isAdaptive: policy.adaptsConcurrency)
    }

    /// What counts for a version; the service's where it says nothing of its own.
    public func part(of version: String) -> Part { versions[version] ?? own }

    /// Versions whose requests in flight count for themselves, by name.
    public var countedApart: [(version: String, part: Part)] {
        versions.filter { $0.value.breaker !== own.breaker }.sorted { $0.key < $1.key }.map { ($0.key, $0.value) }
    }

    /// Counts whose limit is found from how long answers take: the service's, without a name, and those of versions.
    public var adaptive: [(version: String, counts: BreakerCounts)] {
        ([("", own)] + countedApart).compactMap { version, part in
            part.isAdaptive ? part.breaker.map { (version, $0) } : nil
        }
    }

    /// All counts, each once.
    public var breakers: [BreakerCounts] {
        var all: [BreakerCounts] = []
        for counts in ([own] + versions.values).compactMap(\.breaker) where !all.contains(where: { $0 === counts }) {
            all.append(counts)
        }
        return all
    }
}
