import Model
import Proxy
import TestSupport
import Testing

@Suite("Dubbo consumers that misbehave, lag or leave")
struct DubboConsumerTests {
    @Test(
        "Bytes that are no frames end their own connection only",
        arguments: [
            [UInt8]("GET / HTTP/1.1\r\n\r\n".utf8), [0xda, 0xbc], [0x16],
            DubboFrame.head(flags: 0xc2, id: 1, length: 0xffff_ffff),
        ])
    func garbage(bytes: [UInt8]) throws {
        let mesh = try DubboMesh()
        let host = try DubboHost.echo("a")
        defer { mesh.stop(); host.stop() }
        try mesh.update([Instance(host)])
        let (bad, good) = (try mesh.connect(), try mesh.connect())
        defer {
            bad.close()
            good.close()
        }
        bad.send(DubboCall(id: 1).frame.bytes + bytes)
        #expect(bad.isEnded())
        #expect(good.ask(DubboCall(id: 2))?.text == "a|hi")
        #expect(mesh.waits { if case .note(.badInput) = $0 { true } else { false } })
    }

    @Test("A request longer than the limit is answered with both lengths, and its bytes are dropped as they come")
    func oversized() throws {
        let mesh = try DubboMesh { $0.limits.dubboBody = 10_000 }
        let host = try DubboHost.echo("a")
        defer { mesh.stop(); host.stop() }
        try mesh.update([Instance(host)])
        let consumer = try mesh.connect()
        defer { consumer.close() }
        consumer.send(DubboFrame.head(flags: DubboFrame.request, id: 5, length: 1_000_000))
        let answer = try #require(consumer.receive())
        #expect(answer.id == 5 && answer.status == 40)
        #expect(answer.text.contains("1000000 bytes is longer than the limit of 10000"))
        consumer.send([UInt8](repeating: 0xda, count: 1_000_000) + DubboCall(argument: "after", id: 6).frame.bytes)
        #expect(consumer.receive()?.text == "a|after")
        #expect(try mesh.report().bufferAllocations < 20)
    }

    @Test(
        "Bodies that cannot be read are answered, and the connection goes on",
        arguments: [
            [], [0x05], [0x4e, 0x4e, 0x4e, 0x4e, 0x4e], [UInt8](repeating: 0x43, count: 50), Hessian.text("2.0.2"),
        ])
    func malformed(body: [UInt8]) throws {
        let mesh = try DubboMesh()
        let host = try DubboHost.echo("a")
        defer { mesh.stop(); host.stop() }
        try mesh.update([Instance(host)])
        let consumer = try mesh.connect()
        defer { consumer.close() }
        consumer.send(DubboFrame(flags: DubboFrame.oneWay, id: 1, body: body))
        consumer.send(DubboFrame(flags: DubboFrame.request, id: 2, body: body))
        let answer = try #require(consumer.receive())
        #expect(answer.id == 2 && answer.status == 40)
        #expect(consumer.ask(DubboCall(id: 3))?.text == "a|hi")
        #expect(host.calls.count == 1)
    }

    @Test("Answers to a consumer that went are dropped; its calls are counted, others go on")
    func leaves() throws {
        let mesh = try DubboMesh()
        let host = try DubboHost { _, _ in }
        defer { mesh.stop(); host.stop() }
        try mesh.update([Instance(host)])
        let (leaving, staying) = (try mesh.connect(), try mesh.connect())
        defer { staying.close() }
        for id in 0..<3 { leaving.send(DubboCall(id: Int64(id)).frame) }
        staying.send(DubboCall(argument: "mine", id: 1).frame)
        #expect(waitUntil(within: .seconds(10)) { host.calls.count == 4 })
        leaving.reset()
        #expect(try mesh.waitsForReport { $0.listeners[0].open == 1 })
        #expect(try mesh.report().endpoints.first?.active == 1)
        for call in host.calls { host.send(.value(call.argument, id: call.id)) }
        #expect(staying.receive()?.text == "mine")
        let codes = try #require(try mesh.report().services.first?.versions.first?.codes)
        #expect(codes.map(\.code).sorted() == [20, 499])
        #expect(codes.first { $0.code == 499 }?.count == 3)
    }

    @Test("A consumer that has ended its side still gets its answers, then the connection ends")
    func halfClosed() throws {
        let mesh = try DubboMesh()
        let host = try DubboHost { _, _ in }
        defer { mesh.stop(); host.stop() }
        try mesh.update([Instance(host)])
        let consumer = try mesh.connect()
        defer { consumer.close() }
        consumer.send(DubboCall(id: 1).frame)
        consumer.endOutput()
        #expect(waitUntil(within: .seconds(10)) { host.calls.count == 1 })
        host.send(.value("still", id: host.calls[0].id))
        #expect(consumer.receive()?.text == "still")
        #expect(consumer.isEnded())
    }

    @Test("A consumer that does not take its answers is not read from; others are served, and it gets all in the end")
    func lags() throws {
        let mesh = try DubboMesh()
        let answer = String(repeating: "x", count: 400_000)
        let host = try DubboHost { frame, socket in socket.send(.value(answer, id: frame.id)) }
        defer { mesh.stop(); host.stop() }
        try mesh.update([Instance(host)])
        let (lagging, other) = (try mesh.connect(), try mesh.connect())
        defer {
            lagging.close()
            other.close()
        }
        // Far more than what the kernel holds for both sides; each goes only after the one before has come back.
        let total = 60
        for id in 0..<total {
            lagging.send(DubboCall(argument: "l", id: Int64(id)).frame)
            #expect(other.ask(DubboCall(argument: "o", id: Int64(id)))?.text == answer)
        }
        #expect(host.calls.filter { $0.argument == "l" }.count < total)
        for _ in 0..<total { #expect(lagging.receive()?.text == answer) }
        #expect(host.calls.filter { $0.argument == "l" }.count == total)
    }

    @Test("A consumer that never takes anything is closed when too much waits for it")
    func deaf() throws {
        let mesh = try DubboMesh()
        let answer = String(repeating: "x", count: 4_000_000)
        let host = try DubboHost { _, _ in }
        defer { mesh.stop(); host.stop() }
        try mesh.update([Instance(host)])
        let consumer = try mesh.connect()
        defer { consumer.close() }
        for id in 0..<40 { consumer.send(DubboCall(id: Int64(id)).frame) }
        #expect(waitUntil(within: .seconds(10)) { host.calls.count == 40 })
        for call in host.calls { host.send(.value(answer, id: call.id)) }
        #expect(
            mesh.waits {
                if case .note(.badInput(_, _, let reason)) = $0 { reason.contains("are not taken") } else { false }
            })
        #expect(try mesh.waitsForReport { $0.listeners[0].open == 0 && $0.endpoints.allSatisfy { $0.active == 0 } })
    }

    @Test("Idle consumers are not closed and own no memory")
    func idle() throws {
        let mesh = try DubboMesh { $0.limits.idleTimeout = .milliseconds(10) }
        let host = try DubboHost.echo("a")
        defer { mesh.stop(); host.stop() }
        try mesh.update([Instance(host)])
        let consumers = try (0..<50).map { _ in try mesh.connect() }
        defer { for consumer in consumers { consumer.close() } }
        for (number, consumer) in consumers.enumerated() {
            #expect(consumer.ask(DubboCall(argument: "\(number)", id: 0))?.text == "a|\(number)")
        }
        let before = try mesh.report().bufferAllocations
        for consumer in consumers + consumers { #expect(consumer.ask(DubboCall(id: 1))?.text == "a|hi") }
        let report = try mesh.report()
        #expect(report.bufferAllocations == before)
        #expect(report.listeners[0].open == 50)
    }
}
