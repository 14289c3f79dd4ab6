/// Where a request is to go within its service.
public enum Target: Hashable, Sendable {
    /// Hosts of a version, by its label.
    case version(Int)
    /// What the call would get without a mesh. HTTP: any host. Dubbo: untagged hosts of its interface version and group.
    case own
    /// Any host (of the call's group).
    case any
    /// Nowhere: it is to be refused.
    case nothing
}

/// What decided the wanted version.
public enum Reason: UInt8, Hashable, Sendable {
    /// The request named it.
    case request
    /// Drawn from the split.
    case split
    /// From the split by the request's sticky key.
    case sticky
    /// The service's stable version.
    case stable
    /// Nothing is configured and the request named none.
    case none
}

/// How the wanted version's place was taken where it could not serve.
public enum Fallback: UInt8, Hashable, Sendable {
    /// It was not: the wanted version serves.
    case none
    /// The stable version serves.
    case stable
    /// Another version of the split serves.
    case split
    /// Dubbo: untagged hosts of the call's own interface version serve.
    case own
    /// Any usable host serves.
    case any
    /// No host is usable; one that should be left alone is tried all the same.
    case unusable
}

/// The outcome of the decision for one request.
public struct Decision: Hashable, Sendable {
    /// What was wanted.
    public var wanted: Target
    /// Where it goes; `nothing` is to be refused.
    public var target: Target
    /// What decided `wanted`.
    public var reason: Reason
    /// How `target` came about where it is not `wanted`.
    public var fallback: Fallback

    /// An outcome.
    public init(wanted: Target, target: Target, reason: Reason, fallback: Fallback) {
        self.wanted = wanted
        self.target = target
        self.reason = reason
        self.fallback = fallback
    }
}

/// What the request itself asks for.
public enum RequestedVersion: Hashable, Sendable {
    /// Nothing.
    case none
    /// A version by its label; `-1` when no host ever had it.
    case version(Int)
}

/// A version's part in a split.
public struct Share: Hashable, Sendable {
    /// The version's label.
    public let version: Int
    /// Sum of the weights up to and with this one: it is taken for `r < cumulative`.
    public let cumulative: UInt64
    /// Its own weight; 0 is never taken.
    public let weight: UInt32
    /// Hash of the version's text: what a sticky key meets. Labels differ from worker to worker.
    public let hash: UInt64

    /// A part.
    public init(version: Int, cumulative: UInt64, weight: UInt32, hash: UInt64) {
        self.version = version
        self.cumulative = cumulative
        self.weight = weight
        self.hash = hash
    }
}

/// A service's rules with versions as labels, in memory that the service owns.
public struct Rules {
    /// Strict: no fallback.
    public var isStrict = false
    /// The stable version's label; nil when none is set.
    public var stable: Int?
    /// The split; not to be read when `shareCount` is 0.
    public var shares: UnsafePointer<Share>?
    /// How many parts the split has.
    public var shareCount = 0
    /// Sum of the weights.
    public var total: UInt64 = 0

    /// No rules: fallback mode, no stable version, no split.
    public init() {}
}

/// What the decision must know of a service's hosts.
public protocol ClusterView {
    /// Whether at least one host of the target is usable now: registered, enabled, healthy, not draining.
    func canServe(_ target: Target) -> Bool
    /// Whether the target has hosts at all.
    func hasHosts(_ target: Target) -> Bool
}

/// The decision procedure: the requested version, then split, then stable, then all; where that cannot serve, an error (strict) or the
/// fallbacks in order: stable, other versions of the split, the call's own, any.
///
/// - Parameters:
///   - chance: 64 random bits, or the hash of the sticky key.
///   - isSticky: whether `chance` is such a hash.
@inlinable
public func decide<View: ClusterView>(
    requested: RequestedVersion, rules: Rules, chance: UInt64, isSticky: Bool, view: View
) -> Decision {
    var decision = wanted(requested: requested, rules: rules, chance: chance, isSticky: isSticky)
    if view.canServe(decision.wanted) { return decision }
    if !rules.isStrict {
        fallBack(&decision, rules: rules, view: view)
        if decision.target != .nothing { return decision }
    }
    lastResort(&decision, rules: rules, view: view)
    return decision
}

/// The first half of the procedure: which version is wanted, whether or not it can serve.
@inlinable
public func wanted(requested: RequestedVersion, rules: Rules, chance: UInt64, isSticky: Bool) -> Decision {
    if case .version(let label) = requested {
        return Decision(wanted: .version(label), target: .version(label), reason: .request, fallback: .none)
    }
    if rules.total > 0, let shares = rules.shares {
        let index = isSticky ? stickyShare(chance, shares, rules.shareCount) : drawnShare(chance, rules, shares)
        let target = Target.version(shares[index].version)
        return Decision(wanted: target, target: target, reason: isSticky ? .sticky : .split, fallback: .none)
    }
    if let stable = rules.stable {
        return Decision(wanted: .version(stable), target: .version(stable), reason: .stable, fallback: .none)
    }
    return Decision(wanted: .own, target: .own, reason: .none, fallback: .none)
}

/// - Returns: the first part whose cumulative weight is above the number that `chance` means.
@inlinable
func drawnShare(_ chance: UInt64, _ rules: Rules, _ shares: UnsafePointer<Share>) -> Int {
    let drawn = chance.multipliedFullWidth(by: rules.total).high
    var index = 0
    while drawn >= shares[index].cumulative { index += 1 }
    return index
}

@usableFromInline
func fallBack<View: ClusterView>(_ decision: inout Decision, rules: Rules, view: View) {
    if let stable = rules.stable, view.canServe(.version(stable)) {
        decision.target = .version(stable)
        decision.fallback = .stable
        return
    }
    for index in 0..<rules.shareCount {
        guard let share = rules.shares?[index], share.weight > 0, view.canServe(.version(share.version)) else {
            continue
        }
        decision.target = .version(share.version)
        decision.fallback = .split
        return
    }
    for (target, fallback) in [(Target.own, Fallback.own), (.any, .any)] where view.canServe(target) {
        decision.target = target
        decision.fallback = fallback
        return
    }
    decision.target = .nothing
}

/// Every host that would do is being left alone after failures: trying one can only be better than refusing.
@usableFromInline
func lastResort<View: ClusterView>(_ decision: inout Decision, rules: Rules, view: View) {
    decision.target = .nothing
    decision.fallback = .none
    var targets = [decision.wanted]
    if !rules.isStrict {
        if let stable = rules.stable { targets.append(.version(stable)) }
        targets += [.own, .any]
    }
    for target in targets where view.hasHosts(target) {
        decision.target = target
        decision.fallback = .unusable
        return
    }
}
