import Model

/// Writes the Prometheus text exposition format 0.0.4.
struct MetricsText {
    /// What the format is called in answers.
    static let contentType = "text/plain; version=0.0.4; charset=utf-8"

    /// What a metric is.
    enum Kind: String {
        case counter
        case gauge
        case histogram
    }

    typealias Labels = KeyValuePairs<String, String>

    /// What is written and was not taken.
    private(set) var text = ""
    private var name = ""

    /// Begins a metric; the samples that follow belong to it.
    mutating func begin(_ name: String, _ kind: Kind, _ help: String) {
        self.name = name
        text += "# HELP \(name) \(Self.escaped(help, quotes: false))\n# TYPE \(name) \(kind.rawValue)\n"
    }

    mutating func sample(_ labels: Labels, _ value: some Numeric) { line(name, labels, "\(value)") }

    /// One series of a histogram.
    ///
    /// - Parameters:
    ///   - buckets: counts that are not summed up; the last one is beyond all bounds.
    mutating func histogram(_ labels: Labels, bounds: [Double], buckets: [UInt64], sum: Double) {
        var total: UInt64 = 0
        for (index, count) in buckets.enumerated() {
            total &+= count
            let bound = index < bounds.count ? "\(bounds[index])" : "+Inf"
            line(name + "_bucket", labels, String(total), extra: ("le", bound))
        }
        line(name + "_sum", labels, "\(sum)")
        line(name + "_count", labels, String(total))
    }

    /// Takes what is written.
    mutating func take() -> [UInt8] {
        defer { text = "" }
        return Array(text.utf8)
    }

    private mutating func line(
        _ name: String, _ labels: Labels, _ value: String, extra: (name: String, value: String)? = nil
    ) {
        text += name
        var separator = "{"
        for (label, value) in labels {
            text += "\(separator)\(label)=\"\(Self.escaped(value, quotes: true))\""
            separator = ","
        }
        if let extra {
            text += "\(separator)\(extra.name)=\"\(extra.value)\""
            separator = ","
        }
        text += (separator == "{" ? " " : "} ") + value + "\n"
    }

    private static func escaped(_ text: String, quotes: Bool) -> String {
        guard text.utf8.contains(where: { $0 == 0x5c || $0 == 0x0a || $0 == 0x22 }) else { return text }
        var result = ""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\\": result += "\\\\"
            case "\n": result += "\\n"
            case "\"" where quotes: result += "\\\""
            default: result.unicodeScalars.append(scalar)
            }
        }
        return result
    }
}
