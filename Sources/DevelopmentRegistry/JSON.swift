import FoundationEssentials
import Runtime

/// Text of JSON values in the order of the keys that Nacos uses.
enum JSONText {
    /// A string with its quotes.
    static func string(_ text: String) -> String { JSONString.quoted(text) }

    /// An object of values that are JSON already.
    static func object(_ members: KeyValuePairs<String, String>) -> String {
        "{" + members.map { "\(string($0.key)):\($0.value)" }.joined(separator: ",") + "}"
    }

    /// An array of values that are JSON already.
    static func array(_ values: some Sequence<String>) -> String { "[" + values.joined(separator: ",") + "]" }

    /// An object of strings and nulls, sorted by key.
    static func metadata(_ metadata: [String: String?]) -> String {
        let members = metadata.sorted { $0.key < $1.key }
        return "{" + members.map { "\(string($0.key)):\($0.value.map(string) ?? "null")" }.joined(separator: ",") + "}"
    }
}

/// A metadata value as clients send it: Nacos keeps numbers and booleans as text and null as null.
struct MetadataValue: Decodable {
    let text: String?

    init(from decoder: any Decoder) throws {
        let container = try decoder.singleValueContainer()
        if container.decodeNil() {
            text = nil
        } else if let string = try? container.decode(String.self) {
            text = string
        } else if let flag = try? container.decode(Bool.self) {
            text = String(flag)
        } else if let number = try? container.decode(Int64.self) {
            text = String(number)
        } else {
            text = String(try container.decode(Double.self))
        }
    }
}

/// The JSON of a beat; other members (load, cpu, qps, ...) are ignored.
struct BeatBody: Decodable {
    var serviceName: String?
    var ip: String
    var port: Int
    var cluster: String?
    var weight: Double?
    var metadata: [String: MetadataValue]?

    init(parsing text: String) throws { self = try JSONDecoder().decode(BeatBody.self, from: Data(text.utf8)) }
}

/// A text that is not metadata.
struct MetadataError: Error {
    var text: String
}

/// Reads metadata: a JSON object of flat values, or `k=v,k2=v2`.
func parseMetadata(_ text: String) throws(MetadataError) -> [String: String?] {
    if text.isEmpty { return [:] }
    if let object = try? JSONDecoder().decode([String: MetadataValue].self, from: Data(text.utf8)) {
        return object.mapValues(\.text)
    }
    var result: [String: String?] = [:]
    for pair in text.split(separator: ",", omittingEmptySubsequences: true) {
        let parts = pair.split(separator: "=", omittingEmptySubsequences: false)
        guard parts.count == 2, !text.hasPrefix("{") else { throw MetadataError(text: text) }
        result[String(parts[0])] = String(parts[1])
    }
    return result
}
