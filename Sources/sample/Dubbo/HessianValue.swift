/// A value of the Hessian 2 serialization. The sample has a reader and a writer of its own and does not use the proxy's:
/// the two sides of a test must not share a mistake.
indirect enum HessianValue: Equatable, Sendable {
    case null
    case bool(Bool)
    case int(Int32)
    case long(Int64)
    case double(Double)
    /// Milliseconds since 1970.
    case date(Int64)
    case string(String)
    case binary([UInt8])
    case list([HessianValue])
    case map([Pair])
    case object(type: String, fields: [Pair])
    /// A value that came before: the number of a list, map or object.
    case reference(Int)

    /// An entry of a map, or a field of an object.
    struct Pair: Equatable, Sendable {
        var key: HessianValue
        var value: HessianValue
    }

    /// The text of a string.
    var text: String? { if case .string(let text) = self { text } else { nil } }

    /// The number of an int or a long.
    var number: Int? {
        switch self {
        case .int(let value): Int(value)
        case .long(let value): Int(value)
        default: nil
        }
    }

    /// The entries of a map whose keys and values are strings; others are left out.
    var strings: [String: String] {
        guard case .map(let pairs) = self else { return [:] }
        var result: [String: String] = [:]
        for pair in pairs {
            if let key = pair.key.text, let value = pair.value.text { result[key] = value }
        }
        return result
    }
}

/// Bytes that are not Hessian.
struct HessianError: Error, CustomStringConvertible {
    var description: String
}
