import Glibc
import Runtime
import Synchronization
import TestSupport
import Testing

/// While the program is stopped events gather: it finds all of them at once when it goes on.
@Suite("Several events at once", .serialized)
struct BatchTests {
    enum Wire: String, CaseIterable, Sendable {
        case dubbo
        case bolt

        /// A request in a content that is not understood: it can only mean the one service there is.
        func request(_ id: UInt8) -> [UInt8] {
            switch self {
            case .dubbo: [0xda, 0xbb, 0xc8, 0, 0, 0, 0, 0, 0, 0, 0, id, 0, 0, 0, 1, 7]
            case .bolt: [1, 1, 0, 1, 1, 0, 0, 0, id, 1, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0, 0, 0, 0]
            }
        }

        /// What a host answers.
        func answer(to request: [UInt8]) -> [UInt8] {
            switch self {
            case .dubbo: [0xda, 0xbb, 0x08, 20] + request[4..<12] + [0, 0, 0, 1, 7]
            case .bolt: [1, 0, 0, 2, 1] + request[5..<9] + [1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]
            }
        }

        /// The answer to the request of that number.
        func answer(_ id: UInt8) -> [UInt8] { answer(to: request(id)) }
    }

    private func stop(_ process: GreymeshProcess) {
        process.child.signal(SIGSTOP)
        #expect(waitUntil(within: .seconds(10)) { isStopped(process) })
    }

    /// Whether all threads are: the worker may still take an event from the kernel when the main thread stands already.
    private func isStopped(_ process: GreymeshProcess) -> Bool {
        var found = glob_t()
        defer { globfree(&found) }
        guard glob("/proc/\(process.child.processIdentifier)/task/*/stat", 0, nil, &found) == 0 else { return false }
        return (0..<Int(found.gl_pathc)).allSatisfy { index in
            guard let path = found.gl_pathv[index].map({ String(cString: $0) }) else { return false }
            return (try? TemporaryDirectory.read(path)).map { String(decoding: $0, as: UTF8.self).contains(") T ") }
                ?? true
        }
    }

    @Test(
        "What comes while the program is stopped is read before anybody is told that time is over",
        arguments: [0, 1, 2])
    func timeWhileStopped(kind: Int) throws {
        let wire = Wire.allCases[kind % 2]
        let isHTTP = kind == 2
        let head = Array("GET / HTTP/1.1\r\nHost: demo.Echo\r\nConnection: close\r\n\r\n".utf8)
        let request = isHTTP ? head : wire.request(1)
        let answer = isHTTP ? Array("HTTP/1.1 204 No Content\r\n\r\n".utf8) : wire.answer(1)
        let host = try ScriptedServer { connection, _ in
            let got =
                isHTTP
                ? [UInt8](connection.receive(until: "\r\n\r\n").utf8) : connection.receive(exactly: request.count)
            if !got.isEmpty { connection.send(isHTTP ? answer : wire.answer(to: got)) }
            _ = connection.receiveAll()
        }
        defer { host.stop() }
        let directory = try TemporaryDirectory()
        let process = try GreymeshProcess.serve(
            in: directory, isHTTP ? "http" : wire.rawValue, services: "demo.Echo: {mode: fallback}",
            hosts: "demo.Echo: [{address: \"\(host.address)\"}]", more: "limits: {head_timeout: 1s}")
        defer {
            process.child.signal(SIGCONT)
            process.child.terminate()
        }
        let client = try Connection(to: try #require(SocketAddress(try process.address(of: "in"))))
        client.send(Array(request.prefix(9)))
        // Long enough for the program to read it, and much less than it waits for the rest.
        usleep(200_000)
        stop(process)
        client.send(Array(request.dropFirst(9)))
        usleep(1_300_000)
        process.child.signal(SIGCONT)
        let start = Array(answer.prefix(isHTTP ? 12 : answer.count))
        #expect(client.receive(exactly: start.count) == start)
    }

    @Test("Much that came on one connection while the program was stopped is read, too, before time is over")
    func muchWhileStopped() throws {
        let count = 30
        let hasAll = Mutex(false)
        let mayAnswer = Mutex(false)
        let host = try ScriptedServer { connection, _ in
            let got = (0..<count).map { _ in connection.receive(exactly: 17) }
            hasAll.withLock { $0 = true }
            guard waitUntil(within: .seconds(10), { mayAnswer.withLock { $0 } }) else { return }
            for request in got {
                let head = [0xda, 0xbb, 0x08, 20] + request[4..<12] + [0, 0, 0x9c, 0x40]
                connection.send(head + [UInt8](repeating: 7, count: 40_000))
            }
            _ = connection.receiveAll()
        }
        defer { host.stop() }
        let directory = try TemporaryDirectory()
        let process = try GreymeshProcess.serve(
            in: directory, "dubbo", services: "demo.Echo: {timeout: 2s}",
            hosts: "demo.Echo: [{address: \"\(host.address)\"}]")
        defer {
            process.child.signal(SIGCONT)
            process.child.terminate()
        }
        let client = try Connection(to: try #require(SocketAddress(try process.address(of: "in"))))
        for id in 1...count { client.send(Wire.dubbo.request(UInt8(id))) }
        #expect(waitUntil(within: .seconds(5)) { hasAll.withLock { $0 } })
        stop(process)
        mayAnswer.withLock { $0 = true }
        usleep(2_100_000)
        process.child.signal(SIGCONT)
        for _ in 1...count {
            let head = client.receive(exactly: 16)
            #expect(head.count == 16 && head[3] == 20)
            if head.count < 16 || head[3] != 20 { break }
            #expect(client.receive(exactly: 40_000).count == 40_000)
        }
    }

    @Test(
        "A host answers and ends its connection while a request comes: nothing is sent after the end",
        arguments: Wire.allCases)
    func answerAndEnd(wire: Wire) throws {
        let directory = try TemporaryDirectory()
        let turns = Mutex<[Turns]>([])
        let ended = Mutex(0)
        // The first request of a connection is answered when the test says so, and the last one then.
        let host = try ScriptedServer { connection, number in
            let size = wire.request(0).count
            let request = connection.receive(exactly: size)
            guard request.count == size else { return }
            let isLast = number % 2 == 0
            if isLast {
                let turn = Turns()
                turns.withLock { $0.append(turn) }
                turn.enter()
            }
            connection.send(wire.answer(to: request))
            if isLast {
                connection.endOutput()
                if waitUntil(within: .seconds(10), { connection.isEndArrived }) { ended.withLock { $0 += 1 } }
            }
            _ = connection.receive(exactly: size)
        }
        defer { host.stop() }
        for round in 0..<4 {
            let process = try GreymeshProcess.serve(
                in: directory, wire.rawValue, services: "demo.Echo: {mode: fallback}",
                hosts: "demo.Echo: [{address: \"\(host.address)\"}]")
            defer {
                process.child.signal(SIGCONT)
                process.child.terminate()
            }
            let client = try Connection(to: try #require(SocketAddress(try process.address(of: "in"))))
            client.send(wire.request(1))
            try #require(waitUntil(within: .seconds(10)) { turns.withLock(\.count) == round + 1 })
            stop(process)
            // Either may be the first in the batch.
            if round % 2 == 0 { client.send(wire.request(2)) }
            turns.withLock { $0[round] }.release()
            try #require(waitUntil(within: .seconds(10)) { ended.withLock(\.self) == round + 1 })
            if round % 2 == 1 { client.send(wire.request(2)) }
            process.child.signal(SIGCONT)
            let answers = client.receive(exactly: 2 * wire.answer(0).count)
            let more = answers == wire.answer(1) + wire.answer(2) ? [] : client.receive(exactly: 120)
            #expect(
                answers == wire.answer(1) + wire.answer(2), "round \(round): \(String(decoding: more, as: UTF8.self))")
        }
    }
}
