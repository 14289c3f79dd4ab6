import Model
import Runtime
import TestSupport
import Testing

@testable import Discovery

/// What a real etcd does not do at will: half lines, garbage, silence, wrong answers.
@Suite struct EtcdFaultTests {
    let fixture: Fixture
    let server: FakeServer
    let gateway: Gateway
    let order = ServiceKey.http("order")

    init() throws {
        fixture = try Fixture()
        let gateway = Gateway()
        self.gateway = gateway
        server = try FakeServer(loop: fixture.loop) { gateway.answer($0) }
    }

    /// An etcd with one service; every answer can be replaced.
    final class Gateway {
        var revision = 10
        var cluster = "7"
        var hosts: [(port: Int, revision: Int)] = [(9001, 5)]
        var fault: (FakeServer.Request) -> FakeServer.Answer? = { _ in nil }
        /// What the watch begins with instead of its confirmation.
        var opening: String?

        var header: String { #""header":{"cluster_id":"\#(cluster)","member_id":"1","revision":"\#(revision)"}"# }

        func answer(_ request: FakeServer.Request) -> FakeServer.Answer {
            if let fault = fault(request) { return fault }
            if request.path == "/v3/watch" {
                let created = #"{"result":{\#(header),"watch_id":"1","created":true}}"# + "\n"
                return .raw(FakeServer.chunkedHead + FakeServer.chunk(opening ?? created), close: false)
            }
            let order = Base64.encode(Array("/microservices/order/".utf8))
            let parts = request.body.split(separator: #"{"request_range""#, omittingEmptySubsequences: true).dropFirst()
            let pages = parts.map { part in
                let found = hosts.filter { host in
                    part.contains(Self.key(host.port)) || part.contains(order) && part.contains("range_end")
                }
                return
                    "{\"response_range\":{\"kvs\":[\(found.map { record($0.port, $0.revision) }.joined(separator: ","))]}}"
            }
            return .ok("{\(header),\"succeeded\":true,\"responses\":[\(pages.joined(separator: ","))]}")
        }

        static func key(_ port: Int) -> String { Base64.encode(Array("/microservices/order/\(port)".utf8)) }

        func record(_ port: Int, _ revision: Int) -> String {
            let value = Base64.encode(Array(EtcdTool.kratos("order", port, "v1", nil).utf8))
            return #"{"key":"\#(Self.key(port))","mod_revision":"\#(revision)","value":"\#(value)","lease":"77"}"#
        }

        /// A line of the watch that tells of a new host.
        func line(_ port: Int) -> String {
            revision += 1
            return #"{"result":{\#(header),"watch_id":"1","events":[{"kv":\#(record(port, revision))}]}}"# + "\n"
        }
    }

    private func follow(_ adjust: (inout EtcdSettings) -> Void = { _ in }) -> EtcdRegistry {
        let registry = fixture.etcd([server.base]) {
            $0.layouts = [EtcdLayout(.kratos)]
            $0.timeout = .milliseconds(300)
            adjust(&$0)
        }
        registry.subscribe(order)
        return registry
    }

    private func watches() -> Int { server.requests.count { $0.path == "/v3/watch" } }

    @Test func linesInAnyPieces() throws {
        let registry = follow()
        defer { registry.stop() }
        #expect(fixture.wait { fixture.ports(order) == [9001] && registry.status.state == .connected })
        let line = gateway.line(9002)
        let middle = line.index(line.startIndex, offsetBy: 60)
        server.push(FakeServer.chunk(String(line[..<middle])))
        #expect(!fixture.wait(.milliseconds(50)) { fixture.told[order]?.count != 1 })
        server.push(FakeServer.chunk(String(line[middle...]) + gateway.line(9003) + gateway.line(9004)))
        #expect(fixture.wait { fixture.ports(order) == [9001, 9002, 9003, 9004] })
        for byte in gateway.line(9005) { server.push(FakeServer.chunk(String(byte))) }
        #expect(fixture.wait { fixture.ports(order)?.last == 9005 })
        // A change of long ago, one that cannot be read, and one without a type that is known.
        let old =
            #"{"result":{\#(gateway.header),"watch_id":"1","events":[{"kv":\#(gateway.record(9009, 3))},{"kv":{"key":"%"}},"#
        server.push(FakeServer.chunk(old + #"{"type":"MOVE","kv":\#(gateway.record(9010, 99))}]}}"# + "\n"))
        server.push(FakeServer.chunk(gateway.line(9006)))
        #expect(fixture.wait { fixture.ports(order)?.last == 9006 })
        #expect(fixture.ports(order)?.count == 6)
        #expect(watches() == 1 && registry.status.failures == 0)
    }

    static let ends: [String] = [
        "garbage\n", "{\"result\":5}\n", "[]\n", "{}\n",
        #"{"error":{"grpc_code":14,"http_code":503,"message":"etcdserver: no leader"}}"# + "\n",
        #"{"error":"transport is closing","code":14}"# + "\n", String(repeating: "x", count: 70_000),
        String(repeating: "[", count: 5000) + "\n",
    ]

    @Test(arguments: ends.indices)
    func aBadLineEndsTheStream(index: Int) throws {
        let registry = follow { $0.largestAnswer = 65_536 }
        defer { registry.stop() }
        #expect(fixture.wait { fixture.ports(order) == [9001] && registry.status.state == .connected })
        server.push(FakeServer.chunk(Self.ends[index]))
        #expect(fixture.wait { registry.status.failures > 0 }, "\(index)")
        #expect(fixture.wait { registry.status.state == .connected && watches() == 2 }, "\(index)")
        // It goes on behind what it knows.
        #expect(server.requests.last { $0.path == "/v3/watch" }?.body.contains(#""start_revision":"11""#) == true)
        server.push(FakeServer.chunk(gateway.line(9002)))
        #expect(fixture.wait { fixture.ports(order) == [9001, 9002] })
        #expect(registry.status.unsteadyAt == nil && fixture.failures.isEmpty)
    }

    static let answers: [FakeServer.Answer] = [
        .ok("<html>"), .ok(""), .ok("{}"), .ok(#"{"header":{"revision":"x"}}"#), .status(503, "no"),
        .status(500, #"{"error":"context deadline exceeded","message":"context deadline exceeded","code":2}"#),
        .status(404, "404 page not found"), .status(200, "{"), .reset, .silence,
        .raw("HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{\"header\":", close: true),
        .status(401, #"{"error":"etcdserver: invalid auth token","code":16}"#),
    ]

    @Test(arguments: answers.indices)
    func badAnswersChangeNothing(index: Int) throws {
        gateway.fault = { _ in Self.answers[index] }
        let registry = follow()
        defer { registry.stop() }
        #expect(fixture.wait { fixture.failures[order] != nil && registry.status.state == .failed }, "\(index)")
        gateway.fault = { _ in nil }
        #expect(fixture.wait { fixture.ports(order) == [9001] && registry.status.state == .connected }, "\(index)")
        gateway.fault = { $0.path == "/v3/watch" ? nil : Self.answers[index] }
        registry.refresh(order)
        #expect(fixture.wait { registry.status.failures > 1 }, "\(index)")
        #expect(fixture.told[order]?.count == 1)
        gateway.fault = { _ in nil }
        #expect(fixture.wait { fixture.told[order]?.count == 2 && registry.status.state == .connected }, "\(index)")
        #expect(fixture.ports(order) == [9001])
    }

    @Test func silentAndUnconfirmedWatchesAreLeft() throws {
        let registry = follow { $0.idle = .milliseconds(200) }
        defer { registry.stop() }
        #expect(fixture.wait { fixture.ports(order) == [9001] })
        // Silence alone is no fault.
        #expect(fixture.wait { watches() == 3 })
        #expect(registry.status.failures == 0)
        gateway.opening = " "
        #expect(
            fixture.wait {
                registry.status.lastError?.contains("silent") == true
                    || registry.status.lastError?.contains("not confirmed") == true
            })
        gateway.opening = nil
        #expect(fixture.wait { registry.status.state == .connected })
        #expect(fixture.told[order]?.count == 1)
    }

    @Test func asksBesideTheWatch() throws {
        let registry = follow { $0.probePeriod = .milliseconds(50) }
        defer { registry.stop() }
        #expect(fixture.wait { fixture.ports(order) == [9001] && registry.status.state == .connected })
        // Behind its back it has become older: nothing on the stream tells that.
        (gateway.revision, gateway.hosts) = (4, [(9007, 3)])
        #expect(fixture.wait { registry.status.unsteadyAt != nil && fixture.ports(order) == [9007] })
        let before = registry.status.unsteadyAt
        (gateway.revision, gateway.cluster) = (40, "8")
        #expect(fixture.wait { registry.status.unsteadyAt != before })
        #expect(fixture.wait { registry.status.state == .connected })
        gateway.fault = { $0.path == "/v3/watch" ? nil : .silence }
        #expect(fixture.wait { registry.status.state == .failed })
    }

    @Test func readsInPages() throws {
        var pages: [String] = []
        gateway.fault = { [gateway] request in
            guard request.body.contains("limit") else { return nil }
            pages.append(request.body)
            let port = 9000 + pages.count
            // A change comes in between: one of the past, one that is newer.
            return .ok(
                "{\(gateway.header),\"responses\":[{\"response_range\":{\"kvs\":[\(gateway.record(port, 5))]"
                    + (pages.count < 3 ? ",\"more\":true" : "") + "}}]}")
        }
        let registry = follow { $0.pageSize = 1 }
        defer { registry.stop() }
        #expect(fixture.wait { fixture.told[order] != nil })
        #expect(fixture.ports(order) == [9001, 9002, 9003])
        #expect(pages.count == 3 && !pages[0].contains("revision"))
        #expect(pages[1].contains(#""revision":"10""#) && pages[2].contains(#""revision":"10""#))
        #expect(pages[1].contains(Base64.encode(Array("/microservices/order/9001".utf8) + [0])))
    }

    /// It neither keeps hosts that are gone nor a doubted list from being confirmed.
    @Test func aPlaceThatIsForbiddenLeavesTheOthersAlone() throws {
        let closed = EtcdLayout(.goMicro)
        let key = Base64.encode(Array("\(closed.prefix)/order/".utf8))
        gateway.fault = { request in
            guard request.body.contains(key) else { return nil }
            let words = "etcdserver: permission denied"
            return .status(403, #"{"error":"\#(words)","message":"\#(words)","code":7}"#)
        }
        gateway.opening = ["1", "2"].map { number in
            #"{"result":{\#(gateway.header),"watch_id":"\#(number)","created":true}}"# + "\n"
        }.joined()
        let registry = follow { $0.layouts = [EtcdLayout(.kratos), closed] }
        defer { registry.stop() }
        #expect(fixture.wait { fixture.ports(order) == [9001] && registry.status.state == .connected })
        let count = fixture.told[order]?.count ?? 0
        registry.refresh(order)
        #expect(fixture.wait { fixture.told[order]?.count ?? 0 > count })
        gateway.hosts = []
        registry.refresh(order)
        #expect(fixture.wait { fixture.ports(order) == [] })
        #expect(fixture.failures.isEmpty)
    }

    // MARK: Loops and waits

    private func reads() -> Int { server.requests.count { $0.body.contains("limit") } }

    @Test func historyThatIsGoneAgainAndAgainIsNotReadInALoop() throws {
        gateway.fault = { request in
            guard request.body.contains("limit") else { return nil }
            let words = "etcdserver: mvcc: required revision has been compacted"
            return .status(400, #"{"error":"\#(words)","message":"\#(words)","code":11}"#)
        }
        let registry = follow()
        defer { registry.stop() }
        #expect(fixture.wait { fixture.failures[order]?.contains("compacted") == true })
        #expect(!fixture.wait(.milliseconds(500)) { reads() > 3 })
        gateway.fault = { _ in nil }
        #expect(fixture.wait { fixture.ports(order) == [9001] })
    }

    @Test func aWatchThatIsCancelledAgainAndAgainIsNotOpenedInALoop() throws {
        let cancelled = #"{"result":{\#(gateway.header),"watch_id":"1","canceled":true,"compact_revision":"9"}}"# + "\n"
        let created = #"{"result":{\#(gateway.header),"watch_id":"1","created":true}}"# + "\n"
        gateway.opening = created + cancelled
        let registry = follow { $0.serverBackoff = Backoff(first: .milliseconds(50), cap: .seconds(2)) }
        defer { registry.stop() }
        #expect(fixture.wait { watches() >= 5 })
        #expect(!fixture.wait(.milliseconds(500)) { watches() > 7 })
        gateway.opening = nil
        let before = watches()
        #expect(fixture.wait { watches() > before && fixture.ports(order) == [9001] })
        server.push(FakeServer.chunk(gateway.line(9002)))
        #expect(fixture.wait { fixture.ports(order) == [9001, 9002] })
    }

    @Test func aPageThatDoesNotGoOnIsNotAskedForInALoop() throws {
        gateway.fault = { [gateway] request in
            guard request.body.contains("limit") else { return nil }
            let page = "{\"kvs\":[\(gateway.record(9001, 5))],\"more\":true}"
            return .ok("{\(gateway.header),\"responses\":[{\"response_range\":\(page)}]}")
        }
        let registry = follow()
        defer { registry.stop() }
        #expect(fixture.wait { fixture.failures[order] != nil })
        #expect(!fixture.wait(.milliseconds(300)) { reads() > 3 })
        #expect(fixture.told[order] == nil)
    }

    @Test func aCopyThatCannotBeReadIsReadFromTheMajority() throws {
        var copies = 0
        gateway.fault = { request in
            if request.body.contains("serializable") {
                copies += 1
                return .later(1)
            }
            // The question whether it is the cluster that is known is answered late.
            return copies == 0 ? .later(0) : nil
        }
        let registry = follow { settings in
            settings.staleAfter = .milliseconds(50)
            settings.timeout = .seconds(5)
        }
        defer { registry.stop() }
        #expect(fixture.wait { copies == 1 })
        server.complete(0, .ok(#"{\#(gateway.header),"responses":[{"response_range":{}}]}"#))
        #expect(fixture.wait { registry.status.state == .connected })
        server.complete(1, .status(503, "not now"))
        #expect(fixture.wait { fixture.ports(order) == [9001] })
    }

    static let extremes = [
        "9223372036854775807", "9223372036854775806", "-9223372036854775808", "18446744073709551615", "-1",
    ]

    @Test(arguments: extremes)
    func extremeNumbersAreSurvived(number: String) throws {
        let header = #""header":{"cluster_id":"7","member_id":"\#(number)","revision":"\#(number)"}"#
        gateway.fault = { [gateway] request in
            if request.path == "/v3/watch" {
                let lines = ["1", number].map { "{\"result\":{\(header),\"watch_id\":\"\($0)\",\"created\":true}}\n" }
                return .raw(FakeServer.chunkedHead + FakeServer.chunk(lines.joined()), close: false)
            }
            let record = gateway.record(9001, 5).replacing("\"5\"", with: "\"\(number)\"")
            return .ok("{\(header),\"responses\":[{\"response_range\":{\"kvs\":[\(record)]}}]}")
        }
        let registry = follow { $0.probePeriod = .milliseconds(50) }
        defer { registry.stop() }
        _ = fixture.wait(.milliseconds(200)) { false }
        let members = #""watch_id":"1","compact_revision":"\#(number)","events":[{"kv":{}}]"#
        server.push(FakeServer.chunk("{\"result\":{\(header),\(members)}}\n"))
        _ = fixture.wait(.milliseconds(100)) { false }
        gateway.fault = { _ in nil }
        #expect(fixture.wait { fixture.ports(order) == [9001] && registry.status.state == .connected })
    }

    /// Recorded from a real etcd.
    @Test func recordedStreams() throws {
        var seen: [String] = []
        let loop = fixture.loop
        for (name, end) in [
            ("etcd-watch", "1@2 1@3 1@4 1@5 2@6 1@7"), ("etcd-watch-several", "5@7 1@8 1@9 1@10"),
            ("etcd-watch-compacted", "compacted 10"),
            ("etcd-watch-stopped", "transport is closing"),
        ] {
            seen = []
            let feed = EtcdFeed(
                loop: loop, maximumLine: 65_536,
                handlers: EtcdFeed.Handlers(
                    message: { if $0.isCanceled { seen.append("compacted \($0.compactRevision)") } }, event: { _ in },
                    finished: { seen.append("\($0.events.count)@\($1)") },
                    failed: { seen.append("\($0)") }, pause: { _ in }))
            let lines = try Fixture.resource("\(name).txt").utf8.split(separator: UInt8(ascii: "\n"))
            for line in lines where line.first == UInt8(ascii: "{") {
                for byte in line { feed.take([byte]) }
                feed.take([UInt8(ascii: "\n")])
            }
            let came = fixture.wait(.seconds(5)) { seen.joined(separator: " ").hasSuffix(end) }
            withExtendedLifetime(feed) { _ = $0 }
            #expect(came, "\(name): \(seen)")
        }
    }
}
