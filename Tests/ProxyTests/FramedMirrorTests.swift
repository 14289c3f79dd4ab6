import Balancing
import CLinux
import Glibc
import Model
import Proxy
import Runtime
import TestSupport
import Testing

@Suite("Copies of Dubbo and Bolt calls")
struct FramedMirrorTests {
    private func check<Frame: PeerFrame>(
        _ call: (_ number: Int, _ isTwoWay: Bool, _ argument: String) -> Frame.Call, heartbeat: Frame? = nil,
        text: (Frame?) -> String
    ) throws {
        let mesh = try FramedMesh<Frame>()
        let (old, new) = (try FrameHost<Frame>.echo("old"), try FrameHost<Frame>.echo("new"))
        defer { mesh.stop(); old.stop(); new.stop() }
        try mesh.update([Instance(old, tag: "1.0"), Instance(new, tag: "2.0")], policy: mirrorPolicy())
        let client = try mesh.connect()
        defer { client.close() }
        for number in 1...20 { #expect(text(client.ask(call(number, true, "two-way \(number)"))).contains("old")) }
        for number in 21...25 { client.send(Frame(call(number, false, "one-way \(number)"))) }
        if let heartbeat {
            client.send(heartbeat)
            #expect(client.receive()?.request == nil)
        }
        #expect(try mesh.waitsForReport { $0.copies == [.sent: 25] && $0.inFlight == 0 })
        #expect(new.calls.map(\.argument).sorted() == old.calls.map(\.argument).sorted() && new.calls.count == 25)
        #expect(new.frames.count == 25)
        let long = String(repeating: "x", count: 70_000)
        #expect(text(client.ask(call(26, true, long))).contains("old"))
        client.send(Frame(call(27, false, long)))
        #expect(try mesh.waitsForReport { $0.copies == [.sent: 25, .tooLarge: 2] })
        #expect(new.calls.count == 25)
        let report = try mesh.report()
        #expect(
            report.requests == 27 && report.services[0].versions.first { $0.version == "2.0" }?.codes.isEmpty == true)
    }

    @Test("Dubbo: each call reaches the other version once, and its answer is dropped") func dubbo() throws {
        let heartbeat = DubboFrame(flags: DubboFrame.heartbeatRequest, id: 9, body: [0x4e])
        try check({ DubboCall(argument: $2, id: Int64($0), isTwoWay: $1) }, heartbeat: heartbeat) {
            (answer: DubboFrame?) in answer?.text ?? ""
        }
    }

    @Test("Bolt: each call reaches the other version once, and its answer is dropped") func bolt() throws {
        try check({ BoltCall(argument: $2, id: UInt32($0), isTwoWay: $1) }) { (answer: BoltFrame?) in
            answer?.text ?? ""
        }
    }

    @Test("Dubbo: the interface version is that of the host which gets the copy")
    func interfaceVersion() throws {
        let mesh = try DubboMesh()
        let (old, new) = (try DubboHost.echo("old"), try DubboHost.echo("new"))
        defer { mesh.stop(); old.stop(); new.stop() }
        try mesh.update(
            [Instance(old, version: "1.0.0", tag: "1.0"), Instance(new, version: "2.0.0", tag: "2.0")],
            policy: mirrorPolicy())
        let client = try mesh.connect()
        defer { client.close() }
        #expect(client.ask(DubboCall(version: "1.0.0", id: 1))?.text.hasPrefix("old") == true)
        #expect(waitUntil(within: .seconds(10)) { new.calls.count == 1 })
        #expect(new.calls.first?.version == "2.0.0" && old.calls.first?.version == "1.0.0")
    }

    @Test("Without hosts, refused, and cut off: clients see nothing of it, and no other version gets the copy")
    func dead() throws {
        let mesh = try DubboMesh()
        let old = try DubboHost.echo("old")
        let other = try DubboHost.echo("other")
        let ending = try DubboHost { _, socket in socket.shutDown() }
        defer { mesh.stop(); old.stop(); other.stop(); ending.stop() }
        let client = try mesh.connect()
        defer { client.close() }
        func ask(_ instances: [Instance], _ expected: [MirrorResult: UInt64]) throws {
            try mesh.update(
                [Instance(old, tag: "1.0"), Instance(other, tag: "3.0")] + instances, policy: mirrorPolicy())
            #expect(client.ask(DubboCall(id: 1))?.text.hasPrefix("old") == true)
            #expect(try mesh.waitsForReport { $0.copies == expected && $0.inFlight == 0 })
        }
        try ask([], [.noHost: 1])
        let closed = try SocketAddress(ipv4: 0x7f00_0001, port: FreePort.next())
        try ask([Instance(address: closed, metadata: ["dubbo.tag": "2.0"])], [.noHost: 1, .failed: 1])
        try ask([Instance(ending, tag: "2.0")], [.noHost: 1, .failed: 2])
        #expect(other.calls.isEmpty)
    }

    @Test("A silent version holds so many copies and no more, for their time; an answer that comes later is dropped")
    func silent() throws {
        let mesh = try DubboMesh()
        let old = try DubboHost.echo("old")
        let silent = try DubboHost(receiveBuffer: 4096) { _, _ in }
        defer { mesh.stop(); old.stop(); silent.stop() }
        let policy = mirrorPolicy { $0.traffic.timeout = .seconds(5) }
        try mesh.update([Instance(old, tag: "1.0"), Instance(silent, tag: "2.0")], policy: policy)
        let client = try mesh.connect()
        defer { client.close() }
        for number in 0..<400 { #expect(client.ask(DubboCall(id: Int64(number)))?.text.hasPrefix("old") == true) }
        let report = try mesh.report()
        #expect(report.copies == [.dropped: 144] && report.inFlight == 256)
        #expect(try mesh.waitsForReport { $0.copies == [.dropped: 144, .failed: 256] && $0.inFlight == 0 })
        for call in silent.calls { silent.send(DubboFrame(call).echo("late")!) }
        #expect(client.ask(DubboCall(id: 401))?.text.hasPrefix("old") == true)
        #expect(try mesh.report().endpoints.allSatisfy { $0.pauseMilliseconds == 0 })
    }

    @Test("A version that takes nothing has a short queue: what is beyond is dropped")
    func backlog() throws {
        let mesh = try DubboMesh()
        let old = try DubboHost.echo("old")
        // Its connections are never accepted.
        let listener = try Socket.listen(on: SocketAddress(ipv4: 0x7f00_0001, port: 0), shared: false)
        clinux_set_int_option(listener, SOL_SOCKET, SO_RCVBUF, 4096)
        defer { mesh.stop(); old.stop(); Socket.close(listener) }
        let stopped = Instance(
            address: try #require(Socket.localAddress(listener)), metadata: ["dubbo.tag": "2.0"])
        try mesh.update(
            [Instance(old, tag: "1.0"), stopped], policy: mirrorPolicy { $0.traffic.timeout = .seconds(3600) })
        let client = try mesh.connect()
        defer { client.close() }
        // Less than may be in flight, more than the kernel takes.
        let argument = String(repeating: "x", count: 60_000)
        for number in 0..<200 {
            #expect(client.ask(DubboCall(argument: argument, id: Int64(number)))?.text.hasPrefix("old") == true)
        }
        let report = try mesh.report()
        let dropped = report.copies[.dropped, default: 0]
        #expect(dropped > 0 && report.copies == [.dropped: dropped] && report.inFlight == 200 - Int(dropped))
    }

    @Test("Draining does not wait for copies")
    func draining() throws {
        let mesh = try DubboMesh()
        let old = try DubboHost.echo("old")
        let silent = try DubboHost { _, _ in }
        defer { mesh.stop(); old.stop(); silent.stop() }
        let policy = mirrorPolicy { $0.traffic.timeout = .seconds(3600) }
        try mesh.update([Instance(old, tag: "1.0"), Instance(silent, tag: "2.0")], policy: policy)
        let client = try mesh.connect()
        #expect(client.ask(DubboCall(id: 1))?.text.hasPrefix("old") == true)
        #expect(try mesh.report().inFlight == 1)
        client.close()
        mesh.plane.post(.drain)
        #expect(mesh.waits { if case .drained = $0 { true } else { false } })
    }
}
