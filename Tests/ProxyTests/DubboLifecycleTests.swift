import Model
import Proxy
import Runtime
import Synchronization
import TestSupport
import Testing

@Suite("Dubbo services, hosts and workers that come and go")
struct DubboLifecycleTests {
    @Test("A call for a service that nobody has asked for waits for the registries' answer")
    func pending() throws {
        let mesh = try DubboMesh()
        let host = try DubboHost.echo("a")
        defer { mesh.stop(); host.stop() }
        let consumer = try mesh.connect()
        defer { consumer.close() }
        for id in 0..<3 { consumer.send(DubboCall(argument: "\(id)", id: Int64(id)).frame) }
        consumer.send(DubboCall(argument: "one-way", id: 9, isTwoWay: false).frame)
        let key = ServiceKey(kind: .dubbo, name: "demo.Echo")
        #expect(mesh.waits { if case .wanted(key) = $0 { true } else { false } })
        try mesh.update([Instance(host)])
        let answers = try (0..<3).map { _ in try #require(consumer.receive()) }
        #expect(Set(answers.map { "\($0.id) \($0.text)" }) == ["0 a|0", "1 a|1", "2 a|2"])
        #expect(waitUntil(within: .seconds(10)) { host.calls.count == 4 })
    }

    @Test("Registries that do not answer in time: an error that lets the consumer try again")
    func neverDiscovered() throws {
        let mesh = try DubboMesh { $0.limits.discoveryTimeout = .milliseconds(50) }
        defer { mesh.stop() }
        let consumer = try mesh.connect()
        defer { consumer.close() }
        let answer = try #require(consumer.ask(DubboCall(id: 1)))
        #expect(answer.status == 80)
        #expect(answer.text.contains("have not answered in time about service demo.Echo"))
    }

    @Test("A service that is let go while calls wait for it, and one without hosts")
    func removedWhileWaiting() throws {
        let mesh = try DubboMesh()
        defer { mesh.stop() }
        let consumer = try mesh.connect()
        defer { consumer.close() }
        consumer.send(DubboCall(id: 1).frame)
        let key = ServiceKey(kind: .dubbo, name: "demo.Echo")
        #expect(mesh.waits { if case .wanted(key) = $0 { true } else { false } })
        mesh.plane.post(.remove(key))
        #expect(consumer.receive()?.status == 80)
        try mesh.update([])
        let answer = try #require(consumer.ask(DubboCall(id: 2)))
        #expect(answer.status == 20)
        #expect(answer.words.contains("no usable host of service demo.Echo"))
    }

    @Test("A consumer that goes while its calls wait for the registries")
    func consumerGoesWhileWaiting() throws {
        let mesh = try DubboMesh()
        let host = try DubboHost.echo("a")
        defer { mesh.stop(); host.stop() }
        let consumer = try mesh.connect()
        for id in 0..<3 { consumer.send(DubboCall(id: Int64(id)).frame) }
        let key = ServiceKey(kind: .dubbo, name: "demo.Echo")
        #expect(mesh.waits { if case .wanted(key) = $0 { true } else { false } })
        consumer.reset()
        #expect(try mesh.waitsForReport { $0.listeners[0].open == 0 })
        try mesh.update([Instance(host)])
        let other = try mesh.connect()
        defer { other.close() }
        #expect(other.ask(DubboCall(id: 1))?.text == "a|hi")
        #expect(host.calls.count == 1)
    }

    @Test("A host that is removed finishes its calls, then its connection is closed")
    func removedHost() throws {
        let mesh = try DubboMesh()
        let (old, new) = (try DubboHost { _, _ in }, try DubboHost.echo("new"))
        defer { mesh.stop(); old.stop(); new.stop() }
        try mesh.update([Instance(old)])
        let consumer = try mesh.connect()
        defer { consumer.close() }
        consumer.send(DubboCall(id: 1).frame)
        #expect(waitUntil(within: .seconds(10)) { old.calls.count == 1 })
        try mesh.update([Instance(new)])
        #expect(consumer.ask(DubboCall(id: 2))?.text == "new|hi")
        #expect(old.endedCount == 0)
        old.send(.value("finished", id: old.calls[0].id))
        #expect(consumer.receive()?.text == "finished")
        #expect(waitUntil(within: .seconds(10)) { old.endedCount == 1 })
        #expect(try mesh.report().endpoints.map(\.address) == [new.address])
        // Listed again it is connected to again, and an idle connection goes at once.
        try mesh.update([Instance(old)])
        consumer.send(DubboCall(id: 3).frame)
        #expect(waitUntil(within: .seconds(10)) { old.connectionCount == 2 })
        #expect(waitUntil(within: .seconds(10)) { new.endedCount == 1 })
    }

    @Test("A host that turns readonly gets no new calls; those in flight finish and the connection is closed")
    func readonly() throws {
        let mesh = try DubboMesh()
        let (going, staying) = (try DubboHost { _, _ in }, try DubboHost.echo("staying"))
        defer { mesh.stop(); going.stop(); staying.stop() }
        try mesh.update([Instance(going)])
        let consumer = try mesh.connect()
        defer { consumer.close() }
        consumer.send(DubboCall(id: 1).frame)
        #expect(waitUntil(within: .seconds(10)) { going.calls.count == 1 })
        try mesh.update([Instance(going), Instance(staying)])
        going.send(DubboFrame(flags: DubboFrame.event, id: 5, body: [0x01, 0x52]))
        #expect(try mesh.waitsForReport { $0.endpoints.contains { $0.address == going.address && $0.isDraining } })
        for id in 10..<30 { #expect(consumer.ask(DubboCall(id: Int64(id)))?.text == "staying|hi") }
        #expect(going.calls.count == 1)
        going.send(.value("finished", id: going.calls[0].id))
        #expect(consumer.receive()?.text == "finished")
        #expect(waitUntil(within: .seconds(10)) { going.endedCount == 1 })
        // It is left alone for a while, but not for ever.
        let report = try mesh.report()
        let endpoint = try #require(report.endpoints.first { $0.address == going.address })
        #expect(!endpoint.isDraining)
        #expect((1...3_000).contains(endpoint.pauseMilliseconds))
        // The only host there is gets calls all the same, over a new connection.
        try mesh.update([Instance(going)])
        consumer.send(DubboCall(id: 40).frame)
        #expect(waitUntil(within: .seconds(10)) { going.calls.count == 2 })
        #expect(going.connectionCount == 2)
    }

    @Test("A writeable event takes readonly back")
    func writeable() throws {
        let mesh = try DubboMesh()
        let host = try DubboHost { _, _ in }
        defer { mesh.stop(); host.stop() }
        try mesh.update([Instance(host)])
        let consumer = try mesh.connect()
        defer { consumer.close() }
        consumer.send(DubboCall(id: 1).frame)
        #expect(waitUntil(within: .seconds(10)) { host.calls.count == 1 })
        host.send(DubboFrame(flags: DubboFrame.event, id: 5, body: [0x01, 0x52]))
        #expect(try mesh.waitsForReport { $0.endpoints.first?.isDraining == true })
        host.send(DubboFrame(flags: DubboFrame.event, id: 6, body: [0x01, 0x57]))
        #expect(try mesh.waitsForReport { $0.endpoints.first?.isDraining == false })
        consumer.send(DubboCall(id: 2).frame)
        #expect(waitUntil(within: .seconds(10)) { host.calls.count == 2 })
        #expect(host.connectionCount == 1)
    }

    @Test("Idle hosts get heartbeats; one that answers keeps its connection")
    func heartbeats() throws {
        let mesh = try DubboMesh { $0.heartbeat = .milliseconds(40) }
        let host = try DubboHost.echo("a")
        defer { mesh.stop(); host.stop() }
        try mesh.update([Instance(host)])
        let consumer = try mesh.connect()
        defer { consumer.close() }
        #expect(consumer.ask(DubboCall(id: 1))?.text == "a|hi")
        #expect(waitUntil(within: .seconds(10)) { host.frames.filter { $0.flags == 0xe2 }.count >= 5 })
        #expect(host.frames.last?.body == [0x4e])
        #expect(consumer.ask(DubboCall(id: 2))?.text == "a|hi")
        #expect(host.connectionCount == 1)
    }

    @Test("A host that has answered a heartbeat gets the next one when that is due, not when its answer was")
    func heartbeatsInARow() throws {
        let heartbeat = Duration.milliseconds(400)
        let mesh = try DubboMesh { $0.heartbeat = heartbeat }
        let times = Mutex<[Int64]>([])
        let host = try DubboHost { frame, socket in
            if frame.flags == DubboFrame.heartbeatRequest { times.withLock { $0.append(Clock.nanoseconds) } }
            DubboHost.echo("a", frame, socket)
        }
        defer { mesh.stop(); host.stop() }
        try mesh.update([Instance(host)])
        let consumer = try mesh.connect()
        defer { consumer.close() }
        #expect(consumer.ask(DubboCall(id: 1))?.text == "a|hi")
        #expect(waitUntil(within: .seconds(10)) { times.withLock(\.count) >= 5 })
        let all = times.withLock(\.self)
        let shortest = try #require(zip(all, all.dropFirst()).map { $1 - $0 }.min())
        // A busy machine may be late with some of them; the answer is due after two heartbeats.
        #expect(shortest < heartbeat.nanoseconds * 3 / 2)
    }

    @Test("A host from which nothing comes any more is given up, and its calls are answered")
    func silent() throws {
        let mesh = try DubboMesh { $0.heartbeat = .milliseconds(40) }
        let host = try DubboHost { _, _ in }
        defer { mesh.stop(); host.stop() }
        try mesh.update([Instance(host)])
        let consumer = try mesh.connect()
        defer { consumer.close() }
        let answer = try #require(consumer.ask(DubboCall(id: 1)))
        #expect(answer.status == 80)
        #expect(answer.text.contains("nothing heard for"))
        #expect(waitUntil(within: .seconds(10)) { host.endedCount == 1 })
        #expect(try mesh.report().endpoints.first?.failures == 1)
    }

    @Test("A drain serves what is in flight and what still comes, then the worker ends")
    func drain() throws {
        let mesh = try DubboMesh()
        let host = try DubboHost { frame, socket in
            if frame.call.argument != "slow" { DubboHost.echo("a", frame, socket) }
        }
        defer { mesh.stop(); host.stop() }
        try mesh.update([Instance(host)])
        let (busy, idle) = (try mesh.connect(), try mesh.connect())
        defer {
            busy.close()
            idle.close()
        }
        #expect(idle.ask(DubboCall(id: 1))?.text == "a|hi")
        busy.send(DubboCall(argument: "slow", id: 1).frame)
        #expect(waitUntil(within: .seconds(10)) { host.calls.count == 2 })
        mesh.plane.post(.drain)
        _ = try mesh.report()
        #expect(idle.ask(DubboCall(id: 2))?.text == "a|hi")
        #expect(idle.isEnded())
        host.send(.value("finished", id: host.calls[1].id))
        #expect(busy.receive()?.text == "finished")
        #expect(busy.isEnded())
        #expect(mesh.waits { if case .drained = $0 { true } else { false } })
    }
}
