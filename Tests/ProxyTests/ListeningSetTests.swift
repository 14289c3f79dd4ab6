import Configuration
import Runtime
import Testing

@testable import Proxy

@Suite("Listening sockets of workers")
struct ListeningSetTests {
    private func listeners() -> [ListenerConfiguration] {
        [ListenerConfiguration(name: "web", protocol: .http, address: SocketAddress("127.0.0.1:0")!)]
    }

    private func close(_ set: ListeningSet) {
        for descriptor in Set(set.shares.flatMap { $0.first + $0.more.map(\.descriptor) }) { Socket.close(descriptor) }
    }

    @Test("Each worker has its own, at the port that the system has chosen")
    func own() throws {
        var wanted = listeners()
        let set = try ListeningSet(&wanted, workers: 3, inherited: [])
        defer { close(set) }
        #expect(set.sockets[0].count == 3 && Set(set.shares.flatMap(\.first)) == Set(set.sockets[0]))
        #expect(set.sockets[0].allSatisfy { Socket.localAddress($0) == wanted[0].address })
    }

    @Test("None that was inherited is without a worker, and no worker without one", arguments: [1, 2, 3, 5])
    func inherited(workers: Int) throws {
        var wanted = listeners()
        let former = try ListeningSet(&wanted, workers: 3, inherited: [])
        var again = listeners()
        let set = try ListeningSet(&again, workers: workers, inherited: former.sockets)
        defer { close(set) }
        #expect(again == wanted && set.sockets == former.sockets && set.shares.count == workers)
        #expect(set.shares.allSatisfy { $0.first.count == 1 })
        let served = set.shares.flatMap { $0.first + $0.more.map(\.descriptor) }
        #expect(Set(served).isSuperset(of: former.sockets[0]) && Set(served).count == served.count)
        #expect(served.allSatisfy { Socket.localAddress($0) == wanted[0].address })
    }
}
