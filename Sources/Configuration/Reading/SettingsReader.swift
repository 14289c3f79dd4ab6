/// Reads typed values from a tree and collects everything that is wrong on the way.
///
/// Every method takes the path of its node for messages (`services.order-service.timeout`; empty for the outermost
/// mapping) and returns nil, or leaves its target as it is, where it has reported an error.
public final class SettingsReader {
    /// The file's name for messages.
    public let file: String
    /// What was found so far, in the order of finding.
    public private(set) var errors: [ConfigurationError]

    /// A reader that begins with the errors of the document itself.
    public init(file: String, errors: [ConfigurationError] = []) {
        self.file = file
        self.errors = errors
    }

    /// Reports an error.
    public func fail(_ line: Int, _ message: String) {
        errors.append(ConfigurationError(file: file, line: line, message: message))
    }

    /// Reports that a value is wrong.
    public func fail(_ line: Int, _ path: String, _ message: String) {
        fail(line, path.isEmpty ? message : "\(path): \(message)")
    }

    /// The entries of a mapping; an empty value (`services:`) is a mapping without entries.
    public func entries(_ node: YAMLNode, _ path: String) -> [YAMLEntry]? {
        switch node.content {
        case .mapping(let entries): return entries
        case .scalar where node.isEmpty: return []
        case .refused: return nil
        default:
            fail(node.line, path, "must be a mapping of names to values")
            return nil
        }
    }

    /// The items of a list of up to 1000; an empty value is an empty list.
    public func items(_ node: YAMLNode, _ path: String) -> [YAMLNode]? {
        switch node.content {
        case .sequence(let items) where items.count > 1000: fail(node.line, path, "has more than 1000 entries")
        case .sequence(let items): return items
        case .scalar where node.isEmpty: return []
        case .scalar(let text, _): fail(node.line, path, "must be a list; did you mean [\(text)]?")
        case .mapping: fail(node.line, path, "must be a list")
        case .refused: break
        }
        return nil
    }

    /// A text, quoted or not, as it was written.
    public func text(_ node: YAMLNode, _ path: String) -> String? {
        switch node.content {
        case .scalar where node.isEmpty: fail(node.line, path, "a value is missing")
        case .scalar(let text, _): return text
        case .sequence: fail(node.line, path, "must be one value, not a list")
        case .mapping: fail(node.line, path, "must be one value, not a mapping")
        case .refused: break
        }
        return nil
    }

    /// A value that has a notation of its own.
    public func value<Value>(
        _ node: YAMLNode, _ path: String, _ parse: (String) throws(InvalidValue) -> Value
    ) -> Value? {
        guard let text = text(node, path) else { return nil }
        do throws(InvalidValue) {
            return try parse(text)
        } catch {
            fail(node.line, path, error.message)
            return nil
        }
    }

    /// A number or boolean: must stand without quotes.
    public func bareValue<Value>(
        _ node: YAMLNode, _ path: String, _ parse: (String) throws(InvalidValue) -> Value
    ) -> Value? {
        if case .scalar(let text, quoted: true) = node.content {
            fail(node.line, path, "\(text.shown) must stand without quotes")
            return nil
        }
        return value(node, path, parse)
    }

    /// A list of values that have a notation of their own, without repetition.
    ///
    /// - Parameter emptiness: what is wrong with a list of none, however it is written; nil where there may be none.
    public func values(
        _ node: YAMLNode, _ path: String, emptiness: String? = nil,
        _ parse: (String) throws(InvalidValue) -> String
    ) -> [(value: String, line: Int)]? {
        guard let items = items(node, path) else { return nil }
        if items.isEmpty, let emptiness {
            fail(node.line, path, emptiness)
            return nil
        }
        var values: [(value: String, line: Int)] = []
        for (index, item) in items.enumerated() {
            guard let value = value(item, "\(path)[\(index)]", parse) else { continue }
            if values.contains(where: { $0.value == value }) {
                fail(item.line, path, "\(value.shown) is given twice")
            } else {
                values.append((value, item.line))
            }
        }
        return values
    }

    /// Reads a mapping by a table of its keys.
    public func section<Target>(
        _ node: YAMLNode, _ path: String, keys: [SettingKey<Target>], into target: inout Target
    ) {
        for entry in entries(node, path) ?? [] {
            guard let key = keys.first(where: { $0.name == entry.name }) else {
                unknown(entry, path, among: keys.map(\.name))
                continue
            }
            key.read(entry.value, path.isEmpty ? entry.name : "\(path).\(entry.name)", self, &target)
        }
    }

    private func unknown(_ entry: YAMLEntry, _ path: String, among names: [String]) {
        // Beyond that nobody sees the hint, and looking for it in a file of nothing but mistakes takes long.
        if errors.count >= ConfigurationErrors.most { return fail(entry.line, "unknown key \(entry.name.shown)") }
        let near = NearestName.hint(for: entry.name, among: names)
        let hint = near.isEmpty ? "; valid are \(names.joined(separator: ", "))" : near
        fail(entry.line, "unknown key \(entry.name.shown)" + (path.isEmpty ? "" : " in \(path)") + hint)
    }
}

/// One key of a mapping and how its value is read into a `Target`.
public struct SettingKey<Target> {
    /// The key.
    public let name: String
    /// This key and those below it, with dots: `limits.http_head`.
    let names: [String]
    let read: (YAMLNode, String, SettingsReader, inout Target) -> Void

    private init(
        _ name: String, names: [String], read: @escaping (YAMLNode, String, SettingsReader, inout Target) -> Void
    ) {
        self.name = name
        self.names = names
        self.read = read
    }

    /// The same key for a target that this one's is a part of.
    func within<Whole>(_ place: WritableKeyPath<Whole, Target>) -> SettingKey<Whole> {
        SettingKey<Whole>(name, names: names) { [read] node, path, reader, whole in
            read(node, path, reader, &whole[keyPath: place])
        }
    }

    /// The same key, which notes in what line it stands, for later checks to name.
    func noting(in lines: WritableKeyPath<Target, [String: Int]>) -> SettingKey {
        SettingKey(name, names: names) { [name, read] node, path, reader, target in
            target[keyPath: lines][name] = node.line
            read(node, path, reader, &target)
        }
    }

    /// The same name where the key has no place.
    func refused<Other>(because reason: String) -> SettingKey<Other> {
        SettingKey<Other>(name) { node, path, reader, _ in reader.fail(node.line, path, reason) }
    }

    /// A key with a reader of its own.
    public init(_ name: String, read: @escaping (YAMLNode, String, SettingsReader, inout Target) -> Void) {
        self.name = name
        names = [name]
        self.read = read
    }

    /// A key whose value has a notation of its own, quoted or not.
    public init<Value>(
        _ name: String, _ place: WritableKeyPath<Target, Value>,
        _ parse: @escaping (String) throws(InvalidValue) -> Value
    ) {
        self.init(name) { node, path, reader, target in
            if let value = reader.value(node, path, parse) { target[keyPath: place] = value }
        }
    }

    /// A key whose value is a number or a boolean.
    public init<Value>(
        _ name: String, bare place: WritableKeyPath<Target, Value>,
        _ parse: @escaping (String) throws(InvalidValue) -> Value
    ) {
        self.init(name) { node, path, reader, target in
            if let value = reader.bareValue(node, path, parse) { target[keyPath: place] = value }
        }
    }

    /// A key whose value is a mapping with keys of its own.
    public init<Section>(
        _ name: String, section place: WritableKeyPath<Target, Section>, keys: [SettingKey<Section>]
    ) {
        self.name = name
        names = keys.flatMap(\.names).map { "\(name).\($0)" }
        read = { node, path, reader, target in
            reader.section(node, path, keys: keys, into: &target[keyPath: place])
        }
    }

    /// A key whose value is a list or mapping of sections, each with the same keys: `listeners[].name`.
    init<Item>(
        _ name: String, each separator: String, keys: [SettingKey<Item>],
        read: @escaping (YAMLNode, String, SettingsReader, inout Target) -> Void
    ) {
        self.name = name
        names = keys.flatMap(\.names).map { "\(name)\(separator)\($0)" }
        self.read = read
    }
}
