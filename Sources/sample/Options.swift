/// The words of a command line behind the command: `--name value`, `--name=value` and `--flag`.
struct Options {
    private var values: [String: [String]] = [:]
    private var flags: Set<String> = []

    /// Reads the words.
    ///
    /// - Throws: `UsageError` that names the first word that is not among the known ones.
    init(_ words: [String], values known: Set<String>, flags knownFlags: Set<String> = []) throws {
        var rest = words[...]
        while let word = rest.popFirst() {
            guard word.hasPrefix("--") else {
                throw UsageError(description: "what is '\(word)'? options begin with --")
            }
            let parts = word.dropFirst(2).split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            let name = String(parts[0])
            if knownFlags.contains(name), parts.count == 1 {
                flags.insert(name)
                continue
            }
            guard known.contains(name) else { throw UsageError(description: "unknown option --\(name)") }
            if parts.count == 2 {
                values[name, default: []].append(String(parts[1]))
            } else if let value = rest.popFirst() {
                values[name, default: []].append(value)
            } else {
                throw UsageError(description: "--\(name) needs a value")
            }
        }
    }

    func has(_ flag: String) -> Bool { flags.contains(flag) }
    func all(_ name: String) -> [String] { values[name] ?? [] }
    func text(_ name: String) -> String? { values[name]?.last }

    func required(_ name: String) throws -> String {
        guard let text = text(name), !text.isEmpty else { throw UsageError(description: "--\(name) is missing") }
        return text
    }

    func number(_ name: String, in range: ClosedRange<Int>) throws -> Int? {
        guard let text = text(name) else { return nil }
        guard let number = Int(text), range.contains(number) else {
            throw UsageError(description: "--\(name) is a number from \(range.lowerBound) to \(range.upperBound)")
        }
        return number
    }

    func decimal(_ name: String) throws -> Double? {
        guard let text = text(name) else { return nil }
        guard let number = Double(text), number.isFinite, number >= 0 else {
            throw UsageError(description: "--\(name) is a number that is not negative")
        }
        return number
    }

    /// Repeated `--name key=value`.
    func pairs(_ name: String) throws -> [(key: String, value: String)] {
        try all(name).map { text in
            guard let equals = text.firstIndex(of: "=") else {
                throw UsageError(description: "--\(name) is KEY=VALUE, not '\(text)'")
            }
            return (String(text[..<equals]), String(text[text.index(after: equals)...]))
        }
    }
}
