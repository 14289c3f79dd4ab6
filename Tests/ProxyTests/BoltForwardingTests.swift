import Model
import Proxy
import Runtime
import TestSupport
import Testing

@Suite("Bolt requests on their way")
struct BoltForwardingTests {
    @Test("A request is answered in its own variant and with its own id; checksums are right on both sides")
    func variants() throws {
        let mesh = try BoltMesh()
        let host = try BoltHost.echo("a")
        defer { mesh.stop(); host.stop() }
        try mesh.update([Instance(host)])
        let client = try mesh.connect()
        defer { client.close() }
        for round in 0..<3 as Range<UInt32> {
            for variant in BoltVariant.allCases {
                let id = UInt32.max - round
                let answer = try #require(client.ask(BoltCall(argument: "\(variant)", variant: variant, id: id)))
                #expect(answer.id == id && answer.variant == variant && answer.isChecksumRight)
                #expect(answer.text == "a|\(variant)")
            }
        }
        #expect(host.calls.allSatisfy(\.isChecksumRight) && Set(host.calls.map(\.id)).count == 9)
        // A server answers in what it saw first on a connection.
        #expect(host.connectionCount == 3)
        #expect(try mesh.report().services.first?.versions.first?.codes.map(\.code) == [0])
    }

    @Test("Clients with the same ids get their own answers, in the order in which the host gives them")
    func sameIDs() throws {
        let mesh = try BoltMesh()
        let host = try BoltHost { _, _ in }
        defer { mesh.stop(); host.stop() }
        try mesh.update([Instance(host)])
        let clients = try (0..<2).map { _ in try mesh.connect() }
        defer { for client in clients { client.close() } }
        for (number, client) in clients.enumerated() {
            for id in 0..<3 as Range<UInt32> { client.send(BoltFrame(BoltCall(argument: "\(number)-\(id)", id: id))) }
        }
        #expect(waitUntil(within: .seconds(10)) { host.frames.count == 6 })
        for frame in host.frames.reversed() { host.send(frame.answer("to " + frame.text)) }
        for (number, client) in clients.enumerated() {
            for id in (0..<3 as Range<UInt32>).reversed() {
                let answer = try #require(client.receive())
                #expect(answer.id == id && answer.text == "to \(number)-\(id)")
            }
        }
    }

    @Test("Frames may come byte by byte", arguments: BoltVariant.allCases)
    func pieces(variant: BoltVariant) throws {
        let mesh = try BoltMesh()
        let host = try BoltHost { frame, socket in
            for byte in frame.answer("got \(frame.text)").bytes { socket.send([byte]) }
        }
        defer { mesh.stop(); host.stop() }
        try mesh.update([Instance(host)])
        let client = try mesh.connect()
        defer { client.close() }
        for id in 0..<3 as Range<UInt32> {
            for byte in BoltFrame(BoltCall(argument: "\(id)", variant: variant, id: id)).bytes { client.send([byte]) }
            #expect(client.receive()?.text == "got \(id)")
        }
    }

    @Test("One-way requests are sent, counted and not answered", arguments: BoltVariant.allCases)
    func oneWay(variant: BoltVariant) throws {
        let mesh = try BoltMesh()
        let host = try BoltHost.echo("a")
        defer { mesh.stop(); host.stop() }
        try mesh.update([Instance(host)])
        let client = try mesh.connect()
        defer { client.close() }
        for (number, argument) in ["first", "second"].enumerated() {
            client.send(
                BoltFrame(BoltCall(argument: argument, variant: variant, id: UInt32(number), isTwoWay: false)))
        }
        let answer = try #require(client.ask(BoltCall(argument: "third", variant: variant, id: 3)))
        #expect(answer.id == 3)
        #expect(host.calls.map(\.argument) == ["first", "second", "third"])
        #expect(host.calls.map(\.isTwoWay) == [false, false, true] && host.calls.allSatisfy(\.isChecksumRight))
        let report = try mesh.report()
        #expect(report.services.first?.routes.map(\.count) == [3])
        #expect(report.endpoints.first?.active == 0)
    }

    @Test("Heartbeats are answered at once, one-way ones too; other commands are refused and frames behind them served")
    func heartbeats() throws {
        let mesh = try BoltMesh()
        let host = try BoltHost.echo("a")
        defer { mesh.stop(); host.stop() }
        try mesh.update([Instance(host)])
        let client = try mesh.connect()
        defer { client.close() }
        for variant in BoltVariant.allCases {
            for type in [BoltFrame.twoWay, BoltFrame.oneWay] {
                var heartbeat = BoltFrame.heartbeat(variant, id: 99)
                heartbeat.type = type
                client.send(heartbeat)
                let answer = try #require(client.receive())
                #expect(answer.variant == variant && answer.type == BoltFrame.response && answer.isHeartbeat)
                #expect(answer.id == 99 && answer.status == 0 && answer.content.isEmpty)
            }
        }
        client.send(BoltFrame(type: BoltFrame.twoWay, command: 7, id: 1))
        client.send(BoltFrame(type: BoltFrame.oneWay, command: 7, id: 2))
        client.send(BoltFrame.goaway)
        client.send(BoltFrame(type: BoltFrame.response, command: 2, id: 3))
        #expect(client.receive()?.status == 6)
        #expect(client.ask(BoltCall(id: 4))?.id == 4)
        #expect(host.frames.count == 1)
    }

    @Test(
        "A host with another interface version gets it in both names, whatever stands in the map",
        arguments: BoltVariant.allCases)
    func rewriting(variant: BoltVariant) throws {
        let mesh = try BoltMesh()
        let (one, two) = (try BoltHost.echo("one"), try BoltHost.echo("two"))
        defer { mesh.stop(); one.stop(); two.stop() }
        try mesh.update([
            Instance(one), Instance(two, version: "2.0"), Instance(one, group: "blue"),
            Instance(two, version: "2.0", group: "blue"),
        ])
        let client = try mesh.connect()
        defer { client.close() }
        let doubled = [("service", "demo.Echo:1.0"), ("sofa_head_target_service", "demo.Echo:1.0")]
        // As long as it may be.
        let long = [("padding", String(repeating: "p", count: 32_500))]
        for (number, headers) in [[], doubled, long].enumerated() {
            let headers = headers.map { (key: $0.0, value: $0.1) } + [("x-version", "2.0")]
            var call = BoltCall(headers: headers, variant: variant, id: UInt32(number))
            #expect(client.ask(call)?.text == "two|hi")
            call.service = "demo.Echo:1.0:blue"
            call.headers.removeAll { $0.key == "service" || $0.key == "sofa_head_target_service" }
            #expect(client.ask(call)?.text == "two|hi")
        }
        for (number, call) in two.calls.enumerated() {
            let name = number % 2 == 0 ? "demo.Echo:2.0" : "demo.Echo:2.0:blue"
            for key in ["service", "sofa_head_target_service"] {
                #expect(call.headers.filter { $0.key == key }.map(\.value) == [name])
            }
            #expect(call.isChecksumRight)
        }
    }

    @Test("Hosts that are listed without a version take any, as it is; an explanation says the same")
    func anyVersion() throws {
        let mesh = try BoltMesh()
        let host = try BoltHost.echo("a")
        defer { mesh.stop(); host.stop() }
        var policy = ServicePolicy()
        policy.mode = .strict
        try mesh.update([Instance(host)], policy: policy)
        let client = try mesh.connect()
        defer { client.close() }
        #expect(client.ask(BoltCall(service: "demo.Echo:7.0", id: 1))?.text == "a|hi")
        #expect(host.calls.map(\.service) == ["demo.Echo:7.0"])
        let key = ServiceKey(kind: .bolt, name: "demo.Echo")
        mesh.plane.post(.explain(id: 5, ExplainRequest(key: key, interfaceVersion: "7.0")))
        let isExplained = mesh.waits {
            if case .explanation(5, let explanation) = $0 { explanation.hosts == ["\(host.address)"] } else { false }
        }
        #expect(isExplained)
    }

    @Test("A request that another version's host did not take has its own version again", arguments: [10, 100_000])
    func ownVersionAgain(size: Int) throws {
        let mesh = try BoltMesh()
        let host = try BoltHost.echo("a")
        defer { mesh.stop(); host.stop() }
        let refusing = Instance(
            address: SocketAddress(ipv4: 0x7f00_0001, port: try FreePort.next()), interfaceVersion: "2.0")
        try mesh.update([Instance(host), refusing])
        let client = try mesh.connect()
        defer { client.close() }
        let argument = String(repeating: "x", count: size)
        let call = BoltCall(argument: argument, headers: [("x-version", "2.0")], id: 1)
        #expect(client.ask(call)?.text == "a|" + argument)
        #expect(host.calls.map(\.service) == ["demo.Echo:1.0"])
        #expect(try mesh.report().endpoints.contains { $0.failures == 1 })
    }

    @Test("What the host will execute decides the service, not the other name")
    func twoNames() throws {
        let mesh = try BoltMesh()
        let (shop, other) = (try BoltHost.echo("shop"), try BoltHost.echo("other"))
        defer { mesh.stop(); shop.stop(); other.stop() }
        try mesh.update([Instance(shop)])
        try mesh.update([Instance(other)], of: "demo.Other")
        let client = try mesh.connect()
        defer { client.close() }
        var frame = BoltFrame(BoltCall(id: 1))
        frame.header = BoltFrame.map([
            ("service", "demo.Echo:1.0"), ("sofa_head_target_service", "demo.Other:1.0"),
        ])
        client.send(frame)
        #expect(client.receive()?.text == "shop|hi")
    }

    @Test("Requests that name no service go to the only one with hosts that the configuration names")
    func opaque() throws {
        let mesh = try BoltMesh()
        let host = try BoltHost.echo("a")
        defer { mesh.stop(); host.stop() }
        try mesh.update([Instance(host, version: "2.0")])
        try mesh.configure(["demo.Echo"])
        let client = try mesh.connect()
        defer { client.close() }
        func ask(_ header: [UInt8], id: UInt32) throws -> BoltFrame {
            var frame = BoltFrame(BoltCall(className: "own.Class", id: id))
            frame.header = header
            client.send(frame)
            return try #require(client.receive())
        }
        let headers: [[UInt8]] = [
            [], [1, 2, 3], [0xff, 0xff, 0xff, 0xff, 0, 0, 0, 9, 1], BoltFrame.map([("k", "v")]),
        ]
        for (number, header) in headers.enumerated() { #expect(try ask(header, id: UInt32(number)).text == "a|hi") }
        #expect(host.frames.map(\.header) == headers)
        // Hosts with a unique id get them only where there is no other.
        let other = try BoltHost.echo("b")
        defer { other.stop() }
        try mesh.update([Instance(host, version: "2.0"), Instance(other, version: "2.0", group: "id")])
        for id in 10..<20 as Range<UInt32> { #expect(try ask([], id: id).text == "a|hi") }
        try mesh.update([Instance(other, version: "2.0", group: "id")])
        for (number, header) in headers.enumerated() {
            #expect(try ask(header, id: UInt32(20 + number)).text == "b|hi")
        }
        #expect(other.frames.map(\.header) == headers)
        try mesh.update([Instance(host)], of: "demo.Other")
        #expect(try ask([], id: 8).text == "b|hi")
        try mesh.configure(["demo.Echo", "demo.Other"])
        let refusal = try ask([], id: 9)
        #expect(refusal.status == 6 && refusal.content.isEmpty)
    }

    @Test("The access log tells the unique id of the host that has served a request without a service's name")
    func opaqueLogged() throws {
        let directory = try TemporaryDirectory()
        let log = try AccessLog(path: directory.path(of: "access.log"))
        let mesh = try BoltMesh { $0.accessLog = log }
        let host = try BoltHost.echo("a")
        try mesh.update([Instance(host, version: "2.0", group: "id")])
        try mesh.configure(["demo.Echo"])
        let client = try mesh.connect()
        var frame = BoltFrame(BoltCall(id: 1))
        frame.header = []
        client.send(frame)
        #expect(client.receive()?.text == "a|hi")
        client.close()
        mesh.stop()
        host.stop()
        log.stop()
        let line = String(decoding: try TemporaryDirectory.read(directory.path(of: "access.log")), as: UTF8.self)
        #expect(line.contains(#""served_group":"id""#), "\(line)")
    }

    @Test("A wrong checksum ends the connection; what was asked before is answered")
    func badChecksum() throws {
        let mesh = try BoltMesh()
        let host = try BoltHost { _, _ in }
        defer { mesh.stop(); host.stop() }
        try mesh.update([Instance(host)])
        let client = try mesh.connect()
        defer { client.close() }
        var bytes = BoltFrame(BoltCall(variant: .withChecksums, id: 1)).bytes
        bytes += BoltFrame(BoltCall(argument: "bad", variant: .withChecksums, id: 2)).bytes
        bytes[bytes.count - 5] ^= 1
        client.send(bytes)
        #expect(waitUntil(within: .seconds(10)) { host.frames.count == 1 })
        host.send(host.frames[0].answer("answer"))
        #expect(client.receive()?.text == "answer")
        #expect(client.isEnded())
    }

    @Test(
        "A request that goes in circles through two Greymeshes ends, with words where there are some",
        arguments: BoltVariant.allCases)
    func rounds(variant: BoltVariant) throws {
        let (one, two) = (try BoltMesh(), try BoltMesh())
        defer { one.stop(); two.stop() }
        func instance(_ mesh: BoltMesh) -> Instance {
            Instance(address: SocketAddress(ipv4: 0x7f00_0001, port: mesh.port))
        }
        try one.update([instance(two)])
        try two.update([instance(one)])
        let client = try one.connect()
        defer { client.close() }
        let answer = try #require(client.ask(BoltCall(variant: variant, id: 1)))
        #expect(answer.status == 0 && answer.text.contains("has come through 8 Greymeshes"))
        #expect(client.ask(BoltCall(variant: variant, className: "own.Class", id: 2))?.status == 6)
        let sent = try [one, two].flatMap { try $0.report().endpoints.map(\.requests) }.reduce(0, +)
        #expect(sent == 16)
    }
}
