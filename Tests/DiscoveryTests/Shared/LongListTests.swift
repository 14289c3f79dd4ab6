import Model
import Runtime
import TestSupport
import Testing

@testable import Discovery

extension Instance {
    fileprivate struct Identity: Hashable {
        let address: SocketAddress
        let interfaceVersion: String
        let group: String
    }

    /// What makes two entries the same host of a service.
    fileprivate var identity: Identity {
        Identity(address: address, interfaceVersion: interfaceVersion, group: group)
    }
}

/// Order and doubles of lists.
@Suite struct InstanceOrderTests {
    private struct Dice: RandomNumberGenerator {
        var state: UInt64
        mutating func next() -> UInt64 {
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            return state ^ state >> 29
        }
    }

    /// Entries for few hosts, so that there are doubles that differ in one thing or another.
    private func entry(_ dice: inout Dice) -> Instance {
        let number = UInt16.random(in: 1...4, using: &dice)
        let address =
            Bool.random(using: &dice)
            ? SocketAddress(ipv4: 0x0a00_0000 + UInt32(number), port: 80)
            : SocketAddress(ip: "fe80::\(number)", port: number)!
        var metadata: Labels = [:]
        if Bool.random(using: &dice) { metadata["timestamp"] = ["", "5", "9", "x"].randomElement(using: &dice) }
        if Bool.random(using: &dice) { metadata["tag"] = ["a", "b"].randomElement(using: &dice) }
        return Instance(
            address: address, weight: [1, 2].randomElement(using: &dice)!, available: Bool.random(using: &dice),
            metadata: metadata, interfaceVersion: ["", "1.0"].randomElement(using: &dice)!,
            group: ["", "g"].randomElement(using: &dice)!)
    }

    @Test(arguments: 0..<50 as Range<UInt64>)
    func everyHostIsThereOnceInOrder(seed: UInt64) {
        var dice = Dice(state: seed)
        let list = (0..<Int.random(in: 0...60, using: &dice)).map { _ in entry(&dice) }
        let merged = Instance.merged(list)
        #expect(Set(merged.map(\.identity)) == Set(list.map(\.identity)))
        #expect(merged.count == Set(list.map(\.identity)).count)
        #expect(zip(merged, merged.dropFirst()).allSatisfy(Instance.precedes))
        for one in merged {
            let entries = list.filter { $0.identity == one.identity }
            #expect(entries.contains(one))
            // Nothing that cannot be used stands for what can, and nothing older for what is newer.
            let usable = entries.filter { $0.available == one.available }
            #expect(one.available || usable.count == entries.count)
            let times = usable.map { Int64($0.metadata["timestamp"] ?? "") ?? 0 }
            #expect(Int64(one.metadata["timestamp"] ?? "") ?? 0 == times.max())
        }
        for _ in 0..<5 { #expect(Instance.merged(list.shuffled(using: &dice)) == merged) }
        // Of several lists the first one's entry stays.
        let kept = Instance.merged(list) { _, _ in false }
        for one in kept { #expect(list.first { $0.identity == one.identity } == one) }
    }

    @Test func aListInOrderIsNotCopied() {
        let list = (0..<100).map { Instance(address: SocketAddress(ipv4: $0, port: 1)) }
        let merged = Instance.merged(list)
        #expect(list.withUnsafeBufferPointer { $0.baseAddress } == merged.withUnsafeBufferPointer { $0.baseAddress })
    }
}

/// Lists that are told in a later turn of the loop than they are reported in.
@Suite struct LongListTests {
    private let service = ServiceKey.http("big")

    private func reporter(_ fixture: Fixture) -> InstanceReporter {
        InstanceReporter(
            resolver: fixture.context.resolver, reports: fixture.reports, logger: fixture.context.logger)
    }

    /// Hosts in no order.
    private func hosts(_ count: Int, weight: Double = 1) -> [ListedHost] {
        (0..<count).map { number in
            let place = (number * 7919) % count
            let instance = Instance(address: .unknown, weight: weight, metadata: ["n": "\(number)"])
            return ListedHost(host: "10.0.\(place / 256).\(place % 256)", port: 80, instance: instance)
        }
    }

    /// Lets everything happen that is due.
    private func settle(_ fixture: Fixture) {
        var turns = 0
        _ = fixture.wait(.seconds(20)) {
            turns += 1
            return turns > 100
        }
    }

    @Test func areToldInOrderWithDoublesAndNames() throws {
        let fixture = try Fixture(names: ["b.test": ["10.9.0.1", "10.9.0.2"]])
        let reporter = reporter(fixture)
        defer { reporter.stop() }
        let list = hosts(2000)
        let names = ["b.test", "unknown.test"].map { ListedHost(host: $0, port: 80, instance: list[0].instance) }
        reporter.report(service, list + list.prefix(10) + names, unused: [.unhealthy: 3])
        #expect(fixture.told[service] == nil)
        #expect(fixture.wait { fixture.told[service]?.last?.count == 2002 })
        let told = try #require(fixture.told[service]?.last)
        #expect(zip(told, told.dropFirst()).allSatisfy(Instance.precedes))
        #expect(Set(told.map(\.address.ip)).isSuperset(of: list.map(\.host) + ["10.9.0.1", "10.9.0.2"]))
        let isCounted = fixture.wait {
            var status = RegistryStatus()
            reporter.describe(&status)
            return status.dropped == [.unhealthy: 3, .duplicate: 10, .unresolved: 1] && status.instances == 2002
        }
        #expect(isCounted)
    }

    @Test func areToldOnlyWhenSomethingHasChanged() throws {
        let fixture = try Fixture()
        let reporter = reporter(fixture)
        defer { reporter.stop() }
        let list = hosts(1000)
        reporter.report(service, list)
        #expect(fixture.wait { fixture.told[service]?.count == 1 })
        reporter.report(service, list.reversed())
        settle(fixture)
        #expect(fixture.told[service]?.count == 1)
        reporter.doubt(service)
        reporter.report(service, list.shuffled())
        #expect(fixture.wait { fixture.told[service]?.count == 2 })
        #expect(fixture.told[service]?[0] == fixture.told[service]?[1])
    }

    @Test(arguments: [1, 1000])
    func aNewerListTakesThePlaceOfOneThatIsNotTold(count: Int) throws {
        let fixture = try Fixture()
        let reporter = reporter(fixture)
        defer { reporter.stop() }
        reporter.report(service, hosts(3000))
        reporter.report(service, hosts(count, weight: 2))
        settle(fixture)
        #expect(fixture.told[service]?.map(\.count) == [count])
        #expect(fixture.told[service]?.last?.allSatisfy { $0.weight == 2 } == true)
    }

    @Test func areNotToldOfWhatIsForgotten() throws {
        let fixture = try Fixture()
        let reporter = reporter(fixture)
        reporter.report(service, hosts(1000))
        // It was read, if not told yet.
        reporter.fail(service, "x")
        reporter.forget(service)
        settle(fixture)
        #expect(fixture.told.isEmpty && fixture.failures.isEmpty)
        reporter.report(service, hosts(1000))
        reporter.forget(service)
        reporter.report(service, hosts(500))
        settle(fixture)
        #expect(fixture.told[service]?.map(\.count) == [500])
        reporter.report(service, hosts(1000))
        reporter.stop()
        settle(fixture)
        #expect(fixture.told[service]?.count == 1)
    }

    @Test func longWorkHasATurnForItself() throws {
        let fixture = try Fixture()
        let queue = WorkQueue(loop: fixture.loop)
        var done: [String] = []
        var turns: [[String]] = []
        for name in ["a", "b", "LONG", "OTHER", "c"] {
            queue.add(isLong: name.count > 1) { done.append(name) }
        }
        let isDone = fixture.wait {
            turns.append(done)
            return done.count == 5
        }
        #expect(isDone && done == ["a", "b", "LONG", "OTHER", "c"])
        #expect(turns.contains(["a", "b", "LONG"]))
        #expect(!zip(turns, turns.dropFirst()).contains { $1.dropFirst($0.count).count { $0.count > 1 } > 1 })
        #expect(!zip(turns, turns.dropFirst()).contains { $1.dropFirst($0.count).count > 1 && $1.last!.count > 1 })
    }
}
