import Discovery
import Glibc
import Runtime
import TestSupport
import Testing

/// One application in several registries at once, from its start to its end, as each registry itself shows it.
@Suite("The life of a registered application")
struct RegistrationLifeTests {
    @Test(
        "In ZooKeeper, etcd and Consul",
        .enabled(if: ZooKeeperServer.isAvailable && EtcdServer.isAvailable))
    func small() throws {
        let life = try Life([try ZooKeeperLedger(), try EtcdLedger(), try ConsulLedger()])
        try life.begin()
        try life.fallIllAndRecover()
        try life.loseRegistries()
        try life.end()
    }

    @Test("In Nacos 2, Nacos 3 and Eureka", .enabled(if: Peers.areAvailable))
    func large() throws {
        let life = try Life([try NacosLedger("nacos2"), try NacosLedger("nacos3"), try EurekaLedger()])
        try life.begin()
        try life.fallIllAndRecover()
        // To start a Nacos takes ten seconds of a processor; the older one's return is tested with its adapter.
        try life.loseRegistries(from: 1)
        try life.end()
    }

    @Test("A registry that comes late has it soon after", .enabled(if: EtcdServer.isAvailable))
    func late() throws {
        let life = try Life([try EtcdLedger(), try ConsulLedger()])
        try life.begin(isLate: true)
        try life.end()
    }
}

/// An application with a Greymesh before it, and the registries that are to list it.
private final class Life {
    private let ledgers: [any Ledger]
    private let application: HostThread
    private let directory: TemporaryDirectory
    private var greymesh: GreymeshProcess?

    init(_ ledgers: [any Ledger]) throws {
        self.ledgers = ledgers
        application = try HostThread("answer")
        directory = try TemporaryDirectory()
    }

    deinit {
        greymesh?.child.terminate(grace: .zero)
        application.stop()
    }

    /// - Parameter isLate: the registries are started last.
    func begin(isLate: Bool = false) throws {
        if !isLate { try startRegistries() }
        let urls = ledgers.map { "\"\($0.url)\"" }.joined(separator: ", ")
        let forward = "listen: 127.0.0.1:0, forward: \"\(application.address)\""
        let health =
            "health: {path: /health, port: \(application.address.port), interval: 200ms, timeout: 2s, failures: 2}"
        let path = try directory.write(
            "greymesh.yaml",
            """
            registries: [\(urls)]
            listeners:
              - {name: web, protocol: http, \(forward)}
              - {name: calls, protocol: dubbo, \(forward)}
            register:
              - {service: shop, listener: web, version: "2.0", weight: 300, metadata: {zone: z1}, \(health)}
              - {service: "com.acme.Orders:1.0.0:blue", listener: calls, weight: 50, metadata: {zone: z1}, \(health)}
            withdraw_wait: 2s
            """)
        let process = try GreymeshProcess(
            ["run", "--config", path, "--admin", "127.0.0.1:0", "--workers", "1"])
        greymesh = process
        try process.waitForLog("event=ready")
        if isLate {
            try process.waitForLog("event=registration.failed")
            try startRegistries()
        }
        try expectListed()
    }

    /// All at the same time: a large one takes seconds.
    private func startRegistries(from first: Int = 0) throws {
        for ledger in ledgers[first...] { try ledger.startEmpty() }
        for ledger in ledgers[first...] { try ledger.waitUntilItServes() }
    }

    private func expected(in ledger: any Ledger) throws -> Set<ListedEntry> {
        let process = try #require(greymesh)
        let web = try process.address(of: "web")
        let calls = try process.address(of: "calls")
        let shop = ListedEntry(service: "shop", address: web, version: "2.0", weight: 300, zone: "z1")
        let orders = ListedEntry(
            service: "com.acme.Orders", address: calls, version: "1.0.0", group: "blue", weight: 50, zone: "z1")
        return ledger.takesInterfaces ? [shop, orders] : [shop]
    }

    private func expectListed(within limit: Duration = .seconds(60)) throws {
        for ledger in ledgers { try expect(ledger, expected(in: ledger), within: limit) }
        let process = try #require(greymesh)
        // The registry may list it before its answer is here.
        var page = ""
        let isConfirmed = try waitUntil(within: limit) {
            page = try process.ask("/registrations").text
            return ["waiting", "registering", "failed"].allSatisfy { !page.contains(#""state": "\#($0)""#) }
        }
        #expect(isConfirmed, "\(page)")
    }

    private func expect(_ ledger: any Ledger, _ entries: Set<ListedEntry>, within limit: Duration = .seconds(20)) throws
    {
        var last = "nothing"
        let isRight = waitUntil(within: limit) {
            do {
                let listed = try ledger.listed()
                last = "\(listed)"
                return listed.count == entries.count && Set(listed) == entries
            } catch {
                last = "\(error)"
                return false
            }
        }
        #expect(isRight, "\(ledger.url) lists \(last), not \(entries)\n\(greymesh?.child.errors ?? "")")
    }

    func fallIllAndRecover() throws {
        application.isWell = false
        for ledger in ledgers { try expect(ledger, []) }
        let process = try #require(greymesh)
        try process.waitForLog("event=application.down ")
        #expect(try process.ask("/registrations").text.contains("answers 503"))
        application.isWell = true
        try expectListed()
    }

    /// They are killed and come back without what they knew.
    func loseRegistries(from first: Int = 0) throws {
        for ledger in ledgers[first...] { try ledger.kill() }
        try startRegistries(from: first)
        try expectListed()
    }

    /// It is taken out everywhere while it still serves; then it ends.
    func end() throws {
        let process = try #require(greymesh)
        let address = try process.address(of: "web")
        process.child.signal(SIGTERM)
        try process.waitForLog("event=withdraw.waiting")
        let request = HTTPRequest("GET", "http://\(address)/", headers: [("Host", "any")])
        #expect(try HTTPClient.perform(request).text == "answer")
        for ledger in ledgers { try expect(ledger, []) }
        #expect(try process.child.waitForExit() == .status(0))
        let log = process.child.errors
        let events = log.split(separator: "\n").compactMap { line in
            line.split(separator: " ").first { $0.hasPrefix("event=") }.map { String($0.dropFirst(6)) }
        }
        let order = ["withdraw.waiting", "drain.started", "drain.done"].map { events.firstIndex(of: $0) }
        #expect(!order.contains(nil) && order.compactMap(\.self) == order.compactMap(\.self).sorted(), "\(log)")
        let count = ledgers.reduce(0) { $0 + ($1.takesInterfaces ? 2 : 1) }
        let before = events.prefix(order[0] ?? 0).reversed().prefix(count)
        #expect(before.allSatisfy { $0 == "registration.withdrawn" }, "\(log)")
    }
}
