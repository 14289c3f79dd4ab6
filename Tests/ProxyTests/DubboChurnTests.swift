import Model
import Proxy
import Runtime
import Synchronization
import TestSupport
import Testing

@Suite("Dubbo under churn")
struct DubboChurnTests {
    /// What a host does with a call, decided by chance that depends on the seed only.
    private static func misbehave(_ name: String, _ frame: DubboFrame, _ socket: DubboSocket, _ rolled: UInt64) {
        guard frame.flags & 0xa0 == 0x80 else { return DubboHost.echo(name, frame, socket) }
        switch rolled {
        case 0: socket.shutDown()
        case 1: break  // no answer: the call's own deadline ends it
        case 2: socket.send([0x47, 0x45, 0x54])
        case 3: socket.send(.error(100, "full", id: frame.id))
        case 4:
            let text = "org.apache.dubbo.remoting.RemotingException: Not found exported service: x"
            socket.send(.error(70, text, id: frame.id))
        case 5:
            DubboHost.echo(name, frame, socket)
            DubboHost.echo(name, frame, socket)
        case 6:
            socket.send(DubboFrame(flags: DubboFrame.event, id: 1, body: [0x01, 0x52]))
            DubboHost.echo(name, frame, socket)
        case 7: socket.send(.value(String(repeating: "x", count: 300_000), id: frame.id))
        default: DubboHost.echo(name, frame, socket)
        }
    }

    @Test("Whatever hosts, consumers and registries do, every call has exactly one answer, and nothing is left behind")
    func everyCallIsAnswered() throws {
        let mesh = try DubboMesh {
            $0.limits.dubboBody = 200_000
            $0.heartbeat = .milliseconds(100)
        }
        let hosts = try (0..<5).map { number in
            let dice = Dice(seed: UInt64(number))
            return try DubboHost { frame, socket in Self.misbehave("\(number)", frame, socket, dice.roll(40)) }
        }
        defer {
            mesh.stop()
            for host in hosts { host.stop() }
        }
        let refusing = Instance(address: SocketAddress(ipv4: 0x7f00_0001, port: try FreePort.next()))
        var random = FastRandom(seed: 42)
        try mesh.update(hosts.map { Instance($0) } + [refusing])
        let consumers = try (0..<6).map { _ in try mesh.connect() }
        var expected = [Set<Int64>](repeating: [], count: consumers.count)
        for round in 0..<20 {
            for (number, consumer) in consumers.enumerated() {
                for id in 0..<25 { expected[number].formUnion(sendCall(consumer, Int64(round * 100 + id), &random)) }
            }
            // A consumer that goes with its calls, and another choice of hosts while calls are in flight.
            let leaving = try mesh.connect()
            for id in 0..<5 { _ = sendCall(leaving, Int64(id), &random) }
            if round % 2 == 0 { leaving.reset() } else { leaving.close() }
            let some = hosts.filter { _ in random.below(3) > 0 }
            try mesh.update((some.isEmpty ? hosts : some).map { Instance($0) } + [refusing])
        }
        for (consumer, ids) in zip(consumers, expected) { expectOneAnswer(to: ids, of: consumer) }
        for consumer in consumers { consumer.close() }
        let isClean = try mesh.waitsForReport { report in
            report.listeners[0].open == 0 && report.endpoints.allSatisfy { $0.active == 0 }
        }
        #expect(isClean)
        // All hosts go: no connection and no endpoint stays.
        try mesh.update([])
        #expect(try mesh.waitsForReport { $0.endpoints.isEmpty })
    }

    /// Sends a call of one kind or another; returns its id when it must be answered.
    private func sendCall(_ consumer: DubboSocket, _ id: Int64, _ random: inout FastRandom) -> Set<Int64> {
        // More than what is kept for another attempt, now and then.
        let argument = String(repeating: "y", count: random.below(50) == 0 ? 70_000 : 10)
        let isTwoWay = random.below(10) > 0
        let call = DubboCall(argument: argument, attachments: [("timeout", "300")], id: id, isTwoWay: isTwoWay)
        consumer.send(call.frame)
        return isTwoWay ? [id] : []
    }

    /// Reads until every call is answered. What were sent too much would stand before the answer to a heartbeat after that.
    private func expectOneAnswer(to ids: Set<Int64>, of consumer: DubboSocket) {
        var seen: [Int64: Int] = [:]
        while !ids.isSubset(of: seen.keys), let frame = consumer.receive() { seen[frame.id, default: 0] += 1 }
        consumer.send(DubboFrame(flags: DubboFrame.heartbeatRequest, id: -1, body: [0x4e]))
        while let frame = consumer.receive(), frame.flags != DubboFrame.heartbeatAnswer {
            seen[frame.id, default: 0] += 1
        }
        #expect(Set(seen.keys) == ids)
        #expect(seen.values.allSatisfy { $0 == 1 })
    }
}

/// Chance that depends on the seed only, for the threads of a host.
private final class Dice: Sendable {
    private let state: Mutex<UInt64>
    init(seed: UInt64) { state = Mutex(seed << 32) }

    func roll(_ sides: UInt64) -> UInt64 {
        let seed = state.withLock { state in
            state += 1
            return state
        }
        var random = FastRandom(seed: seed)
        return random.below(sides)
    }
}
