import Balancing
import Model
import Testing

@testable import Proxy

/// Counting in and out, from plain values: whatever a request goes through, it counts in one place at most, and in none at its end.
@Suite("Where a request counts")
struct LimitStateTests {
    /// Version 1 and version 2 of a service, each with a circuit breaker of its own.
    private struct Setting: ~Copyable {
        let limits: ServiceLimits
        let table: TrafficTable

        init(requests: Int = 1, pending: Int? = nil) throws {
            var policy = ServicePolicy()
            for version in ["1", "2"] {
                var own = TrafficPolicy()
                (own.circuitBreaker.requests, own.circuitBreaker.pending) = (requests, pending)
                own.hasOwnBreaker = true
                policy.versions[version] = own
            }
            limits = try #require(ServiceLimits.following(nil, policy))
            table = TrafficTable(policy, limits, for: .http) { Int($0) ?? 0 }
        }

        func counts(_ version: Int) throws -> BreakerCounts { try #require(limits.part(of: "\(version)").breaker) }

        func current() throws -> [Int] {
            try [1, 2].flatMap { try [counts($0).requests.current, counts($0).pending.current] }
        }
    }

    /// A request.
    private final class Counted {
        private var state = RequestLimits()
        var hasPlace: Bool { state.place != nil }

        /// Nil: it may go there.
        func admit(_ rules: UnsafePointer<TrafficRules>, isFirst: Bool = false) -> RefusalReason? {
            state.admit(rules, isFirst: isFirst, now: 0)?.reason
        }

        func wait(_ rules: UnsafePointer<TrafficRules>) -> RefusalReason? { state.beginWaiting(rules, now: 0)?.reason }
        func beginPending(_ rules: UnsafePointer<TrafficRules>) -> Bool { state.beginPending(rules) }
        func endPending() { state.endPending() }
        func beginMove() { state.beginMove() }
        func endMove(isDone: Bool, wasPending: Bool) { state.endMove(isDone: isDone, wasPending: wasPending) }
        func end() { state.leaveLimits() }
    }

    @Test("Beyond the limit nothing is counted, and another version has its own count")
    func admitting() throws {
        let setting = try Setting()
        let (rules, others, unlimited) = (setting.table.find(1), setting.table.find(2), setting.table.find(3))
        let (first, second) = (Counted(), Counted())
        #expect(first.admit(rules, isFirst: true) == nil)
        #expect(second.admit(rules, isFirst: true) == .requests && !second.hasPlace)
        #expect(first.admit(rules) == nil, "it has a place there")
        #expect(second.admit(others, isFirst: true) == nil)
        var current = try setting.current()
        #expect(current == [1, 0, 1, 0])
        #expect(first.admit(unlimited) == nil)
        current = try setting.current()
        #expect(current == [0, 0, 1, 0])
        for request in [first, second, second] { request.end() }
        current = try setting.current()
        #expect(current == [0, 0, 0, 0])
    }

    @Test("A request that another host is looked for keeps its place until that one has it")
    func moving() throws {
        let setting = try Setting(requests: 2)
        let (rules, others) = (setting.table.find(1), setting.table.find(2))
        let request = Counted()
        #expect(request.admit(rules, isFirst: true) == nil && request.beginPending(rules))
        request.beginMove()
        #expect(request.admit(others) == nil)
        var current = try setting.current()
        #expect(current == [1, 0, 1, 0])
        request.endMove(isDone: false, wasPending: true)
        current = try setting.current()
        #expect(current == [1, 1, 0, 0])
        request.beginMove()
        #expect(request.admit(others) == nil && request.admit(rules) == nil, "back again")
        request.endMove(isDone: true, wasPending: true)
        current = try setting.current()
        #expect(current == [1, 0, 0, 0])
        request.beginMove()
        #expect(request.admit(others) == nil && request.beginPending(others))
        request.endMove(isDone: true, wasPending: false)
        current = try setting.current()
        #expect(current == [0, 0, 1, 1])
        request.end()
        current = try setting.current()
        #expect(current == [0, 0, 0, 0])
    }

    @Test("Those that wait are counted once, for as long as they do")
    func pending() throws {
        let setting = try Setting(requests: 9, pending: 1)
        let rules = setting.table.find(1)
        let (first, second) = (Counted(), Counted())
        #expect(first.wait(rules) == nil && first.beginPending(rules))
        #expect(second.wait(rules) == .pending)
        second.end()
        var current = try setting.current()
        #expect(current == [1, 1, 0, 0])
        for _ in 0..<2 { first.endPending() }
        current = try setting.current()
        #expect(current == [1, 0, 0, 0])
        #expect(second.wait(rules) == nil)
        for request in [first, second] { request.end() }
        current = try setting.current()
        #expect(current == [0, 0, 0, 0])
        #expect(first.wait(setting.table.find(3)) == nil && !first.hasPlace)
    }
}
