import Runtime

/// A JSON value whose members keep their order, so that answers can be compared as text.
enum JSON: Equatable, ExpressibleByStringLiteral, ExpressibleByBooleanLiteral, ExpressibleByIntegerLiteral {
    case null
    case bool(Bool)
    case integer(Int64)
    case unsigned(UInt64)
    case text(String)
    case array([JSON])
    case object([Member])

    struct Member: Equatable {
        let name: String
        let value: JSON
    }

    init(stringLiteral value: String) { self = .text(value) }
    init(booleanLiteral value: Bool) { self = .bool(value) }
    init(integerLiteral value: Int64) { self = .integer(value) }

    /// An object of these members.
    static func object(_ members: KeyValuePairs<String, JSON>) -> JSON {
        .object(members.map { Member(name: $0.key, value: $0.value) })
    }

    static func texts(_ texts: some Sequence<String>) -> JSON { .array(texts.map(JSON.text)) }
    static func optional(_ text: String?) -> JSON { text.map(JSON.text) ?? .null }
    static func count(_ value: Int) -> JSON { .integer(Int64(value)) }

    /// The value over several lines with an indent of two.
    var pretty: String {
        var text = ""
        write(into: &text, indent: "")
        return text + "\n"
    }

    /// The value as it stands at this indent.
    func text(indent: String) -> String {
        var text = ""
        write(into: &text, indent: indent)
        return text
    }

    private func write(into text: inout String, indent: String) {
        switch self {
        case .null: text += "null"
        case .bool(let value): text += value ? "true" : "false"
        case .integer(let value): text += String(value)
        case .unsigned(let value): text += String(value)
        case .text(let value): text += JSONString.quoted(value)
        case .array(let values):
            Self.write(values, brackets: ("[", "]"), into: &text, indent: indent) { value, text, indent in
                value.write(into: &text, indent: indent)
            }
        case .object(let members):
            Self.write(members, brackets: ("{", "}"), into: &text, indent: indent) { member, text, indent in
                text += JSONString.quoted(member.name)
                text += ": "
                member.value.write(into: &text, indent: indent)
            }
        }
    }

    private static func write<Item>(
        _ items: [Item], brackets: (String, String), into text: inout String, indent: String,
        each: (Item, inout String, String) -> Void
    ) {
        text += brackets.0
        let inner = indent + "  "
        for (index, item) in items.enumerated() {
            text += (index == 0 ? "\n" : ",\n") + inner
            each(item, &text, inner)
        }
        if !items.isEmpty { text += "\n" + indent }
        text += brackets.1
    }
}

extension Duration {
    /// For answers: whole milliseconds.
    var wholeMilliseconds: Int64 {
        let (seconds, attoseconds) = components
        return seconds * 1000 + attoseconds / 1_000_000_000_000_000
    }
}
