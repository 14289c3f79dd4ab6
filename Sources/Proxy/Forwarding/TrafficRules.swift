import Balancing
import Model
import Runtime

/// What holds for requests of a service, or of one version of it, as plain values for one worker.
struct TrafficRules {
    /// Longest time for a request, in nanoseconds.
    let timeout: Int64
    /// HTTP: how long answers and tunnels may be silent, in nanoseconds; 0: as long as the limits say.
    let streamIdle: Int64
    let retries: RetryRules
    /// Dubbo and Bolt: methods that may be repeated once something was sent.
    let repeatableMethods: UnsafeMutablePointer<RepeatableMethods>
    /// Something is to be decided before requests go to their host: `access`, `fault`, `mirror`, or a limit of what is in flight or
    /// comes in a time.
    let isGuarded: Bool
    let access: AccessRules
    let fault: FaultRules
    /// Requests are copied to another version. It counts as guarded, so that others need not look.
    let mirror: MirrorRules
    /// What counts what is in flight, which the table keeps.
    let breaker: Unmanaged<BreakerCounts>?
    let mostRequests: Int
    let mostPending: Int
    let mostConnections: Int
    /// What is in flight has a limit that is found from how long answers take.
    let isAdaptive: Bool
    /// What counts for the rate limit, which the table keeps.
    let bucket: Unmanaged<RateBucket>?

    /// - Parameter label: what a version is called here.
    init(
        _ policy: TrafficPolicy, _ limits: ServiceLimits.Part?, for kind: ServiceKey.Kind, label: (String) -> Int
    ) {
        var (counts, tokens): (Unmanaged<BreakerCounts>?, Unmanaged<RateBucket>?) = (nil, nil)
        if let breaker = limits?.breaker { counts = .passUnretained(breaker) }
        if let bucket = limits?.bucket { tokens = .passUnretained(bucket) }
        let methods = UnsafeMutablePointer<RepeatableMethods>.allocate(capacity: 1)
        methods.initialize(to: RepeatableMethods(kind == .http ? [] : policy.retries.methods ?? []))
        repeatableMethods = methods
        timeout = policy.timeout.nanoseconds
        retries = RetryRules(policy.retries, for: kind)
        breaker = counts
        bucket = tokens
        access = AccessRules(policy.access)
        fault = FaultRules(policy.fault, for: kind)
        streamIdle = policy.streamIdle?.nanoseconds ?? 0
        mirror = MirrorRules(policy.mirror, label: label)
        isGuarded = counts != nil || tokens != nil || !policy.access.isOff || !fault.isOff || !mirror.isOff
        mostRequests = policy.circuitBreaker.requests ?? .max
        mostPending = policy.circuitBreaker.pending ?? .max
        mostConnections = policy.circuitBreaker.connections ?? .max
        isAdaptive = policy.adaptsConcurrency
    }

    func free() {
        access.free()
        repeatableMethods.deinitialize(count: 1)
        repeatableMethods.deallocate()
    }
}

/// Where a request has a key, as a plain value.
enum KeyPlace: UInt8 {
    case none
    case header
    case clientAddress

    @inline(__always)
    init(_ key: StickyKey?) {
        switch key {
        case .header: self = .header
        case .clientAddress: self = .clientAddress
        case nil: self = .none
        }
    }
}

/// The rules of a service, and of those of its versions that have their own.
struct TrafficTable: ~Copyable {
    /// The service's own, then those of versions.
    private let rules: UnsafeMutablePointer<TrafficRules>
    /// The versions, in the same order.
    private let labels: UnsafeMutablePointer<Int32>
    /// Versions that have rules of their own.
    let versionCount: Int
    /// What counts for the limits: rules refer to it.
    let limits: ServiceLimits?
    /// What rate limits count requests by.
    let limitKey: KeyPlace
    /// The name of that header in lower case; empty for other keys.
    let limitKeyName: ByteString

    /// - Parameter label: what a version is called here.
    init(
        _ policy: ServicePolicy = ServicePolicy(), _ limits: ServiceLimits? = nil, for kind: ServiceKey.Kind,
        label: (String) -> Int = { _ in LabelTable.unknown }
    ) {
        let count = policy.versions.count
        let rules = UnsafeMutablePointer<TrafficRules>.allocate(capacity: 1 + count)
        let labels = UnsafeMutablePointer<Int32>.allocate(capacity: max(1, count))
        rules.initialize(to: TrafficRules(policy.traffic, limits?.own, for: kind, label: label))
        var index = 0
        for (name, version) in policy.versions {
            (rules + 1 + index).initialize(to: TrafficRules(version, limits?.part(of: name), for: kind, label: label))
            (labels + index).initialize(to: Int32(label(name)))
            index += 1
        }
        let key = Self.key(policy)
        self.limits = limits
        self.rules = rules
        self.labels = labels
        versionCount = count
        limitKey = KeyPlace(key)
        limitKeyName = ByteString(copying: Self.header(key))
    }

    /// What rate limits count requests by: one key for all.
    private static func key(_ policy: ServicePolicy) -> StickyKey? {
        for traffic in [policy.traffic] + policy.versions.values where traffic.rateLimit.rate != nil {
            if let key = traffic.rateLimit.key { return key }
        }
        return nil
    }

    private static func header(_ key: StickyKey?) -> String {
        switch key {
        case .header(let name): name
        case .clientAddress, nil: ""
        }
    }

    deinit {
        for index in 0...versionCount { rules[index].free() }
        rules.deallocate()
        labels.deallocate()
        limitKeyName.free()
    }

    /// What holds for a request.
    ///
    /// - Parameter version: label of the version that serves it; `ServiceMetrics.nobody` as long as none does.
    @inline(__always)
    func find(_ version: Int32) -> UnsafePointer<TrafficRules> {
        if versionCount == 0 { return UnsafePointer(rules) }
        return search(version)
    }

    @inline(never)
    private func search(_ version: Int32) -> UnsafePointer<TrafficRules> {
        for index in 0..<versionCount where labels[index] == version { return UnsafePointer(rules + 1 + index) }
        return UnsafePointer(rules)
    }
}
