import CLinux
import Glibc
import Runtime
import Testing

@testable import simulate

/// The simulated kernel against the real one: the same steps on both give the same observations.
@Suite struct VirtualSocketTests {
    enum Step: String {
        case hostSends, hostEnds, hostCloses, hostResets
        case sends, ends, reads, readsTwo, asksReadiness
    }

    static let scripts: [[Step]] = [
        [
            .hostSends, .hostResets, .asksReadiness, .readsTwo, .asksReadiness, .reads, .reads, .reads, .asksReadiness,
            .sends,
        ],
        [.hostSends, .hostResets, .sends, .reads, .reads, .sends],
        [.hostSends, .hostEnds, .hostResets, .asksReadiness, .reads, .reads, .reads, .sends, .sends, .asksReadiness],
        [.hostEnds, .asksReadiness, .reads, .sends],
        [.sends, .hostSends, .hostCloses, .asksReadiness, .reads, .reads, .reads, .sends],
        [
            .hostSends, .hostCloses, .asksReadiness, .sends, .asksReadiness, .reads, .reads, .reads, .sends,
            .asksReadiness,
        ],
        [.hostSends, .hostCloses, .sends, .sends, .reads, .sends, .reads],
        [.hostEnds, .ends, .asksReadiness, .reads, .sends],
        [.ends, .asksReadiness, .sends],
        [.ends, .hostCloses, .asksReadiness, .reads],
        [.reads, .asksReadiness, .sends, .asksReadiness],
    ]

    @Test(arguments: scripts)
    func behavesAsLinuxDoes(_ script: [Step]) throws {
        let real = try observeReal(script)
        let simulated = observeSimulated(script)
        #expect(real == simulated, "\(script.map(\.rawValue))")
    }

    private func observeSimulated(_ script: [Step]) -> [String] {
        let (own, host) = (VirtualSocket(capacity: 1000), VirtualSocket(capacity: 1000))
        VirtualSocket.connect(own, host)
        func read(_ count: Int) -> String {
            switch own.receive(atMost: count) {
            case .success(let bytes): "read \(bytes.count)"
            case .failure(let failure): "error \(failure.code)"
            }
        }
        return script.map { step in
            switch step {
            case .hostSends: _ = host.send(Array("hello".utf8)[...])
            case .hostEnds: host.endOutput()
            case .hostCloses: host.close()
            case .hostResets: host.reset()
            case .sends: return "sent \(own.send([1]))"
            case .ends: own.endOutput()
            case .reads: return read(100)
            case .readsTwo: return read(2)
            case .asksReadiness: return "ready \(own.readiness.rawValue)"
            }
            return ""
        }
    }

    private func observeReal(_ script: [Step]) throws -> [String] {
        let listener = try Socket.listen(on: SocketAddress("127.0.0.1:0")!, shared: false)
        defer { Socket.close(listener) }
        let own = try Socket.connect(to: #require(Socket.localAddress(listener)))
        defer { Socket.close(own) }
        var accepted: Int32 = -1
        while accepted < 0 { accepted = Socket.accept(listener)?.descriptor ?? -1 }
        let host = accepted
        var isOpen = true
        defer { if isOpen { Socket.close(host) } }
        return try script.map { step in
            switch step {
            case .hostSends: clinux_send(host, Array("hello".utf8), 5)
            case .hostEnds: clinux_end_output(host)
            case .hostCloses, .hostResets:
                if step == .hostResets {
                    var option = linger(l_onoff: 1, l_linger: 0)
                    setsockopt(host, SOL_SOCKET, SO_LINGER, &option, socklen_t(MemoryLayout<linger>.size))
                }
                Socket.close(host)
                isOpen = false
            case .sends:
                let sent = clinux_send(own, [1], 1)
                return "sent \(sent < 0 ? -Int(errno) : sent)"
            case .ends: clinux_end_output(own)
            case .reads: return read(own, 100)
            case .readsTwo: return read(own, 2)
            case .asksReadiness: return "ready \(try readiness(own))"
            }
            return ""
        }
    }

    private func read(_ descriptor: Int32, _ count: Int) -> String {
        var bytes = [UInt8](repeating: 0, count: count)
        let received = recv(descriptor, &bytes, count, 0)
        return received < 0 ? "error \(errno)" : "read \(received)"
    }

    private func readiness(_ descriptor: Int32) throws -> UInt32 {
        let poller = try Poller()
        poller.add(descriptor, [.readable, .writable, .peerClosed], token: 1)
        return poller.wait(milliseconds: 1000) > 0 ? poller.event(0).readiness.rawValue : 0
    }
}
