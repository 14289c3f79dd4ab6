import Glibc
import Proxy
import Runtime
import TestSupport
import Testing

@Suite("Writing the access log")
struct AccessLogWriterTests {
    @Test("Nobody who reads the log holds up the end of the process")
    func unreadPipe() throws {
        var ends: [Int32] = [0, 0]
        #expect(pipe(&ends) == 0)
        let log = try AccessLog(path: "/proc/self/fd/\(ends[1])")
        for _ in 0..<8 { log.write([UInt8](repeating: UInt8(ascii: "x"), count: 1 << 20)) }
        let begin = ContinuousClock.now
        log.stop()
        #expect(ContinuousClock.now - begin < .seconds(5))
        // The thread is still there, and ends when all is taken.
        var left = 8 << 20
        var bytes = [UInt8](repeating: 0, count: 1 << 16)
        while left > 0 {
            let count = read(ends[0], &bytes, bytes.count)
            if count <= 0 { break }
            left -= count
        }
        #expect(left == 0)
        for end in ends { close(end) }
    }

    @Test("What waits is written before the end")
    func waiting() throws {
        let directory = try TemporaryDirectory()
        let log = try AccessLog(path: directory.path(of: "access.log"))
        for number in 0..<1000 { log.write(Array("line \(number)\n".utf8)) }
        log.stop()
        let text = String(decoding: try TemporaryDirectory.read(directory.path(of: "access.log")), as: UTF8.self)
        #expect(text.split(separator: "\n").count == 1000 && text.hasSuffix("line 999\n"))
    }
}
