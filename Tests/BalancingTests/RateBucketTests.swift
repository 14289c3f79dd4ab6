import Model
import Runtime
import Synchronization
import Testing

@testable import Balancing

@Suite("Rate limits")
struct RateBucketTests {
    private static let second: Int64 = 1_000_000_000

    private func bucket(_ requests: Int, burst: Int? = nil, key: StickyKey? = nil) throws -> RateBucket {
        var policy = RateLimitPolicy()
        policy.rate = RateLimitPolicy.Rate(requests: requests, per: .second)
        (policy.burst, policy.key) = (burst, key)
        return try #require(RateBucket(policy))
    }

    @Test("Under a steady overload it lets the burst through, then its rate")
    func rate() throws {
        let bucket = try bucket(100, burst: 200)
        var passed = 0
        // Ten times as many as are allowed, for three seconds.
        for request in 0..<3000 where bucket.take(key: 0, now: 7 * Self.second + Int64(request) * 1_000_000) == 0 {
            passed += 1
        }
        #expect(495...505 ~= passed)
    }

    @Test("A refusal tells when there is a token again, and takes none")
    func wait() throws {
        let bucket = try bucket(10, burst: 2)
        #expect(bucket.take(key: 0, now: 0) == 0 && bucket.take(key: 0, now: 0) == 0)
        for _ in 0..<5 { #expect(bucket.take(key: 0, now: 0) == 100_000_000) }
        #expect(bucket.take(key: 0, now: 60_000_000) == 40_000_000)
        #expect(bucket.take(key: 0, now: 100_000_000) == 0)
        #expect(bucket.take(key: 0, now: 100_000_000) == 100_000_000)
        // A rest brings no more than the burst.
        let later = 3600 * Self.second
        #expect((0..<5).map { _ in bucket.take(key: 0, now: later) == 0 } == [true, true, false, false, false])
    }

    @Test("Keys have tokens of their own, and no two buckets share a key")
    func keys() throws {
        let (first, second) = (try bucket(1, key: .clientAddress), try bucket(1, key: .clientAddress))
        for key in 0..<5000 as Range<UInt64> {
            #expect(first.take(key: key, now: Self.second) == 0)
            #expect(first.take(key: key, now: Self.second) == Self.second)
            #expect(second.take(key: key, now: Self.second) == 0)
        }
        #expect(first.take(key: 17, now: 2 * Self.second) == 0)
    }

    @Test("Of a million keys in use nearly all keep their count, and no key gets less than its rate")
    func manyKeys() throws {
        let bucket = try bucket(1, key: .clientAddress)
        let salt = UInt64.random(in: 0...UInt64.max)
        func key(_ number: Int) -> UInt64 { (UInt64(number) &+ salt) &* 0x9fb2_1c65_1e98_df25 }
        // Others in this process use the table as well: their times are over by then.
        let now = 1_000_000 * Self.second
        var refused = 0
        for number in 0..<1_000_000 where bucket.take(key: key(number), now: now) != 0 { refused += 1 }
        #expect(refused == 0)
        var kept = 0
        for number in 0..<1_000_000 where bucket.take(key: key(number), now: now) != 0 { kept += 1 }
        #expect(kept > 970_000)
        var late = 0
        for number in 0..<1_000_000 where bucket.take(key: key(number), now: now + 3 * Self.second) != 0 { late += 1 }
        #expect(late == 0)
    }

    private final class Passed: Sendable {
        let count = Atomic<Int>(0)
    }

    @Test("Threads that take at the same time get together what one would")
    func threads() throws {
        let bucket = try bucket(1000, burst: 5000)
        let (counts, passed) = (BreakerCounts(), Passed())
        let threads = try (0..<4).map { _ in
            try Thread(name: "taker") {
                for _ in 0..<10_000 where bucket.take(key: 0, now: 0) == 0 {
                    if counts.requests.enter(most: 3000) { passed.count.add(1, ordering: .relaxed) }
                }
            }
        }
        for thread in threads { thread.join() }
        #expect(passed.count.load(ordering: .relaxed) == 3000 && counts.requests.current == 3000)
        #expect(bucket.take(key: 0, now: 0) > 0 && bucket.take(key: 0, now: 1_000_000) == 0)
        #expect(bucket.take(key: 0, now: 1_000_000) > 0)
    }
}

@Suite("What limits count")
struct ServiceLimitsTests {
    private func policy(_ change: (inout ServicePolicy) -> Void) -> ServicePolicy {
        var policy = ServicePolicy()
        policy.traffic.circuitBreaker.requests = 5
        policy.traffic.rateLimit.rate = RateLimitPolicy.Rate(requests: 5, per: .second)
        change(&policy)
        return policy
    }

    @Test("What is in flight stays counted whatever changes; tokens stay where the rate does")
    func following() throws {
        let first = try #require(ServiceLimits.following(nil, policy { _ in }))
        #expect(ServiceLimits.following(first, policy { _ in }) === first)
        let slower = try #require(ServiceLimits.following(first, policy { $0.traffic.timeout = .seconds(9) }))
        #expect(slower.own.breaker === first.own.breaker && slower.own.bucket === first.own.bucket)
        let other = try #require(
            ServiceLimits.following(
                slower,
                policy {
                    $0.traffic.circuitBreaker.requests = 6
                    $0.traffic.rateLimit.burst = 6
                }))
        #expect(other.own.breaker === first.own.breaker && other.own.bucket !== first.own.bucket)
        #expect(ServiceLimits.following(other, ServicePolicy()) == nil)
    }

    @Test("A version counts with its service unless it says something of its own")
    func versions() throws {
        let policy = policy { policy in
            policy.versions["1"] = policy.traffic
            policy.versions["2"] = policy.traffic
            policy.versions["2"]?.hasOwnBreaker = true
            policy.versions["3"] = policy.traffic
            policy.versions["3"]?.hasOwnRate = true
        }
        let limits = try #require(ServiceLimits.following(nil, policy))
        let own = limits.own
        #expect(limits.part(of: "0").breaker === own.breaker && limits.part(of: "1").breaker === own.breaker)
        #expect(limits.part(of: "1").bucket === own.bucket && limits.part(of: "2").bucket === own.bucket)
        #expect(limits.part(of: "2").breaker !== own.breaker && limits.part(of: "3").breaker === own.breaker)
        #expect(limits.part(of: "3").bucket !== own.bucket)
        #expect(limits.breakers.count == 2)
        var changed = policy
        changed.mode = .strict
        changed.traffic.timeout = .seconds(1)
        let next = try #require(ServiceLimits.following(limits, changed))
        #expect(next.part(of: "2").breaker === limits.part(of: "2").breaker)
        #expect(next.part(of: "3").bucket === limits.part(of: "3").bucket)
    }
}
