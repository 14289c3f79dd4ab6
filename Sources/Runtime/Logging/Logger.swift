import CLinux
import Glibc
import Synchronization

/// How much an operator wants to read.
public enum LogLevel: Int, Comparable, Sendable, CaseIterable {
    /// Every decision; for developers.
    case debug
    /// What an operator wants to know when all is well.
    case info
    /// Something is wrong and is being coped with.
    case warning
    /// Something is wrong and needs a person.
    case error

    /// By severity.
    public static func < (left: LogLevel, right: LogLevel) -> Bool { left.rawValue < right.rawValue }
}

/// Writes one line an event to standard error: `time=… level=info event=registry.connected url=nacos://…`.
public final class Logger: Sendable {
    private struct Window {
        var started: Int64
        var count: Int
    }

    private let minimum: LogLevel
    private let windows = Mutex<[String: Window]>([:])
    private let write: @Sendable (String) -> Void
    private let now: @Sendable () -> Int64

    /// Creates a logger; `write` gets whole lines with their line end and can be called from any thread.
    public convenience init(
        minimum: LogLevel = .info, write: @escaping @Sendable (String) -> Void
    ) {
        self.init(minimum: minimum, now: { Clock.nanoseconds }, write: write)
    }

    /// Creates a logger that writes to standard error and never waits for who reads it.
    public convenience init(minimum: LogLevel = .info) {
        let output = LineOutput()
        self.init(minimum: minimum) { output.write($0, note: Logger.lostLines) }
    }

    /// A logger whose limits go by this clock.
    init(
        minimum: LogLevel, now: @escaping @Sendable () -> Int64, write: @escaping @Sendable (String) -> Void
    ) {
        self.minimum = minimum
        self.now = now
        self.write = write
    }

    /// Logs an event.
    ///
    /// - Parameters:
    ///   - event: a dotted name: `registry.failed`.
    ///   - fields: in order; values with blanks, quotes or control characters are quoted.
    ///   - limit: how many lines with this event and these `limitKey` values a minute may be written, where a peer can cause
    ///     them; the next line after the minute tells how many were left out. 0 is no limit.
    public func log(
        _ level: LogLevel, _ event: String, _ fields: KeyValuePairs<String, String> = [:], limit: Int = 0,
        limitKey: String = ""
    ) {
        guard level >= minimum else { return }
        var suppressed = 0
        if limit > 0 {
            guard let left = admit(event + "\u{0}" + limitKey, limit: limit) else { return }
            suppressed = left
        }
        var line = "time=\(Self.timestamp(Clock.wallNanoseconds)) level=\(level) event=\(event)"
        for (key, value) in fields { line += " \(key)=\(Self.quoted(value))" }
        if suppressed > 0 { line += " suppressed=\(suppressed)" }
        write(line + "\n")
    }

    /// The line that says how many were not taken by whoever reads the log.
    static let lostLines: @Sendable (UInt64) -> String = { count in
        "time=\(timestamp(Clock.wallNanoseconds)) level=warning event=log.lost lines=\(count)\n"
    }

    /// Nil: leave the line out. Otherwise how many were left out before it.
    private func admit(_ key: String, limit: Int) -> Int? {
        windows.withLock { windows in
            let now = now()
            if windows.count > 10_000 { windows.removeAll() }
            var window = windows[key] ?? Window(started: now, count: 0)
            var suppressed = 0
            if now - window.started >= 60_000_000_000 {
                suppressed = max(0, window.count - limit)
                window = Window(started: now, count: 0)
            }
            window.count += 1
            windows[key] = window
            return window.count <= limit ? suppressed : nil
        }
    }

    /// A value as it stands in a line: bare when it is plain, else in quotes with `\` escapes.
    static func quoted(_ value: String) -> String {
        let plain = value.unicodeScalars.allSatisfy { $0 > " " && $0 != "\"" && $0 != "=" && !isControl($0) }
        if plain && !value.isEmpty { return value }
        var text = "\""
        for scalar in value.unicodeScalars {
            switch scalar {
            case "\"": text += "\\\""
            case "\\": text += "\\\\"
            case "\n": text += "\\n"
            case "\r": text += "\\r"
            case "\t": text += "\\t"
            case _ where isControl(scalar): text += "\\u{" + String(scalar.value, radix: 16) + "}"
            default: text.unicodeScalars.append(scalar)
            }
        }
        return text + "\""
    }

    /// What can break a line or steer a terminal: C0, DEL, C1, and the line and paragraph separators.
    private static func isControl(_ scalar: Unicode.Scalar) -> Bool {
        switch scalar.value {
        case 0..<0x20, 0x7f...0x9f, 0x2028, 0x2029: true
        default: false
        }
    }

    /// RFC 3339 in UTC with milliseconds.
    public static func timestamp(_ nanoseconds: Int64) -> String {
        var seconds = time_t(nanoseconds / 1_000_000_000)
        var parts = tm()
        gmtime_r(&seconds, &parts)
        var text = [CChar](repeating: 0, count: 32)
        strftime(&text, text.count, "%Y-%m-%dT%H:%M:%S", &parts)
        let milliseconds = String(1000 + nanoseconds / 1_000_000 % 1000).dropFirst()
        return text.withUnsafeBufferPointer { String(cString: $0.baseAddress!) } + ".\(milliseconds)Z"
    }
}
