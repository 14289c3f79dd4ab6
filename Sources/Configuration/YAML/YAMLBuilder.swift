/// Builds the tree from events and refuses what `YAMLDocument` does not allow.
struct YAMLBuilder {
    private let file: String
    private let events: YAMLEvents
    private var errors: [ConfigurationError] = []
    private var nodes = 0

    /// Ends the parse where going on makes no sense; its error is reported already.
    private struct Stop: Error {}

    static func build(_ bytes: [UInt8], file: String) -> (YAMLNode?, [ConfigurationError]) {
        bytes.withUnsafeBufferPointer { input in
            guard let events = YAMLEvents(input) else {
                return (nil, [ConfigurationError(file: file, line: 0, message: "out of memory")])
            }
            var builder = YAMLBuilder(file: file, events: events)
            let root = try? builder.document()
            return (root ?? nil, builder.errors)
        }
    }

    private init(file: String, events: YAMLEvents) {
        self.file = file
        self.events = events
    }

    private mutating func document() throws -> YAMLNode? {
        var root: YAMLNode?
        var documents = 0
        while true {
            let event = try next()
            switch event.kind {
            case .streamEnd: return root
            case .documentStart:
                documents += 1
                if documents > 1 { throw stop(event, "only one YAML document a file is allowed; remove the \"---\"") }
                root = try node(try next(), depth: 1)
            default: continue
            }
        }
    }

    private mutating func next() throws -> YAMLEvent {
        do throws(YAMLSyntaxError) {
            return try events.next()
        } catch {
            errors.append(ConfigurationError(file: file, line: error.line, message: error.message))
            throw Stop()
        }
    }

    private mutating func node(_ event: YAMLEvent, depth: Int) throws -> YAMLNode {
        nodes += 1
        if nodes > YAMLDocument.mostNodes { throw stop(event, "the file has more than 2,000,000 values") }
        if depth > YAMLDocument.deepest { throw stop(event, "nested deeper than \(YAMLDocument.deepest) levels") }
        refuseProperties(event)
        switch event.kind {
        case .scalar(let text, let quoted): return YAMLNode(.scalar(text, quoted: quoted), event)
        case .sequenceStart: return YAMLNode(.sequence(try sequence(depth: depth)), event)
        case .mappingStart: return YAMLNode(.mapping(try mapping(depth: depth)), event)
        case .alias(let name):
            report(event, "aliases (\"*\(name)\") are not supported; quote a text that begins with \"*\"")
            return YAMLNode(.refused, event)
        default: throw stop(event, "a value is missing")
        }
    }

    private mutating func sequence(depth: Int) throws -> [YAMLNode] {
        var items: [YAMLNode] = []
        while true {
            let event = try next()
            if event.kind == .sequenceEnd { return items }
            items.append(try node(event, depth: depth + 1))
        }
    }

    private mutating func mapping(depth: Int) throws -> [YAMLEntry] {
        var entries: [YAMLEntry] = []
        var lines: [String: Int] = [:]
        while true {
            let event = try next()
            if event.kind == .mappingEnd { return entries }
            let key = try node(event, depth: depth + 1)
            let value = try node(try next(), depth: depth + 1)
            guard case .scalar(let name, _) = key.content else {
                if key.content != .refused { report(event, "a name must be a plain text") }
                continue
            }
            if let first = lines[name] {
                report(event, "\(name.shown) is given twice; first on line \(first)")
                continue
            }
            lines[name] = key.line
            entries.append(YAMLEntry(name: name, line: key.line, value: value))
        }
    }

    private mutating func refuseProperties(_ event: YAMLEvent) {
        if let anchor = event.anchor {
            report(event, "anchors (\"&\(anchor)\") are not supported; quote a text that begins with \"&\"")
        }
        if event.hasTag { report(event, "tags (\"!…\") are not supported; quote a text that begins with \"!\"") }
    }

    private mutating func report(_ event: YAMLEvent, _ message: String) {
        errors.append(ConfigurationError(file: file, line: event.line, message: message))
    }

    private mutating func stop(_ event: YAMLEvent, _ message: String) -> Stop {
        report(event, message)
        return Stop()
    }
}

extension YAMLNode {
    fileprivate init(_ content: Content, _ event: YAMLEvent) {
        self.init(content, line: event.line, column: event.column)
    }
}
