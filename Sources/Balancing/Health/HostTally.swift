import Model
import Runtime

/// What one worker has seen of a host's answers in one version since it last told the control plane, which adds up what all workers
/// have seen and decides.
///
/// One for each host in each version cluster with outlier detection: "a bad 2.0 never hurts 1.0" also where one address serves both.
/// So neither `Endpoint`, which an address has once, can hold it, nor `Cluster`, which is built anew with every change of the hosts
/// and would forget. Members of the clusters point to it and count as references, requests in flight count as well; it goes with the
/// last of them.
public struct HostTally {
    /// Where the host listens.
    public let address: SocketAddress
    /// Labels of the cluster in the service's table.
    public let version: Int32
    /// See `version`.
    public let group: Int32
    /// See `version`.
    public let interfaceVersion: Int32
    /// Members that point here.
    var references: Int32 = 0
    /// Requests in flight that will be counted here.
    var active: Int32 = 0
    /// Answers and failures.
    public private(set) var requests: UInt32 = 0
    /// Failures.
    public private(set) var failures: UInt32 = 0
    /// Failures in a row, told ones left out.
    public private(set) var streak: UInt32 = 0
    /// So many in a row are told.
    var limit: UInt32
    /// When they may be told next.
    private var tellsAt: Int64 = 0
    /// Answers by how long they took, as `Durations` has them; nil: that does not matter.
    public private(set) var durations: UnsafeMutablePointer<UInt32>?

    init(address: SocketAddress, version: Int32, group: Int32, interfaceVersion: Int32) {
        self.address = address
        self.version = version
        self.group = group
        self.interfaceVersion = interfaceVersion
        limit = .max
    }

    /// A policy that may be another than before.
    mutating func adopt(_ policy: OutlierDetectionPolicy) {
        limit = policy.consecutive.map { UInt32(clamping: $0) } ?? .max
        if policy.latency != nil && durations == nil {
            durations = .allocate(capacity: Durations.classes)
            durations?.initialize(repeating: 0, count: Durations.classes)
        } else if policy.latency == nil {
            durations?.deallocate()
            durations = nil
        }
    }

    /// The host comes back: nothing of before is held against it.
    mutating func reset() {
        streak = 0
        clear()
    }

    /// All was told.
    public mutating func clear() {
        requests = 0
        failures = 0
        durations?.update(repeating: 0, count: Durations.classes)
    }

    /// How often a streak is told at most, in nanoseconds: a host that is not ejected, for too many are, may go on failing.
    private static var pause: Int64 { 1_000_000_000 }

    /// Counts an answer that is no failure.
    @inline(__always)
    public mutating func noteSuccess(nanoseconds: Int64) {
        requests &+= 1
        streak = 0
        if let durations { durations[Durations.number(nanoseconds: nanoseconds)] &+= 1 }
    }

    /// Counts a failure.
    ///
    /// - Returns: whether there were so many in a row that the control plane is to be told.
    public mutating func noteFailure(now: Int64) -> Bool {
        requests &+= 1
        failures &+= 1
        streak &+= 1
        if streak < limit || now < tellsAt { return false }
        streak = 0
        tellsAt = now + Self.pause
        return true
    }
}

extension UnsafeMutablePointer<HostTally> {
    /// A request is on its way to the host.
    @inline(__always)
    public func take() { pointee.active += 1 }

    /// It will not be counted here any more.
    @inline(__always)
    public func leave() {
        pointee.active -= 1
        freeIfUnused()
    }

    /// A member does not point here any more.
    func release() {
        pointee.references -= 1
        freeIfUnused()
    }

    @inline(__always)
    private func freeIfUnused() {
        if pointee.active | pointee.references == 0 { free() }
    }

    @inline(never)
    private func free() {
        pointee.durations?.deallocate()
        deinitialize(count: 1)
        deallocate()
    }
}
