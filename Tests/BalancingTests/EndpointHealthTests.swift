import Balancing
import Runtime
import Testing

@Suite("A host's health")
struct EndpointHealthTests {
    private func endpoint() -> Endpoint { Endpoint(address: SocketAddress(ipv4: 0, port: 1), kind: .dubbo) }

    @Test("The fifth call in a row without an answer in time ejects, an answer in between begins anew")
    func timeouts() {
        var host = endpoint()
        for turn in 1...4 {
            let isEjected = host.noteTimeout(started: 0, now: Int64(turn))
            #expect(!isEjected)
        }
        host.noteSuccess()
        #expect(!host.hasFailed)
        for turn in 11...14 {
            let isEjected = host.noteTimeout(started: 1, now: Int64(turn))
            #expect(!isEjected)
        }
        #expect(host.isUsable(now: 15))
        let ejects = host.noteTimeout(started: 1, now: 15)
        #expect(ejects)
        #expect(!host.isUsable(now: 15))
    }

    @Test("Calls that were under way when it was ejected tell nothing new; the one that tries it afterwards does")
    func sameCause() {
        var host = endpoint()
        for _ in 0..<100 { _ = host.noteTimeout(started: 5, now: 1_000) }
        #expect(host.retryAt == 1_000 + 500_000_000)
        let ejects = host.noteTimeout(started: 600_000_000, now: 700_000_000)
        #expect(ejects)
        #expect(host.retryAt == 700_000_000 + 1_000_000_000)
    }

    @Test("A heartbeat's answer makes a failed connection good, but not calls without an answer")
    func alive() {
        var host = endpoint()
        host.noteFailure(now: 0)
        host.noteAlive()
        #expect(host.isUsable(now: 1) && host.failures == 0)
        for _ in 0..<5 { _ = host.noteTimeout(started: 0, now: 10) }
        host.noteAlive()
        #expect(!host.isUsable(now: 11))
        host.noteSuccess()
        #expect(host.isUsable(now: 11))
    }

    @Test("It is draining as long as one of its connections says so")
    func draining() {
        var host = endpoint()
        host.readonlyConnections += 2
        host.readonlyConnections -= 1
        #expect(host.draining && !host.isUsable(now: 1))
        host.readonlyConnections -= 1
        #expect(host.isUsable(now: 1))
    }
}
