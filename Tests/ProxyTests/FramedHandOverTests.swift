import Model
import Proxy
import Runtime
import TestSupport
import Testing

@Suite("Handing over connections of multiplexed protocols")
struct FramedHandOverTests {
    @Test("A connection goes on in the middle of a request that is too long")
    func oversizedRequest() throws {
        let (old, new) = (try smallMesh(), try smallMesh())
        let host = try DubboHost.echo("a")
        defer { old.stop(); new.stop(); host.stop() }
        try new.update([Instance(host)])
        let client = try old.connect()
        defer { client.close() }
        let call = DubboFrame(DubboCall(argument: String(repeating: "x", count: 2000), id: 1)).bytes
        client.send(Array(call.prefix(500)))
        let refusal = try #require(client.receive())
        #expect(refusal.text.contains("longer than the limit"))
        new.plane.post(.adopt(try handOver(from: old)))
        _ = try new.report()
        client.send(Array(call.dropFirst(500)))
        #expect(client.ask(DubboCall(argument: "hi", id: 2))?.text == "a|hi")
    }

    @Test("A connection of which nothing more is read stays until it has its answers")
    func unreadableConnection() throws {
        let mesh = try smallMesh()
        let host = try DubboHost { _, _ in }
        defer { mesh.stop(); host.stop() }
        try mesh.update([Instance(host)])
        let client = try mesh.connect()
        defer { client.close() }
        client.send(DubboFrame(DubboCall(id: 1)).bytes + Array("no frame at all".utf8))
        #expect(waitUntil(within: .seconds(5)) { host.calls.count == 1 })
        // It is read in one turn with the call.
        _ = try mesh.report()
        mesh.plane.post(.handOver(listeners: ["test"]))
        _ = try mesh.report()
        host.send(.value("late", id: host.calls[0].id))
        #expect(client.receive()?.text == "late")
        #expect(client.isEnded())
    }

    private func smallMesh() throws -> DubboMesh { try DubboMesh { $0.limits.dubboBody = 1000 } }

    /// Lets a worker give its only connection away.
    private func handOver(from mesh: DubboMesh) throws -> HandedConnection {
        mesh.plane.post(.handOver(listeners: ["test"]))
        var given: HandedConnection?
        _ = mesh.waits {
            if case .handedOver(let connection) = $0 { given = connection }
            return given != nil
        }
        return try #require(given)
    }
}
