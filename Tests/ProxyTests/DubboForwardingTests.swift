import Model
import Proxy
import TestSupport
import Testing

@Suite("Dubbo calls on their way")
struct DubboForwardingTests {
    @Test("A call is answered by the host, with the consumer's own id")
    func oneCall() throws {
        let mesh = try DubboMesh()
        let host = try DubboHost.echo("a")
        defer { mesh.stop(); host.stop() }
        try mesh.update([Instance(host)])
        let consumer = try mesh.connect()
        defer { consumer.close() }
        let answer = try #require(consumer.ask(DubboCall(argument: "one", id: -7)))
        #expect(answer.id == -7)
        #expect(answer.status == 20)
        #expect(answer.text == "a|one")
        #expect(host.calls.map(\.argument) == ["one"])
        #expect(try mesh.report().services.first?.versions.first?.codes.map(\.code) == [20])
    }

    @Test("Consumers with the same ids get their own answers, in the order in which the host gives them")
    func sameIDs() throws {
        let mesh = try DubboMesh()
        let host = try DubboHost { _, _ in }
        defer { mesh.stop(); host.stop() }
        try mesh.update([Instance(host)])
        let consumers = try (0..<2).map { _ in try mesh.connect() }
        defer { for consumer in consumers { consumer.close() } }
        for (number, consumer) in consumers.enumerated() {
            for id in 0..<3 { consumer.send(DubboCall(argument: "\(number)-\(id)", id: Int64(id)).frame) }
        }
        #expect(waitUntil(within: .seconds(10)) { host.calls.count == 6 })
        #expect(Set(host.calls.map(\.id)).count == 6)
        #expect(host.connectionCount == 1)
        for call in host.calls.reversed() { host.send(.value("to " + call.argument, id: call.id)) }
        for (number, consumer) in consumers.enumerated() {
            for id in (0..<3).reversed() {
                let answer = try #require(consumer.receive())
                #expect(answer.id == Int64(id))
                #expect(answer.text == "to \(number)-\(id)")
            }
        }
    }

    @Test("Frames may come in any pieces, many at once or byte by byte", arguments: [1, 7, 100_000])
    func pieces(size: Int) throws {
        let mesh = try DubboMesh()
        let host = try DubboHost { frame, socket in
            // The answer too comes in pieces.
            let answer = DubboFrame.value("got " + frame.call.argument, id: frame.id).bytes
            for start in stride(from: 0, to: answer.count, by: size) {
                socket.send(Array(answer[start..<min(answer.count, start + size)]))
            }
        }
        defer { mesh.stop(); host.stop() }
        try mesh.update([Instance(host)])
        let consumer = try mesh.connect()
        defer { consumer.close() }
        let bytes = (0..<20).flatMap { DubboCall(argument: "\($0)", id: Int64($0)).frame.bytes }
        for start in stride(from: 0, to: bytes.count, by: size) {
            consumer.send(Array(bytes[start..<min(bytes.count, start + size)]))
        }
        var texts: Set<String> = []
        for _ in 0..<20 {
            let answer = try #require(consumer.receive())
            #expect(answer.text == "got \(answer.id)")
            texts.insert(answer.text)
        }
        #expect(texts.count == 20)
    }

    @Test("Large requests and answers pass whole", arguments: [70_000, 1_000_000, 8_000_000])
    func large(size: Int) throws {
        let mesh = try DubboMesh()
        let host = try DubboHost.echo("a")
        defer { mesh.stop(); host.stop() }
        try mesh.update([Instance(host)])
        let consumer = try mesh.connect()
        defer { consumer.close() }
        let argument = String(repeating: "0123456789", count: size / 10)
        #expect(consumer.ask(DubboCall(argument: argument, id: 1))?.text == "a|" + argument)
        #expect(consumer.ask(DubboCall(argument: "small", id: 2))?.text == "a|small")
    }

    @Test("One-way calls are sent, counted and not answered")
    func oneWay() throws {
        let mesh = try DubboMesh()
        let host = try DubboHost.echo("a")
        defer { mesh.stop(); host.stop() }
        try mesh.update([Instance(host)])
        let consumer = try mesh.connect()
        defer { consumer.close() }
        consumer.send(DubboCall(argument: "first", id: 1, isTwoWay: false).frame)
        consumer.send(DubboCall(argument: "second", id: 2, isTwoWay: false).frame)
        let answer = try #require(consumer.ask(DubboCall(argument: "third", id: 3)))
        #expect(answer.id == 3)
        #expect(host.calls.map(\.argument) == ["first", "second", "third"])
        #expect(host.frames.map(\.flags) == [0x82, 0x82, 0xc2])
        let report = try mesh.report()
        #expect(report.services.first?.routes.map(\.count) == [3])
        #expect(report.endpoints.first?.active == 0)
    }

    @Test("A one-way call is delivered although its consumer goes at once")
    func oneWayThenClose() throws {
        let mesh = try DubboMesh()
        let host = try DubboHost.echo("a")
        defer { mesh.stop(); host.stop() }
        let consumer = try mesh.connect()
        consumer.send(DubboCall(argument: "last words", id: 1, isTwoWay: false).frame)
        consumer.close()
        #expect(try mesh.waitsForReport { $0.listeners[0].accepted == 1 && $0.listeners[0].open == 0 })
        try mesh.update([Instance(host)])
        #expect(waitUntil(within: .seconds(10)) { host.calls.map(\.argument) == ["last words"] })
    }

    @Test("Heartbeats of consumers are answered at once, in their serialization, and not passed on")
    func heartbeats() throws {
        let mesh = try DubboMesh()
        let host = try DubboHost.echo("a")
        defer { mesh.stop(); host.stop() }
        try mesh.update([Instance(host)])
        let consumer = try mesh.connect()
        defer { consumer.close() }
        let bodies: [UInt8: [UInt8]] = [0xe2: [0x4e], 0xf7: [0, 0, 0, 1, 0xaf], 0xe8: [0]]
        for (flags, body) in bodies {
            consumer.send(DubboFrame(flags: flags, id: 99, body: body))
            let answer = try #require(consumer.receive())
            #expect(answer.flags == 0x20 | flags & 0x1f)
            #expect(answer.status == 20)
            #expect(answer.id == 99)
            #expect(answer.body == body)
        }
        // One-way heartbeats, and events that consumers do not have.
        consumer.send(DubboFrame(flags: DubboFrame.event, id: 1, body: [0x4e]))
        consumer.send(DubboFrame(flags: DubboFrame.event, id: 2, body: [0x01, 0x52]))
        consumer.send(DubboFrame(flags: 0xe2, id: 3, body: [0x01, 0x52]))
        #expect(consumer.ask(DubboCall(id: 4))?.id == 4)
        #expect(host.frames.count == 1)
    }

    @Test("Exceptions of the called method have a code of their own in the counters")
    func exceptions() throws {
        let mesh = try DubboMesh()
        let host = try DubboHost { frame, socket in
            socket.send(
                DubboFrame(flags: DubboFrame.answer, status: 20, id: frame.id, body: [0x93] + Hessian.text("x")))
        }
        defer { mesh.stop(); host.stop() }
        try mesh.update([Instance(host)])
        let consumer = try mesh.connect()
        defer { consumer.close() }
        #expect(consumer.ask(DubboCall(id: 1))?.body.first == 0x93)
        #expect(try mesh.report().services.first?.versions.first?.codes.map(\.code) == [1000])
    }

    @Test("A serialization that is not understood goes to the only service with hosts that the configuration names")
    func opaque() throws {
        let mesh = try DubboMesh()
        let host = try DubboHost { frame, socket in
            socket.send(DubboFrame(flags: 0x08, status: 20, id: frame.id, body: frame.body.reversed()))
        }
        defer { mesh.stop(); host.stop() }
        try mesh.update([Instance(host, version: "1.0.0")])
        let consumer = try mesh.connect()
        defer { consumer.close() }
        func ask(_ id: Int64) throws -> DubboFrame {
            consumer.send(DubboFrame(flags: 0xc8, id: id, body: [1, 2, 3]))
            let answer = try #require(consumer.receive())
            #expect(answer.id == id)
            return answer
        }
        let refusal = try ask(4)
        #expect(refusal.status == 40 && refusal.text.contains("serialization 8"))
        #expect(refusal.text.contains("the configuration names none with hosts"))
        try mesh.configure(["demo.Echo"])
        #expect(try ask(5).body == [3, 2, 1])
        // One that only callers have asked for changes nothing, nor does one without hosts.
        try mesh.update([Instance(host)], of: "demo.Other")
        #expect(try ask(6).body == [3, 2, 1])
        try mesh.update([], of: "demo.Other")
        try mesh.configure(["demo.Echo", "demo.Other"])
        #expect(try ask(7).body == [3, 2, 1])
        try mesh.update([Instance(host)], of: "demo.Other")
        #expect(try ask(8).text.contains("the configuration names 2 with hosts"))
        // One that nothing was told of yet may have hosts: requests wait for it.
        try mesh.configure(["demo.New"])
        consumer.send(DubboFrame(flags: 0xc8, id: 9, body: [1, 2, 3]))
        #expect(consumer.receive(within: .milliseconds(300)) == nil)
        try mesh.update([Instance(host)], of: "demo.New")
        #expect(consumer.receive()?.body == [3, 2, 1])
    }

    @Test("The access log has a line for each call")
    func accessLog() throws {
        let directory = try TemporaryDirectory()
        let path = directory.path(of: "access.log")
        let log = try AccessLog(path: path)
        let mesh = try DubboMesh { $0.accessLog = log }
        let host = try DubboHost.echo("a")
        try mesh.update([Instance(host, version: "1.0.0", group: "g")])
        let consumer = try mesh.connect()
        let attachments = [("version", "1.0.0"), ("group", "g")]
        _ = consumer.ask(DubboCall(version: "1.0.0", attachments: attachments, id: 1))
        consumer.close()
        mesh.stop()
        host.stop()
        log.stop()
        let line = String(decoding: try TemporaryDirectory.read(path), as: UTF8.self)
        #expect(line.hasSuffix("}\n"))
        for part in [
            #""protocol":"dubbo","peer":"127.0.0.1","interface":"demo.Echo","method":"say","group":"g""#,
            #""service":"demo.Echo","version":"1.0.0","status":20,"duration_us":"#,
        ] { #expect(line.contains(part)) }
    }
}
