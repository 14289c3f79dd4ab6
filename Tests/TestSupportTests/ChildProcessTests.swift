import Glibc
import TestSupport
import Testing

@Suite struct ChildProcessTests {
    @Test func collectsOutputAndExitStatus() throws {
        let child = try ChildProcess(
            "/bin/sh", ["-c", "echo READY $WORD; echo bad >&2; exit 3"], environment: ["WORD": "now"])
        #expect(try child.waitForLine("READY") == "READY now")
        #expect(try child.waitForExit() == .status(3))
        #expect(child.output == "READY now\n")
        #expect(child.errors == "bad\n")
    }

    @Test func tellsWhatAProgramWroteThatEndsEarly() throws {
        let child = try ChildProcess("/bin/sh", ["-c", "echo no luck"])
        #expect {
            try child.waitForLine("READY")
        } throws: { error in
            "\(error)".contains("no luck")
        }
        #expect(try child.waitForExit() == .status(0))
    }

    @Test func doesNotBlockAProgramThatWritesALot() throws {
        let child = try ChildProcess("/bin/sh", ["-c", "head -c 1000000 /dev/zero"])
        #expect(try child.waitForExit() == .status(0))
        #expect(child.output.utf8.count == 1_000_000)
    }

    @Test func killsWhatIgnoresATerminationSignal() throws {
        let child = try ChildProcess("/bin/sh", ["-c", "trap '' TERM; echo READY; while :; do sleep 1; done"])
        _ = try child.waitForLine("READY")
        #expect(child.terminate(grace: .milliseconds(50)) == .signal(SIGKILL))
    }

    @Test func refusesAProgramThatIsNotThere() {
        #expect(throws: (any Error).self) { try ChildProcess("/nonexistent/program") }
    }

    @Test func temporaryDirectoryGoesWithItsContent() throws {
        var directory: TemporaryDirectory? = try TemporaryDirectory()
        let file = try #require(directory).write("a", "text")
        #expect(try TemporaryDirectory.read(file) == Array("text".utf8))
        directory = nil
        #expect(access(file, F_OK) != 0)
    }

    @Test func portsAreNotGivenTwice() throws {
        let ports = try (0..<20).map { _ in try FreePort.next() }
        #expect(Set(ports).count == 20)
    }
}
