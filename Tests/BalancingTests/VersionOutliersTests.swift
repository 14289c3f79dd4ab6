import Model
import Runtime
import Testing

@testable import Balancing

/// Expectations cannot change a value.
private final class Judge {
    private(set) var version: VersionOutliers

    init(_ policy: OutlierDetectionPolicy) { version = VersionOutliers(policy) }

    func adopt(_ policy: OutlierDetectionPolicy, hosts: [SocketAddress], now: Int64) -> [VersionOutliers.Change] {
        version.adopt(policy, hosts: hosts, now: now)
    }

    func noteStreak(of address: SocketAddress, now: Int64) -> VersionOutliers.Change? {
        version.noteStreak(of: address, now: now)
    }

    func note(_ counts: VersionOutliers.Counts, of address: SocketAddress, now: Int64) -> VersionOutliers.Change? {
        version.note(counts, of: address, now: now)
    }

    func advance(now: Int64) -> [VersionOutliers.Change] { version.advance(now: now) }

    func ejection(of address: SocketAddress) -> VersionOutliers.Ejection? { version.ejection(of: address) }
    var policy: OutlierDetectionPolicy { version.policy }
    var ejectedCount: Int { version.ejectedCount }
    var mostEjected: Int { version.mostEjected }
    var hostCount: Int { version.hostCount }
    var remembers: Bool { version.remembers }
}

@Suite struct VersionOutliersTests {
    private static let second: Int64 = 1_000_000_000
    private var policy = OutlierDetectionPolicy()

    init() {
        policy.isOn = true
    }

    private func host(_ number: Int) -> SocketAddress { SocketAddress(ipv4: 0x0a00_0000 + UInt32(number), port: 80) }

    private func version(of count: Int, _ change: (inout OutlierDetectionPolicy) -> Void = { _ in }) -> Judge {
        var policy = policy
        change(&policy)
        let version = Judge(policy)
        #expect(version.adopt(policy, hosts: (0..<count).map(host), now: 0).isEmpty)
        return version
    }

    private func counts(_ requests: UInt64, failures: UInt64 = 0, milliseconds: Int64? = nil) -> VersionOutliers.Counts
    {
        var counts = VersionOutliers.Counts(requests: requests, failures: failures)
        if let milliseconds {
            var durations = Durations()
            durations.add(UInt32(requests), to: Durations.number(nanoseconds: milliseconds * 1_000_000))
            counts.durations = durations
        }
        return counts
    }

    @Test("a streak has a host ejected, and it comes back when its time is over")
    func streak() throws {
        let version = version(of: 4)
        let change = try #require(version.noteStreak(of: host(0), now: 5 * Self.second))
        #expect(change.ejection?.reason == .consecutive && change.ejection?.why == "5 failures in a row")
        #expect(change.ejection?.until == 35 * Self.second)
        #expect(version.noteStreak(of: host(0), now: 6 * Self.second) == nil)
        #expect(version.ejectedCount == 1 && version.ejection(of: host(0)) != nil)
        #expect(version.advance(now: 35 * Self.second - 1).isEmpty)
        #expect(version.advance(now: 35 * Self.second) == [VersionOutliers.Change(address: host(0), ejection: nil)])
        #expect(version.ejectedCount == 0 && version.ejection(of: host(0)) == nil)
        #expect(version.version.ejections.map(\.times) == [[.consecutive: 1]])
    }

    @Test(
        "each ejection lasts twice as long as the one before, ten times as long at most, and time in between makes it shorter"
    )
    func growingTimes() throws {
        let version = version(of: 2)
        var now: Int64 = 0
        var seconds: [Int64] = []
        for _ in 0..<6 {
            let ejection = try #require(version.noteStreak(of: host(1), now: now)?.ejection)
            seconds.append((ejection.until - now) / Self.second)
            now = ejection.until
            #expect(version.advance(now: now).count == 1)
        }
        #expect(seconds == [30, 60, 120, 240, 300, 300])
        now += 4 * 30 * Self.second
        let later = try #require(version.noteStreak(of: host(1), now: now)?.ejection)
        #expect(later.until - now == 120 * Self.second)
    }

    @Test("never more hosts are ejected than their share, rounded down", arguments: [0, 1, 2, 3, 7, 10])
    func share(count: Int) {
        for percent in [0, 10, 50, 100] {
            let version = version(of: count) { $0.maxEjected = percent }
            for number in 0..<count { _ = version.noteStreak(of: host(number), now: 0) }
            #expect(version.ejectedCount == count * percent / 100)
            #expect(version.mostEjected == count * percent / 100 && version.hostCount == count)
        }
    }

    @Test("when hosts go those come back that would be back first, until the share is kept")
    func fewerHosts() {
        let version = version(of: 6)
        for number in 0..<3 { _ = version.noteStreak(of: host(number), now: Int64(number) * Self.second) }
        let changes = version.adopt(version.policy, hosts: (0..<4).map(host), now: 3 * Self.second)
        #expect(changes == [VersionOutliers.Change(address: host(0), ejection: nil)])
        #expect(version.ejectedCount == 2)
    }

    @Test("an ejection outlasts a host that goes and comes again, and ends meanwhile where its time is over")
    func hostsThatComeAgain() {
        let version = version(of: 4)
        _ = version.noteStreak(of: host(0), now: 0)
        _ = version.noteStreak(of: host(1), now: 0)
        _ = version.adopt(version.policy, hosts: [host(2), host(3)], now: Self.second)
        #expect(version.ejectedCount == 0 && version.remembers)
        _ = version.adopt(version.policy, hosts: [host(0), host(2), host(3)], now: 2 * Self.second)
        #expect(version.ejection(of: host(0)) != nil && version.ejectedCount == 1)
        #expect(version.advance(now: 30 * Self.second) == [VersionOutliers.Change(address: host(0), ejection: nil)])
        _ = version.adopt(version.policy, hosts: (0..<4).map(host), now: 31 * Self.second)
        #expect(version.ejectedCount == 0)
    }

    @Test("switched off, it lets all go")
    func off() {
        let version = version(of: 4)
        _ = version.noteStreak(of: host(0), now: 0)
        #expect(version.adopt(OutlierDetectionPolicy(), hosts: (0..<4).map(host), now: 1).count == 1)
        #expect(version.noteStreak(of: host(1), now: 2) == nil)
        #expect(version.ejectedCount == 0)
    }

    @Test("the rate counts from so many requests of one interval on, of all workers together")
    func rate() throws {
        let version = version(of: 4)
        #expect(version.note(counts(10, failures: 9), of: host(0), now: 1) == nil)
        #expect(version.note(counts(9, failures: 0), of: host(0), now: 2) == nil)
        #expect(version.note(counts(20, failures: 9), of: host(1), now: 2) == nil)
        let change = try #require(version.note(counts(1, failures: 1), of: host(0), now: 3))
        #expect(change.ejection?.reason == .errorRate && change.ejection?.why == "50 % of 20 requests have failed")
        // The next interval begins with nothing.
        _ = version.advance(now: 20 * Self.second)
        #expect(version.note(counts(5, failures: 5), of: host(1), now: 21 * Self.second) == nil)
        #expect(version.note(counts(15, failures: 5), of: host(1), now: 22 * Self.second)?.ejection != nil)
    }

    @Test("off is off for each of the three")
    func partlyOff() {
        let version = version(of: 4) {
            $0.consecutive = nil
            $0.errorRate = nil
        }
        #expect(version.noteStreak(of: host(0), now: 0) == nil)
        #expect(version.note(counts(100, failures: 100), of: host(0), now: 0) == nil)
        _ = version.note(counts(100, milliseconds: 900), of: host(1), now: 0)
        _ = version.note(counts(100, milliseconds: 1), of: host(2), now: 0)
        #expect(version.advance(now: Self.second).isEmpty)
    }

    @Test("a host is slow in comparison with the hosts of its version, at the end of an interval")
    func latency() throws {
        let version = version(of: 5) { $0.latency = 3 }
        _ = version.advance(now: 0)
        for (number, milliseconds) in [10, 12, 11, 29, 60].enumerated() {
            #expect(version.note(counts(20, milliseconds: Int64(milliseconds)), of: host(number), now: 1) == nil)
        }
        #expect(version.advance(now: 9 * Self.second).isEmpty)
        let changes = version.advance(now: 10 * Self.second)
        #expect(changes.map(\.address) == [host(4)] && changes[0].ejection?.reason == .latency)
        #expect(
            changes[0].ejection?.why.hasPrefix("its median is 5") == true
                || changes[0].ejection?.why.hasPrefix("its median is 6") == true)
        // One that had few requests, or is alone, is no measure.
        let few = self.version(of: 2) { $0.latency = 2 }
        _ = few.advance(now: 0)
        _ = few.note(counts(20, milliseconds: 100), of: host(0), now: 1)
        _ = few.note(counts(19, milliseconds: 1), of: host(1), now: 1)
        #expect(few.advance(now: 10 * Self.second).isEmpty)
    }

    @Test("medians are right to an eighth")
    func medians() {
        for nanoseconds in [20_000, 65_536, 1_000_000, 3_333_333, 80_000_000, 5_000_000_000] as [Int64] {
            var durations = Durations()
            durations.add(3, to: Durations.number(nanoseconds: nanoseconds))
            durations.add(1, to: Durations.number(nanoseconds: 1))
            durations.add(1, to: Durations.number(nanoseconds: .max))
            let median = durations.median ?? 0
            #expect(abs(median - nanoseconds) * 8 <= nanoseconds, "\(median) for \(nanoseconds)")
        }
        #expect(Durations().median == nil)
        #expect(Durations.number(nanoseconds: -5) == 0 && Durations.number(nanoseconds: .max) == Durations.classes - 1)
    }
}
