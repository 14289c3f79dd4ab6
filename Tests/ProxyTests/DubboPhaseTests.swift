import Configuration
import Glibc
import Model
import Proxy
import Runtime
import Synchronization
import TestSupport
import Testing

@Suite("Dubbo connections: what came first counts, and every phase ends")
struct DubboPhaseTests {
    @Test("One-way calls that came before a reset reach the host")
    func callsBeforeReset() throws {
        let mesh = try DubboMesh()
        let host = try DubboHost.echo("a")
        defer { mesh.stop(); host.stop() }
        try mesh.update([Instance(host)])
        for _ in 0..<50 {
            let consumer = try mesh.connect()
            consumer.send((0..<10).flatMap { DubboCall(id: Int64($0), isTwoWay: false).frame.bytes })
            consumer.reset()
        }
        #expect(waitUntil(within: .seconds(10)) { host.calls.count == 500 })
        #expect(try mesh.waitsForReport { $0.listeners[0].open == 0 && $0.endpoints.allSatisfy { $0.active == 0 } })
    }

    @Test("What was asked before bytes that are no frames is answered")
    func callsBeforeGarbage() throws {
        let mesh = try DubboMesh()
        let host = try DubboHost { _, _ in }
        defer { mesh.stop(); host.stop() }
        try mesh.update([Instance(host)])
        let consumer = try mesh.connect()
        defer { consumer.close() }
        consumer.send(DubboCall(id: 1).frame.bytes + [UInt8]("garbage".utf8))
        #expect(waitUntil(within: .seconds(10)) { host.calls.count == 1 })
        host.send(.value("answer", id: host.calls[0].id))
        #expect(consumer.receive()?.text == "answer")
        #expect(consumer.isEnded())
    }

    @Test("A host that said readonly and dropped its connection is not draining for ever")
    func readonlyThenDropped() throws {
        let mesh = try DubboMesh()
        let host = try DubboHost { frame, socket in
            if frame.call.argument != "slow" { DubboHost.echo("a", frame, socket) }
        }
        defer { mesh.stop(); host.stop() }
        try mesh.update([Instance(host)])
        let consumer = try mesh.connect()
        defer { consumer.close() }
        consumer.send(DubboCall(argument: "slow", id: 1).frame)
        #expect(waitUntil(within: .seconds(10)) { host.calls.count == 1 })
        host.send(DubboFrame(flags: DubboFrame.event, id: 5, body: [0x01, 0x52]))
        #expect(try mesh.waitsForReport { $0.endpoints.first?.isDraining == true })
        host.dropConnections()
        #expect(consumer.receive()?.status == 80)
        let endpoint = try #require(try mesh.report().endpoints.first)
        #expect(!endpoint.isDraining)
        #expect((1...3_000).contains(endpoint.pauseMilliseconds))
        #expect(consumer.ask(DubboCall(id: 2))?.text == "a|hi")
        #expect(try mesh.report().endpoints.first?.pauseMilliseconds == 0)
    }

    @Test("A call that waits for the registries is answered at its own deadline, and never sent after it")
    func ownDeadlineWhileWaiting() throws {
        let mesh = try DubboMesh { $0.limits.discoveryTimeout = .seconds(30) }
        let host = try DubboHost.echo("a")
        defer { mesh.stop(); host.stop() }
        let consumer = try mesh.connect()
        defer { consumer.close() }
        consumer.send(DubboCall(attachments: [("timeout", "50")], id: 1, isTwoWay: false).frame)
        let answer = try #require(consumer.ask(DubboCall(attachments: [("timeout", "60")], id: 2)))
        #expect(answer.status == 31)
        #expect(answer.text.contains("about service demo.Echo: the caller waits 60 ms"))
        try mesh.update([Instance(host)])
        #expect(consumer.ask(DubboCall(argument: "next", id: 3))?.text == "a|next")
        #expect(host.calls.map(\.argument) == ["next"])
    }

    @Test("A host that stops within a frame is given up, though it answers heartbeats behind it")
    func hostStopsWithinFrame() throws {
        let mesh = try DubboMesh { $0.heartbeat = .milliseconds(60) }
        let host = try DubboHost { frame, socket in
            if frame.flags == DubboFrame.request && frame.call.argument == "half" {
                socket.send(DubboFrame.head(flags: 2, status: 20, id: frame.id, length: 1_000_000) + [0x94])
            } else {
                DubboHost.echo("a", frame, socket)
            }
        }
        defer { mesh.stop(); host.stop() }
        try mesh.update([Instance(host)])
        let consumer = try mesh.connect()
        defer { consumer.close() }
        let answer = try #require(consumer.ask(DubboCall(argument: "half", id: 1)))
        #expect(answer.status == 80)
        #expect(answer.text.contains("stopped within a frame"))
        #expect(consumer.ask(DubboCall(id: 2))?.text == "a|hi")
        #expect(host.connectionCount == 2)
    }

    @Test("A consumer that stops within a frame gets the answers to its other calls, then its connection ends")
    func consumerStopsWithinFrame() throws {
        let mesh = try DubboMesh { $0.limits.headTimeout = .milliseconds(100) }
        let host = try DubboHost { _, _ in }
        defer { mesh.stop(); host.stop() }
        try mesh.update([Instance(host)])
        let consumer = try mesh.connect()
        defer { consumer.close() }
        consumer.send(DubboCall(id: 1).frame.bytes + DubboCall(id: 2).frame.bytes.dropLast(3))
        #expect(waitUntil(within: .seconds(10)) { host.calls.count == 1 })
        #expect(
            mesh.waits {
                if case .note(.badInput(_, _, let reason)) = $0 { reason.contains("rest of a frame") } else { false }
            })
        host.send(.value("answer", id: host.calls[0].id))
        #expect(consumer.receive()?.text == "answer")
        #expect(consumer.isEnded())
    }

    @Test("A consumer that sends a frame slowly is waited for")
    func slowFrame() throws {
        let mesh = try DubboMesh { $0.limits.headTimeout = .milliseconds(300) }
        let host = try DubboHost.echo("a")
        defer { mesh.stop(); host.stop() }
        try mesh.update([Instance(host)])
        let consumer = try mesh.connect()
        defer { consumer.close() }
        let bytes = DubboCall(argument: "slow", id: 1).frame.bytes
        consumer.send(Array(bytes[..<20]))
        #expect(consumer.receive(within: .milliseconds(50)) == nil)
        consumer.send(Array(bytes[20...]))
        #expect(consumer.receive()?.text == "a|slow")
        // Between frames there is no deadline.
        #expect(consumer.receive(within: .milliseconds(600)) == nil)
        #expect(consumer.ask(DubboCall(id: 2))?.text == "a|hi")
    }

    @Test("A drain does not wait for a consumer that stops within a frame")
    func drainWithinFrame() throws {
        let mesh = try DubboMesh()
        defer { mesh.stop() }
        let consumer = try mesh.connect()
        defer { consumer.close() }
        consumer.send(Array(DubboCall(id: 1).frame.bytes[..<20]))
        #expect(try mesh.waitsForReport { $0.listeners[0].open == 1 })
        mesh.plane.post(.drain)
        #expect(mesh.waits { if case .drained = $0 { true } else { false } })
    }

    @Test("A host that takes nothing is given up; what was not begun to be sent goes to another one")
    func hostTakesNothing() throws {
        let mesh = try DubboMesh { $0.heartbeat = .seconds(1) }
        let isReading = Mutex(false)
        let stuck = try DubboHost { _, _ in _ = waitUntil(within: .seconds(60)) { isReading.withLock(\.self) } }
        let well = try DubboHost { frame, socket in
            if frame.flags == DubboFrame.request { socket.send(.value("well", id: frame.id)) }
        }
        defer {
            isReading.withLock { $0 = true }
            mesh.stop()
            stuck.stop()
            well.stop()
        }
        try mesh.update([Instance(stuck)])
        let consumer = try mesh.connect()
        defer { consumer.close() }
        let large = String(repeating: "x", count: 1_000_000)
        for id in 0..<14 { consumer.send(DubboCall(argument: large, id: Int64(id)).frame) }
        try mesh.update([Instance(stuck), Instance(well)])
        let answers = try (0..<14).map { _ in try #require(consumer.receive()) }
        #expect(Set(answers.map(\.id)).count == 14)
        #expect(answers.contains { $0.status == 20 && $0.text == "well" })
        #expect(answers.allSatisfy { $0.status == 20 || $0.status == 80 })
    }

    @Test(
        "A call that has run out of time before it was sent is not sent any more, small or large; those behind it are",
        arguments: [4, 300_000])
    func expired(size: Int) throws {
        let mesh = try DubboMesh()
        let isReading = Mutex(false)
        let host = try DubboHost(receiveBuffer: 65_536) { frame, socket in
            _ = waitUntil(within: .seconds(60)) { isReading.withLock(\.self) }
            DubboHost.echo("a", frame, socket)
        }
        defer {
            isReading.withLock { $0 = true }
            mesh.stop()
            host.stop()
        }
        try mesh.update([Instance(host)])
        let consumer = try mesh.connect()
        defer { consumer.close() }
        let (large, late) = (String(repeating: "x", count: 1_000_000), String(repeating: "l", count: size))
        // More than the kernel takes, less than is let wait.
        for id in 0..<15 { consumer.send(DubboCall(argument: large, id: Int64(id), isTwoWay: false).frame) }
        consumer.send(DubboCall(argument: "early", id: 50).frame)
        for id in 60..<63 {
            let answer = try #require(
                consumer.ask(DubboCall(argument: late, attachments: [("timeout", "50")], id: Int64(id))))
            #expect(answer.status == 31)
        }
        consumer.send(DubboCall(argument: "last", id: 70).frame)
        isReading.withLock { $0 = true }
        #expect(Set([consumer.receive()?.text, consumer.receive()?.text]) == ["a|early", "a|last"])
        #expect(host.calls.count == 17)
        #expect(host.calls.allSatisfy { !$0.argument.hasPrefix("l") || $0.argument == "last" })
    }

    @Test("A host that takes slowly what stands before a heartbeat is given the time to answer it")
    func slowReader() throws {
        let mesh = try DubboMesh { $0.heartbeat = .seconds(2) }
        let host = try DubboHost(receiveBuffer: 65_536) { frame, socket in
            // Far more than the four seconds that a heartbeat's answer may take.
            usleep(20_000)
            DubboHost.echo("a", frame, socket)
        }
        defer { mesh.stop(); host.stop() }
        try mesh.update([Instance(host)])
        let consumer = try mesh.connect()
        defer { consumer.close() }
        let large = String(repeating: "x", count: 50_000)
        for id in 0..<300 { consumer.send(DubboCall(argument: large, id: Int64(id), isTwoWay: false).frame) }
        let early = DubboCall(argument: "early", attachments: [("timeout", "50")], id: 300)
        #expect(consumer.ask(early)?.status == 31)
        consumer.send(DubboCall(argument: "last", id: 301).frame)
        #expect(consumer.receive(within: .seconds(60))?.text == "a|last")
        #expect(host.connectionCount == 1 && host.calls.count == 301)
        #expect(host.frames.contains { $0.flags == DubboFrame.heartbeatRequest })
    }

    @Test("Calls in a row without an answer in time have a host ejected, a single slow one does not")
    func timeouts() throws {
        let mesh = try DubboMesh()
        let host = try DubboHost { frame, socket in
            if frame.flags != DubboFrame.request || frame.call.argument != "slow" { DubboHost.echo("a", frame, socket) }
        }
        defer { mesh.stop(); host.stop() }
        try mesh.update([Instance(host)])
        let consumer = try mesh.connect()
        defer { consumer.close() }
        func slow(_ id: Int64, timeout: Int = 20) -> UInt8? {
            consumer.ask(DubboCall(argument: "slow", attachments: [("timeout", "\(timeout)")], id: id))?.status
        }
        for id in 0..<10 as Range<Int64> {
            #expect(slow(2 * id) == 31)
            #expect(consumer.ask(DubboCall(id: 2 * id + 1))?.text == "a|hi")
        }
        #expect(try mesh.report().endpoints.first?.failures == 0)
        // Callers that have little time do not take it away from the others.
        for id in 50..<60 as Range<Int64> { #expect(slow(id) == 31) }
        #expect(try mesh.report().endpoints.first?.failures == 0)
        for id in 100..<105 as Range<Int64> { #expect(slow(id, timeout: 250) == 31) }
        let endpoint = try #require(try mesh.report().endpoints.first)
        #expect(endpoint.failures > 0 && endpoint.pauseMilliseconds > 0)
        // It is the only one: it is asked all the same, and an answer makes it good.
        #expect(consumer.ask(DubboCall(id: 200))?.text == "a|hi")
        #expect(try mesh.report().endpoints.first?.pauseMilliseconds == 0)
    }

    @Test("Consumers that do not take their answers hold a bounded sum; the others are served")
    func memoryOfAll() throws {
        let mesh = try DubboMesh()
        let answer = String(repeating: "x", count: 2_000_000)
        let host = try DubboHost { frame, socket in
            if frame.call.argument == "small" { socket.send(.value("small", id: frame.id)) }
        }
        defer { mesh.stop(); host.stop() }
        try mesh.update([Instance(host)])
        let (deaf, good) = (try (0..<10).map { _ in try mesh.connect() }, try mesh.connect())
        defer { for consumer in deaf + [good] { consumer.close() } }
        for consumer in deaf { for id in 0..<10 { consumer.send(DubboCall(id: Int64(id)).frame) } }
        #expect(waitUntil(within: .seconds(10)) { host.calls.count == 100 })
        for call in host.calls { host.send(.value(answer, id: call.id)) }
        #expect(try mesh.waitsForReport { $0.listeners[0].open < 9 && $0.endpoints.allSatisfy { $0.active == 0 } })
        #expect(good.ask(DubboCall(argument: "small", id: 1))?.text == "small")
        #expect(try mesh.report().listeners[0].open > 1)
    }

    @Test("A call that goes in circles through two Greymeshes ends with an error in words")
    func rounds() throws {
        let (one, two) = (try DubboMesh(), try DubboMesh())
        defer { one.stop(); two.stop() }
        func instance(_ mesh: DubboMesh) -> Instance {
            Instance(address: SocketAddress(ipv4: 0x7f00_0001, port: mesh.port))
        }
        try one.update([instance(two)])
        try two.update([instance(one)])
        let consumer = try one.connect()
        defer { consumer.close() }
        let answer = try #require(consumer.ask(DubboCall(id: 1)))
        #expect(answer.status == 20)
        #expect(answer.words.contains("has come through 8 Greymeshes"))
        let sent = try [one, two].flatMap { try $0.report().endpoints.map(\.requests) }.reduce(0, +)
        #expect(sent == 8)
    }

    @Test("A host is told how many Greymeshes a call has come through, in the byte that requests do not use")
    func roundsAreCounted() throws {
        let mesh = try DubboMesh()
        let host = try DubboHost.echo("a")
        defer { mesh.stop(); host.stop() }
        try mesh.update([Instance(host)])
        let consumer = try mesh.connect()
        defer { consumer.close() }
        for status in [0, 0xe3, 20, 0xff] as [UInt8] {
            var frame = DubboCall(id: 1).frame
            frame.status = status
            consumer.send(frame)
            #expect(consumer.receive()?.text == "a|hi")
        }
        #expect(host.frames.map(\.status) == [0xe1, 0xe4, 0xe1, 0xe1])
    }

    @Test("A wish in several pieces is a wish")
    func wishInPieces() throws {
        let mesh = try DubboMesh()
        let (plain, gray) = (try DubboHost.echo("plain"), try DubboHost.echo("gray"))
        defer { mesh.stop(); plain.stop(); gray.stop() }
        try mesh.update([Instance(plain), Instance(gray, tag: "gray")])
        let consumer = try mesh.connect()
        defer { consumer.close() }
        for id in 0..<10 {
            var frame = DubboCall(id: Int64(id)).frame
            frame.body.removeLast()
            frame.body += [0x52, 0, 2] + Array("x-".utf8) + Hessian.text("version")
            frame.body += [0x52, 0, 1] + Array("g".utf8) + Hessian.text("ray") + [0x5a]
            consumer.send(frame)
            #expect(consumer.receive()?.text == "gray|hi")
        }
    }

    @Test("A wish among thousands of attachments is a wish")
    func manyAttachments() throws {
        let mesh = try DubboMesh()
        let (plain, gray) = (try DubboHost.echo("plain"), try DubboHost.echo("gray"))
        defer { mesh.stop(); plain.stop(); gray.stop() }
        try mesh.update([Instance(plain), Instance(gray, tag: "gray")])
        let consumer = try mesh.connect()
        defer { consumer.close() }
        let others = (0..<5_000).map { (name: "key-\($0)", value: "value") }
        for id in 0..<5 {
            let call = DubboCall(attachments: others + [("x-version", "gray")], id: Int64(id))
            #expect(consumer.ask(call)?.text == "gray|hi")
        }
    }
}
