import Balancing
import Model
import Routing
import Runtime

/// A service in one worker: its clusters, rules, counters, and the requests that wait for its first answer.
struct Service: ~Copyable {
    enum State {
        /// Asked for; the registries have not answered yet.
        case pending
        /// Its hosts are known, and no request has needed them yet: they take no memory here and cost nothing to change.
        case unused
        /// Requests need its hosts, which are so many that they are taken over in steps.
        case wanted
        case ready
        /// Not watched any more; goes when the last request has ended.
        case removed
    }

    let key: ServiceKey
    /// The key's name, which the name tables refer to.
    let name: ByteString
    var state = State.pending
    /// What is known of it; nil while nothing is.
    var snapshot: ServiceSnapshot?
    /// Number of the last configuration that names it: while that is in force the service stays known.
    var namedIn: UInt64 = 0
    /// The application behind an inbound listener: whatever version or group a request names, it goes there.
    var takesAll = false
    /// The configuration does not name it, and no registry has listed it.
    var isUnlisted = false
    /// Its name stands in lower case: other forms of a host name are compared with that.
    let isLowerCase: Bool
    /// Where it stands in `ServiceTables.services`.
    var place = 0
    /// Requests in flight and waiting.
    var active = 0
    /// When the last request came.
    var usedAt: Int64 = 0
    var labels = LabelTable()
    var clusters = ClusterSet()
    /// Dubbo: a host has a path of its own.
    var hasPaths = false
    var rules = Rules()
    /// Where the sticky key stands: nil when requests do not stick.
    var sticky: StickyKey?
    /// The sticky header's name in lower case; empty for other keys.
    var stickyName = ByteString(copying: "")
    /// Makes the same key fall differently in different services.
    let salt: UInt64
    var traffic: TrafficTable
    /// What requests in flight may have counted in that no rule refers to any more.
    private var formerCounts: [BreakerCounts] = []
    var furtherTries = FurtherTries()
    /// Copies of requests in flight, which are among `active`.
    var copies = 0
    /// Some version has outlier detection.
    var isWatched = false
    /// Requests that went to a host that is to be left alone, for there was no other.
    var regardless: UInt64 = 0
    var metrics = ServiceMetrics()
    var waiting = Waiting()

    init(key: ServiceKey) {
        self.key = key
        name = ByteString(copying: key.name)
        isLowerCase = !name.hasCapitals
        salt = name.hash()
        traffic = TrafficTable(for: key.kind)
    }

    deinit {
        rules.shares?.deallocate()
        stickyName.free()
        name.free()
    }

    /// Takes over a policy, and what counts for its limits: versions become labels.
    mutating func adopt(_ policy: ServicePolicy, _ limits: ServiceLimits?) {
        rules.shares?.deallocate()
        rules = Rules()
        rules.isStrict = policy.mode == .strict
        rules.stable = policy.stable.map { labels.intern($0) }
        keepCounts(for: limits)
        let names = Set(policy.versions.keys).union(policy.mirroredVersions)
        let versions = Dictionary(uniqueKeysWithValues: names.map { ($0, labels.intern($0)) })
        traffic = TrafficTable(policy, limits, for: key.kind) { versions[$0] ?? LabelTable.unknown }
        isWatched = policy.detectsOutliers
        sticky = policy.sticky
        stickyName.free()
        if case .header(let name) = policy.sticky {
            stickyName = ByteString(copying: name)
        } else {
            stickyName = ByteString(copying: "")
        }
        if policy.split.isEmpty { return }
        let shares = UnsafeMutablePointer<Share>.allocate(capacity: policy.split.count)
        for (index, part) in policy.split.enumerated() {
            rules.total += UInt64(part.weight)
            shares[index] = Share(
                version: labels.intern(part.version), cumulative: rules.total, weight: part.weight,
                hash: hash(of: part.version))
        }
        rules.shares = UnsafePointer(shares)
        rules.shareCount = policy.split.count
    }

    /// Whether a request may be repeated although a host may have read it.
    @inline(__always)
    func hasRoom(for state: RequestState, _ retries: RetryRules) -> Bool {
        furtherTries.hasRoom(active: active - copies, percent: retries.budget, isOne: state.isRepeated)
    }

    /// Requests in flight count out where they counted in, whatever rules there are by then.
    private mutating func keepCounts(for limits: ServiceLimits?) {
        let next = limits?.breakers ?? []
        formerCounts = breakers.filter { counts in counts.requests.current > 0 && !next.contains { $0 === counts } }
    }

    /// What its circuit breakers count, those that requests in flight have counted in before a change among them.
    var breakers: [BreakerCounts] { (traffic.limits?.breakers ?? []) + formerCounts }

    private func hash(of version: String) -> UInt64 {
        let text = ByteString(copying: version)
        defer { text.free() }
        return text.hash(salt: salt)
    }

    /// Clusters and policy are those of the last build: labels that neither needs go by and by, and what was counted for them
    /// moves to `ServiceMetrics.other`.
    mutating func settleLabels() {
        if labels.settle() { metrics.fold(keeping: labels) }
    }
}

/// What a request asks of its service: the input of the decision, kept for retries.
struct Asked {
    var requested = RequestedVersion.none
    /// 64 random bits or the sticky key's hash.
    var chance: UInt64 = 0
    var isSticky = false
    /// Labels of the call's Dubbo group and interface version; 0 for HTTP.
    var group = 0
    var interfaceVersion = 0
    var isInterface = false
    /// The call may go to several groups, which `CallGroups` names, or to any interface version, as it says itself.
    var isWide = false

    /// The requested version as counters know it.
    var requestedLabel: Int32 {
        switch requested {
        case .none: ServiceMetrics.nobody
        case .version(let label): label == LabelTable.unknown ? ServiceMetrics.other : Int32(label)
        }
    }
}
