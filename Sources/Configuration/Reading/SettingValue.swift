import Model
import Runtime

/// A text that is not a value of the kind that is wanted.
public struct InvalidValue: Error, Equatable, Sendable {
    /// What is wrong, in words that follow a setting's name: `"3" has no unit; did you mean "3s"?`
    public let message: String

    /// An error with these words.
    public init(_ message: String) { self.message = message }
}

/// How values are written in files, flags and environment variables.
public enum SettingValue {
    /// A whole number with `ms`, `s`, `m` or `h`.
    public static func duration(_ text: String, in range: ClosedRange<Duration>) throws(InvalidValue) -> Duration {
        let (number, unit) = split(text)
        guard let number else {
            throw InvalidValue(
                "\(text.shown) is not a duration; write a whole number and ms, s, m or h, for example 500ms")
        }
        if unit.isEmpty { throw InvalidValue("\(text.shown) has no unit; did you mean \"\(text)s\"?") }
        guard let scale = durationUnits.first(where: { $0.name == unit }) else {
            throw InvalidValue("\(text.shown) is not a duration; the units are ms, s, m and h")
        }
        let (milliseconds, overflow) = number.multipliedReportingOverflow(by: scale.milliseconds)
        let value = Duration.milliseconds(overflow ? Int.max : milliseconds)
        guard range.contains(value) else {
            throw InvalidValue(
                "\(text.shown) is out of range; \(self.text(range.lowerBound)) to \(self.text(range.upperBound))")
        }
        return value
    }

    /// A whole number with `B`, `KiB`, `MiB` or `GiB`.
    public static func byteSize(_ text: String, in range: ClosedRange<Int>) throws(InvalidValue) -> Int {
        let (number, unit) = split(text)
        guard let number else {
            throw InvalidValue("\(text.shown) is not a size; write a whole number and B, KiB, MiB or GiB")
        }
        if unit.isEmpty { throw InvalidValue("\(text.shown) has no unit; write B, KiB, MiB or GiB after it") }
        guard let scale = sizeUnits.first(where: { $0.name == unit }) else {
            let meant = sizeUnits.first { $0.name.first == unit.first?.uppercasedFirst && $0.name.count == 3 }
            let hint = meant.map { "; did you mean \"\(number)\($0.name)\"?" } ?? "; the units are B, KiB, MiB and GiB"
            throw InvalidValue("\(text.shown) is not a size\(hint)")
        }
        let (bytes, overflow) = number.multipliedReportingOverflow(by: scale.bytes)
        guard !overflow, range.contains(bytes) else {
            throw InvalidValue(
                "\(text.shown) is out of range; \(self.text(bytes: range.lowerBound)) to "
                    + self.text(bytes: range.upperBound))
        }
        return bytes
    }

    /// Decimal digits.
    public static func integer(_ text: String, in range: ClosedRange<Int>) throws(InvalidValue) -> Int {
        let digits = text.hasPrefix("-") ? text.dropFirst() : text[...]
        guard !digits.isEmpty, digits.utf8.allSatisfy({ 0x30...0x39 ~= $0 }) else {
            throw InvalidValue("\(text.shown) is not a whole number")
        }
        guard let value = Int(text), range.contains(value) else {
            throw InvalidValue("\(text) is out of range; \(range.lowerBound) to \(range.upperBound)")
        }
        return value
    }

    /// The path of a file or folder.
    public static func path(_ text: String) throws(InvalidValue) -> String {
        guard !text.isEmpty, text.utf8.allSatisfy({ $0 >= 0x20 && $0 != 0x7f }) else {
            throw InvalidValue("\(text.shown) is not a path")
        }
        return text
    }

    /// A number of worker threads, 1 to 1024.
    public static func workers(_ text: String) throws(InvalidValue) -> Int { try integer(text, in: 1...1024) }

    /// `true` or `false`.
    public static func boolean(_ text: String) throws(InvalidValue) -> Bool {
        switch text {
        case "true": return true
        case "false": return false
        default:
            let meant = ["yes", "on", "1"].contains(text.lowercased()) || text.lowercased() == "true"
            let denied = ["no", "off", "0"].contains(text.lowercased()) || text.lowercased() == "false"
            let hint = meant ? "; did you mean \"true\"?" : denied ? "; did you mean \"false\"?" : ""
            throw InvalidValue("\(text.shown) is neither true nor false\(hint)")
        }
    }

    /// `127.0.0.1:8080` or `[::1]:8080`.
    public static func address(_ text: String) throws(InvalidValue) -> SocketAddress {
        if let address = SocketAddress(text) { return address }
        let lower = text.lowercased()
        if lower.hasPrefix("localhost:"), let meant = SocketAddress("127.0.0.1:" + text.dropFirst(10)) {
            throw InvalidValue("\(text.shown) is a name; did you mean \"\(meant)\"?")
        }
        throw InvalidValue(
            "\(text.shown) is not an IP address with a port; write it like 127.0.0.1:8080 or [::1]:8080")
    }

    /// One of the words that a type has as its raw values.
    public static func choice<Choice: CaseIterable & RawRepresentable<String>>(
        _ text: String
    ) throws(InvalidValue) -> Choice {
        if let choice = Choice(rawValue: text) { return choice }
        throw notOneOf(Choice.allCases.map(\.rawValue), text)
    }

    /// `debug`, `info`, `warning` or `error`.
    public static func logLevel(_ text: String) throws(InvalidValue) -> LogLevel {
        if let level = LogLevel.allCases.first(where: { "\($0)" == text }) { return level }
        throw notOneOf(LogLevel.allCases.map { "\($0)" }, text)
    }

    /// `header:NAME` or `client-address`.
    public static func stickyKey(_ text: String) throws(InvalidValue) -> StickyKey {
        if text == "client-address" { return .clientAddress }
        if text.hasPrefix("header:") { return .header(try headerName(String(text.dropFirst(7)))) }
        throw InvalidValue("\(text.shown) is neither header:NAME nor client-address")
    }

    /// The name of a header or attachment (RFC 9110 section 5.6.2 `token`), in lower case.
    public static func headerName(_ text: String) throws(InvalidValue) -> String {
        guard (1...256).contains(text.utf8.count), text.utf8.allSatisfy(isTokenByte) else {
            throw InvalidValue("\(text.shown) is not a header name")
        }
        return text.lowercased()
    }

    /// A version as instances and requests carry it: 1 to 128 bytes, no blanks, no control characters.
    public static func version(_ text: String) throws(InvalidValue) -> String {
        guard (1...128).contains(text.utf8.count), text.utf8.allSatisfy({ $0 > 0x20 && $0 != 0x7f }) else {
            throw InvalidValue("\(text.shown) is not a version; 1 to 128 characters without blanks")
        }
        return text
    }

    static func notOneOf(_ words: [String], _ text: String) -> InvalidValue {
        InvalidValue(
            "\(text.shown) is not one of \(words.joined(separator: ", "))" + NearestName.hint(for: text, among: words))
    }

    private static func isTokenByte(_ byte: UInt8) -> Bool {
        switch byte {
        case 0x30...0x39, 0x41...0x5a, 0x61...0x7a: true
        default: "!#$%&'*+-.^_`|~".utf8.contains(byte)
        }
    }

    /// Leading digits and what follows them; no number where there are none or too many.
    private static func split(_ text: String) -> (number: Int?, unit: String) {
        let digits = text.prefix { $0.isASCII && $0.isNumber }
        return (Int(digits), String(text[digits.endIndex...]))
    }
}

extension SettingValue {
    private static let durationUnits = [
        (name: "ms", milliseconds: 1), (name: "s", milliseconds: 1000), (name: "m", milliseconds: 60_000),
        (name: "h", milliseconds: 3_600_000),
    ]

    private static let sizeUnits = [
        (name: "B", bytes: 1), (name: "KiB", bytes: 1 << 10), (name: "MiB", bytes: 1 << 20),
        (name: "GiB", bytes: 1 << 30),
    ]

    /// A duration as it is written in a file: `500ms`, `3s`. Fractions of a millisecond are left out.
    public static func text(_ duration: Duration) -> String {
        let milliseconds = Int(clamping: duration.nanoseconds / 1_000_000)
        let unit = durationUnits.last { milliseconds % $0.milliseconds == 0 && milliseconds >= $0.milliseconds }
        guard let unit else { return milliseconds == 0 ? "0s" : "\(milliseconds)ms" }
        return "\(milliseconds / unit.milliseconds)\(unit.name)"
    }

    /// A size as it is written in a file: `64KiB`.
    public static func text(bytes: Int) -> String {
        guard let unit = sizeUnits.last(where: { bytes % $0.bytes == 0 && bytes >= $0.bytes }) else {
            return "\(bytes)B"
        }
        return "\(bytes / unit.bytes)\(unit.name)"
    }
}

extension Character {
    fileprivate var uppercasedFirst: Character? { uppercased().first }
}
