import Model
import Proxy
import Runtime
import Synchronization
import TestSupport
import Testing

@Suite("Dubbo: a second host beside one that does not answer") struct DubboHedgeTests {
    private func policy(_ hedge: Duration = .milliseconds(50), _ change: (inout RetryPolicy) -> Void = { _ in })
        -> ServicePolicy
    {
        .hedging(after: hedge, methods: ["say"], change)
    }

    /// Calls at all hosts, in their order.
    private final class Calls: Sendable {
        private let all = Mutex<[(id: Int64, socket: DubboSocket)]>([])

        func add(_ frame: DubboFrame, _ socket: DubboSocket) -> Int {
            all.withLock { calls in
                calls.append((frame.id, socket))
                return calls.count
            }
        }

        var count: Int { all.withLock(\.count) }
        func answer(_ turn: Int, _ text: String) {
            let call = all.withLock { $0[turn - 1] }
            call.socket.send(.value(text, id: call.id))
        }
    }

    /// Runs a call through hosts that do something by their turn.
    private func run(
        hosts count: Int = 2, _ policy: ServicePolicy,
        _ script: @escaping @Sendable (Calls, Int, DubboFrame, DubboSocket) -> Void,
        _ body: (DubboSocket, Calls, DubboMesh) throws -> Void
    ) throws {
        let calls = Calls()
        let mesh = try DubboMesh()
        let hosts = try (0..<count).map { _ in
            try DubboHost { frame, socket in
                // Those that were too slow are asked whether they are there.
                if frame.flags == DubboFrame.heartbeatRequest { return DubboHost.echo("", frame, socket) }
                script(calls, calls.add(frame, socket), frame, socket)
            }
        }
        defer {
            mesh.stop()
            for host in hosts { host.stop() }
        }
        try mesh.update(hosts.map { Instance($0) }, policy: policy)
        let consumer = try mesh.connect()
        defer { consumer.close() }
        try body(consumer, calls, mesh)
        #expect(waitUntil(within: .seconds(5)) { (try? mesh.report().endpoints.allSatisfy { $0.active == 0 }) == true })
    }

    private func hedges(_ mesh: DubboMesh) throws -> UInt64 {
        try mesh.report().services.first?.retries.first { $0.cause == .hedge }?.count ?? 0
    }

    @Test func theFirstAnswerWinsAndTheLateOneIsNobodys() throws {
        let script: @Sendable (Calls, Int, DubboFrame, DubboSocket) -> Void = { _, turn, frame, socket in
            if turn % 2 == 0 { socket.send(.value("second", id: frame.id)) }
        }
        try run(policy(), script) { (consumer, calls, mesh) throws in
            for turn in 0..<3 {
                let answer = consumer.ask(DubboCall(id: Int64(turn)))
                #expect(answer?.text == "second" && answer?.id == Int64(turn))
            }
            #expect(calls.count == 6)
            #expect(try hedges(mesh) == 3)
            calls.answer(1, "late")
            calls.answer(3, "late")
            #expect(consumer.ask(DubboCall(id: 9))?.text == "second")
        }
    }

    @Test("The first host may win as well, and what is not wanted does not", arguments: ["silent", "80", "end"])
    func firstWins(second: String) throws {
        let script: @Sendable (Calls, Int, DubboFrame, DubboSocket) -> Void = { calls, turn, frame, socket in
            if turn == 1 {
                _ = waitUntil(within: .seconds(10)) { calls.count == 2 }
                let begin = Clock.nanoseconds
                _ = waitUntil(within: .seconds(10)) { Clock.nanoseconds - begin > 100_000_000 }
                return socket.send(.value("first", id: frame.id))
            }
            switch second {
            case "silent": break
            case "80": socket.send(.error(80, "bad", id: frame.id))
            default: socket.shutDown()
            }
        }
        let everything = policy {
            $0.onReset = true
            $0.statuses = [80]
        }
        try run(everything, script) { (consumer, calls, mesh) throws in
            let answer = consumer.ask(DubboCall(id: 5))
            #expect(answer?.text == "first" && answer?.id == 5 && calls.count == 2)
            #expect(try hedges(mesh) == 1)
        }
    }

    @Test("When both fail a third host is asked", arguments: [true, false])
    func bothFail(isReset: Bool) throws {
        let script: @Sendable (Calls, Int, DubboFrame, DubboSocket) -> Void = { calls, turn, frame, socket in
            _ = waitUntil(within: .seconds(10)) { calls.count >= 2 }
            if turn == 3 { socket.send(.value("third", id: frame.id)) } else { socket.shutDown() }
        }
        try run(hosts: 3, policy { $0.onReset = isReset }, script) { (consumer, calls, mesh) throws in
            let answer = consumer.ask(DubboCall(id: 5))
            #expect(answer?.status == (isReset ? 20 : 80) && calls.count == (isReset ? 3 : 2))
            #expect(answer?.text == "third" || !isReset)
        }
    }

    @Test("A status of both is passed on, after all hosts have been asked")
    func bothRefuse() throws {
        let script: @Sendable (Calls, Int, DubboFrame, DubboSocket) -> Void = { calls, turn, frame, socket in
            _ = waitUntil(within: .seconds(10)) { calls.count >= 2 }
            socket.send(.error(80, "bad", id: frame.id))
        }
        try run(hosts: 3, policy { $0.statuses = [80] }, script) { (consumer, calls, _) throws in
            let answer = consumer.ask(DubboCall(id: 5))
            #expect(answer?.status == 80 && answer?.text == "bad" && calls.count == 3)
        }
    }

    @Test("What may not be repeated has one host", arguments: ["other", "say"])
    func noSecond(method: String) throws {
        let size = method == "say" ? 70_000 : 10
        try run(policy(), { _, _, _, _ in }) { (consumer, calls, mesh) throws in
            let call = DubboCall(
                method: method, argument: String(repeating: "x", count: size), attachments: [("timeout", "300")], id: 1)
            #expect(consumer.ask(call)?.status == 31 && calls.count == 1)
            #expect(try hedges(mesh) == 0)
        }
    }

    @Test("The first host has the time for one try, the second one what is left")
    func perTry() throws {
        let script: @Sendable (Calls, Int, DubboFrame, DubboSocket) -> Void = { calls, turn, frame, socket in
            if turn == 1 { return }
            let begin = Clock.nanoseconds
            _ = waitUntil(within: .seconds(10)) { Clock.nanoseconds - begin > 300_000_000 }
            calls.answer(1, "late")
            socket.send(.value("second", id: frame.id))
        }
        let both = policy {
            $0.onReset = true
            $0.perTryTimeout = .milliseconds(100)
        }
        try run(both, script) { (consumer, calls, _) throws in
            #expect(consumer.ask(DubboCall(id: 1))?.text == "second" && calls.count == 2)
        }
    }

    @Test("With the consumer both are given up, and the budget is free again")
    func consumerGoes() throws {
        try run(policy(), { _, _, _, _ in }) { (consumer, calls, mesh) throws in
            for round in 1...2 {
                let other = try mesh.connect()
                for id in 0..<4 { other.send(DubboCall(id: Int64(id)).frame) }
                // Three of four have a second host.
                #expect(waitUntil(within: .seconds(5)) { calls.count == round * 7 })
                other.reset()
                #expect(waitUntil(within: .seconds(5)) { (try? hedges(mesh)) == UInt64(round * 3) })
                let idle = { try mesh.report().endpoints.allSatisfy { $0.active == 0 } }
                #expect(waitUntil(within: .seconds(5)) { (try? idle()) == true })
            }
        }
    }
}
