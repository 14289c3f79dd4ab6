import Configuration
import Model
import Runtime
import Synchronization
import TestSupport
import Testing

@testable import Discovery

extension ServerPool {
    /// Chooses a server; nil where there is none.
    fileprivate mutating func turn(now: Int64, skip: Int = 0) -> Turn? {
        guard case .use(let turn) = choose(now: now, skip: skip) else { return nil }
        return turn
    }

    /// Chooses a server and lets its turn go.
    fileprivate mutating func server(now: Int64, skip: Int = 0) -> Int? { turn(now: now, skip: skip)?.server }
}

@Suite struct ServerPoolTests {
    private let second: Int64 = 1_000_000_000

    @Test func staysWithAServerUntilItFails() {
        var pool = ServerPool(count: 3)
        #expect(pool.server(now: 0) == 0)
        pool.failed(0, sentAt: 0, now: second)
        #expect(pool.server(now: second) == 1)
        // The first one may be asked again, and is not.
        #expect(pool.server(now: 100 * second) == 1)
        pool.failed(1, sentAt: 100 * second, now: 100 * second)
        #expect(pool.server(now: 100 * second) == 2)
        #expect(pool.server(now: 100 * second, skip: 1) == 2)
    }

    @Test func passesOverServersForOneQuestion() {
        var pool = ServerPool(count: 3)
        var choices: [Int?] = []
        for skip in 1...4 { choices.append(pool.server(now: 0, skip: skip)) }
        #expect(choices == [1, 2, 0, 1])
        #expect(pool.current == 0)
    }

    @Test func waitsAndThenProbesWithOneRequest() throws {
        var pool = ServerPool(count: 1)
        pool.failed(0, sentAt: 0, now: 0)
        guard case .wait(let time) = pool.choose(now: 0) else { throw TestFailure("no wait") }
        #expect(time >= .milliseconds(250) && time <= .milliseconds(500))
        guard case .use(let turn) = pool.choose(now: second) else { throw TestFailure("no turn") }
        // Whoever comes meanwhile asks again soon, so that nobody waits for a word that never comes.
        guard case .wait(let pause) = pool.choose(now: second) else { throw TestFailure("two at a time") }
        #expect(turn.server == 0 && pause > .zero && pause <= .milliseconds(100) && pool.isAway(now: second))
        let hadFailed = pool.succeeded(0)
        #expect(hadFailed)
        #expect(pool.server(now: second) == 0 && pool.server(now: second) == 0)
        let hadFailedAgain = pool.succeeded(0)
        #expect(!hadFailedAgain)
    }

    @Test func aTurnThatIsLetGoIsGivenBack() throws {
        var pool = ServerPool(count: 1)
        pool.failed(0, sentAt: 0, now: 0)
        for _ in 0..<3 {
            var turn = pool.turn(now: second)
            let isTried = turn != nil
            #expect(isTried && pool.isAway(now: second) && pool.server(now: second) == nil)
            // The request was cancelled, or its owner has gone.
            turn = nil
            #expect(!pool.isAway(now: second))
        }
    }

    @Test func requestsThatWereUnderWayTogetherCountOnce() throws {
        var pool = ServerPool(count: 1)
        for _ in 0..<50 { pool.failed(0, sentAt: 0, now: 10) }
        guard case .wait(let time) = pool.choose(now: 10) else { throw TestFailure("no wait") }
        #expect(time <= .milliseconds(500))
    }

    @Test func aRateLetsSoManyFollowAndThenOneEachInterval() {
        var rate = RateLimit(interval: .seconds(1), burst: 3)
        var delays = (0..<5).map { _ in rate.take(now: second) }
        #expect(delays == [.zero, .zero, .zero, .seconds(1), .seconds(2)])
        // What is granted counts beside that.
        rate.grant(2)
        rate.grant(-7)
        delays = (0..<3).map { _ in rate.take(now: second) }
        #expect(delays == [.zero, .zero, .seconds(3)])
        // What was not used is not saved up beyond that many.
        delays = (0..<4).map { _ in rate.take(now: 1000 * second) }
        #expect(delays == [.zero, .zero, .zero, .seconds(1)])
    }

    @Test func backoffGrowsToItsCapWithJitter() {
        var backoff = Backoff(first: .milliseconds(500), cap: .seconds(30))
        let waits = (0..<100).map { _ in backoff.failed() }
        for (index, wait) in waits.enumerated() {
            let limit = min(Duration.seconds(30), .milliseconds(500) * (1 << min(index, 10)))
            #expect(wait <= limit && wait >= limit / 2)
        }
        #expect(Set(waits.suffix(50)).count > 40)
        backoff.succeeded()
        #expect(backoff.failed() <= .milliseconds(500))
    }
}

@Suite struct NameResolverTests {
    @Test func remembersAndRefreshes() throws {
        let loop = try EventLoop()
        let counter = Counter()
        let resolver = NameResolver(loop: loop, lifetime: .milliseconds(20)) { name in
            let count = counter.next()
            if count == 3 { return .failed("no name server") }
            return .addresses([SocketAddress(ipv4: count < 6 ? 1 : 2, port: 0)])
        }
        var changed: [String] = []
        _ = resolver.observe { changed.append($0) }
        #expect(resolver.answer("a") == .pending && counter.value == 0)
        resolver.retain("a")
        resolver.retain("a")
        #expect(loop.run(for: .seconds(20)) { resolver.answer("a") == .addresses([SocketAddress(ipv4: 2, port: 0)]) })
        // The failure between changed nothing and was not told.
        #expect(changed == ["a", "a"])
        resolver.release("a")
        #expect(resolver.answer("a") != .pending)
        resolver.release("a")
        #expect(resolver.answer("a") == .pending)
        resolver.stop()
    }

    @Test(arguments: ["010.0.0.1", "127.0.0.010", "0x7f.1", "2130706433"])
    func aNumberIsNoName(text: String) {
        #expect(HostText.isNumber(text) && NameResolver.ask(text) == .failed("not an address"))
    }

    @Test(arguments: ["127.0.0.1", "::1", "localhost", "web.1", "10.example", "a"])
    func namesAndAddressesAreNoNumbers(text: String) { #expect(!HostText.isNumber(text)) }

    @Test(arguments: [
        ("[2001:db8::1]", "2001:db8::1"), ("fe80::1%eth0", "fe80::1"), ("[fe80::1%2]", "fe80::1"), ("a", "a"),
        ("10.0.0.1", "10.0.0.1"),
    ])
    func addressesLoseTheirBracketsAndZones(text: String, bare: String) {
        #expect(HostText.bare(text) == bare)
        #expect(ListedHost(host: text, port: 1, instance: Instance(address: .unknown)).host == bare)
    }

    @Test func asksTheSystem() throws {
        let loop = try EventLoop()
        let resolver = NameResolver(loop: loop)
        resolver.retain("localhost")
        resolver.retain("no.such.name.invalid")
        let done = loop.run(for: .seconds(30)) {
            resolver.answer("localhost") != .pending && resolver.answer("no.such.name.invalid") != .pending
        }
        #expect(done)
        #expect(resolver.answer("localhost") == .addresses([SocketAddress(ip: "127.0.0.1", port: 0)!]))
        guard case .failed = resolver.answer("no.such.name.invalid") else { throw TestFailure("found") }
        resolver.stop()
    }

    private final class Counter: Sendable {
        private let count = Mutex(0)
        var value: Int { count.withLock { $0 } }
        func next() -> Int {
            count.withLock {
                $0 += 1
                return $0
            }
        }
    }
}

@Suite struct InstanceReporterTests {
    let service = ServiceKey.http("order")

    private func host(_ name: String, _ metadata: [String: String] = [:], available: Bool = true) -> ListedHost {
        ListedHost(
            host: name, port: 80,
            instance: Instance(address: .unknown, available: available, metadata: Labels(metadata)))
    }

    @Test func tellsKnownHostsBeforeNamesAreFound() throws {
        let fixture = try Fixture(names: ["b": ["10.0.0.2"]])
        let reporter = InstanceReporter(
            resolver: fixture.context.resolver, reports: fixture.reports, logger: fixture.context.logger)
        reporter.report(service, [host("10.0.0.1"), host("b")])
        #expect(fixture.told[service]?.map { $0.count } == [1])
        #expect(fixture.wait { fixture.told[service]?.count == 2 })
        // Names only: nothing is told before they are found.
        reporter.report(.http("b"), [host("b")])
        #expect(fixture.told[.http("b")]?.map { $0.count } == [1])
        reporter.report(.http("c"), [host("c")])
        #expect(fixture.told[.http("c")] == nil)
        #expect(fixture.wait { fixture.told[.http("c")] == [[]] })
        var status = RegistryStatus()
        reporter.describe(&status)
        #expect(status.changes == 4 && status.lastChange != nil)
        // A failure is told only where nothing was.
        reporter.fail(service, "x")
        reporter.fail(.http("d"), "x")
        #expect(fixture.failures == [.http("d"): "x"])
        reporter.forget(service)
        reporter.report(service, [host("10.0.0.1")])
        #expect(fixture.told[service]?.count == 3)
        reporter.stop()
        fixture.context.resolver.stop()
    }

    @Test func mergesDoublesIndependentlyOfOrder() throws {
        let variants = [
            host("10.0.0.1", ["a": "1"]), host("10.0.0.1", ["a": "2"]), host("10.0.0.1", ["a": "1", "b": "1"]),
            host("10.0.0.1", ["timestamp": "5"]), host("10.0.0.1", ["timestamp": "9", "a": "x"], available: false),
        ]
        var results: Set<[Instance]> = []
        for _ in 0..<20 {
            results.insert(
                Instance.merged(
                    variants.shuffled().map {
                        var instance = $0.instance
                        instance.address = SocketAddress(ipv4: 1, port: 80)
                        return instance
                    }))
        }
        #expect(results.count == 1)
        #expect(results.first?.map(\.metadata) == [["timestamp": "5"]])
    }
}

@Suite struct RegistryFactoryTests {
    @Test func makesAdapters() throws {
        let fixture = try Fixture()
        let nacos = RegistryConfiguration(url: "nacos://u:p%40@a:1,b/ctx?namespace=public&group=g")
        let registry = try nacos.makeRegistry(fixture.context, reports: fixture.reports)
        #expect(registry.url == "nacos://a:1,b:8848/ctx?group=g&namespace=public")
        let settings = NacosSettings(try RegistryURL(nacos.url), poll: .seconds(3))
        #expect(settings.servers == ["http://a:1/ctx", "http://b:8848/ctx"])
        #expect(settings.credentials == .init(user: "u", password: "p@"))
        #expect(settings.namespace == "" && settings.group == "g" && settings.poll == .seconds(3))
        let plain = NacosSettings(try RegistryURL("nacos://[::1]?separator=%23&namespace=n"), poll: .seconds(2))
        #expect(plain.servers == ["http://[::1]:8848/nacos"])
        #expect(plain.credentials == nil && plain.separator == "#" && plain.namespace == "n")
        #expect(
            try RegistryConfiguration(url: "file:x.yaml").makeRegistry(fixture.context, reports: fixture.reports)
                is FileRegistry)
        #expect(throws: InvalidValue.self) {
            try RegistryConfiguration(url: "nacos:///").makeRegistry(fixture.context, reports: fixture.reports)
        }
    }
}
