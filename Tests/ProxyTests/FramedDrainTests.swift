import Glibc
import Model
import Proxy
import Runtime
import Synchronization
import TestSupport
import Testing

@Suite("Draining connections of multiplexed protocols")
struct FramedDrainTests {
    @Test("Bolt clients are told to leave where the listener says so, in version 1 only", arguments: [true, false])
    func goaway(isTold: Bool) throws {
        let mesh = try BoltMesh { $0.listeners[0].boltGoaway = isTold }
        let host = try BoltHost.echo("a")
        defer { mesh.stop(); host.stop() }
        try mesh.update([Instance(host)])
        let sockets = try BoltVariant.allCases.map { _ in try mesh.connect() }
        defer { for socket in sockets { socket.close() } }
        for (variant, socket) in zip(BoltVariant.allCases, sockets) {
            socket.send(BoltFrame.heartbeat(variant, id: 7))
            #expect(socket.receive()?.isHeartbeat == true)
        }
        mesh.plane.post(.drain)
        _ = try mesh.report()
        // Requests that come now are still served.
        for (variant, socket) in zip(BoltVariant.allCases, sockets) {
            socket.send(BoltFrame(BoltCall(variant: variant, id: 8)))
        }
        for (variant, socket) in zip(BoltVariant.allCases, sockets) {
            if isTold && variant == .first { #expect(socket.receive()?.command == 100) }
            #expect(socket.receive()?.text == "a|hi")
            #expect(socket.isEnded())
        }
        #expect(mesh.waits { if case .drained = $0 { true } else { false } })
    }

    @Test("Dubbo: a connection is not ended right behind an answer")
    func dubboPause() throws { try expectPause(DubboFrame.self) { DubboCall(id: $0) } }

    @Test("Bolt: a connection is not ended right behind an answer")
    func boltPause() throws { try expectPause(BoltFrame.self) { BoltCall(id: UInt32($0)) } }

    /// Clients that ask again and again see the end only after a while without an answer: a client that works answers off on other
    /// threads would lose those that come together with the end.
    private func expectPause<Frame: PeerFrame>(
        _ kind: Frame.Type, _ call: @escaping @Sendable (Int64) -> Frame.Call
    ) throws {
        let mesh = try FramedMesh<Frame>()
        // When each request was answered, at the latest a moment before the client could see it.
        let answered = Mutex<[String: Int64]>([:])
        let host = try FrameHost<Frame> { frame, socket in
            if let argument = frame.request?.argument { answered.withLock { $0[argument] = Clock.nanoseconds } }
            FrameHost.echo("a", frame, socket)
        }
        defer { mesh.stop(); host.stop() }
        try mesh.update([Instance(host)])
        let sockets = try (0..<16).map { _ in try mesh.connect() }
        defer { for socket in sockets { socket.close() } }
        let pauses = Mutex<[Int64]>([])
        let threads = try sockets.enumerated().map { number, socket in
            try Thread(name: "client") {
                var last = ""
                for id in 0..<100_000 as Range<Int64> {
                    var next = call(id)
                    next.argument = "\(number)-\(id)"
                    guard socket.ask(next) != nil else { break }
                    last = next.argument
                    if socket.isEnded(within: .milliseconds(8 + number / 2)) { break }
                }
                let end = Clock.nanoseconds
                pauses.withLock { $0.append(end - answered.withLock { $0[last] ?? 0 }) }
            }
        }
        #expect(waitUntil(within: .seconds(10)) { host.calls.count > 100 })
        mesh.plane.post(.drain)
        for thread in threads { thread.join() }
        #expect(mesh.waits { if case .drained = $0 { true } else { false } })
        #expect(pauses.withLock { $0.allSatisfy { $0 >= 4_900_000 } }, "\(pauses.withLock(\.self))")
    }
}
