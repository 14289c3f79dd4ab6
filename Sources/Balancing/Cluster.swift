import Model
import Runtime

/// A host's place in a cluster.
public struct Member {
    /// The host.
    public let endpoint: UnsafeMutablePointer<Endpoint>
    /// Relative share; never 0.
    public let weight: UInt32
    /// `home`, and above it `isOut`: thousands of members are moved at once.
    private let homeAndState: UInt32
    /// Where its answers are counted; nil: nobody wants to know.
    public let tally: UnsafeMutablePointer<HostTally>?

    init(
        endpoint: UnsafeMutablePointer<Endpoint>, weight: UInt32, home: Int, isOut: Bool,
        tally: UnsafeMutablePointer<HostTally>?
    ) {
        self.endpoint = endpoint
        self.weight = weight
        homeAndState = UInt32(home) << 1 | (isOut ? 1 : 0)
        self.tally = tally
    }

    /// The version cluster it belongs to, also where this member stands in a union.
    @inline(__always)
    public var home: Int { Int(homeAndState >> 1) }
    /// The control plane has said that it gets no requests.
    @inline(__always)
    public var isOut: Bool { homeAndState & 1 != 0 }

    /// Whether it may get a request now.
    @inline(__always)
    public func isUsable(now: Int64) -> Bool { !isOut && endpoint.pointee.isUsable(now: now) }
}

/// Hosts of one version, or of all versions of a group, in one worker. Picks in constant time.
public struct Cluster {
    /// Numbers of the version, the Dubbo group and the Dubbo interface version in the service's label table.
    public let version: Int32
    /// See `version`.
    public let group: Int32
    /// See `version`.
    public let interfaceVersion: Int32
    /// All versions of the group together.
    public let isUnion: Bool
    /// Hosts that Dubbo requests that name no version may use.
    public let isUntagged: Bool
    /// The hosts with a weight above 0.
    public let members: UnsafeMutablePointer<Member>
    /// How many there are.
    public let count: Int
    /// Of each member the path that it has; nil: all have the interface.
    private let paths: UnsafeMutablePointer<CallPath>?
    /// Sum of the members' weights.
    let weight: UInt64
    private let picker: Picker
    /// The next turn; below `picker.turns`.
    private var position: UInt32 = 0

    init(
        version: Int, group: Int, interfaceVersion: Int, isUnion: Bool, isUntagged: Bool, members: [Member],
        paths: [CallPath] = [], picker: Picker
    ) {
        self.version = Int32(version)
        self.group = Int32(group)
        self.interfaceVersion = Int32(interfaceVersion)
        self.isUnion = isUnion
        self.isUntagged = isUntagged
        count = members.count
        self.members = .allocate(capacity: max(1, members.count))
        self.members.initialize(from: members, count: members.count)
        if paths.isEmpty {
            self.paths = nil
        } else {
            let memory = UnsafeMutablePointer<CallPath>.allocate(capacity: paths.count)
            memory.initialize(from: paths, count: paths.count)
            self.paths = memory
        }
        weight = members.reduce(0) { $0 + UInt64($1.weight) }
        self.picker = picker
    }

    func free() {
        members.deallocate()
        paths?.deallocate()
        picker.free()
    }

    /// The path that a member of this cluster has.
    @inline(__always)
    public func path(of member: UnsafeMutablePointer<Member>) -> CallPath {
        guard let paths else { return .interface }
        return paths[member - members]
    }

    /// The member with an address; they stand in the order of their addresses, but for unions.
    func member(of address: SocketAddress) -> UnsafeMutablePointer<Member>? {
        var (low, high) = (0, count)
        while low < high {
            let middle = (low + high) / 2
            if members[middle].endpoint.pointee.address < address { low = middle + 1 } else { high = middle }
        }
        return low < count && members[low].endpoint.pointee.address == address ? members + low : nil
    }

    /// Whether a request could go to some host now. Constant time unless hosts are out.
    @inline(__always)
    public func canServe(now: Int64) -> Bool {
        for index in 0..<count where members[index].isUsable(now: now) { return true }
        return false
    }

    /// Picks a usable host that has not been tried; nil when there is none.
    @inline(__always)
    public mutating func pick(random: inout FastRandom, now: Int64, tried: TriedEndpoints) -> UnsafeMutablePointer<
        Member
    >? {
        choose(among: Candidates(now: now, tried: tried, regardless: false), &random)
    }

    /// Picks any host that has not been tried, whether usable or not: the last resort when none is.
    public mutating func pickRegardless(random: inout FastRandom, tried: TriedEndpoints) -> UnsafeMutablePointer<
        Member
    >? {
        choose(among: Candidates(now: 0, tried: tried, regardless: true), &random)
    }
}

/// Which members a request may get.
struct Candidates {
    let now: Int64
    let tried: TriedEndpoints
    /// Hosts that are not usable, too.
    let regardless: Bool

    @inline(__always)
    func contain(_ member: UnsafeMutablePointer<Member>) -> Bool {
        (regardless || member.pointee.isUsable(now: now)) && !tried.contains(member.pointee.endpoint)
    }
}

// The balancers. All of them give each host its weight's part among the candidates: what a host that is out would have got falls
// to the others by their weights, not to its neighbours.
extension Cluster {
    /// Draws before the candidates are searched for one by one. Drawing again changes no candidate's part.
    private static var draws: Int { 4 }

    @inline(__always)
    private mutating func choose(among candidates: Candidates, _ random: inout FastRandom) -> UnsafeMutablePointer<
        Member
    >? {
        if count == 0 { return nil }
        return switch picker.balancer {
        case .roundRobin: nextInTurn(among: candidates, &random)
        case .random: drawn(among: candidates, &random)
        case .leastRequest: lessBusy(among: candidates, &random)
        }
    }

    /// How hosts are picked.
    var balancer: BalancerKind { picker.balancer }

    /// A member drawn by weight; there must be one.
    func drawn(_ random: inout FastRandom) -> UnsafeMutablePointer<Member> { members + picker.drawn(&random) }

    /// The next turn that belongs to a candidate: the others keep their order.
    @inline(__always)
    private mutating func nextInTurn(among candidates: Candidates, _ random: inout FastRandom) -> UnsafeMutablePointer<
        Member
    >? {
        // A host that is out can have thousands of turns in a row; then the rest are drawn from.
        for _ in 0..<2 * count + 64 {
            let member = members + picker.inTurn(position)
            position = position &+ 1 == picker.turns ? 0 : position &+ 1
            if candidates.contain(member) { return member }
        }
        return search(among: candidates, &random)
    }

    @inline(__always)
    private func drawn(among candidates: Candidates, _ random: inout FastRandom) -> UnsafeMutablePointer<Member>? {
        for _ in 0..<Self.draws {
            let member = members + picker.byWeight(&random)
            if candidates.contain(member) { return member }
        }
        return search(among: candidates, &random)
    }

    /// The less busy of two.
    @inline(__always)
    private func lessBusy(among candidates: Candidates, _ random: inout FastRandom) -> UnsafeMutablePointer<Member>? {
        for _ in 0..<Self.draws {
            var one = members + picker.byWeight(&random)
            var other = members + picker.byWeight(&random)
            if isBusier(one, than: other, &random) { swap(&one, &other) }
            if candidates.contain(one) { return one }
            if candidates.contain(other) { return other }
        }
        guard let one = search(among: candidates, &random), let other = search(among: candidates, &random) else {
            return nil
        }
        return isBusier(one, than: other, &random) ? other : one
    }

    /// Whether the second of two hosts drawn by weight shall get the request, for it has fewer in flight for its weight.
    ///
    /// Both were drawn by weight, so without a difference the first one stays: that gives exact parts. Were the second taken for
    /// any difference, its sign would decide; with few requests in flight that is no measure, and hosts of 1 : 3 would get 32 : 68.
    /// A difference of less than one request at the heavier weight therefore counts as a chance, in proportion: then hosts that
    /// are equally fast get their parts at any load.
    @inline(__always)
    func isBusier(
        _ first: UnsafeMutablePointer<Member>, than second: UnsafeMutablePointer<Member>, _ random: inout FastRandom
    ) -> Bool {
        let (weight, otherWeight) = (Int64(first.pointee.weight), Int64(second.pointee.weight))
        let load = Int64(first.pointee.endpoint.pointee.active) * otherWeight
        let otherLoad = Int64(second.pointee.endpoint.pointee.active) * weight
        let difference = load - otherLoad
        if difference <= 0 { return false }
        let certain = max(weight, otherWeight)
        return difference >= certain || random.below(UInt64(certain)) < UInt64(difference)
    }

    /// Draws by weight from the candidates themselves, one by one: most hosts are out.
    private func search(among candidates: Candidates, _ random: inout FastRandom) -> UnsafeMutablePointer<Member>? {
        var total: UInt64 = 0
        for index in 0..<count where candidates.contain(members + index) { total += UInt64(members[index].weight) }
        if total == 0 { return nil }
        var left = random.below(total)
        for index in 0..<count where candidates.contain(members + index) {
            let weight = UInt64(members[index].weight)
            if left < weight { return members + index }
            left -= weight
        }
        return nil
    }
}

// Where round robin goes on when clusters are built anew. A service can be rebuilt every second, so beginning anew must favour
// no host.
extension Cluster {
    /// How much of the round is over, in parts of 2^32. Drawn from within the turn that comes next: then it means every turn of
    /// any other round as often as it should, and the same turn of a round of the same length.
    func progress(_ random: inout FastRandom) -> UInt32 {
        let turns = UInt64(picker.turns)
        let place = UInt64(position) << 32 + random.below(1 << 32 - turns)
        return UInt32((place + turns - 1) / turns)
    }

    /// Goes on where a round that is so far would.
    mutating func resume(at progress: UInt32) {
        position = UInt32((UInt64(progress) * UInt64(picker.turns)) >> 32)
    }

    /// Whether both are of the same version of the same group.
    func isSame(as other: Cluster) -> Bool {
        version == other.version && group == other.group && interfaceVersion == other.interfaceVersion
            && isUnion == other.isUnion
    }
}
