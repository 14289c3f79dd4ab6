import Runtime

/// A host's place in a cluster.
public struct Member {
    /// The host.
    public let endpoint: UnsafeMutablePointer<Endpoint>
    /// Relative share; never 0.
    public let weight: UInt32
    /// The version cluster it belongs to, also where this member stands in a union.
    public let home: Int32
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
    /// Hosts that Dubbo calls without a wish may use.
    public let isUntagged: Bool
    /// The hosts with a weight above 0.
    public let members: UnsafeMutablePointer<Member>
    /// How many there are.
    public let count: Int
    private let picker: Picker
    private var position: UInt32

    init(
        version: Int, group: Int, interfaceVersion: Int, isUnion: Bool, isUntagged: Bool, members: [Member],
        picker: Picker, position: UInt32
    ) {
        self.version = Int32(version)
        self.group = Int32(group)
        self.interfaceVersion = Int32(interfaceVersion)
        self.isUnion = isUnion
        self.isUntagged = isUntagged
        count = members.count
        self.members = .allocate(capacity: max(1, members.count))
        self.members.initialize(from: members, count: members.count)
        self.picker = picker
        self.position = position
    }

    func free() {
        members.deallocate()
        picker.free()
    }

    /// Whether a request could go to some host now. Constant time unless hosts are out.
    @inline(__always)
    public func canServe(now: Int64) -> Bool {
        for index in 0..<count where members[index].endpoint.pointee.isUsable(now: now) { return true }
        return false
    }

    /// Picks a usable host that has not been tried; nil when there is none.
    @inline(__always)
    public mutating func pick(random: inout FastRandom, now: Int64, tried: TriedEndpoints) -> UnsafeMutablePointer<
        Member
    >? {
        if count == 0 { return nil }
        for _ in 0..<4 {
            let member = members + draw(&random)
            if isFree(member, now: now, tried: tried) { return member }
        }
        return search(from: Int(truncatingIfNeeded: random.below(UInt64(count))), now: now, tried: tried)
    }

    /// Picks any host that has not been tried, whether usable or not: the last resort when none is.
    public mutating func pickRegardless(random: inout FastRandom, tried: TriedEndpoints) -> UnsafeMutablePointer<
        Member
    >? {
        let start = count == 0 ? 0 : Int(truncatingIfNeeded: random.below(UInt64(count)))
        for offset in 0..<count {
            let member = members + (start + offset) % count
            if !tried.contains(member.pointee.endpoint) { return member }
        }
        return nil
    }

    @inline(__always)
    private mutating func draw(_ random: inout FastRandom) -> Int {
        switch picker.balancer {
        case .roundRobin:
            let index = picker.inTurn(position)
            position = position &+ 1 == picker.turns ? 0 : position &+ 1
            return index
        case .random: return picker.byWeight(&random)
        case .leastRequest:
            let first = picker.byWeight(&random)
            let second = picker.byWeight(&random)
            return members[second].endpoint.pointee.active < members[first].endpoint.pointee.active ? second : first
        }
    }

    private func search(from start: Int, now: Int64, tried: TriedEndpoints) -> UnsafeMutablePointer<Member>? {
        for offset in 0..<count {
            let member = members + (start + offset) % count
            if isFree(member, now: now, tried: tried) { return member }
        }
        return nil
    }

    @inline(__always)
    private func isFree(_ member: UnsafeMutablePointer<Member>, now: Int64, tried: TriedEndpoints) -> Bool {
        let endpoint = member.pointee.endpoint
        return endpoint.pointee.isUsable(now: now) && !tried.contains(endpoint)
    }
}
