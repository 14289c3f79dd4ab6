import Glibc
import Model
import Proxy
import Runtime
import Synchronization
import TestSupport
import Testing

/// A policy: version 1.0 serves, version 2.0 gets copies.
func mirrorPolicy(share: Int = FaultPolicy.all, _ change: (inout ServicePolicy) -> Void = { _ in }) -> ServicePolicy {
    var policy = ServicePolicy()
    policy.mode = .strict
    policy.stable = "1.0"
    policy.traffic.mirror.version = "2.0"
    policy.traffic.mirror.share = share
    change(&policy)
    return policy
}

extension WorkerReport {
    /// What has become of copies of the first service.
    var copies: [MirrorResult: UInt64] {
        let all = services.first?.versions.flatMap(\.copies).map { ($0.result, $0.count) } ?? []
        return Dictionary(all) { $0 + $1 }
    }

    /// Requests of the first service, without copies.
    var requests: UInt64 { services.first?.routes.reduce(0) { $0 + $1.count } ?? 0 }

    /// Requests that hosts have now.
    var inFlight: Int { endpoints.reduce(0) { $0 + $1.active } }
}

/// Requests as a host has seen them: head and body.
final class SeenRequests: Sendable {
    private let all = Mutex<[String]>([])

    var texts: [String] { all.withLock { $0 } }

    fileprivate func add(_ text: String) { all.withLock { $0.append(text) } }
}

extension SeenRequests {
    /// A host that answers with its name, and keeps what it has seen.
    func host(_ name: String, status: String = "200 OK") throws -> ScriptedServer {
        try ScriptedServer { [self] connection, _ in
            while true {
                let head = connection.receiveHead()
                if head.isEmpty { return }
                let length = Answer(status: 0, head: head, body: "").field("content-length").flatMap { Int($0) } ?? 0
                let body =
                    head.contains("chunked")
                    ? connection.receive(until: "0\r\n\r\n")
                    : String(decoding: connection.receive(exactly: length), as: UTF8.self)
                add(head + body)
                connection.answer(head.hasPrefix("HEAD") ? "" : name, status: status)
            }
        }
    }
}

@Suite("Copies of HTTP requests")
struct MirrorTests {
    @Test("Each request reaches the other version once, as it was sent and with a mark, and its answer is dropped")
    func copies() throws {
        let (old, new) = (SeenRequests(), SeenRequests())
        let (first, second) = (try old.host("1.0"), try new.host("2.0", status: "500 Bad"))
        let mesh = try TestMesh()
        mesh.update(policy: mirrorPolicy(), [("1.0", first.address), ("2.0", second.address)])
        try mesh.settle()
        let client = try mesh.connect()
        #expect(try client.get("/a").body == "1.0")
        client.send("POST /b HTTP/1.1\r\nHost: shop\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\nhello")
        #expect(try client.receiveAnswer().body == "1.0")
        client.send("PUT /c HTTP/1.1\r\nHost: shop\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n")
        #expect(try client.receiveAnswer().body == "1.0")
        client.send("HEAD /d HTTP/1.1\r\nHost: shop\r\n\r\n")
        #expect(try client.receiveAnswer(toHead: true).status == 200)
        // What asks for that version is not copied, and what is a copy already neither.
        #expect(try client.get("/e", "x-version: 2.0\r\n").status == 500)
        #expect(try client.get("/f", "X-Greymesh-Mirror: 1\r\n").body == "1.0")
        #expect(try mesh.waitForReport { $0.copies == [.sent: 4] && $0.inFlight == 0 })
        func line(_ text: String) -> String { String(text.prefix { $0 != "\r\n" }) }
        let copied = new.texts.filter { $0.contains("\r\nx-greymesh-mirror: 1\r\n") }
        #expect(copied.map(line).map { String($0.split(separator: " ")[1]) }.sorted() == ["/a", "/b", "/c", "/d"])
        #expect(new.texts.count == 5 && old.texts.count == 5)
        for copy in copied {
            let original = try #require(old.texts.first { line($0) == line(copy) })
            let unmarked = original.replacing("Expect: 100-continue\r\n", with: "")
            #expect(copy.replacing("x-greymesh-mirror: 1\r\n", with: "") == unmarked)
        }
        let report = try mesh.report()
        #expect(report.requests == 6 && report.services[0].retries.isEmpty)
        #expect(report.services[0].versions.first { $0.version == "2.0" }?.codes.map(\.code) == [500])
    }

    @Test("What is too large, answered here, or asks for another protocol is not copied")
    func exceptions() throws {
        let (old, new) = (SeenRequests(), SeenRequests())
        let (first, second) = (try old.host("1.0"), try new.host("2.0"))
        let mesh = try TestMesh()
        let hosts = [("1.0", first.address), ("2.0", second.address)]
        mesh.update(policy: mirrorPolicy(), hosts)
        try mesh.settle()
        let client = try mesh.connect()
        let body = String(repeating: "x", count: 70_000)
        client.send("POST /large HTTP/1.1\r\nHost: shop\r\nContent-Length: 70000\r\n\r\n" + body)
        #expect(try client.receiveAnswer().body == "1.0")
        let exact = String(repeating: "x", count: 60_000)
        client.send("POST /small HTTP/1.1\r\nHost: shop\r\nContent-Length: 60000\r\n\r\n" + exact)
        #expect(try client.receiveAnswer().body == "1.0")
        #expect(try client.get("/up", "Connection: upgrade\r\nUpgrade: echo\r\n").body == "1.0")
        #expect(try mesh.waitForReport { $0.copies == [.tooLarge: 1, .sent: 1] })
        #expect(new.texts.count == 1 && new.texts.first?.hasSuffix("\r\n\r\n" + exact) == true)
        mesh.update(policy: mirrorPolicy { $0.traffic.fault.abort = 503 }, hosts)
        try mesh.settle()
        #expect(try client.get().status == 503)
        // A version's own mirror takes the place of the service's.
        mesh.update(
            policy: mirrorPolicy {
                $0.versions["1.0"] = $0.traffic
                $0.versions["1.0"]?.mirror = MirrorPolicy()
            }, hosts)
        try mesh.settle()
        #expect(try client.get().body == "1.0" && mesh.report().copies == [.tooLarge: 1, .sent: 1])
    }

    @Test("A request that is sent to a second host is copied once; access, limits and faults are not for copies")
    func once() throws {
        let new = SeenRequests()
        let (ill, well, second) = (
            try SeenRequests().host("ill", status: "503 Ill"), try namedHost("1.0"), try new.host("2.0")
        )
        let mesh = try TestMesh()
        var policy = mirrorPolicy {
            $0.balancer = .roundRobin
            $0.traffic.retries.statuses = [503]
        }
        policy.versions["2.0"] = policy.traffic
        policy.versions["2.0"]?.access.deny = [AddressRange("0.0.0.0/0")!]
        policy.versions["2.0"]?.rateLimit.rate = RateLimitPolicy.Rate(requests: 1, per: .hour)
        policy.versions["2.0"]?.hasOwnRate = true
        policy.versions["2.0"]?.circuitBreaker.connections = 1
        policy.versions["2.0"]?.hasOwnBreaker = true
        policy.versions["2.0"]?.fault.abort = 418
        mesh.update(policy: policy, [("1.0", ill.address), ("1.0", well.address), ("2.0", second.address)])
        try mesh.settle()
        let client = try mesh.connect()
        for _ in 0..<10 { #expect(try client.get().body == "1.0") }
        #expect(try mesh.waitForReport { $0.copies == [.sent: 10] && $0.inFlight == 0 })
        #expect(new.texts.count == 10)
        let report = try mesh.report()
        #expect(report.requests == 10 && !report.services[0].retries.isEmpty)
        #expect(report.services[0].versions.allSatisfy { $0.refusals.isEmpty && $0.faults.isEmpty })
        #expect(mesh.limits?.breakers.allSatisfy { $0.requests.current == 0 && $0.connections.current == 0 } == true)
    }

    @Test("A version without hosts, one that refuses connections, and one that ends them: clients see nothing of it")
    func dead() throws {
        let host = try namedHost("1.0")
        let mesh = try TestMesh()
        mesh.update(policy: mirrorPolicy(), [("1.0", host.address), ("3.0", host.address)])
        try mesh.settle()
        let client = try mesh.connect()
        #expect(try client.get().body == "1.0")
        #expect(try mesh.waitForReport { $0.copies == [.noHost: 1] })
        let closed = try SocketAddress(ipv4: 0x7f00_0001, port: FreePort.next())
        mesh.update(policy: mirrorPolicy(), [("1.0", host.address), ("2.0", closed)])
        try mesh.settle()
        for _ in 0..<5 { #expect(try client.get().body == "1.0") }
        #expect(try mesh.waitForReport { $0.copies == [.noHost: 1, .failed: 5] && $0.inFlight == 0 })
        // A copy is no reason to eject a host.
        #expect(try mesh.report().endpoints.allSatisfy { $0.pauseMilliseconds == 0 && $0.failures == 0 })
        let ending = try ScriptedServer { connection, _ in _ = connection.receiveHead() }
        mesh.update(policy: mirrorPolicy(), [("1.0", host.address), ("2.0", ending.address)])
        try mesh.settle()
        #expect(try client.get().body == "1.0")
        #expect(try mesh.waitForReport { $0.copies == [.noHost: 1, .failed: 6] && $0.inFlight == 0 })
    }

    @Test("A version that is silent holds so many copies and no more, for their time")
    func silent() throws {
        let host = try namedHost("1.0")
        let silent = try ScriptedServer { connection, _ in
            _ = connection.receiveHead()
            connection.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
            _ = connection.receiveAll()
        }
        let mesh = try TestMesh()
        let policy = mirrorPolicy { $0.traffic.timeout = .seconds(5) }
        mesh.update(policy: policy, [("1.0", host.address), ("2.0", silent.address)])
        try mesh.settle()
        let client = try mesh.connect()
        let begin = Clock.nanoseconds
        for _ in 0..<400 { #expect(try client.get().body == "1.0") }
        #expect(Clock.nanoseconds - begin < 5_000_000_000)
        let report = try mesh.report()
        #expect(report.copies == [.dropped: 144] && report.inFlight == 256)
        #expect(try mesh.waitForReport { $0.copies == [.dropped: 144, .failed: 256] && $0.inFlight == 0 })
    }

    /// A port whose connections are not even accepted by the kernel, but for a few.
    private func deafListener() throws -> (descriptor: Int32, address: SocketAddress) {
        let listener = try Socket.listen(on: SocketAddress(ipv4: 0x7f00_0001, port: 0), shared: false)
        // A second call sets the length of the queue anew.
        listen(listener, 0)
        return (listener, try #require(Socket.localAddress(listener)))
    }

    @Test("Bytes of copies that their host does not take are bounded, too")
    func memory() throws {
        let host = try SeenRequests().host("1.0")
        let deaf = try deafListener()
        defer { Socket.close(deaf.descriptor) }
        let mesh = try TestMesh { $0.limits.connectTimeout = .seconds(3600) }
        mesh.update(
            policy: mirrorPolicy { $0.traffic.timeout = .seconds(3600) },
            [("1.0", host.address), ("2.0", deaf.address)])
        try mesh.settle()
        let client = try mesh.connect()
        let body = String(repeating: "x", count: 65_000)
        for _ in 0..<200 {
            client.send("POST / HTTP/1.1\r\nHost: shop\r\nContent-Length: 65000\r\n\r\n" + body)
            #expect(try client.receiveAnswer().body == "1.0")
        }
        let report = try mesh.report()
        // 64 fill the memory; a few more are with the kernel.
        #expect(report.inFlight >= 64 && report.inFlight < 70, "\(report.inFlight)")
        #expect(report.copies == [.dropped: UInt64(200 - report.inFlight)])
    }

    @Test("A share of the requests")
    func share() throws {
        let new = SeenRequests()
        let (host, second) = (try namedHost("1.0"), try new.host("2.0"))
        let mesh = try TestMesh()
        mesh.update(policy: mirrorPolicy(share: 10_000), [("1.0", host.address), ("2.0", second.address)])
        try mesh.settle()
        let client = try mesh.connect()
        for _ in 0..<1000 { _ = try client.get() }
        #expect(try mesh.waitForReport { $0.inFlight == 0 })
        // Six standard deviations.
        #expect(try abs(new.texts.count - 100) < 57 && mesh.report().copies == [.sent: UInt64(new.texts.count)])
    }

    @Test("Draining does not wait for copies")
    func draining() throws {
        let host = try namedHost("1.0")
        let silent = try ScriptedServer { connection, _ in _ = connection.receiveAll() }
        let mesh = try TestMesh()
        let policy = mirrorPolicy { $0.traffic.timeout = .seconds(3600) }
        mesh.update(policy: policy, [("1.0", host.address), ("2.0", silent.address)])
        try mesh.settle()
        do {
            let client = try mesh.connect()
            #expect(try client.get().body == "1.0")
            #expect(try mesh.report().inFlight == 1)
        }
        mesh.post(.drain)
        #expect(
            waitUntil(within: .seconds(10)) { mesh.events.contains { if case .drained = $0 { true } else { false } } })
    }
}
