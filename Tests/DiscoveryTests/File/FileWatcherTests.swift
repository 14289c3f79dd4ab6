import Glibc
import Runtime
import TestSupport
import Testing

@testable import Discovery

@Suite struct FileWatcherTests {
    let directory: TemporaryDirectory
    let loop: EventLoop
    let file: String

    init() throws {
        directory = try TemporaryDirectory()
        loop = try EventLoop()
        file = try directory.write("services.yaml", "one")
    }

    private final class Count { var value = 0 }

    private func watch(_ count: Count, longestSilence: Duration = .seconds(60)) -> FileWatcher {
        FileWatcher(path: file, loop: loop, lookPeriod: .milliseconds(20), longestSilence: longestSilence) {
            count.value += 1
        }
    }

    @Test func aSlowWriterIsWaitedFor() throws {
        let count = Count()
        let watcher = watch(count)
        defer { watcher.stop() }
        let descriptor = open(file, O_WRONLY | O_APPEND)
        #expect(write(descriptor, "x", 1) == 1)
        // Twenty looks find it unchanged.
        #expect(!loop.run(for: .milliseconds(400)) { count.value > 0 })
        close(descriptor)
        #expect(loop.run(for: .seconds(10)) { count.value == 1 })
    }

    @Test func aWriterWhoNeverClosesIsNotWaitedForForGood() throws {
        let count = Count()
        let watcher = watch(count, longestSilence: .milliseconds(100))
        defer { watcher.stop() }
        let descriptor = open(file, O_WRONLY | O_APPEND)
        defer { close(descriptor) }
        #expect(write(descriptor, "x", 1) == 1)
        #expect(loop.run(for: .seconds(10)) { count.value == 1 })
    }

    @Test func newRightsAreAChange() throws {
        let count = Count()
        let watcher = watch(count)
        defer { watcher.stop() }
        #expect(chmod(file, 0o600) == 0)
        #expect(loop.run(for: .seconds(10)) { count.value == 1 })
    }

    @Test func newRightsDoNotEndAWrite() throws {
        let count = Count()
        let watcher = watch(count)
        defer { watcher.stop() }
        let descriptor = open(file, O_WRONLY | O_APPEND)
        defer { close(descriptor) }
        #expect(write(descriptor, "x", 1) == 1)
        #expect(chmod(file, 0o600) == 0)
        #expect(!loop.run(for: .milliseconds(300)) { count.value > 0 })
    }

    @Test func whatCouldNotBeReadIsToldAgain() throws {
        let count = Count()
        let watcher = watch(count)
        defer { watcher.stop() }
        watcher.lookAgain()
        #expect(loop.run(for: .seconds(10)) { count.value == 1 })
        #expect(!loop.run(for: .milliseconds(200)) { count.value > 1 })
    }
}
