import Balancing
import Model
import Proxy
import Runtime
import TestSupport
import Testing

/// What workers tell of hosts with outlier detection.
@Suite("Answers of hosts, counted")
struct HostTallyTests {
    private func policy(consecutive: Int? = nil) -> ServicePolicy {
        var policy = ServicePolicy()
        policy.mode = .strict
        policy.traffic.outlierDetection.isOn = true
        policy.traffic.outlierDetection.consecutive = consecutive
        policy.traffic.retries.attempts = 0
        return policy
    }

    /// Requests and failures of a version, as told.
    private func sum(_ events: [WorkerEvent], _ version: String) -> [UInt64] {
        var sum: [UInt64] = [0, 0]
        for case .tallies(let tallies) in events {
            for host in tallies.filter({ $0.identity.version == version }).flatMap(\.hosts) {
                sum[0] += host.counts.requests
                sum[1] += host.counts.failures
            }
        }
        return sum
    }

    private func streaks(_ events: [WorkerEvent]) -> [(version: String, address: SocketAddress)] {
        events.compactMap { event in
            if case .failing(_, let identity, let address) = event { (identity.version, address) } else { nil }
        }
    }

    @Test(
        "HTTP: 5xx, no connection, a broken one, no answer and what is none are failures; 4xx, 3xx and our own answers are not"
    )
    func http() throws {
        let mesh = try TestMesh()
        let host = try ScriptedServer { connection, _ in
            while true {
                let head = connection.receiveHead()
                let path = head.split(separator: " ").dropFirst().first ?? ""
                if head.isEmpty || path == "/cut" {
                    connection.send("HTTP/1.1 200")
                    return
                }
                if path == "/silent" { _ = connection.receiveHead() }
                if path == "/noise" { connection.send("noise\r\n\r\n") }
                connection.answer("", status: path.dropFirst() + " Some")
            }
        }
        mesh.keep(host)
        let free = try FreePort.next()
        var policy = policy()
        policy.traffic.timeout = .milliseconds(200)
        mesh.update(
            policy: policy, [("1.0", host.address), ("2.0", SocketAddress(ipv4: 0x7f00_0001, port: free))])
        try mesh.settle()
        for (path, status) in [
            ("/200", 200), ("/404", 404), ("/302", 302), ("/429", 429), ("/500", 500), ("/503", 503), ("/599", 599),
            ("/cut", 502), ("/silent", 504), ("/noise", 502),
        ] {
            #expect(try mesh.connect().get(path, "x-version: 1.0\r\n").status == status)
        }
        #expect(try mesh.connect().get("/", "x-version: 2.0\r\n").status == 503)
        mesh.post(.tally)
        try mesh.settle()
        #expect(sum(mesh.events, "1.0") == [10, 6], "\(sum(mesh.events, "1.0"))")
        #expect(sum(mesh.events, "2.0") == [1, 1])
        // Told once.
        mesh.post(.tally)
        try mesh.settle()
        #expect(sum(mesh.events, "1.0")[1] == 6)
        #expect(streaks(mesh.events).isEmpty)
    }

    @Test(
        "HTTP: so many failures in a row are told at once, of the version that has failed, and a good answer breaks the row"
    )
    func streak() throws {
        let mesh = try TestMesh()
        let host = try ScriptedServer { connection, _ in
            while true {
                let head = connection.receiveHead()
                if head.isEmpty { return }
                connection.answer("", status: head.contains("x-version: 2.0") ? "500 Bad" : "200 OK")
            }
        }
        mesh.keep(host)
        // One address serves both.
        mesh.update(policy: policy(consecutive: 3), [("1.0", host.address), ("2.0", host.address)])
        try mesh.settle()
        let client = try mesh.connect()
        for version in ["2.0", "2.0", "1.0", "1.0"] { _ = try client.get("/", "x-version: \(version)\r\n") }
        try mesh.settle()
        #expect(streaks(mesh.events).isEmpty)
        _ = try client.get("/", "x-version: 2.0\r\n")
        try mesh.settle()
        #expect(streaks(mesh.events).map(\.version) == ["2.0"] && streaks(mesh.events)[0].address == host.address)
        mesh.post(.tally)
        try mesh.settle()
        #expect(sum(mesh.events, "1.0") == [2, 0] && sum(mesh.events, "2.0") == [3, 3])
    }

    @Test("Without outlier detection nothing is told, and a host that is out gets requests only as the last resort")
    func out() throws {
        let mesh = try TestMesh()
        let (one, two) = (try namedHost("one"), try namedHost("two"))
        mesh.keep(one)
        mesh.keep(two)
        let key = ServiceKey(kind: .http, name: "shop")
        let instances = [one, two].map { Instance(address: $0.address, metadata: ["version": "1.0"]) }
        func update(out: Set<SocketAddress>) throws {
            let snapshot = ServiceSnapshot(
                key: key, policy: ServicePolicy(), instances: instances, versionKeys: ["version"])
            mesh.post(.update(snapshot.marked { out.contains($1) ? .ejected : [] }))
            try mesh.settle()
        }
        try update(out: [one.address])
        for _ in 0..<10 { #expect(try mesh.connect().get().body == "two") }
        #expect(try mesh.report().services.first?.regardless == 0)
        try update(out: [one.address, two.address])
        let bodies = Set(try (0..<40).map { _ in try mesh.connect().get().body })
        #expect(bodies == ["one", "two"])
        #expect(try mesh.report().services.first?.regardless == 40)
        mesh.post(.tally)
        try mesh.settle()
        #expect(sum(mesh.events, "1.0") == [0, 0])
    }

    @Test(
        "Dubbo: statuses that tell of an ill server are failures; a bad request, no such service and exceptions are not"
    )
    func dubbo() throws {
        let mesh = try DubboMesh()
        let host = try DubboHost { frame, socket in
            guard let text = frame.request?.argument else { return }
            if text == "end" { return socket.shutDown() }
            if text == "silent" { return }
            let status = UInt8(text) ?? 20
            if status != 20 { return socket.send(.error(status, "no", id: frame.id)) }
            if let echo = frame.echo("host") { socket.send(echo) }
        }
        defer {
            mesh.stop()
            host.stop()
        }
        var policy = policy(consecutive: 2)
        policy.stable = "2.0"
        policy.traffic.timeout = .milliseconds(300)
        try mesh.update([Instance(host, tag: "2.0")], policy: policy)
        let consumer = try mesh.connect()
        defer { consumer.close() }
        let texts = [
            "hi", "31", "20", "40", "50", "60", "70", "20", "80", "20", "100", "20", "90", "25", "silent", "hi", "end",
        ]
        for (id, text) in texts.enumerated() { _ = consumer.ask(DubboCall(argument: text, id: Int64(id))) }
        mesh.plane.post(.tally)
        #expect(mesh.waits { if case .tallies = $0 { true } else { false } })
        #expect(sum(mesh.allEvents, "2.0") == [17, 6], "\(sum(mesh.allEvents, "2.0"))")
        #expect(!mesh.streakWasTold)
        for id in 20..<22 as Range<Int64> { _ = consumer.ask(DubboCall(argument: "80", id: id)) }
        #expect(
            mesh.waits {
                if case .failing(_, let identity, host.address) = $0 { identity.version == "2.0" } else { false }
            })
    }

    @Test("Bolt: the same")
    func bolt() throws {
        let mesh = try BoltMesh()
        let host = try BoltHost { frame, socket in
            let text = frame.request?.argument ?? ""
            socket.send(frame.answer("", status: UInt16(text) ?? 0))
        }
        defer {
            mesh.stop()
            host.stop()
        }
        try mesh.update([Instance(host)], policy: policy())
        let client = try mesh.connect()
        defer { client.close() }
        let texts = ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9", "16", "17", "18", "0"]
        for (id, text) in texts.enumerated() { _ = client.ask(BoltCall(argument: text, id: UInt32(id))) }
        mesh.plane.post(.tally)
        #expect(mesh.waits { if case .tallies = $0 { true } else { false } })
        #expect(sum(mesh.allEvents, "") == [14, 6], "\(sum(mesh.allEvents, ""))")
    }
}

extension FramedMesh {
    /// A row of failures was told so far.
    fileprivate var streakWasTold: Bool { allEvents.contains { if case .failing = $0 { true } else { false } } }
}
