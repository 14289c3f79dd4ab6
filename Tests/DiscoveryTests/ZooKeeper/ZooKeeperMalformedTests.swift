import Model
import Runtime
import TestSupport
import Testing

@testable import Discovery

/// What only a broken server says: it costs the connection, with a reason, and nothing else.
@Suite struct ZooKeeperMalformedTests {
    static let echo = ServiceKey.dubbo("demo.Echo")
    static let children = [
        "/dubbo/demo.Echo/providers": [
            PercentEncoding.encode("dubbo://127.0.0.1:9001/demo.Echo?interface=demo.Echo&timestamp=1")
        ]
    ]

    /// What is said instead of a list of providers, and what is said of that.
    struct Fault: Sendable, CustomStringConvertible {
        let description: String
        let words: String
        let answer: @Sendable (FakeZooKeeper.Question) -> FakeZooKeeper.Answer

        init(
            _ description: String, _ words: String, _ answer: @escaping @Sendable (Int32) -> FakeZooKeeper.Answer
        ) {
            self.description = description
            self.words = words
            self.answer = { answer($0.number) }
        }

        /// An answer with this body.
        init(_ description: String, _ words: String, body: [UInt8]) {
            self.init(description, words) { number in
                let head = FakeZooKeeper.message(number).dropFirst(4)
                let count = UInt8(head.count + body.count)
                return .bytes([0, 0, 0, count] + head + body)
            }
        }
    }

    static let faults = [
        Fault("unexpected number", "where", { .bytes(FakeZooKeeper.message($0 &+ 7)) }),
        Fault("answered twice", "request", { .before(FakeZooKeeper.message($0, code: -101)) }),
        Fault("login nobody asked for", "which was not sent", { _ in .bytes(FakeZooKeeper.message(-4)) }),
        Fault("number of nobody", "where", { _ in .bytes(FakeZooKeeper.message(-8)) }),
        Fault("garbage", "at most 67108864", { _ in .bytes(Array("HTTP/1.1 400 Bad Request\r\n\r\n".utf8)) }),
        Fault("huge message", "at most 67108864", { _ in .bytes([0x7f, 0xff, 0xff, 0xff, 1, 2, 3]) }),
        Fault("negative length", "no message of ZooKeeper", { _ in .bytes([0xff, 0xff, 0xff, 0xff]) }),
        Fault("empty message", "no message of ZooKeeper", { _ in .bytes([0, 0, 0, 0]) }),
        Fault(
            "half a header", "no message of ZooKeeper", { _ in .bytes([0, 0, 0, 7] + [UInt8](repeating: 0, count: 7)) }),
        Fault("huge count", "getChildren cannot be read", body: [0x7f, 0xff, 0xff, 0xff, 0, 0, 0, 1, 65]),
        Fault("negative count", "getChildren cannot be read", body: [0x80, 0, 0, 0]),
        Fault("huge name", "getChildren cannot be read", body: [0, 0, 0, 1, 0x7f, 0xff, 0xff, 0xff, 65]),
        Fault("negative name", "getChildren cannot be read", body: [0, 0, 0, 1, 0xff, 0xff, 0xff, 0xf0, 65]),
        Fault("no body", "getChildren cannot be read", body: []),
        Fault("another type", "getChildren cannot be read", body: [UInt8](repeating: 0, count: 68)),
        Fault(
            "half an event", "event that cannot be read",
            { _ in .bytes(FakeZooKeeper.message(-1) { $0.put(Int32(3)) }) }),
        Fault("session over", "SessionExpired", { .bytes(FakeZooKeeper.message($0, code: -112)) }),
        Fault("cut off", "closed the connection", { .close(Array(FakeZooKeeper.message($0).prefix(9))) }),
    ]

    @Test(arguments: faults) func losesOnlyTheConnection(fault: Fault) throws {
        let fixture = try Fixture()
        let server = try FakeZooKeeper(Self.children) { question in
            question.connection < 2 && question.isList ? fault.answer(question) : nil
        }
        let registry = try fixture.zookeeper("zookeeper://\(server.address)")
        defer { registry.stop() }
        registry.subscribe(Self.echo)
        try expectService(fixture, registry, server, fault.words)
        // The session is the same all the time.
        let sessions = Set(server.greetings.dropFirst().map { Array($0[16..<24]) })
        #expect(sessions.count == 1 && sessions != [[UInt8](repeating: 0, count: 8)])
        #expect(registry.status.unsteadyAt == nil)
    }

    /// It serves in the end, never told an empty list, and has said why it did not before.
    private func expectService(
        _ fixture: Fixture, _ registry: ZooKeeperRegistry, _ server: FakeZooKeeper, _ words: String
    ) throws {
        let isServing = fixture.wait {
            fixture.addresses(Self.echo) == ["127.0.0.1:9001"] && registry.status.state == .connected
        }
        #expect(isServing, "\(registry.status) \(fixture.log)")
        #expect(registry.status.lastError?.contains(words) == true, "\(registry.status.lastError ?? "nothing")")
        #expect(registry.status.instances == 1)
        #expect(server.server.accepted >= 2 && fixture.told[Self.echo]?.count == 1)
    }

    @Test func takesNoNoticeOfEventsThatMeanNothing() throws {
        let fixture = try Fixture()
        let server = try FakeZooKeeper(Self.children, isDribbling: true) { question in
            guard question.isList else { return nil }
            let events: [(Int32, String)] = [(4, "/unknown"), (2, ""), (1, "/dubbo"), (77, "/dubbo"), (-1, "")]
            return .before(
                events.flatMap { kind, path in
                    FakeZooKeeper.message(-1) {
                        $0.put(kind)
                        $0.put(Int32(3))
                        $0.put(path)
                    }
                })
        }
        let registry = try fixture.zookeeper("zookeeper://\(server.address)")
        defer { registry.stop() }
        registry.subscribe(Self.echo)
        #expect(fixture.wait { fixture.addresses(Self.echo) == ["127.0.0.1:9001"] })
        #expect(server.server.accepted == 1 && registry.status.failures == 0)
    }

    @Test func tellsOfRefusedCredentials() throws {
        let fixture = try Fixture()
        let server = try FakeZooKeeper(Self.children) { question in
            question.connection < 2 && question.isLogin ? .close(FakeZooKeeper.message(-4, code: -115)) : nil
        }
        let registry = try fixture.zookeeper("zookeeper://me:hidden@\(server.address)")
        defer { registry.stop() }
        registry.subscribe(Self.echo)
        try expectService(fixture, registry, server, "refuses the credentials")
        #expect(fixture.failures[Self.echo]?.contains("refuses the credentials") == true)
        #expect(!fixture.log.contains("hidden"))
        // Nothing is asked before they are taken.
        let early = server.questions.filter { $0.connection < 2 }
        #expect(early.count == 2 && early.allSatisfy(\.isLogin))
        #expect(server.questions.first { $0.connection == 2 }?.isLogin == true)
    }

    /// Silent after the greeting, to the login, to requests while pings are answered, and to everything from some time on.
    @Test(arguments: ["all", "login", "request", "later"]) func givesASilentServerUp(kind: String) throws {
        let fixture = try Fixture()
        let server = try FakeZooKeeper(Self.children, session: 900) { question in
            let isSilent =
                switch kind {
                case "all": true
                case "login": question.isLogin
                case "request": !question.isLogin && !question.isPing
                default: question.isPing
                }
            return isSilent && question.connection == 0 ? .silence : nil
        }
        let registry = try fixture.zookeeper("zookeeper://u:p@\(server.address)")
        defer { registry.stop() }
        registry.subscribe(Self.echo)
        #expect(fixture.wait { server.greetings.count >= 2 })
        try expectService(fixture, registry, server, "does not answer")
        let pings = server.questions.count { $0.connection == 0 && $0.isPing }
        #expect(kind == "login" || kind == "all" ? pings == 0 : pings > 0)
        // A later one lives on pings.
        let isAlive = fixture.wait {
            let pings = server.questions.filter { $0.connection > 0 && $0.isPing }
            return pings.count { $0.connection == pings.last?.connection } >= 3
        }
        #expect(isAlive && registry.status.state == .connected)
    }

    /// Servers that take a session and then talk nonsense, each time: they are left alone for longer and longer.
    @Test func doesNotHurryBackToBrokenServers() throws {
        let fixture = try Fixture()
        let servers = try (0..<2).map { _ in
            try FakeZooKeeper(Self.children) { $0.isList ? .bytes([0xff, 0xff, 0xff, 0xff]) : nil }
        }
        let registry = try fixture.zookeeper("zookeeper://\(servers[0].address),\(servers[1].address)")
        defer { registry.stop() }
        registry.subscribe(Self.echo)
        let accepted = { servers.reduce(0) { $0 + $1.server.accepted } }
        // Rounds of two, 100 to 200 ms apart before long.
        #expect(fixture.wait { accepted() >= 4 })
        #expect(fixture.failures[Self.echo]?.contains("no message of ZooKeeper") == true)
        let before = accepted()
        #expect(!fixture.wait(.seconds(1)) { accepted() > before + 24 })
        #expect(fixture.told[Self.echo] == nil)
        // What one has granted is taken to the other.
        let sessions = Set(servers.flatMap(\.greetings).map { Array($0[16..<24]) })
        #expect(sessions.count == 2 && sessions.contains([UInt8](repeating: 0, count: 8)))
    }
}
