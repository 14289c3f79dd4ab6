/// One of an instance's labels in JSON. A number or a flag is its text; what is no single value is none, and leaves the other
/// labels alone.
struct LabelValue: Decodable {
    let text: String?

    init(from decoder: any Decoder) throws {
        guard let value = try? decoder.singleValueContainer() else {
            text = nil
            return
        }
        if let string = try? value.decode(String.self) {
            text = string
        } else if let flag = try? value.decode(Bool.self) {
            text = String(flag)
        } else if let number = try? value.decode(Int64.self) {
            text = String(number)
        } else if let number = try? value.decode(Double.self) {
            text = String(number)
        } else {
            text = nil
        }
    }
}

extension KeyedDecodingContainer {
    /// The labels below a key; none where there is no object.
    func labels(forKey key: Key) -> [String: String] {
        if let strings = try? decode([String: String].self, forKey: key) { return strings }
        return ((try? decode([String: LabelValue].self, forKey: key)) ?? [:]).compactMapValues(\.text)
    }
}

/// Spring Cloud's mark of an application that speaks TLS only; written as Java reads it.
enum SpringLabels {
    static func isSecure(_ labels: [String: String]) -> Bool { labels["secure"]?.lowercased() == "true" }
}
