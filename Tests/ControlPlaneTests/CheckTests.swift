import Codecs
import Glibc
import Model
import Runtime
import TestSupport
import Testing

@testable import Balancing
@testable import ControlPlane

@Suite("Health checks")
struct CheckTests {
    // MARK: What an answer means

    private func verdict(_ question: CheckQuestion, _ bytes: [UInt8], at size: Int) -> CheckDialogue.Step {
        var dialogue = CheckDialogue(question, host: "h:1")
        var step = CheckDialogue.Step.more
        for start in stride(from: 0, to: bytes.count, by: size) where step == .more {
            step = bytes[start..<min(bytes.count, start + size)].withUnsafeBytes { dialogue.take($0) }
        }
        return step
    }

    @Test(
        "HTTP: the status decides, in whatever pieces it comes; answers before it do not count",
        arguments: [1, 7, 4096])
    func http(size: Int) {
        func step(_ text: String) -> CheckDialogue.Step { verdict(.http(path: "/health"), Array(text.utf8), at: size) }
        #expect(
            step("HTTP/1.1 200 OK\r\n") == .good && step("HTTP/1.0 204\r\n") == .good
                && step("HTTP/1.1 399 X\n") == .good)
        #expect(step("HTTP/1.1 404 Not Found\r\n") == .bad("answers 404"))
        #expect(step("HTTP/1.1 103 Early\r\nLink: x\r\n\r\nHTTP/1.1 503 No\r\n") == .bad("answers 503"))
        #expect(step("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n") == .good)
        #expect(step("HTTP/1.1 100 Continue\r\nX: y\r\n") == .more && step("HTTP/1.1 20") == .more)
        for noise in [
            "SSH-2.0-OpenSSH\r\n", "\r\n\r\n", "HTTP/1.1 xyz\r\n", "HTTP/1.1\r\n", String(repeating: "x", count: 2000),
        ] {
            #expect(step(noise) == .bad("what comes is no HTTP"), "\(noise.prefix(20))")
        }
        let sent = String(decoding: CheckDialogue(.http(path: "/a?b=c"), host: "127.0.0.1:80").request, as: UTF8.self)
        #expect(
            sent.hasPrefix("GET /a?b=c HTTP/1.1\r\nHost: 127.0.0.1:80\r\n")
                && sent.hasSuffix("\r\nConnection: close\r\n\r\n"))
    }

    /// What a provider makes of the heartbeat that is sent.
    private func dubboAnswer(_ dialogue: CheckDialogue) -> [UInt8] {
        var frame = dialogue.request
        let count = frame.withUnsafeMutableBufferPointer { buffer in
            Dubbo.writeHeartbeatAnswer(request: buffer.baseAddress!, count: buffer.count, into: buffer.baseAddress!)
        }
        return Array(frame[..<count])
    }

    @Test("Dubbo: the heartbeat's answer is looked for behind what else the host sends", arguments: [1, 5, 4096])
    func dubbo(size: Int) {
        let dialogue = CheckDialogue(.dubbo, host: "h:1")
        let answer = dubboAnswer(dialogue)
        #expect(verdict(.dubbo, answer, at: size) == .good)
        #expect(verdict(.dubbo, dialogue.request + answer, at: size) == .good, "a heartbeat of its own first")
        #expect(verdict(.dubbo, Array(answer.dropLast()), at: size) == .more)
        var bad = answer
        bad[3] = 80
        #expect(verdict(.dubbo, bad, at: size) == .bad("the answer is an error"))
        #expect(verdict(.dubbo, Array("HTTP/1.1 400 Bad Request\r\n".utf8), at: size) == .bad("what comes is no frame"))
    }

    @Test("Bolt: the same", arguments: [1, 5, 4096])
    func bolt(size: Int) throws {
        let dialogue = CheckDialogue(.bolt, host: "h:1")
        var request = dialogue.request
        let answer = request.withUnsafeMutableBufferPointer { buffer -> [UInt8] in
            guard case .complete(let head) = Bolt.parseFrameHead(buffer.baseAddress!, count: buffer.count) else {
                return []
            }
            var out = [UInt8](repeating: 0, count: Bolt.largestHeadSize)
            let count = out.withUnsafeMutableBufferPointer {
                Bolt.writeHeartbeatAnswer(request: head, into: $0.baseAddress!)
            }
            return Array(out[..<count])
        }
        #expect(!answer.isEmpty)
        #expect(verdict(.bolt, answer, at: size) == .good)
        #expect(verdict(.bolt, dialogue.request + answer, at: size) == .good)
        #expect(verdict(.bolt, Array(answer.dropLast()), at: size) == .more)
        #expect(verdict(.bolt, Array("HTTP/1.1 400 Bad Request\r\n".utf8), at: size) == .bad("what comes is no frame"))
    }

    // MARK: When a host is out

    @Test(
        "so many failed checks in a row take a host out, so many good ones bring it back; a first one that fails is enough"
    )
    func gate() {
        var policy = HealthCheckPolicy()
        (policy.unhealthy, policy.healthy) = (3, 2)
        func run(_ checks: String) -> String {
            var gate = CheckGate()
            return String(
                checks.map { check -> Character in
                    let hasChanged = gate.note(isGood: check == "+", policy)
                    return hasChanged ? (gate.isHealthy ? "U" : "D") : (gate.isHealthy ? "u" : "d")
                })
        }
        #expect(run("++--+---+-++-") == "uuuuuuuDdddUu")
        #expect(run("-+-+++") == "DdddUu")
        #expect(run("--++") == "DddU")
    }

    // MARK: Checking

    private final class Watched {
        let loop: EventLoop
        let checker: HealthChecker
        var changes: [Bool] = []
        var policy = HealthCheckPolicy()

        init(_ kind: HealthCheckPolicy.Kind, _ change: (inout HealthCheckPolicy) -> Void = { _ in }) throws {
            loop = try EventLoop()
            checker = HealthChecker(loop: loop)
            policy.kind = kind
            policy.path = kind == .http ? "/health" : ""
            policy.interval = .milliseconds(100)
            policy.timeout = .milliseconds(200)
            change(&policy)
            checker.onChange = { [unowned self] _, entry in changes.append(entry.gate.isHealthy) }
        }

        func use(_ addresses: [SocketAddress], as name: String = "shop", version: String = "1.0") {
            checker.adopt(
                ServiceKey(kind: .http, name: name),
                addresses.map {
                    (HealthChecker.Subject(address: $0, policy: policy), VersionCluster.Identity(version: version))
                })
        }

        func waits(_ condition: () -> Bool) -> Bool { loop.run(for: .seconds(20), until: condition) }
    }

    @Test("a host that takes connections and says nothing fails; its connections are closed all the same")
    func hanging() throws {
        let watched = try Watched(.http)
        defer { watched.checker.stop() }
        let silent = try ScriptedServer { connection, _ in _ = connection.receive(until: "never") }
        defer { silent.stop() }
        watched.use([silent.address])
        #expect(watched.waits { watched.changes == [false] })
        let entry = try #require(watched.checker.entry(silent.address, watched.policy))
        #expect(entry.why?.contains("no answer in time") == true)
        #expect(watched.waits { silent.accepted >= 4 })
        // Each check's connection has ended but for one that may be under way.
        #expect(waitUntil(within: .seconds(10)) { silent.open <= 1 })
        // Not in use any more: nothing is asked, nothing is kept.
        watched.use([])
        #expect(watched.checker.entries.isEmpty && watched.checker.running == 0)
        #expect(waitUntil(within: .seconds(10)) { silent.open == 0 })
        let asked = silent.accepted
        _ = watched.loop.run(for: .milliseconds(400)) { false }
        #expect(silent.accepted == asked)
    }

    @Test("services that check a host alike share its check; what is known stays when one of them goes")
    func shared() throws {
        let watched = try Watched(.tcp)
        defer { watched.checker.stop() }
        let closed = SocketAddress(ipv4: 0x7f00_0001, port: try FreePort.next())
        watched.use([closed], as: "a")
        watched.use([closed], as: "b", version: "2.0")
        #expect(watched.checker.entries.count == 1)
        #expect(watched.waits { watched.changes == [false] })
        #expect(watched.checker.entry(closed, watched.policy)?.users.count == 2)
        watched.use([], as: "a")
        #expect(watched.checker.entry(closed, watched.policy)?.gate.isHealthy == false)
        // Checked in another way, it is as unwell as before until a check says otherwise.
        watched.policy.unhealthy = 7
        watched.use([closed], as: "b", version: "2.0")
        #expect(watched.checker.entries.count == 1)
        #expect(watched.checker.entry(closed, watched.policy)?.gate.isHealthy == false)
    }

    @Test("hosts beyond the bound wait for their turn, and all of them are checked")
    func bounded() throws {
        let watched = try Watched(.http) {
            $0.interval = .seconds(60)
            $0.timeout = .milliseconds(100)
        }
        defer { watched.checker.stop() }
        let silent = try ScriptedServer { connection, _ in _ = connection.receive(until: "never") }
        defer { silent.stop() }
        let port = silent.address.port
        // At the other addresses of this machine nobody listens.
        let refused = (2...400).map { SocketAddress(ipv4: 0x7f00_0000 + UInt32($0), port: port) }
        var most = 0
        watched.use(refused + [silent.address])
        #expect(
            watched.waits {
                most = max(most, watched.checker.running)
                return watched.changes.count == 400
            })
        #expect(most <= HealthChecker.mostRunning && watched.checker.running == 0)
        #expect(watched.checker.entries.values.allSatisfy { $0.failed == 1 && $0.good == 0 })
    }
}
