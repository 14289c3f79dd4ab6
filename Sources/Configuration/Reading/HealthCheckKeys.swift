import Model
import Runtime

/// The keys of `health_check` in a service's section.
extension ConfigurationKeys {
    static var healthCheck: [SettingKey<HealthCheckPolicy>] {
        [
            SettingKey("type") { node, path, reader, policy in
                let kind: HealthCheckPolicy.Kind? = reader.value(node, path) { text throws(InvalidValue) in
                    try SettingValue.choice(text)
                }
                if let kind { policy.kind = kind }
            },
            SettingKey("path", \.path, checkedPath),
            SettingKey("interval", \.interval, duration(.milliseconds(100) ... .seconds(3600))),
            SettingKey("timeout", \.timeout, duration(.milliseconds(10) ... .seconds(60))),
            SettingKey("unhealthy", bare: \.unhealthy) { text throws(InvalidValue) in
                try SettingValue.integer(text, in: 1...100)
            },
            SettingKey("healthy", bare: \.healthy) { text throws(InvalidValue) in
                try SettingValue.integer(text, in: 1...100)
            },
        ]
    }

    /// A mapping, or for short `off`.
    static func readHealthCheck(
        _ node: YAMLNode, _ path: String, _ reader: SettingsReader, _ policy: inout HealthCheckPolicy
    ) {
        if case .scalar(let text, _) = node.content, !node.isEmpty {
            if text == "off" {
                policy.kind = nil
            } else {
                reader.fail(node.line, path, "\(text.shown) is neither off nor a mapping")
            }
            return
        }
        let found = reader.errors.count
        let inherited = policy.path
        policy.path = ""
        reader.section(node, path, keys: healthCheck, into: &policy)
        if reader.errors.count > found { return }
        // A path is enough to say what is meant.
        if policy.kind == nil && !policy.path.isEmpty { policy.kind = .http }
        if policy.kind == .http && policy.path.isEmpty { policy.path = inherited }
        switch policy.kind {
        case nil: reader.fail(node.line, path, "needs a \"path\" for HTTP, or a \"type\": tcp, dubbo or bolt")
        case .http where policy.path.isEmpty: reader.fail(node.line, path, "needs a \"path\" with the type http")
        case .tcp, .dubbo, .bolt:
            if !policy.path.isEmpty { reader.fail(node.line, path, "has a \"path\", which is for the type http") }
        case .http: break
        }
    }

    /// As it is sent: visible ASCII, and a query where there is one.
    private static func checkedPath(_ text: String) throws(InvalidValue) -> String {
        guard text.hasPrefix("/") else { throw InvalidValue("\(text.shown) must begin with \"/\"") }
        let visible = text.utf8.allSatisfy { 0x21...0x7e ~= $0 && $0 != UInt8(ascii: "#") }
        guard visible, text.utf8.count <= 1024 else {
            throw InvalidValue("\(text.shown) is not a path; no blanks, no \"#\", %XX for other characters")
        }
        return text
    }
}

extension TrafficDraft {
    /// Hosts of another kind than the check's are not asked: said of a service that can be of no other, that is a mistake.
    func checkHealthCheck(_ reader: SettingsReader, isHTTP: Bool) {
        guard isHTTP, let line = healthCheckLine, let kind = policy.healthCheck.kind else { return }
        if policy.healthCheck.suits(.http) { return }
        reader.fail(line, "\(path).health_check", "is of the type \(kind.rawValue), and the service can only be HTTP")
    }
}
