import CYAML

/// What the parser saw next, copied out of libyaml's memory.
struct YAMLEvent {
    enum Kind: Equatable {
        case scalar(String, quoted: Bool)
        case alias(String)
        case sequenceStart, sequenceEnd, mappingStart, mappingEnd
        case documentStart, documentEnd, streamStart, streamEnd
    }

    let kind: Kind
    let anchor: String?
    let hasTag: Bool
    let line: Int
    let column: Int
}

/// The text is not YAML.
struct YAMLSyntaxError: Error {
    let line: Int
    let message: String
}

/// Libyaml's event parser over bytes that stay where they are.
final class YAMLEvents {
    private let input: UnsafeBufferPointer<UInt8>
    /// On the heap: libyaml keeps a pointer from the parser to itself.
    private let parser: UnsafeMutablePointer<yaml_parser_t>

    /// Nil: out of memory. The input must outlive the events.
    init?(_ input: UnsafeBufferPointer<UInt8>) {
        self.input = input
        parser = .allocate(capacity: 1)
        parser.initialize(to: yaml_parser_t())
        guard yaml_parser_initialize(parser) == 1 else {
            parser.deallocate()
            return nil
        }
        yaml_parser_set_encoding(parser, YAML_UTF8_ENCODING)
        yaml_parser_set_input_string(parser, input.baseAddress, input.count)
    }

    deinit {
        yaml_parser_delete(parser)
        parser.deallocate()
    }

    func next() throws(YAMLSyntaxError) -> YAMLEvent {
        var event = yaml_event_t()
        guard yaml_parser_parse(parser, &event) == 1 else { throw syntaxError() }
        defer { yaml_event_delete(&event) }
        return YAMLEvent(event)
    }

    private func syntaxError() -> YAMLSyntaxError {
        let problem = parser.pointee.problem.map { String(cString: $0) } ?? "unknown error"
        switch parser.pointee.error {
        case YAML_MEMORY_ERROR: return YAMLSyntaxError(line: 0, message: "out of memory")
        case YAML_READER_ERROR:
            // The reader knows an offset only.
            let seen = input.prefix(parser.pointee.problem_offset)
            let line = 1 + seen.count { $0 == UInt8(ascii: "\n") }
            return YAMLSyntaxError(line: line, message: "not YAML: \(problem)")
        default:
            let line = min(Int(clamping: parser.pointee.problem_mark.line) + 1, lastLine)
            return YAMLSyntaxError(line: line, message: "not YAML: \(explained(problem, line: line))")
        }
    }

    /// Libyaml's words, and what to do about the mistakes that are made most.
    private func explained(_ problem: String, line: Int) -> String {
        let context = parser.pointee.context.map { String(cString: $0) } ?? ""
        if context == "while scanning an alias" { return "quote a text that begins with \"*\"" }
        let text = lineText(line)
        let indentation = text.prefix { $0 == UInt8(ascii: " ") || $0 == UInt8(ascii: "\t") }
        if indentation.contains(UInt8(ascii: "\t")) { return "indent with spaces, not with tabs" }
        if problem == "found character that cannot start any token" {
            return "a text that begins with @, `, % or a tab must be quoted"
        }
        if context.isEmpty { return problem }
        let start = Int(clamping: parser.pointee.context_mark.line) + 1
        return "\(problem) (\(context)\(start < line ? " that begins on line \(start)" : ""))"
    }

    /// Where the text ends early, libyaml names a line after the last.
    private var lastLine: Int {
        let breaks = input.count { $0 == UInt8(ascii: "\n") }
        return max(1, breaks + (input.last == UInt8(ascii: "\n") ? 0 : 1))
    }

    private func lineText(_ line: Int) -> Slice<UnsafeBufferPointer<UInt8>> {
        var start = 0
        for _ in 1..<max(1, line) {
            guard let end = input[start...].firstIndex(of: UInt8(ascii: "\n")) else { return input[start..<start] }
            start = end + 1
        }
        return input[start...].prefix { $0 != UInt8(ascii: "\n") }
    }
}

extension YAMLEvent {
    fileprivate init(_ event: yaml_event_t) {
        line = Int(clamping: event.start_mark.line) + 1
        column = Int(clamping: event.start_mark.column) + 1
        var anchor: UnsafeMutablePointer<yaml_char_t>?
        var tag: UnsafeMutablePointer<yaml_char_t>?
        switch event.type {
        case YAML_SCALAR_EVENT:
            let scalar = event.data.scalar
            let bytes = UnsafeBufferPointer(start: scalar.value, count: scalar.length)
            kind = .scalar(String(decoding: bytes, as: UTF8.self), quoted: scalar.style != YAML_PLAIN_SCALAR_STYLE)
            (anchor, tag) = (scalar.anchor, scalar.tag)
        case YAML_ALIAS_EVENT: kind = .alias(String(cString: event.data.alias.anchor))
        case YAML_SEQUENCE_START_EVENT:
            kind = .sequenceStart
            (anchor, tag) = (event.data.sequence_start.anchor, event.data.sequence_start.tag)
        case YAML_MAPPING_START_EVENT:
            kind = .mappingStart
            (anchor, tag) = (event.data.mapping_start.anchor, event.data.mapping_start.tag)
        case YAML_SEQUENCE_END_EVENT: kind = .sequenceEnd
        case YAML_MAPPING_END_EVENT: kind = .mappingEnd
        case YAML_DOCUMENT_START_EVENT: kind = .documentStart
        case YAML_DOCUMENT_END_EVENT: kind = .documentEnd
        case YAML_STREAM_START_EVENT: kind = .streamStart
        default: kind = .streamEnd
        }
        self.anchor = anchor.map { String(cString: $0) }
        hasTag = tag != nil
    }
}
