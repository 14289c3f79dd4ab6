import Runtime

/// Lays a JSON value out over several lines as its parts come: what `JSON.pretty` does with a whole one.
struct JSONLayout {
    /// What has begun.
    enum Kind {
        case array, object
    }

    private struct Level {
        let kind: Kind
        var isEmpty = true
    }

    private var levels: [Level] = []

    /// Begins an array or object.
    mutating func begin(_ kind: Kind, named name: String? = nil, _ text: inout [UInt8]) {
        separate(name, &text)
        text += (kind == .array ? "[" : "{").utf8
        levels.append(Level(kind: kind))
    }

    /// Ends what was begun last.
    mutating func end(_ text: inout [UInt8]) {
        guard let level = levels.popLast() else { return }
        if !level.isEmpty { newLine(&text) }
        text += (level.kind == .array ? "]" : "}").utf8
        if levels.isEmpty { text.append(UInt8(ascii: "\n")) }
    }

    /// A value: an item of an array, or a member of an object under its name.
    mutating func value(_ value: JSON, named name: String? = nil, _ text: inout [UInt8]) {
        separate(name, &text)
        text += value.text(indent: indent).utf8
    }

    /// Members of an object.
    mutating func members(_ members: KeyValuePairs<String, JSON>, _ text: inout [UInt8]) {
        for (name, value) in members { self.value(value, named: name, &text) }
    }

    private var indent: String { String(repeating: "  ", count: levels.count) }

    private mutating func separate(_ name: String?, _ text: inout [UInt8]) {
        if !levels.isEmpty {
            if !levels[levels.count - 1].isEmpty { text.append(UInt8(ascii: ",")) }
            levels[levels.count - 1].isEmpty = false
            newLine(&text)
        }
        if let name { text += (JSONString.quoted(name) + ": ").utf8 }
    }

    private func newLine(_ text: inout [UInt8]) { text += ("\n" + indent).utf8 }
}
