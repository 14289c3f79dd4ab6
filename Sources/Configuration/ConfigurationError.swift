/// One thing that is wrong in a configuration file.
public struct ConfigurationError: Error, Hashable, Sendable, CustomStringConvertible {
    /// The file as it was named to the program.
    public let file: String
    /// Counted from 1; 0 where the whole file is meant (it cannot be read, for instance).
    public let line: Int
    /// What is wrong and, where there is one, the way out. One line, without secrets.
    public let message: String

    /// Creates an error; line breaks in the message become spaces.
    public init(file: String, line: Int, message: String) {
        self.file = file
        self.line = line
        self.message = message.isOneLine ? message : message.onOneLine
    }

    /// `greymesh.yaml:12: unknown key "balancr" in services.order-service; did you mean "balancer"?`
    public var description: String { line > 0 ? "\(file):\(line): \(message)" : "\(file): \(message)" }
}

/// Everything that is wrong in a configuration file, in the order of its lines.
public struct ConfigurationErrors: Error, Equatable, Sendable, CustomStringConvertible {
    /// Most errors that are kept of one file: a person reads no more, and a hostile file must not fill the log.
    public static let most = 100

    /// At least one.
    public let errors: [ConfigurationError]

    /// Sorts by line and leaves out what is beyond `most`, with a last entry that says how many.
    public init(_ errors: [ConfigurationError]) {
        let sorted = errors.enumerated().sorted { ($0.element.line, $0.offset) < ($1.element.line, $1.offset) }
        var kept = sorted.prefix(Self.most).map(\.element)
        if sorted.count > kept.count, let last = kept.last {
            kept.append(
                ConfigurationError(
                    file: last.file, line: 0, message: "and \(sorted.count - kept.count) more errors"))
        }
        self.errors = kept
    }

    /// One line an error.
    public var description: String { errors.map(\.description).joined(separator: "\n") }
}

extension String {
    fileprivate var isOneLine: Bool { utf8.allSatisfy { $0 >= 0x20 && $0 != 0x7f } }

    fileprivate var onOneLine: String {
        String(String.UnicodeScalarView(unicodeScalars.map { $0.value < 0x20 || $0.value == 0x7f ? " " : $0 }))
    }

    /// The text in double quotes for a message, cut where it is long.
    var shown: String {
        let limit = 80
        return "\"" + (count > limit ? String(prefix(limit)) + "…" : self) + "\""
    }
}
