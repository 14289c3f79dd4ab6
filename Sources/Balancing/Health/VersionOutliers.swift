import Model
import Runtime

/// Decides which hosts of one version are ejected for what they answer. The control plane has one for each version with outlier
/// detection, so that all workers agree and never more than `max_ejected` are out; it knows no time but what it is told.
public struct VersionOutliers {
    /// What had a host ejected.
    public enum Reason: String, CaseIterable, Sendable {
        /// Failures in a row.
        case consecutive
        /// The share of failures.
        case errorRate = "error_rate"
        /// It takes longer than the others.
        case latency
    }

    /// A host was ejected, or has come back.
    public struct Change: Equatable, Sendable {
        /// Where it listens.
        public let address: SocketAddress
        /// Nil: it has come back.
        public let ejection: Ejection?
    }

    /// A host is ejected.
    public struct Ejection: Equatable, Sendable {
        /// What had it ejected.
        public let reason: Reason
        /// The same with numbers, for people.
        public let why: String
        /// When it comes back, in monotonic nanoseconds.
        public let until: Int64
        /// How long that is.
        public let nanoseconds: Int64
    }

    /// Answers of a host.
    public struct Counts: Equatable, Sendable {
        /// Failures included.
        public var requests: UInt64
        /// Those of them that failed.
        public var failures: UInt64
        /// How long they took; nil: nobody looks at that.
        public var durations: Durations?

        /// Some answers.
        public init(requests: UInt64 = 0, failures: UInt64 = 0, durations: Durations? = nil) {
            self.requests = requests
            self.failures = failures
            self.durations = durations
        }

        mutating func add(_ other: Counts) {
            requests &+= other.requests
            failures &+= other.failures
            guard let added = other.durations else { return }
            if durations == nil { durations = added } else { durations?.add(added) }
        }
    }

    private struct Record {
        var ejection: Ejection?
        /// Ejections that lengthen the next one.
        var level = 0
        /// When it came back, or a level was forgiven.
        var since: Int64 = 0
        /// In this interval.
        var counts = Counts()
        /// Ejections since it was first seen, by reason.
        var times: [Reason: UInt64] = [:]
    }

    /// How hosts are judged.
    public private(set) var policy: OutlierDetectionPolicy
    /// Hosts that may get requests.
    private var listed: Set<SocketAddress> = []
    /// Hosts of which something is known.
    private var records: [SocketAddress: Record] = [:]
    private var intervalEnd: Int64 = 0
    /// Hosts that are listed and ejected.
    public private(set) var ejectedCount = 0

    /// Nothing is known yet.
    public init(_ policy: OutlierDetectionPolicy) { self.policy = policy }

    /// So many may be ejected at the same time.
    public var mostEjected: Int { listed.count * policy.maxEjected / 100 }
    /// Hosts that may get requests, ejected ones included.
    public var hostCount: Int { listed.count }

    /// Whether there is something that must not be forgotten.
    public var remembers: Bool { !records.isEmpty }

    /// A host's ejection; nil while there is none.
    public func ejection(of address: SocketAddress) -> Ejection? {
        listed.contains(address) ? records[address]?.ejection : nil
    }

    /// Every host that was ever ejected and is known still, with how often and why.
    public var ejections: [(address: SocketAddress, times: [Reason: UInt64])] {
        records.filter { !$0.value.times.isEmpty }.map { ($0.key, $0.value.times) }
    }

    // MARK: What is told

    /// The policy and the hosts are these. An ejection outlasts a host that goes and comes again meanwhile.
    ///
    /// - Parameter hosts: those that may get requests.
    public mutating func adopt(_ policy: OutlierDetectionPolicy, hosts: [SocketAddress], now: Int64) -> [Change] {
        self.policy = policy
        listed = Set(hosts)
        records = records.filter { listed.contains($0.key) || ($0.value.ejection?.until ?? 0) > now }
        ejectedCount = records.count { $0.value.ejection != nil && listed.contains($0.key) }
        return keepShare(now: now)
    }

    /// A worker has seen as many failures in a row as the policy has.
    public mutating func noteStreak(of address: SocketAddress, now: Int64) -> Change? {
        guard let limit = policy.consecutive else { return nil }
        return eject(address, .consecutive, "\(limit) failures in a row", now: now)
    }

    /// A worker has counted answers.
    public mutating func note(_ counts: Counts, of address: SocketAddress, now: Int64) -> Change? {
        // What comes of an ejected host was sent to it before, or because there was no other.
        guard listed.contains(address), records[address]?.ejection == nil else { return nil }
        records[address, default: Record()].counts.add(counts)
        guard let limit = policy.errorRate, let sum = records[address]?.counts, sum.requests >= UInt64(policy.requests),
            sum.failures * 100 >= sum.requests * UInt64(limit)
        else { return nil }
        let percent = sum.failures * 100 / sum.requests
        return eject(address, .errorRate, "\(percent) % of \(sum.requests) requests have failed", now: now)
    }

    /// Time goes on: hosts come back, and an interval may be over.
    public mutating func advance(now: Int64) -> [Change] {
        var changes: [Change] = []
        for (address, record) in records {
            if let ejection = record.ejection, ejection.until <= now { changes += release(address, now: now) }
        }
        if now >= intervalEnd {
            changes += ejectSlow(now: now)
            for address in records.keys { records[address]?.counts = Counts() }
            intervalEnd = now + policy.interval.nanoseconds
        }
        return changes
    }

    // MARK: Ejecting

    private mutating func eject(_ address: SocketAddress, _ reason: Reason, _ why: String, now: Int64) -> Change? {
        guard policy.isOn, listed.contains(address), ejectedCount < mostEjected else { return nil }
        var record = records[address] ?? Record()
        if record.ejection != nil { return nil }
        let first = policy.ejection.nanoseconds
        // For each time that the first one takes, which it has been back, one ejection is forgotten.
        record.level = max(0, record.level - Int(clamping: (now - record.since) / first))
        let times = min(1 << min(record.level, 10), OutlierDetectionPolicy.longestEjection)
        let ejection = Ejection(
            reason: reason, why: why, until: now + first * Int64(times), nanoseconds: first * Int64(times))
        record.ejection = ejection
        record.level = min(record.level + 1, 10)
        record.times[reason, default: 0] += 1
        record.counts = Counts()
        records[address] = record
        ejectedCount += 1
        return Change(address: address, ejection: ejection)
    }

    private mutating func release(_ address: SocketAddress, now: Int64) -> [Change] {
        records[address]?.ejection = nil
        records[address]?.since = now
        guard listed.contains(address) else {
            records[address] = nil
            return []
        }
        ejectedCount -= 1
        return [Change(address: address, ejection: nil)]
    }

    /// There may be fewer hosts now, or the policy another: those that would be back first come back now.
    private mutating func keepShare(now: Int64) -> [Change] {
        let most = policy.isOn ? mostEjected : 0
        if ejectedCount <= most { return [] }
        let ejected = records.filter { $0.value.ejection != nil && listed.contains($0.key) }
        let order = ejected.sorted {
            ($0.value.ejection?.until ?? 0, $0.key) < ($1.value.ejection?.until ?? 0, $1.key)
        }
        return order.prefix(ejectedCount - most).flatMap { release($0.key, now: now) }
    }

    /// Compares hosts by the median of their interval. With two of them the faster one is the measure.
    private mutating func ejectSlow(now: Int64) -> [Change] {
        guard let limit = policy.latency else { return [] }
        let medians = records.compactMap { address, record -> (address: SocketAddress, median: Int64)? in
            guard record.ejection == nil, record.counts.requests >= UInt64(policy.requests) else { return nil }
            return record.counts.durations?.median.map { (address, $0) }
        }.sorted { ($0.median, $0.address) < ($1.median, $1.address) }
        if medians.count < 2 { return [] }
        let measure = medians[(medians.count - 1) / 2].median
        return medians.reversed().filter { $0.median >= measure * Int64(limit) }.compactMap {
            eject(
                $0.address, .latency,
                "its median is \(Self.milliseconds($0.median)), the version's \(Self.milliseconds(measure))",
                now: now)
        }
    }

    private static func milliseconds(_ nanoseconds: Int64) -> String {
        let tenths = nanoseconds / 100_000
        return tenths >= 100 ? "\(tenths / 10) ms" : "\(tenths / 10).\(tenths % 10) ms"
    }
}
