import Model
import Routing
import Runtime
import Testing

@testable import Balancing

@Suite struct HostTallyTests {
    private func tally(consecutive: Int?, latency: Int? = nil) -> UnsafeMutablePointer<HostTally> {
        let tally = UnsafeMutablePointer<HostTally>.allocate(capacity: 1)
        tally.initialize(
            to: HostTally(
                address: SocketAddress(ipv4: 1, port: 1), version: 1, group: 0, interfaceVersion: 0))
        var policy = OutlierDetectionPolicy()
        policy.isOn = true
        policy.consecutive = consecutive
        policy.latency = latency
        tally.pointee.references = 1
        tally.pointee.adopt(policy)
        return tally
    }

    @Test("so many failures in a row are told, once a second at most")
    func streak() {
        let tally = tally(consecutive: 3)
        defer { tally.release() }
        let second: Int64 = 1_000_000_000
        #expect(!tally.fails(now: second) && !tally.fails(now: second))
        tally.pointee.noteSuccess(nanoseconds: 1)
        #expect(!tally.fails(now: second) && !tally.fails(now: second))
        #expect(tally.fails(now: second))
        for _ in 0..<10 { #expect(!tally.fails(now: 2 * second - 1)) }
        #expect(tally.fails(now: 2 * second))
        #expect(tally.pointee.requests == 17 && tally.pointee.failures == 16)
        tally.pointee.clear()
        #expect(tally.pointee.requests == 0 && tally.pointee.failures == 0)
    }

    @Test("without \"consecutive\" nothing is told")
    func noStreak() {
        let tally = tally(consecutive: nil)
        defer { tally.release() }
        for now in 0..<2000 { #expect(!tally.fails(now: Int64(now) * 1_000_000_000)) }
    }

    @Test("how long answers take is noted only where it matters")
    func durations() throws {
        let plain = tally(consecutive: 3)
        defer { plain.release() }
        plain.pointee.noteSuccess(nanoseconds: 5)
        #expect(plain.pointee.durations == nil)
        let timed = tally(consecutive: 3, latency: 2)
        defer { timed.release() }
        timed.pointee.noteSuccess(nanoseconds: 1_000_000)
        let counts = try #require(timed.pointee.durations)
        #expect(counts[Durations.number(nanoseconds: 1_000_000)] == 1)
        timed.pointee.adopt(plainPolicy)
        #expect(timed.pointee.durations == nil)
    }

    private var plainPolicy: OutlierDetectionPolicy {
        var policy = OutlierDetectionPolicy()
        policy.isOn = true
        return policy
    }

    // MARK: In clusters

    private func member(_ fixture: ClusterFixture, _ port: UInt16, _ version: String) throws -> Member {
        let cluster = try #require(fixture.view().cluster(for: .version(fixture.label(version))))
        let members = (0..<cluster.pointee.count).map { cluster.pointee.members[$0] }
        return try #require(members.first { $0.endpoint.pointee.address.port == port })
    }

    @Test("an address that two versions list is counted in each of them, and goes on when the clusters are built anew")
    func versions() throws {
        let fixture = ClusterFixture([instance(1, "1.0"), instance(1, "2.0"), instance(2, "2.0")])
        #expect(try member(fixture, 1, "1.0").tally == nil)
        fixture.policy.traffic.outlierDetection.isOn = true
        fixture.rebuild([instance(1, "1.0"), instance(1, "2.0"), instance(2, "2.0")])
        let (old, new) = (
            try #require(try member(fixture, 1, "1.0").tally), try #require(try member(fixture, 1, "2.0").tally)
        )
        #expect(old != new)
        _ = new.fails(now: 1)
        fixture.rebuild([instance(1, "1.0"), instance(1, "2.0"), instance(3, "2.0")])
        #expect(try member(fixture, 1, "2.0").tally == new && new.pointee.streak == 1 && new.pointee.references == 1)
        #expect(try member(fixture, 1, "1.0").tally == old && old.pointee.streak == 0)
        #expect(try #require(try member(fixture, 3, "2.0").tally).pointee.streak == 0)
        // What it has done before it was ejected is not held against it when it comes back.
        fixture.state = { $0.version == "2.0" && $1.port == 1 ? .ejected : [] }
        fixture.rebuild([instance(1, "1.0"), instance(1, "2.0")])
        #expect(try member(fixture, 1, "1.0").isUsable(now: 1))
        #expect(new.pointee.streak == 1)
        fixture.state = { _, _ in [] }
        fixture.rebuild([instance(1, "1.0"), instance(1, "2.0")])
        #expect(try member(fixture, 1, "2.0").tally == new && new.pointee.streak == 0)
    }

    @Test("a host that is out is not picked, in its version and among all; the last resort takes it")
    func out() throws {
        let fixture = ClusterFixture([instance(1, "1.0"), instance(1, "2.0"), instance(2, "2.0")])
        fixture.state = { $0.version == "2.0" && $1.port == 1 ? .unhealthy : [] }
        fixture.rebuild([instance(1, "1.0"), instance(1, "2.0"), instance(2, "2.0")])
        let view = fixture.view()
        #expect(fixture.picks(50, .version(fixture.label("2.0")), view) == [2: 50])
        #expect(fixture.picks(50, .version(fixture.label("1.0")), view) == [1: 50])
        fixture.state = { identity, _ in identity.version == "2.0" ? .unhealthy : [] }
        fixture.rebuild([instance(1, "1.0"), instance(1, "2.0"), instance(2, "2.0")])
        let last = fixture.view()
        #expect(!last.canServe(.version(fixture.label("2.0"))) && last.canServe(.version(fixture.label("1.0"))))
        #expect(fixture.picks(50, .any, last) == [1: 50])
        let cluster = try #require(last.clusterRegardless(for: .version(fixture.label("2.0"))))
        let ports = (0..<100).compactMap { _ in
            cluster.pointee.pickRegardless(random: &fixture.random, tried: TriedEndpoints())?.pointee.endpoint.pointee
                .address.port
        }
        #expect(Set(ports) == [1, 2])
    }
}

extension UnsafeMutablePointer<HostTally> {
    /// Expectations cannot change a value.
    fileprivate func fails(now: Int64) -> Bool { pointee.noteFailure(now: now) }
}
