import Runtime

/// Writes JSON texts.
enum JSONWriter {
    /// A text in quotes.
    static func quote(_ text: String) -> String { JSONString.quoted(text) }

    /// An object with members in this order; values are JSON already.
    static func object(_ members: [(String, String)]) -> String {
        "{" + members.map { "\(quote($0.0)):\($0.1)" }.joined(separator: ",") + "}"
    }

    /// An object of texts, in the order of their names.
    static func object(_ labels: [String: String]) -> String {
        object(labels.sorted { $0.key < $1.key }.map { ($0.key, quote($0.value)) })
    }

    /// An array of texts.
    static func array(_ texts: [String]) -> String { "[" + texts.map(quote).joined(separator: ",") + "]" }
}
