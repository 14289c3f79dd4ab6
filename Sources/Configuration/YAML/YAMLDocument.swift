/// A YAML file as a tree: the part of YAML that configuration needs.
///
/// One document in UTF-8 of mappings, sequences and scalars. Anchors, aliases and tags are refused, so that a small file
/// cannot stand for a large tree. Names must be scalars and unique.
public struct YAMLDocument: Sendable {
    /// Largest file: 16 MiB.
    public static let largestFile = 16 << 20
    /// Deepest nesting.
    public static let deepest = 32
    /// Most values of one file, which bounds what a file of single characters costs.
    public static let mostNodes = 2_000_000

    /// The outermost value; nil for an empty file and where the syntax is wrong.
    public let root: YAMLNode?
    /// What is wrong with syntax, encoding and names. Other errors can be looked for in `root` all the same.
    public let errors: [ConfigurationError]

    /// Parses a file's bytes; `file` is its name for error messages.
    public init(_ bytes: [UInt8], file: String) {
        if let error = Self.encodingError(bytes, file: file) {
            root = nil
            errors = [error]
            return
        }
        (root, errors) = bytes.isEmpty ? (nil, []) : YAMLBuilder.build(bytes, file: file)
    }

    /// Sizes and encodings that are not parsed at all. Libyaml's own messages for them name no line.
    private static func encodingError(_ bytes: [UInt8], file: String) -> ConfigurationError? {
        if bytes.count > largestFile { return tooLarge(file) }
        if bytes.starts(with: [0xff, 0xfe]) || bytes.starts(with: [0xfe, 0xff]) {
            return ConfigurationError(file: file, line: 1, message: "the file is UTF-16; save it as UTF-8")
        }
        if String(validating: bytes, as: UTF8.self) != nil { return nil }
        let lines = bytes.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false)
        let index = lines.firstIndex { String(validating: $0, as: UTF8.self) == nil } ?? 0
        return ConfigurationError(file: file, line: index + 1, message: "the text is not UTF-8")
    }

    /// The refusal of a file beyond `largestFile`.
    static func tooLarge(_ file: String) -> ConfigurationError {
        ConfigurationError(file: file, line: 0, message: "the file is larger than 16 MiB")
    }
}
