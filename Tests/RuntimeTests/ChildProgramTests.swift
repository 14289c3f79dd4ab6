import Glibc
import Runtime
import Testing

@Suite("Programs that are started")
struct ChildProgramTests {
    @Test("A program has the descriptor that it is to inherit, and none that a library left open")
    func inheritsOneDescriptor() throws {
        let left = fcntl(STDIN_FILENO, F_DUPFD, 50)
        let inherited = fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 50)
        try #require(left >= 50 && inherited >= 50)
        defer {
            close(left)
            close(inherited)
        }
        let script = "test -e /proc/self/fd/3 && test ! -e /proc/self/fd/\(left)"
        let child = try ChildProgram("/bin/sh", arguments: ["sh", "-c", script], environment: [], inherited: inherited)
        var status: Int32 = 0
        #expect(waitpid(child.processIdentifier, &status, 0) == child.processIdentifier)
        #expect(ChildProgram.Ending(waitStatus: status) == .status(0))
    }
}
