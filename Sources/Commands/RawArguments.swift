import Configuration

/// The values of a command's flags before they are read, from the command line or the environment.
struct RawArguments {
    /// A value and what it is called in errors: `--workers` or `GREYMESH_WORKERS`.
    struct Value {
        let text: String
        let source: String
    }

    private(set) var operands: [String] = []
    private(set) var wantsHelp = false
    private var values: [String: [Value]] = [:]

    /// Splits `--name value`, `--name=value` and operands. `--` ends the flags.
    init(_ arguments: ArraySlice<String>, of verb: Verb) throws(UsageError) {
        var rest = arguments
        while let argument = rest.popFirst() {
            if argument == "--" {
                operands += rest
                break
            }
            if argument == "--help" || argument == "-h" {
                wantsHelp = true
            } else if argument.hasPrefix("-") && argument != "-" {
                try takeFlag(argument, &rest, verb)
            } else {
                operands.append(argument)
            }
        }
        let allowed = verb.operand == nil ? 0 : 1
        if operands.count > allowed, !wantsHelp {
            throw UsageError(
                "\(verb.rawValue): unexpected \"\(operands[allowed])\"; see greymesh \(verb.rawValue) --help")
        }
    }

    private mutating func takeFlag(
        _ argument: String, _ rest: inout ArraySlice<String>, _ verb: Verb
    ) throws(UsageError) {
        let parts = argument.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
        guard let flag = verb.flags.first(where: { "--\($0.name)" == parts[0] }) else {
            throw Self.unknownFlag(parts[0], verb)
        }
        let source = "--\(flag.name)"
        var text = parts.count > 1 ? parts[1] : nil
        if flag.isSwitch {
            guard text == nil else { throw UsageError("\(source) takes no value") }
            text = "true"
        }
        if text == nil, let next = rest.first, !next.hasPrefix("--") { text = rest.popFirst() }
        guard let text, !text.isEmpty else {
            throw UsageError("\(source) needs a value: \(source) \(flag.placeholder)")
        }
        if !flag.repeats, values[flag.name] != nil { throw UsageError("\(source) is given twice") }
        values[flag.name, default: []].append(Value(text: text, source: source))
    }

    private static func unknownFlag(_ name: String, _ verb: Verb) -> UsageError {
        let bare = String(name.drop { $0 == "-" })
        let near = NearestName.to(bare, among: verb.flags.map(\.name) + ["help"])
        let hint = near.map { "did you mean --\($0)?" } ?? "see greymesh \(verb.rawValue) --help"
        return UsageError("\(verb.rawValue): unknown flag \(name); \(hint)")
    }

    /// Takes from the environment what no flag said. Empty variables count as absent, as compose files write them.
    mutating func addEnvironment(_ environment: [String: String], of verb: Verb) {
        for flag in verb.flags {
            guard let variable = flag.variable, values[flag.name] == nil, let text = environment[variable],
                !text.isEmpty
            else { continue }
            let parts = flag.repeats ? Environment.values(text, of: flag) : [text]
            values[flag.name] = parts.map { Value(text: $0, source: variable) }
        }
    }

    /// Reads a flag's only value.
    func read<Result>(
        _ name: String, _ parse: (String) throws(InvalidValue) -> Result
    ) throws(UsageError) -> Result? {
        guard let value = values[name]?.first else { return nil }
        return try read(value, parse)
    }

    /// Reads all values of a flag, in order.
    func readAll<Result>(
        _ name: String, _ parse: (String) throws(InvalidValue) -> Result
    ) throws(UsageError) -> [Result] {
        var results: [Result] = []
        for value in values[name] ?? [] { results.append(try read(value, parse)) }
        return results
    }

    /// A flag's text as it is.
    func text(_ name: String) -> String? { values[name]?.first?.text }

    private func read<Result>(
        _ value: Value, _ parse: (String) throws(InvalidValue) -> Result
    ) throws(UsageError) -> Result {
        do throws(InvalidValue) {
            return try parse(value.text)
        } catch {
            throw UsageError("\(value.source): \(error.message)")
        }
    }
}
