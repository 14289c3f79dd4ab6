import Glibc
import Model
import Proxy
import Runtime
import TestSupport
import Testing

@testable import ControlPlane

@Suite("The process that is to serve next")
struct SuccessorTests {
    /// Starts a shell in place of the program; returns why it does not serve, and its number.
    private func failure(_ script: String, patience: Duration = .seconds(20)) throws -> (reason: String, pid_t) {
        let loop = try EventLoop()
        let directory = try TemporaryDirectory()
        let path = try directory.write("program", "#!/bin/sh\n\(script)\n")
        chmod(path, 0o755)
        var reason: String?
        let successor = try Successor(
            OwnProgram(arguments: [path], environment: ["PATH": "/usr/bin:/bin"]), path: path,
            hello: UpgradeMessage.Hello(services: [ServiceKey(kind: .http, name: "a")]), sockets: [], loop: loop,
            patience: patience)
        successor.onFailure = { reason = $0 }
        successor.onReady = { _ in Issue.record("it cannot be ready") }
        #expect(loop.run(for: .seconds(30)) { reason != nil })
        return (reason ?? "", successor.processIdentifier)
    }

    private func isGone(_ process: pid_t) -> Bool { kill(process, 0) < 0 && errno == ESRCH }

    @Test("One that ends is told with its exit status, or its signal")
    func ends() throws {
        let (reason, process) = try failure("exit 3")
        #expect(reason == "it ended, or is not a greymesh that takes over (exit status 3)" && isGone(process))
        #expect(try failure("kill -9 $$").reason.hasSuffix("(signal 9)"))
    }

    @Test("One that is not ready in time is killed and leaves nothing behind")
    func late() throws {
        let (reason, process) = try failure("exec sleep 100", patience: .milliseconds(50))
        #expect(reason == "it was not ready within 50 ms" && isGone(process))
    }

    @Test(
        "One that says what is no message, or says it at the wrong time, is killed",
        arguments: [
            #"printf 'HTTP/1.1 200 OK\r\n\r\n' >&3"#, #"printf '\377\377\377\377' >&3"#, #"printf '\0\0\0\0' >&3"#,
            // `offered`, and `socket` without one.
            #"printf '\0\0\0\1\2' >&3"#, #"printf '\0\0\0\1\1' >&3"#,
        ])
    func foreign(words: String) throws {
        let (reason, process) = try failure(words + "; exec sleep 100")
        #expect(reason.hasPrefix("it ") && isGone(process))
    }

    @Test("One that says why it cannot serve is believed")
    func refuses() throws {
        // `failed` with the text "no".
        #expect(try failure(#"printf '\0\0\0\7\4\0\0\0\2no' >&3"#).reason.hasPrefix("no"))
    }

    @Test("What is no program is not started")
    func missing() throws {
        #expect(throws: SystemError.self) {
            _ = try Successor(
                OwnProgram(arguments: ["x"], environment: [:]), path: "/nonexistent/greymesh",
                hello: UpgradeMessage.Hello(), sockets: [], loop: try EventLoop())
        }
    }
}
