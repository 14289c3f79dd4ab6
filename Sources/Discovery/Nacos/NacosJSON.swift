import Runtime

/// JSON that is sent to Nacos.
indirect enum NacosJSON: ExpressibleByStringLiteral, ExpressibleByBooleanLiteral, ExpressibleByIntegerLiteral {
    case string(String)
    case flag(Bool)
    case integer(Int)
    case number(Double)
    case list([NacosJSON])
    /// In this order.
    case object([(String, NacosJSON)])

    init(stringLiteral value: String) { self = .string(value) }
    init(booleanLiteral value: Bool) { self = .flag(value) }
    init(integerLiteral value: Int) { self = .integer(value) }

    /// Labels, by name.
    static func labels(_ labels: [String: String]) -> NacosJSON {
        .object(labels.sorted { $0.key < $1.key }.map { ($0.key, .string($0.value)) })
    }

    /// Without blanks.
    var text: String {
        switch self {
        case .string(let value): JSONString.quoted(value)
        case .flag(let value): value ? "true" : "false"
        case .integer(let value): String(value)
        case .number(let value): value.isFinite ? String(value) : "0"
        case .list(let values): "[" + values.map(\.text).joined(separator: ",") + "]"
        case .object(let members):
            "{" + members.map { JSONString.quoted($0.0) + ":" + $0.1.text }.joined(separator: ",") + "}"
        }
    }
}
