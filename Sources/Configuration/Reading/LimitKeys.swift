import Model
import Runtime

/// The keys of `circuit_breaker`, `concurrency` and `rate_limit`.
extension ConfigurationKeys {
    static var trafficLimits: [SettingKey<TrafficDraft>] {
        [
            SettingKey("circuit_breaker", each: ".", keys: circuitBreaker, read: readCircuitBreaker),
            SettingKey("concurrency") { node, path, reader, draft in
                draft.limitLines["concurrency"] = node.line
                let isAdaptive = reader.bareValue(node, path) { text throws(InvalidValue) in
                    switch text {
                    case "adaptive": return true
                    case "off": return false
                    default:
                        throw InvalidValue(
                            "\(text.shown) is neither adaptive nor off"
                                + (Int(text) == nil ? "" : "; a number is circuit_breaker: {requests: \(text)}"))
                    }
                }
                if let isAdaptive { draft.policy.adaptsConcurrency = isAdaptive }
            },
            SettingKey("rate_limit", each: ".", keys: rateLimit, read: readRateLimit),
        ]
    }

    private static var circuitBreaker: [SettingKey<TrafficDraft>] {
        [
            most("requests", \.policy.circuitBreaker.requests), most("pending", \.policy.circuitBreaker.pending),
            most("connections", \.policy.circuitBreaker.connections),
        ]
    }

    /// A number, or `off`.
    private static func most(
        _ name: String, _ place: WritableKeyPath<TrafficDraft, Int?>
    ) -> SettingKey<TrafficDraft> {
        SettingKey(name) { node, path, reader, draft in
            if case .scalar("off", _) = node.content {
                draft[keyPath: place] = nil
                return
            }
            let number = reader.bareValue(node, path) { text throws(InvalidValue) in
                try SettingValue.integer(text, in: CircuitBreakerPolicy.range)
            }
            if let number { draft[keyPath: place] = number }
        }
    }

    /// A mapping, or `off`.
    private static func readCircuitBreaker(
        _ node: YAMLNode, _ path: String, _ reader: SettingsReader, _ draft: inout TrafficDraft
    ) {
        draft.limitLines["circuit_breaker"] = node.line
        if case .scalar("off", _) = node.content {
            draft.policy.circuitBreaker = CircuitBreakerPolicy()
        } else {
            reader.section(node, path, keys: circuitBreaker, into: &draft)
        }
    }

    private static var rateLimit: [SettingKey<TrafficDraft>] {
        [
            SettingKey("rate") { node, path, reader, draft in
                guard let rate = reader.value(node, path, rate) else { return }
                draft.policy.rateLimit.rate = rate
            },
            SettingKey("burst") { node, path, reader, draft in
                let number = reader.bareValue(node, path) { text throws(InvalidValue) in
                    try SettingValue.integer(text, in: RateLimitPolicy.range)
                }
                if let number { draft.policy.rateLimit.burst = number }
            },
            SettingKey("key") { node, path, reader, draft in
                if case .scalar("off", _) = node.content {
                    draft.policy.rateLimit.key = nil
                    draft.limitLines["key"] = nil
                } else if let key = reader.value(node, path, SettingValue.stickyKey) {
                    draft.policy.rateLimit.key = key
                }
            },
        ].map { $0.noting(in: \.limitLines) }
    }

    /// A mapping, or for short the rate alone or `off`. A burst belongs to its rate: another rate does not take it over.
    private static func readRateLimit(
        _ node: YAMLNode, _ path: String, _ reader: SettingsReader, _ draft: inout TrafficDraft
    ) {
        draft.limitLines["rate_limit"] = node.line
        let burst = draft.policy.rateLimit.burst
        draft.policy.rateLimit.burst = nil
        switch node.content {
        case .scalar("off", _): draft.policy.rateLimit = RateLimitPolicy()
        case .scalar where !node.isEmpty:
            guard let rate = reader.value(node, path, rate) else { return }
            draft.policy.rateLimit.rate = rate
        default:
            reader.section(node, path, keys: rateLimit, into: &draft)
            if draft.limitLines["rate"] == nil && draft.limitLines["burst"] == nil {
                draft.policy.rateLimit.burst = burst
            }
        }
    }

    /// `100/s`, `6000/m` or `10/h`.
    private static func rate(_ text: String) throws(InvalidValue) -> RateLimitPolicy.Rate {
        let parts = text.split(separator: "/", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
        if parts.count == 1, Int(text) != nil {
            throw InvalidValue("\(text.shown) has no unit; did you mean \"\(text)/s\"?")
        }
        guard parts.count == 2, let period = RateLimitPolicy.Rate.Period(rawValue: parts[1]) else {
            throw InvalidValue("\(text.shown) is not a rate; write a whole number and /s, /m or /h, for example 100/s")
        }
        return RateLimitPolicy.Rate(
            requests: try SettingValue.integer(parts[0], in: RateLimitPolicy.range), per: period)
    }
}

extension TrafficDraft {
    /// A setting that nothing looks at is a mistake.
    ///
    /// - Parameter users: the policies that what stands here holds for, its own first.
    func checkLimits(_ reader: SettingsReader, of users: [TrafficPolicy]) {
        if users.contains(where: { $0.rateLimit.rate != nil }) { return }
        for key in ["burst", "key"] {
            guard let line = limitLines[key] else { continue }
            reader.fail(line, "\(path).rate_limit.\(key)", "has no effect without \"rate\"")
        }
    }

    /// Requests are counted by a key before it is known which version serves them: there is one for all versions.
    ///
    /// - Parameter policies: those of the service and of all its versions.
    func checkKey(_ reader: SettingsReader, sameAs policies: [TrafficPolicy]) {
        let keys = policies.filter { $0.rateLimit.rate != nil }.compactMap(\.rateLimit.key)
        guard let line = limitLines["key"] ?? limitLines["rate_limit"], policy.rateLimit.rate != nil,
            let key = policy.rateLimit.key, let other = keys.first, key != other
        else { return }
        reader.fail(line, "\(path).rate_limit.key", "must be the same in a service and all its versions, \(other.text)")
    }
}

extension StickyKey {
    /// As the configuration writes it.
    public var text: String {
        switch self {
        case .header(let name): "header:\(name)"
        case .clientAddress: "client-address"
        }
    }
}
