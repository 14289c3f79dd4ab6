import Model
import Proxy
import Runtime
import TestSupport
import Testing

@Suite("Dubbo hosts that fail")
struct DubboFailureTests {
    /// A port that refuses connections.
    private func refusing() throws -> Instance {
        Instance(address: SocketAddress(ipv4: 0x7f00_0001, port: try FreePort.next()))
    }

    @Test("A host that refuses connections is passed over, for one-way calls too")
    func refused() throws {
        let mesh = try DubboMesh()
        let host = try DubboHost.echo("a")
        defer { mesh.stop(); host.stop() }
        try mesh.update([try refusing(), try refusing(), Instance(host)])
        let consumer = try mesh.connect()
        defer { consumer.close() }
        for id in 0..<20 {
            #expect(consumer.ask(DubboCall(argument: "\(id)", id: Int64(id)))?.text == "a|\(id)")
            consumer.send(DubboCall(argument: "one-way", id: 100, isTwoWay: false).frame)
        }
        #expect(waitUntil(within: .seconds(10)) { host.calls.count == 40 })
    }

    @Test("When no host can be reached the consumer is told so, with a status that lets it try again")
    func allRefuse() throws {
        let mesh = try DubboMesh()
        defer { mesh.stop() }
        try mesh.update([try refusing(), try refusing()])
        let consumer = try mesh.connect()
        defer { consumer.close() }
        for id in 0..<3 {
            let answer = try #require(consumer.ask(DubboCall(id: Int64(id))))
            #expect(answer.status == 80)
            #expect(answer.text.contains("demo.Echo could not be reached, 2 hosts tried"))
        }
        #expect(mesh.waits { if case .note(.hostFailed) = $0 { true } else { false } })
    }

    @Test("Calls on a connection that dies are answered at once; the host is left alone, others go on")
    func diesInFlight() throws {
        let mesh = try DubboMesh()
        let host = try DubboHost { _, _ in }
        defer { mesh.stop(); host.stop() }
        try mesh.update([Instance(host)])
        let consumer = try mesh.connect()
        defer { consumer.close() }
        for id in 0..<3 { consumer.send(DubboCall(id: Int64(id)).frame) }
        #expect(waitUntil(within: .seconds(10)) { host.calls.count == 3 })
        host.dropConnections()
        var ids: Set<Int64> = []
        for _ in 0..<3 {
            let answer = try #require(consumer.receive())
            #expect(answer.status == 80)
            #expect(answer.text.contains("the connection to \(host.address) closed while"))
            ids.insert(answer.id)
        }
        #expect(ids == [0, 1, 2])
        #expect(host.calls.count == 3)
        let report = try mesh.report()
        #expect(report.endpoints.first?.failures == 1)
        #expect(report.endpoints.first?.active == 0)
    }

    @Test("A host that says it does not have the service was not asked: another one is")
    func notExported() throws {
        let mesh = try DubboMesh()
        let refusing = try DubboHost { frame, socket in
            let text =
                "org.apache.dubbo.remoting.RemotingException: Not found exported service: demo.Echo:20881 in []"
            socket.send(.error(70, text, id: frame.id))
        }
        let host = try DubboHost.echo("a")
        defer { mesh.stop(); host.stop(); refusing.stop() }
        try mesh.update([Instance(refusing), Instance(host)])
        let consumer = try mesh.connect()
        defer { consumer.close() }
        for id in 0..<20 { #expect(consumer.ask(DubboCall(id: Int64(id)))?.text == "a|hi") }
        #expect(!refusing.calls.isEmpty)
        // With nobody else, the host's own words are the answer.
        try mesh.update([Instance(refusing)])
        let answer = try #require(consumer.ask(DubboCall(id: 99)))
        #expect(answer.status == 70)
        #expect(answer.text.contains("Not found exported service"))
    }

    @Test("A full thread pool is tried elsewhere once; other errors are passed on as they are")
    func otherErrors() throws {
        let mesh = try DubboMesh()
        let hosts = try (0..<3).map { _ in
            try DubboHost { frame, socket in
                let status: UInt8 = frame.call.argument == "full" ? 100 : 70
                socket.send(.error(status, "no", id: frame.id))
            }
        }
        defer {
            mesh.stop()
            for host in hosts { host.stop() }
        }
        try mesh.update(hosts.map { Instance($0) })
        let consumer = try mesh.connect()
        defer { consumer.close() }
        #expect(consumer.ask(DubboCall(argument: "full", id: 1))?.status == 100)
        #expect(hosts.map { $0.calls.count }.reduce(0, +) == 2)
        #expect(consumer.ask(DubboCall(argument: "bad", id: 2))?.status == 70)
        #expect(hosts.map { $0.calls.count }.reduce(0, +) == 3)
    }

    @Test("The call's own timeout is the deadline; the late answer is dropped and the connection goes on")
    func timeout() throws {
        let mesh = try DubboMesh()
        let host = try DubboHost { frame, socket in
            if frame.flags == DubboFrame.request && frame.call.argument != "slow" { DubboHost.echo("a", frame, socket) }
        }
        defer { mesh.stop(); host.stop() }
        try mesh.update([Instance(host)])
        let consumer = try mesh.connect()
        defer { consumer.close() }
        let answer = try #require(consumer.ask(DubboCall(argument: "slow", attachments: [("timeout", "50")], id: 1)))
        #expect(answer.status == 31)
        #expect(answer.text == "greymesh: \(host.address) did not answer within 50 ms")
        let late = try #require(host.calls.first)
        host.send(.value("late", id: late.id))
        host.send(.value("forged", id: late.id + 1 << 40))
        host.send(.value("unknown", id: 0x7fff_ffff_ffff_ffff))
        let next = try #require(consumer.ask(DubboCall(argument: "next", id: 2)))
        #expect(next.id == 2)
        #expect(next.text == "a|next")
        #expect(host.connectionCount == 1)
    }

    @Test("The service's timeout holds for calls that bring none")
    func serviceTimeout() throws {
        let mesh = try DubboMesh()
        let host = try DubboHost { _, _ in }
        defer { mesh.stop(); host.stop() }
        var policy = ServicePolicy()
        policy.traffic.timeout = .milliseconds(60)
        try mesh.update([Instance(host)], policy: policy)
        let consumer = try mesh.connect()
        defer { consumer.close() }
        #expect(consumer.ask(DubboCall(id: 1))?.text.contains("within 60 ms") == true)
    }

    @Test("An answer longer than the limit is not passed; the connection and its other calls go on")
    func oversizedAnswer() throws {
        let mesh = try DubboMesh { $0.limits.dubboBody = 100_000 }
        let host = try DubboHost { frame, socket in
            let text = frame.call.argument == "large" ? String(repeating: "x", count: 300_000) : "small"
            socket.send(.value(text, id: frame.id))
        }
        defer { mesh.stop(); host.stop() }
        try mesh.update([Instance(host)])
        let consumer = try mesh.connect()
        defer { consumer.close() }
        consumer.send(DubboCall(argument: "large", id: 1).frame)
        consumer.send(DubboCall(argument: "small", id: 2).frame)
        let first = try #require(consumer.receive())
        #expect(first.id == 1 && first.status == 50)
        #expect(first.text.contains("more than the limit of 100000"))
        #expect(consumer.receive()?.text == "small")
        #expect(host.connectionCount == 1)
    }

    @Test(
        "A host that sends something else than frames loses its connection, and its calls are answered",
        arguments: [
            [UInt8]("HTTP/1.1 400 Bad Request\r\n\r\n".utf8),
            DubboFrame.head(flags: 2, status: 20, id: 1, length: 0x8000_0000),
        ])
    func garbage(bytes: [UInt8]) throws {
        let mesh = try DubboMesh()
        let host = try DubboHost { _, socket in socket.send(bytes) }
        defer { mesh.stop(); host.stop() }
        try mesh.update([Instance(host)])
        let consumer = try mesh.connect()
        defer { consumer.close() }
        #expect(consumer.ask(DubboCall(id: 1))?.status == 80)
        #expect(waitUntil(within: .seconds(10)) { host.endedCount == 1 })
    }

    @Test("A host cannot answer a call that another host was asked")
    func foreignAnswer() throws {
        let mesh = try DubboMesh()
        let asked = try DubboHost { _, _ in }
        let other = try DubboHost.echo("other")
        defer { mesh.stop(); asked.stop(); other.stop() }
        try mesh.update([Instance(asked, version: "1"), Instance(other, version: "2")])
        let consumer = try mesh.connect()
        defer { consumer.close() }
        #expect(consumer.ask(DubboCall(version: "2", id: 1))?.text == "other|hi")
        consumer.send(DubboCall(version: "1", id: 2).frame)
        #expect(waitUntil(within: .seconds(10)) { asked.calls.count == 1 })
        other.send(.value("forged", id: asked.calls[0].id))
        #expect(consumer.ask(DubboCall(version: "2", id: 3))?.id == 3)
        asked.send(.value("true", id: asked.calls[0].id))
        #expect(consumer.receive()?.text == "true")
    }

    @Test("Callbacks and other requests of hosts are refused, so that the host does not wait; heartbeats are answered")
    func requestsOfHosts() throws {
        let mesh = try DubboMesh()
        let host = try DubboHost.echo("a")
        defer { mesh.stop(); host.stop() }
        try mesh.update([Instance(host)])
        let consumer = try mesh.connect()
        defer { consumer.close() }
        #expect(consumer.ask(DubboCall(id: 1))?.text == "a|hi")
        host.send(DubboFrame(flags: DubboFrame.heartbeatRequest, id: 77, body: [0x4e]))
        host.send(DubboCall(id: 78).frame)
        host.send(DubboCall(id: 79, isTwoWay: false).frame)
        #expect(waitUntil(within: .seconds(10)) { host.frames.count == 3 })
        let answers = host.frames.dropFirst()
        #expect(answers.map(\.id) == [77, 78])
        #expect(answers.map(\.flags) == [DubboFrame.heartbeatAnswer, DubboFrame.answer])
        #expect(answers.map(\.status) == [20, 60])
        #expect(consumer.ask(DubboCall(id: 2))?.text == "a|hi")
    }
}
