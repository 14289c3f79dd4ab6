import Synchronization
import Testing

@testable import Runtime

/// Lines of a logger and a clock that is set by hand.
private final class Journal: Sendable {
    let lines = Mutex<[String]>([])
    let now = Atomic<Int64>(0)

    func logger(_ minimum: LogLevel = .info) -> Logger {
        Logger(
            minimum: minimum, now: { self.now.load(ordering: .relaxed) },
            write: { line in self.lines.withLock { $0.append(line) } })
    }

    /// The lines without their time.
    var events: [String] {
        lines.withLock { $0.map { String($0.drop { $0 != " " }.dropFirst()) } }
    }
}

@Suite struct LoggerTests {
    private let journal = Journal()

    @Test func writesOneLineAnEvent() throws {
        let logger = journal.logger()
        logger.log(.info, "registry.connected", ["url": "nacos://a:8848", "note": "two words", "empty": ""])
        logger.log(.debug, "left.out")
        logger.log(.error, "bad")
        #expect(
            journal.events == [
                "level=info event=registry.connected url=nacos://a:8848 note=\"two words\" empty=\"\"\n",
                "level=error event=bad\n",
            ])
        let line = try #require(journal.lines.withLock { $0.first })
        #expect(line.prefix(7) == "time=20")
        #expect(line.prefix { $0 != " " }.last == "Z")
    }

    @Test(arguments: [
        ("plain", "plain"), ("a/b:c,d?e", "a/b:c,d?e"), ("grün", "grün"), ("", "\"\""), ("a b", "\"a b\""),
        ("a=b", "\"a=b\""), ("a\"b", "\"a\\\"b\""), ("a\\ b", "\"a\\\\ b\""), ("a\nb", "\"a\\nb\""),
        ("a\r\n", "\"a\\r\\n\""), ("\t", "\"\\t\""), ("\u{1b}[2J", "\"\\u{1b}[2J\""), ("\u{7f}", "\"\\u{7f}\""),
        ("\u{9b}2J", "\"\\u{9b}2J\""), ("\u{2028}", "\"\\u{2028}\""), ("\0", "\"\\u{0}\""),
    ])
    func quotesWhatWouldBreakALine(value: String, expected: String) {
        #expect(Logger.quoted(value) == expected)
    }

    @Test(arguments: [
        (Int64(0), "1970-01-01T00:00:00.000Z"), (1_700_000_000_123_999_999, "2023-11-14T22:13:20.123Z"),
        (951_782_400_009_000_000, "2000-02-29T00:00:00.009Z"), (Int64.max, "2262-04-11T23:47:16.854Z"),
    ])
    func writesTimesAsRFC3339(nanoseconds: Int64, expected: String) {
        #expect(Logger.timestamp(nanoseconds) == expected)
    }

    @Test func limitsLinesOfOneKindAndTellsHowManyWereLeftOut() {
        let logger = journal.logger()
        for _ in 0..<5 { logger.log(.warning, "peer.bad", limit: 2, limitKey: "a") }
        logger.log(.warning, "peer.bad", limit: 2, limitKey: "b")
        logger.log(.warning, "peer.worse", limit: 2, limitKey: "a")
        logger.log(.warning, "free")
        #expect(
            journal.events.map { $0.dropLast() } == [
                "level=warning event=peer.bad", "level=warning event=peer.bad", "level=warning event=peer.bad",
                "level=warning event=peer.worse", "level=warning event=free",
            ])
        journal.now.store(59_999_999_999, ordering: .relaxed)
        logger.log(.warning, "peer.bad", limit: 2, limitKey: "a")
        #expect(journal.events.count == 5)
        journal.now.store(60_000_000_000, ordering: .relaxed)
        for _ in 0..<3 { logger.log(.warning, "peer.bad", limit: 2, limitKey: "a") }
        #expect(
            journal.events.dropFirst(5).map { $0 } == [
                "level=warning event=peer.bad suppressed=4\n", "level=warning event=peer.bad\n",
            ])
    }

    @Test func levelsAreInOrder() {
        #expect(LogLevel.allCases.sorted() == [.debug, .info, .warning, .error])
        let logger = journal.logger(.error)
        for level in LogLevel.allCases { logger.log(level, "x") }
        #expect(journal.events == ["level=error event=x\n"])
    }
}
