import Balancing
import Runtime
import Testing

@Suite("A host's health")
struct EndpointHealthTests {
    private func endpoint() -> Endpoint { Endpoint(address: SocketAddress(ipv4: 0, port: 1), kind: .dubbo) }

    private static let second: Int64 = 1_000_000_000

    @Test("The fifth call in a row without an answer in time ejects, an answer in between begins anew")
    func timeouts() {
        var host = endpoint()
        for turn in 1...4 {
            let isEjected = host.noteTimeout(started: 0, now: Self.second + Int64(turn))
            #expect(!isEjected)
        }
        host.noteSuccess()
        #expect(!host.hasFailed)
        for turn in 11...14 {
            let isEjected = host.noteTimeout(started: 1, now: Self.second + Int64(turn))
            #expect(!isEjected)
        }
        #expect(host.isUsable(now: Self.second + 15))
        let ejects = host.noteTimeout(started: 1, now: Self.second + 15)
        #expect(ejects)
        #expect(!host.isUsable(now: Self.second + 15))
    }

    @Test("A host that did not answer anything for less than a second is not ejected, however many callers had no time")
    func hurriedCallers() {
        var host = endpoint()
        for turn in 1...100 {
            let isEjected = host.noteTimeout(started: 5, now: 20_000_000 + Int64(turn))
            #expect(!isEjected)
        }
        #expect(host.isUsable(now: 30_000_000))
        let ejects = host.noteTimeout(started: Self.second, now: Self.second + 20_000_000)
        #expect(ejects)
    }

    @Test("Calls that were under way when it was ejected tell nothing new; the one that tries it afterwards does")
    func sameCause() {
        var host = endpoint()
        let first = 2 * Self.second
        for _ in 0..<100 { _ = host.noteTimeout(started: 5, now: first) }
        #expect(host.retryAt == first + 500_000_000)
        host.take(now: first + 600_000_000, timeout: Self.second)
        let ejects = host.noteTimeout(started: first + 600_000_000, now: first + 700_000_000)
        #expect(ejects)
        #expect(host.retryAt == first + 700_000_000 + Self.second)
    }

    @Test("One moment that breaks many connections is one failure; each request that tries the host again is another")
    func burst() {
        var host = endpoint()
        for _ in 0..<20 { host.noteFailure(now: 10) }
        #expect(host.failures == 1 && host.totalFailures == 20 && host.retryAt == 10 + 500_000_000)
        host.take(now: 600_000_000, timeout: Self.second)
        for _ in 0..<20 { host.noteFailure(now: 700_000_000) }
        #expect(host.failures == 2 && host.retryAt == 700_000_000 + Self.second)
    }

    @Test("Hosts that were tried are known by their address, whatever stands in their memory")
    func tried() {
        let memory = UnsafeMutablePointer<Endpoint>.allocate(capacity: 2)
        defer { memory.deallocate() }
        let (one, other) = (SocketAddress(ipv4: 1, port: 1), SocketAddress(ipv4: 1, port: 2))
        memory.initialize(to: Endpoint(address: one, kind: .dubbo))
        var tried = TriedEndpoints()
        #expect(!tried.contains(memory))
        tried.insert(memory)
        #expect(tried.contains(memory) && tried.count == 1)
        memory.initialize(to: Endpoint(address: other, kind: .dubbo))
        (memory + 1).initialize(to: Endpoint(address: one, kind: .dubbo))
        #expect(!tried.contains(memory) && tried.contains(memory + 1))
    }

    @Test("A heartbeat's answer makes a failed connection good, but not calls without an answer")
    func alive() {
        var host = endpoint()
        host.noteFailure(now: 0)
        host.noteAlive()
        #expect(host.isUsable(now: 1) && host.failures == 0)
        for _ in 0..<5 { _ = host.noteTimeout(started: 0, now: Self.second) }
        host.noteAlive()
        #expect(!host.isUsable(now: Self.second + 1))
        host.noteSuccess()
        #expect(host.isUsable(now: Self.second + 1))
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
