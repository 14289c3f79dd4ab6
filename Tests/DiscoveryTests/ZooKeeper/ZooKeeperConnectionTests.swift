import Runtime
import Synchronization
import TestSupport
import Testing

@testable import Discovery

/// The connection alone: much at once, and servers that do not read.
@Suite struct ZooKeeperConnectionTests {
    private func connect(
        _ address: SocketAddress, _ fixture: Fixture, then: @escaping (ZooKeeperConnection) -> Void
    ) -> ZooKeeperConnection {
        let connection = ZooKeeperConnection(
            loop: fixture.loop, resuming: nil, sessionTimeout: .seconds(30), credentials: "")
        connection.onOpen = { [unowned connection] _ in then(connection) }
        connection.open(address, limit: .seconds(10))
        return connection
    }

    @Test func asksVeryMuchAtOnce() throws {
        let fixture = try Fixture()
        let server = try FakeZooKeeper()
        var answers: [String] = []
        var turns = 0
        // Turns of the loop between the first answer and the last: others get theirs.
        func countTurns() {
            if answers.count == 10_000 { return }
            if !answers.isEmpty { turns += 1 }
            fixture.loop.schedule(after: .zero) { countTurns() }
        }
        let connection = connect(server.address, fixture) { connection in
            countTurns()
            for number in 0..<10_000 {
                connection.send(.data("/services/app/\(number)", watch: UInt64(number))) { result in
                    guard case .success(.data(let data)) = result else { return }
                    answers.append(String(decoding: data, as: UTF8.self))
                }
            }
        }
        defer { connection.close() }
        #expect(fixture.wait { answers.count == 10_000 })
        #expect(answers == (0..<10_000).map { "/services/app/\($0)" })
        #expect(turns >= 3, "\(turns)")
    }

    @Test func waitsForAServerThatDoesNotRead() throws {
        let fixture = try Fixture()
        let gate = Gate()
        let server = try FakeZooKeeper { question in
            if question.number == 1 { gate.wait() }
            return nil
        }
        var answers = 0
        let data = [UInt8](repeating: 7, count: 1 << 20)
        var sent = 0
        let connection = connect(server.address, fixture) { connection in
            for number in 0..<32 {
                connection.send(.set("/a\(number)", data: data)) { if case .success = $0 { answers += 1 } }
            }
            sent = 32
        }
        #expect(fixture.wait { sent == 32 })
        #expect(!fixture.wait(.milliseconds(100)) { answers > 0 })
        gate.open()
        #expect(fixture.wait { answers == 32 })
        #expect(server.questions.map(\.path) == (0..<32).map { "/a\($0)" })
        connection.close()
        #expect(waitUntil(within: .seconds(10)) { server.questions.last?.operation == -11 })
    }

    @Test func leavesAStuckServerAtOnce() throws {
        let fixture = try Fixture()
        let gate = Gate()
        let server = try FakeZooKeeper { question in
            gate.wait()
            return .silence
        }
        var isSent = false
        var ends = 0
        let connection = connect(server.address, fixture) { connection in
            for _ in 0..<32 {
                connection.send(.set("/a", data: [UInt8](repeating: 7, count: 1 << 20))) { _ in ends += 1 }
            }
            isSent = true
        }
        connection.onEnd = { _ in ends += 1 }
        #expect(fixture.wait { isSent })
        _ = fixture.wait(.milliseconds(50)) { false }
        let started = Clock.nanoseconds
        connection.close()
        #expect(Clock.nanoseconds - started < Duration.seconds(1).nanoseconds)
        gate.open()
        #expect(!fixture.wait(.milliseconds(50)) { ends > 0 })
        #expect(waitUntil(within: .seconds(10)) { server.server.open == 0 })
    }

    /// All requests are told of the end, once and after it.
    @Test func tellsAllRequestsOfTheEnd() throws {
        let fixture = try Fixture()
        let server = try FakeZooKeeper { $0.number == 5 ? .close([]) : nil }
        var results: [Bool] = []
        var end: ZooKeeperConnection.End?
        let connection = connect(server.address, fixture) { connection in
            for number in 0..<1000 {
                connection.send(.data("/a\(number)", watch: 0)) { [unowned connection] result in
                    if case .success = result {
                        #expect(end == nil)
                        results.append(true)
                    } else {
                        #expect(end != nil)
                        results.append(false)
                        if number == 999 { connection.send(.delete("/a")) { _ in results.append(false) } }
                    }
                }
            }
        }
        connection.onEnd = { end = $0 }
        #expect(fixture.wait { results.count == 1001 })
        #expect(results.count(where: \.self) <= 4)
        guard case .lost = end else {
            Issue.record("\(String(describing: end))")
            return
        }
    }

    /// Holds a thread up.
    private final class Gate: Sendable {
        private let isOpen = Mutex(false)

        func open() { isOpen.withLock { $0 = true } }

        func wait() { _ = waitUntil(within: .seconds(20)) { isOpen.withLock { $0 } } }
    }
}
