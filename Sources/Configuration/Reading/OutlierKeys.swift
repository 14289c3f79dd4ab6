import Model
import Runtime

/// The keys of `outlier_detection` in a service's section.
extension ConfigurationKeys {
    static var outlierDetection: [SettingKey<OutlierDetectionPolicy>] {
        [
            SettingKey("consecutive", bare: \.consecutive) { text throws(InvalidValue) in
                try optional(text, in: 1...1000)
            },
            SettingKey("error_rate", bare: \.errorRate) { text throws(InvalidValue) in try optional(text, in: 1...100)
            },
            SettingKey("requests", bare: \.requests) { text throws(InvalidValue) in
                try SettingValue.integer(text, in: 1...1_000_000)
            },
            SettingKey("interval", \.interval, duration(.seconds(1) ... .seconds(3600))),
            SettingKey("ejection", \.ejection, duration(.seconds(1) ... .seconds(3600))),
            SettingKey("max_ejected", bare: \.maxEjected) { text throws(InvalidValue) in
                try SettingValue.integer(text, in: 0...100)
            },
            SettingKey("latency", bare: \.latency) { text throws(InvalidValue) in try optional(text, in: 2...100) },
        ]
    }

    /// A mapping, which switches it on, or for short `on` or `off`.
    static func readOutlierDetection(
        _ node: YAMLNode, _ path: String, _ reader: SettingsReader, _ policy: inout OutlierDetectionPolicy
    ) {
        guard case .scalar(let text, _) = node.content, !node.isEmpty else {
            policy.isOn = true
            reader.section(node, path, keys: outlierDetection, into: &policy)
            if policy.consecutive == nil && policy.errorRate == nil && policy.latency == nil {
                reader.fail(
                    node.line, path, "has no effect with consecutive, error_rate and latency off; did you mean \"off\"?"
                )
            }
            return
        }
        switch text {
        case "on": policy.isOn = true
        case "off": policy.isOn = false
        default: reader.fail(node.line, path, "\(text.shown) is neither on, off, nor a mapping")
        }
    }

    private static func optional(_ text: String, in range: ClosedRange<Int>) throws(InvalidValue) -> Int? {
        text == "off" ? nil : try SettingValue.integer(text, in: range)
    }
}
