/// A value of a YAML file and where it stands.
public struct YAMLNode: Equatable, Sendable {
    /// What a node holds.
    public enum Content: Equatable, Sendable {
        /// Text as it was written, without quotes and escapes. Unquoted `1.0` stays the text `1.0`.
        case scalar(String, quoted: Bool)
        /// A list.
        case sequence([YAMLNode])
        /// Named values in the order of the file; names are unique.
        case mapping([YAMLEntry])
        /// Something that is refused (an alias, for instance) and has been reported already.
        case refused
    }

    /// What it holds.
    public let content: Content
    /// Counted from 1.
    public let line: Int
    /// Counted from 1, in characters.
    public let column: Int

    /// A node.
    public init(_ content: Content, line: Int, column: Int = 1) {
        self.content = content
        self.line = line
        self.column = column
    }

    /// Whether nothing was written: `key:`, `key: ~` or `key: null`.
    public var isEmpty: Bool {
        guard case .scalar(let text, quoted: false) = content else { return false }
        return ["", "~", "null", "Null", "NULL"].contains(text)
    }
}

/// A name with its value.
public struct YAMLEntry: Equatable, Sendable {
    /// The name.
    public let name: String
    /// Line of the name, counted from 1.
    public let line: Int
    /// The value.
    public let value: YAMLNode

    /// An entry.
    public init(name: String, line: Int, value: YAMLNode) {
        self.name = name
        self.line = line
        self.value = value
    }
}
