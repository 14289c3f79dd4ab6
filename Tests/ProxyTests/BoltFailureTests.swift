import Model
import Proxy
import Runtime
import Synchronization
import TestSupport
import Testing

@Suite("Bolt hosts that fail or leave")
struct BoltFailureTests {
    private static let missing = "RPC-020100010: RPC cannot find service: "

    private func refusing() throws -> Instance {
        Instance(address: SocketAddress(ipv4: 0x7f00_0001, port: try FreePort.next()))
    }

    @Test("Hosts that refuse connections are passed over; status 4 says that none was reached")
    func refused() throws {
        let mesh = try BoltMesh()
        let host = try BoltHost.echo("a")
        defer { mesh.stop(); host.stop() }
        try mesh.update([try refusing(), try refusing(), Instance(host)])
        let client = try mesh.connect()
        defer { client.close() }
        for id in 0..<20 as Range<UInt32> {
            let variant = BoltVariant.allCases[Int(id % 3)]
            #expect(client.ask(BoltCall(argument: "\(id)", variant: variant, id: id))?.text == "a|\(id)")
            client.send(BoltFrame(BoltCall(argument: "one-way", variant: variant, id: 100, isTwoWay: false)))
        }
        #expect(waitUntil(within: .seconds(10)) { host.calls.count == 40 })
        try mesh.update([try refusing(), try refusing()])
        let answer = try #require(client.ask(BoltCall(id: 99)))
        #expect(answer.status == 4 && answer.content.isEmpty)
    }

    @Test(
        "A host that is busy, or does not have the service, has not executed it: another one does",
        arguments: BoltVariant.allCases)
    func notExecuted(variant: BoltVariant) throws {
        let mesh = try BoltMesh()
        let refusing = try BoltHost { frame, socket in
            let isBusy = frame.text == "busy"
            socket.send(isBusy ? frame.answer("", status: 4) : frame.failure(Self.missing + "[demo.Echo:1.0] "))
        }
        let host = try BoltHost.echo("a")
        defer { mesh.stop(); host.stop(); refusing.stop() }
        try mesh.update([Instance(refusing), Instance(host)])
        let client = try mesh.connect()
        defer { client.close() }
        for id in 0..<30 as Range<UInt32> {
            let argument = id % 2 == 0 ? "busy" : "other"
            let codec = [1, 11, 12][Int(id % 3)] as UInt8
            let call = BoltCall(argument: argument, variant: variant, codec: codec, id: id)
            #expect(client.ask(call)?.text == "a|\(argument)")
        }
        #expect(refusing.calls.count >= 4 && host.calls.allSatisfy(\.isChecksumRight))
        // With nobody else, the host's own words are the answer.
        try mesh.update([Instance(refusing)])
        #expect(client.ask(BoltCall(argument: "busy", variant: variant, id: 98))?.status == 4)
        #expect(client.ask(BoltCall(variant: variant, id: 99))?.text.contains(Self.missing) == true)
    }

    @Test(
        "An exception that says that another service is missing was thrown by the method: it is not called again",
        arguments: [11, 12] as [UInt8])
    func nestedRefusal(codec: UInt8) throws {
        let mesh = try BoltMesh()
        let hosts = try (0..<2).map { _ in
            try BoltHost { frame, socket in socket.send(frame.failure(Self.missing + "[demo.Nested:1.0] ")) }
        }
        defer {
            mesh.stop()
            for host in hosts { host.stop() }
        }
        try mesh.update(hosts.map { Instance($0) })
        let client = try mesh.connect()
        defer { client.close() }
        for id in 0..<6 as Range<UInt32> {
            #expect(client.ask(BoltCall(codec: codec, id: id))?.text.contains("demo.Nested") == true)
        }
        #expect(hosts.map { $0.calls.count }.reduce(0, +) == 6)
    }

    @Test("A request that the host may have read is not answered with a status that has it sent again")
    func lost() throws {
        let mesh = try BoltMesh()
        let host = try BoltHost { _, _ in }
        defer { mesh.stop(); host.stop() }
        try mesh.update([Instance(host)])
        let client = try mesh.connect()
        defer { client.close() }
        client.send(BoltFrame(BoltCall(id: 1)))
        client.send(BoltFrame(BoltCall(className: "own.Class", id: 2)))
        client.send(BoltFrame(BoltCall(codec: 13, id: 3)))
        #expect(waitUntil(within: .seconds(10)) { host.calls.count == 3 })
        host.dropConnections()
        var answers: [UInt32: BoltFrame] = [:]
        for _ in 0..<3 {
            let answer = try #require(client.receive())
            answers[answer.id] = answer
        }
        #expect(answers[1]?.status == 0 && answers[1]?.text.contains("closed while the request waited") == true)
        #expect(answers[2]?.status == 5 && answers[3]?.status == 5)
        #expect(host.calls.count == 3)
    }

    @Test("The time that a request brings is its deadline; the late answer is dropped", arguments: BoltVariant.allCases)
    func timeout(variant: BoltVariant) throws {
        let mesh = try BoltMesh()
        let host = try BoltHost { frame, socket in
            if frame.text != "slow" { BoltHost.echo("a", frame, socket) }
        }
        defer { mesh.stop(); host.stop() }
        try mesh.update([Instance(host)])
        let client = try mesh.connect()
        defer { client.close() }
        let answer = try #require(client.ask(BoltCall(argument: "slow", variant: variant, timeout: 50, id: 1)))
        #expect(answer.status == 7 && answer.id == 1 && answer.variant == variant)
        let late = try #require(host.frames.first)
        #expect(late.timeout == 50 && late.isChecksumRight)
        host.send(late.answer("late"))
        var forged = late.answer("forged")
        forged.id &+= 1 << 18
        host.send(forged)
        #expect(client.ask(BoltCall(argument: "next", variant: variant, id: 2))?.text == "a|next")
        #expect(host.connectionCount == 1)
    }

    @Test("Another attempt gets the time that is left", arguments: BoltVariant.allCases)
    func timeLeft(variant: BoltVariant) throws {
        let mesh = try BoltMesh()
        // A host that takes its time to say that it is busy.
        let busy = try BoltHost { frame, socket in
            guard frame.command == 1 else { return BoltHost.echo("busy", frame, socket) }
            let begin = Clock.nanoseconds
            _ = waitUntil(within: .seconds(10)) { Clock.nanoseconds - begin >= 100_000_000 }
            socket.send(frame.answer("", status: 4))
        }
        let host = try BoltHost.echo("a")
        defer { mesh.stop(); host.stop(); busy.stop() }
        // Drawn at random all of the first four could go to the other one.
        var policy = ServicePolicy()
        policy.balancer = .roundRobin
        try mesh.update([Instance(busy), Instance(host)], policy: policy)
        let client = try mesh.connect()
        defer { client.close() }
        for id in 0..<4 as Range<UInt32> {
            let call = BoltCall(variant: variant, timeout: 5000, id: id)
            #expect(client.ask(call)?.text == "a|hi")
        }
        for id in 10..<14 as Range<UInt32> {
            #expect(client.ask(BoltCall(argument: "unlimited", variant: variant, id: id))?.text == "a|unlimited")
        }
        #expect(busy.calls.allSatisfy { $0.timeout == 5000 || $0.argument == "unlimited" } && !busy.calls.isEmpty)
        let times = host.calls.filter { $0.argument == "hi" }.map(\.timeout)
        #expect(times.contains { $0 <= 4900 } && times.allSatisfy { (1...5000).contains($0) })
        #expect(host.calls.allSatisfy { $0.isChecksumRight && ($0.argument == "hi" || $0.timeout == -1) })
    }

    @Test(
        "A request that has run out of time before it was sent is not sent any more, small or large; those behind it are",
        arguments: BoltVariant.allCases, [4, 300_000])
    func expired(variant: BoltVariant, size: Int) throws {
        let mesh = try BoltMesh()
        let isReading = Mutex(false)
        let host = try BoltHost(receiveBuffer: 65_536) { frame, socket in
            _ = waitUntil(within: .seconds(60)) { isReading.withLock(\.self) }
            BoltHost.echo("a", frame, socket)
        }
        defer {
            isReading.withLock { $0 = true }
            mesh.stop()
            host.stop()
        }
        try mesh.update([Instance(host)])
        let client = try mesh.connect()
        defer { client.close() }
        let (large, late) = (String(repeating: "x", count: 1_000_000), String(repeating: "l", count: size))
        // More than the kernel takes, less than is let wait.
        for id in 0..<15 as Range<UInt32> {
            client.send(BoltFrame(BoltCall(argument: large, variant: variant, id: id, isTwoWay: false)))
        }
        client.send(BoltFrame(BoltCall(argument: "early", variant: variant, id: 50)))
        for id in 60..<63 as Range<UInt32> {
            #expect(client.ask(BoltCall(argument: late, variant: variant, timeout: 50, id: id))?.status == 7)
        }
        client.send(BoltFrame(BoltCall(argument: "last", variant: variant, id: 70)))
        isReading.withLock { $0 = true }
        #expect(Set([client.receive()?.text, client.receive()?.text]) == ["a|early", "a|last"])
        #expect(host.calls.count == 17)
        #expect(host.calls.allSatisfy { $0.isChecksumRight && (!$0.argument.hasPrefix("l") || $0.argument == "last") })
    }

    @Test("A host that says goaway gets no new requests; those in flight finish and the connection is closed")
    func goaway() throws {
        let mesh = try BoltMesh()
        let (going, staying) = (try BoltHost { _, _ in }, try BoltHost.echo("staying"))
        defer { mesh.stop(); going.stop(); staying.stop() }
        try mesh.update([Instance(going)])
        let client = try mesh.connect()
        defer { client.close() }
        client.send(BoltFrame(BoltCall(id: 1)))
        #expect(waitUntil(within: .seconds(10)) { going.frames.count == 1 })
        try mesh.update([Instance(going), Instance(staying)])
        going.send(BoltFrame.goaway)
        #expect(try mesh.waitsForReport { $0.endpoints.contains { $0.address == going.address && $0.isDraining } })
        for id in 10..<30 as Range<UInt32> { #expect(client.ask(BoltCall(id: id))?.text == "staying|hi") }
        going.send(going.frames[0].answer("finished"))
        #expect(client.receive()?.text == "finished")
        #expect(waitUntil(within: .seconds(10)) { going.endedCount == 1 })
        #expect(going.calls.count == 1)
    }

    @Test("Requests of hosts are refused, so that they do not wait; heartbeats of hosts are answered")
    func requestsOfHosts() throws {
        let mesh = try BoltMesh()
        let host = try BoltHost.echo("a")
        defer { mesh.stop(); host.stop() }
        try mesh.update([Instance(host)])
        let client = try mesh.connect()
        defer { client.close() }
        #expect(client.ask(BoltCall(id: 1))?.text == "a|hi")
        host.send(BoltFrame.heartbeat(id: 77))
        host.send(BoltFrame(BoltCall(id: 78)))
        host.send(BoltFrame(BoltCall(id: 79, isTwoWay: false)))
        #expect(waitUntil(within: .seconds(10)) { host.frames.count == 3 })
        let answers = host.frames.dropFirst()
        #expect(answers.map(\.id) == [77, 78] && answers.map(\.type) == [0, 0])
        #expect(client.ask(BoltCall(id: 2))?.text == "a|hi")
    }

    @Test("Idle hosts get heartbeats in what their connection speaks", arguments: BoltVariant.allCases)
    func heartbeats(variant: BoltVariant) throws {
        let mesh = try BoltMesh { $0.heartbeat = .milliseconds(40) }
        let host = try BoltHost.echo("a")
        defer { mesh.stop(); host.stop() }
        try mesh.update([Instance(host)])
        let client = try mesh.connect()
        defer { client.close() }
        #expect(client.ask(BoltCall(variant: variant, id: 1))?.text == "a|hi")
        #expect(waitUntil(within: .seconds(10)) { host.frames.filter(\.isHeartbeat).count >= 5 })
        #expect(host.frames.allSatisfy { $0.variant == variant })
        #expect(client.ask(BoltCall(variant: variant, id: 2))?.text == "a|hi")
        #expect(host.connectionCount == 1)
    }
}
