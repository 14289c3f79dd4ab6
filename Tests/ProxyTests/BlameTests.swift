import Glibc
import Model
import Proxy
import Runtime
import TestSupport
import Testing

/// Whose failure it is, and what becomes of it, where two causes look alike.
@Suite("What counts against a host")
struct BlameTests {
    /// Two hosts that answer `/fast`, and nothing else; each has a kept connection.
    private func slowMesh(_ change: (inout TrafficPolicy) -> Void) throws -> (TestMesh, [CountingHost]) {
        let hosts = try (0..<2).map { _ in
            try CountingHost { connection, head in
                if head.contains("/fast") {
                    connection.answer("fast")
                } else {
                    _ = connection.receiveAll()
                }
                return true
            }
        }
        let mesh = try TestMesh()
        var policy = ServicePolicy()
        policy.balancer = .roundRobin
        change(&policy.traffic)
        mesh.update(policy: policy, hosts.map { ("1.0", $0.address) })
        for host in hosts { mesh.keep(host.server) }
        for _ in 0..<2 { #expect(try mesh.connect().get("/fast").status == 200) }
        return (mesh, hosts)
    }

    private func failures(_ mesh: TestMesh) throws -> [Int] {
        try mesh.report().endpoints.map { Int($0.failures) }.sorted()
    }

    @Test("The host that a request comes to at the end of its time is not at fault")
    func secondHost() throws {
        let (mesh, hosts) = try slowMesh {
            $0.timeout = .milliseconds(400)
            $0.retries.onReset = true
            $0.retries.perTryTimeout = .milliseconds(300)
        }
        #expect(try mesh.connect().get("/slow").status == 504)
        #expect(hosts.map(\.seen) == [2, 2])
        #expect(try failures(mesh) == [0, 0])
    }

    @Test("What a client sends of its next request does not excuse a silent host")
    func pipelined() throws {
        let (mesh, _) = try slowMesh { $0.timeout = .milliseconds(400) }
        let client = try mesh.connect()
        client.send("GET /slow HTTP/1.1\r\nHost: shop\r\n\r\n")
        usleep(300_000)
        client.send("GET /fast HTTP/1.1\r\n")
        let answer = try client.receiveAnswer()
        #expect(answer.status == 504, "\(answer.head)")
        #expect(try failures(mesh) == [0, 1])
    }

    @Test("A host that has worked on a request before it closes a kept connection was not late with closing it")
    func notStale() throws {
        let host = try CountingHost { connection, head in
            if head.contains("/work") {
                usleep(400_000)
                return false
            }
            connection.answer("kept")
            return true
        }
        let mesh = try TestMesh()
        mesh.update([("1.0", host.address)])
        let client = try mesh.connect()
        #expect(try client.get("/").status == 200)
        client.send("PUT /work HTTP/1.1\r\nHost: shop\r\nContent-Length: 0\r\n\r\n")
        #expect(try client.receiveAnswer().status == 502)
        #expect(host.seen == 2 && host.accepted == 1)
        #expect(try failures(mesh) == [1])
    }

    @Test("An answer that has begun holds no room for further tries")
    func streams() throws {
        let busy = try CountingHost(status: "503 Busy", "")
        let stream = try CountingHost { connection, _ in
            connection.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n")
            _ = connection.receiveAll()
            return false
        }
        let mesh = try TestMesh()
        var policy = ServicePolicy()
        policy.balancer = .roundRobin
        policy.traffic.retries.statuses = [503]
        mesh.update(policy: policy, [busy, stream].map { ("1.0", $0.address) })
        let clients = try (0..<12).map { _ in
            let client = try mesh.connect()
            client.send("GET / HTTP/1.1\r\nHost: shop\r\n\r\n")
            #expect(client.receive(until: "\r\n\r\n").hasPrefix("HTTP/1.1 200"))
            return client
        }
        #expect(clients.count == 12 && busy.seen > 3 && stream.seen == 12)
    }

    @Test("A call whose host is too busy is not sent to one that is left alone after failures")
    func deadNeighbour() throws {
        let mesh = try DubboMesh()
        let busy = try DubboHost { frame, socket in
            if let call = frame.request { socket.send(.error(100, "busy", id: call.id)) }
        }
        let dead = try DubboHost { _, _ in }
        dead.stop()
        defer {
            mesh.stop()
            busy.stop()
        }
        try mesh.update([Instance(busy), Instance(dead)])
        let consumer = try mesh.connect()
        defer { consumer.close() }
        // The first one may find out that the other host is dead.
        _ = consumer.ask(DubboCall(id: 1))
        for id in 2...6 { #expect(consumer.ask(DubboCall(id: Int64(id)))?.status == 100) }
    }

    @Test(
        "Calls that waited for their hosts stick to a version by their client's address, one-way or not",
        arguments: [true, false])
    func sticky(isTwoWay: Bool) throws {
        let mesh = try DubboMesh()
        let hosts = try ["1.0", "2.0"].map { try DubboHost.echo($0) }
        defer {
            mesh.stop()
            for host in hosts { host.stop() }
        }
        let consumer = try mesh.connect()
        defer { consumer.close() }
        for id in 1...20 {
            var call = DubboCall(id: Int64(id))
            call.isTwoWay = isTwoWay
            consumer.send(DubboFrame(call))
        }
        #expect(mesh.waits { if case .wanted = $0 { true } else { false } })
        _ = try mesh.report()
        var policy = ServicePolicy()
        policy.split = [VersionWeight(version: "1.0", weight: 1), VersionWeight(version: "2.0", weight: 1)]
        policy.sticky = .clientAddress
        try mesh.update(zip(hosts, ["1.0", "2.0"]).map { Instance($0, tag: $1) }, policy: policy)
        #expect(waitUntil(within: .seconds(10)) { hosts.map(\.calls.count).reduce(0, +) == 20 })
        #expect(hosts.map(\.calls.count).sorted() == [0, 20])
        for id in 21...25 { consumer.send(DubboFrame(DubboCall(id: Int64(id)))) }
        #expect(waitUntil(within: .seconds(10)) { hosts.map(\.calls.count).reduce(0, +) == 25 })
        #expect(hosts.map(\.calls.count).sorted() == [0, 25])
    }
}
