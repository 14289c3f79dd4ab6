import Balancing
import Model
import Proxy
import Runtime
import TestSupport
import Testing

@Suite("Faults on purpose")
struct FaultTests {
    private func policy(_ change: (inout TrafficPolicy) -> Void) -> ServicePolicy {
        var policy = ServicePolicy()
        change(&policy.traffic)
        return policy
    }

    private func faults(_ report: WorkerReport) -> [FaultKind: UInt64] {
        Dictionary(
            uniqueKeysWithValues: report.services.first?.versions.flatMap(\.faults).map { ($0.kind, $0.count) } ?? [])
    }

    private func isQuiet(_ limits: ServiceLimits?) -> Bool {
        waitUntil(within: .seconds(10)) { limits?.breakers.allSatisfy { $0.requests.current == 0 } == true }
    }

    @Test("HTTP: a delayed upload is in flight all the while, and goes on with all of its body")
    func upload() throws {
        let host = try ScriptedServer { connection, _ in
            while !connection.receiveHead().isEmpty {
                connection.answer(
                    String(decoding: connection.receive(exactly: 100_000), as: UTF8.self).prefix(5).description)
            }
        }
        let mesh = try TestMesh()
        let policy = policy {
            $0.fault.delay = .milliseconds(300)
            $0.circuitBreaker.requests = 1
            $0.rateLimit.rate = RateLimitPolicy.Rate(requests: 1, per: .hour)
            $0.rateLimit.burst = 2
        }
        mesh.update(policy: policy, [("1.0", host.address)])
        try mesh.settle()
        let client = try mesh.connect()
        let begin = Clock.nanoseconds
        client.send(
            "POST / HTTP/1.1\r\nHost: shop\r\nContent-Length: 100000\r\n\r\n" + String(repeating: "a", count: 70_000))
        #expect(waitUntil(within: .seconds(10)) { mesh.limits?.own.breaker?.requests.current == 1 })
        #expect(try mesh.connect().get().status == 503)
        client.send(String(repeating: "b", count: 30_000) + "GET / HTTP/1.1\r\n")
        let answer = try client.receiveAnswer()
        #expect(answer.body == "aaaaa" && Clock.nanoseconds - begin >= 300_000_000)
        #expect(try isQuiet(mesh.limits) && faults(mesh.report()) == [.delay: 1])
        // One token is taken, not two: one was left for the request that the circuit breaker has refused.
        let next = try mesh.connect()
        #expect(try next.get().status == 429)
    }

    /// Requests wait.
    private var before: ServicePolicy {
        policy {
            $0.fault.delay = .milliseconds(500)
            $0.circuitBreaker.requests = 10
        }
    }

    /// Only the version that they ask for may serve.
    private var after: ServicePolicy {
        var policy = ServicePolicy()
        policy.mode = .strict
        return policy
    }

    @Test("HTTP: a version that comes during the delay serves")
    func newVersion() throws {
        let (old, new) = (try namedHost("1.0"), try namedHost("2.0"))
        let mesh = try TestMesh()
        mesh.update(policy: before, [("1.0", old.address)])
        try mesh.settle()
        let client = try mesh.connect()
        client.send("GET / HTTP/1.1\r\nHost: shop\r\nX-Version: 2.0\r\n\r\n")
        #expect(waitUntil(within: .seconds(10)) { mesh.limits?.own.breaker?.requests.current == 1 })
        mesh.update(policy: after, [("1.0", old.address), ("2.0", new.address)])
        #expect(try client.receiveAnswer().body == "2.0")
    }

    @Test("Dubbo: a version that comes during the delay serves, to calls that nobody waits for, too")
    func newTag() throws {
        let mesh = try DubboMesh()
        let (old, new) = (try DubboHost.echo("1.0"), try DubboHost.echo("2.0"))
        defer { mesh.stop(); old.stop(); new.stop() }
        try mesh.update([Instance(old, tag: "1.0")], policy: before)
        let client = try mesh.connect()
        defer { client.close() }
        client.send(DubboCall(attachments: [("dubbo.tag", "2.0")], id: 1).frame)
        client.send(DubboCall(attachments: [("dubbo.tag", "2.0")], id: 2, isTwoWay: false).frame)
        #expect(waitUntil(within: .seconds(10)) { mesh.limits?.own.breaker?.requests.current == 2 })
        try mesh.update([Instance(old, tag: "1.0"), Instance(new, tag: "2.0")], policy: after)
        #expect(client.receive()?.text.hasPrefix("2.0") == true)
        #expect(waitUntil(within: .seconds(10)) { new.calls.count == 2 } && old.calls.isEmpty)
    }

    @Test("HTTP: whoever goes during the delay is forgotten, and no host hears of it")
    func leaving() throws {
        let host = try namedHost("1.0")
        let mesh = try TestMesh()
        mesh.update(
            policy: policy {
                $0.fault.delay = .seconds(600)
                $0.timeout = .seconds(3600)
                $0.circuitBreaker.requests = 10
            }, [("1.0", host.address)])
        try mesh.settle()
        func leave(_ request: String, _ end: (Connection) -> Void) throws {
            do {
                let client = try mesh.connect()
                client.send(request)
                #expect(waitUntil(within: .seconds(10)) { mesh.limits?.own.breaker?.requests.current == 1 })
                end(client)
            }
            #expect(isQuiet(mesh.limits))
        }
        try leave("GET / HTTP/1.1\r\nHost: shop\r\n\r\n") { $0.resetOnClose() }
        try leave("POST / HTTP/1.1\r\nHost: shop\r\nContent-Length: 9\r\n\r\n") { _ in }
        let report = try mesh.report()
        #expect(report.endpoints.allSatisfy { $0.requests == 0 } && faults(report) == [.delay: 2])
    }

    @Test(
        "HTTP: the request's time holds during the delay; aborts have any status",
        arguments: [200, 204, 205, 304, 418, 503])
    func deadlineAndStatus(status: Int) throws {
        let host = try namedHost("1.0")
        let mesh = try TestMesh()
        let late = policy {
            $0.fault.delay = .seconds(600)
            $0.fault.abort = status
            $0.timeout = .milliseconds(50)
        }
        mesh.update(policy: late, [("1.0", host.address)])
        try mesh.settle()
        let client = try mesh.connect()
        let answer = try client.get()
        #expect(answer.status == 504 && answer.field("x-greymesh-error") == "timeout")
        mesh.update(
            policy: policy {
                $0.fault.delay = .milliseconds(10)
                $0.fault.abort = status
            }, [("1.0", host.address)])
        try mesh.settle()
        for _ in 0..<3 {
            let aborted = try client.get()
            #expect(aborted.status == status && aborted.field("x-greymesh-error") == "fault")
        }
        client.send("HEAD / HTTP/1.1\r\nHost: shop\r\n\r\n")
        #expect(try client.receiveAnswer(toHead: true).status == status)
        #expect(try mesh.report().endpoints.allSatisfy { $0.requests == 0 })
        #expect(faults(try mesh.report()) == [.delay: 5, .abort: 4])
    }

    @Test("A share of the requests, and of a further try none is asked again")
    func share() throws {
        let host = try namedHost("1.0")
        let closed = try SocketAddress(ipv4: 0x7f00_0001, port: FreePort.next())
        let mesh = try TestMesh()
        mesh.update(
            policy: policy {
                $0.fault.abort = 503
                $0.fault.share = 50_000
            }, [("1.0", host.address), ("1.0", closed)])
        try mesh.settle()
        let client = try mesh.connect()
        let aborted = try (0..<1000).count { _ in try client.get().status == 503 }
        // Six standard deviations.
        #expect(try abs(aborted - 500) < 95 && faults(mesh.report()) == [.abort: UInt64(aborted)])
    }

    @Test("HTTP: draining waits for delayed requests, which go on to their host")
    func draining() throws {
        let host = try namedHost("1.0")
        let mesh = try TestMesh()
        mesh.update(
            policy: policy {
                $0.fault.delay = .milliseconds(200)
                $0.circuitBreaker.requests = 10
            }, [("1.0", host.address)])
        try mesh.settle()
        let client = try mesh.connect()
        client.send("GET / HTTP/1.1\r\nHost: shop\r\n\r\n")
        #expect(waitUntil(within: .seconds(10)) { mesh.limits?.own.breaker?.requests.current == 1 })
        mesh.post(.drain)
        let answer = try client.receiveAnswer()
        #expect(answer.body == "1.0" && answer.field("connection") == "close")
        #expect(
            waitUntil(within: .seconds(10)) { mesh.events.contains { if case .drained = $0 { true } else { false } } })
    }

    // MARK: Dubbo and Bolt

    private func framed<Frame: PeerFrame>(
        _ status: Int, _ call: (Int, Bool) -> Frame.Call, isAborted: (Frame?) -> Bool, isLate: (Frame?) -> Bool
    ) throws {
        let mesh = try FramedMesh<Frame>()
        let host = try FrameHost<Frame>.echo("a")
        defer { mesh.stop(); host.stop() }
        func update(_ change: (inout TrafficPolicy) -> Void) throws {
            try mesh.update(
                [Instance(host)],
                policy: policy {
                    $0.circuitBreaker.requests = 10
                    change(&$0)
                })
        }
        let client = try mesh.connect()
        defer { client.close() }
        try update {
            $0.fault.delay = .milliseconds(100)
            $0.fault.abort = status
        }
        let begin = Clock.nanoseconds
        #expect(isAborted(client.ask(call(1, true))) && Clock.nanoseconds - begin >= 100_000_000)
        client.send(Frame(call(2, false)))
        #expect(
            try mesh.waitsForReport { faults($0) == [.delay: 2, .abort: 2] } && host.calls.isEmpty
                && isQuiet(mesh.limits))
        // The timeout is the service's; the delay is longer.
        try update {
            $0.fault.delay = .seconds(600)
            $0.timeout = .milliseconds(50)
        }
        #expect(isLate(client.ask(call(3, true))) && host.calls.isEmpty && isQuiet(mesh.limits))
        // Delayed requests go on as they came, one-way or not, and hold nobody up.
        try update { $0.fault.delay = .milliseconds(100) }
        client.send(Frame(call(4, true)))
        client.send(Frame(call(5, false)))
        #expect(!isAborted(client.receive()) && waitUntil(within: .seconds(10)) { host.calls.count == 2 })
        // Whoever goes is forgotten.
        try update { $0.fault.delay = .seconds(600) }
        let leaving = try mesh.connect()
        leaving.send(Frame(call(6, true)))
        #expect(waitUntil(within: .seconds(10)) { mesh.limits?.own.breaker?.requests.current == 1 })
        leaving.reset()
        #expect(isQuiet(mesh.limits) && host.calls.count == 2)
        // One that nobody ends is left when the worker stops.
        client.send(Frame(call(7, false)))
        #expect(waitUntil(within: .seconds(10)) { mesh.limits?.own.breaker?.requests.current == 1 })
        mesh.stop()
        #expect(mesh.limits?.own.breaker?.requests.current == 0)
    }

    @Test("Dubbo") func dubbo() throws {
        try framed(80, { DubboCall(id: Int64($0), isTwoWay: $1) }) { (answer: DubboFrame?) in
            answer?.status == 80 && answer?.text.contains("fault") == true
        } isLate: {
            $0?.status == 31
        }
    }

    @Test("Bolt") func bolt() throws {
        try framed(3, { BoltCall(id: UInt32($0), isTwoWay: $1) }) { (answer: BoltFrame?) in
            answer?.status == 3
        } isLate: {
            $0?.status == 7
        }
    }

    // MARK: stream_idle

    @Test("Answers and tunnels of a service may be silent as long as it says, those of a version as long as that says")
    func streams() throws {
        let host = try ScriptedServer { connection, _ in
            let head = connection.receiveHead()
            if head.contains("upgrade") {
                connection.send("HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n")
            } else {
                connection.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n")
            }
            _ = connection.receiveAll()
        }
        let mesh = try TestMesh { $0.limits.idleTimeout = .seconds(3600) }
        var policy = policy { $0.streamIdle = .seconds(3600) }
        policy.versions["2.0"] = policy.traffic
        policy.versions["2.0"]?.streamIdle = .seconds(1)
        mesh.update(policy: policy, [("1.0", host.address), ("2.0", host.address)])
        try mesh.settle()
        let patient = try mesh.connect()
        patient.send("GET / HTTP/1.1\r\nHost: shop\r\nx-version: 1.0\r\n\r\n")
        let begin = Clock.nanoseconds
        for upgrade in ["", "Connection: upgrade\r\nUpgrade: echo\r\n"] {
            let client = try mesh.connect()
            client.send("GET / HTTP/1.1\r\nHost: shop\r\nx-version: 2.0\r\n\(upgrade)\r\n")
            #expect(!client.receiveHead().isEmpty)
            if upgrade.isEmpty { #expect(client.receive(until: "a\r\n") == "1\r\na\r\n") }
            #expect(waitUntil(within: .seconds(60)) { client.hasInput } && client.receiveAll().isEmpty)
        }
        #expect(Clock.nanoseconds - begin >= 2_000_000_000)
        #expect(patient.receive(until: "a\r\n").hasSuffix("1\r\na\r\n") && !patient.hasInput)
    }
}
