import Model
import Runtime

/// The keys of `retries`.
extension ConfigurationKeys {
    static var retries: [SettingKey<TrafficDraft>] {
        [
            SettingKey("attempts") { node, path, reader, draft in
                let number = reader.bareValue(node, path, attempts)
                if let number { draft.policy.retries.attempts = number }
            },
            SettingKey("on", read: readCauses),
            SettingKey("methods") { node, path, reader, draft in
                let emptiness =
                    "needs at least one; without \"reset\", statuses in \"on\" and \"hedge\" nothing is repeated once it was sent"
                let names = reader.values(node, path, emptiness: emptiness, methodPattern)
                if let names { draft.policy.retries.methods = limited(names, to: 64, node, path, reader) }
            },
            timeOrOff("per_try_timeout", \.perTryTimeout),
            SettingKey("backoff") { node, path, reader, draft in
                if case .scalar("off", _) = node.content {
                    draft.policy.retries.backoff = .zero
                } else if let time = reader.value(node, path, duration(.milliseconds(1) ... .seconds(60))) {
                    draft.policy.retries.backoff = time
                }
            },
            timeOrOff("hedge", \.hedge),
            SettingKey("budget") { node, path, reader, draft in
                let percent = reader.bareValue(node, path) { text throws(InvalidValue) in
                    try SettingValue.integer(text, in: 0...100)
                }
                if let percent { draft.policy.retries.budget = percent }
            },
        ].map { $0.noting(in: \.retryLines) }
    }

    /// A time after which something is done about a try; `off` needs no use.
    private static func timeOrOff(
        _ name: String, _ place: WritableKeyPath<RetryPolicy, Duration?> & Sendable
    ) -> SettingKey<TrafficDraft> {
        SettingKey(name) { node, path, reader, draft in
            if case .scalar("off", _) = node.content {
                draft.policy.retries[keyPath: place] = nil
                draft.retryLines[name] = nil
            } else if let time = reader.value(node, path, duration(.milliseconds(1) ... .seconds(86_400))) {
                draft.policy.retries[keyPath: place] = time
            }
        }
    }

    /// A mapping, or for short `off` or the number of attempts.
    static func readRetries(
        _ node: YAMLNode, _ path: String, _ reader: SettingsReader, _ draft: inout TrafficDraft
    ) {
        guard case .scalar(let text, _) = node.content, !node.isEmpty else {
            return reader.section(node, path, keys: retries, into: &draft)
        }
        if text == "off" {
            draft.policy.retries.attempts = 0
        } else if Int(text) == nil {
            reader.fail(node.line, path, "\(text.shown) is neither off, a number of attempts, nor a mapping")
        } else if let number = reader.bareValue(node, path, attempts) {
            draft.policy.retries.attempts = number
        }
    }

    private static func attempts(_ text: String) throws(InvalidValue) -> Int {
        try SettingValue.integer(text, in: 0...RetryPolicy.mostAttempts)
    }

    private static func readCauses(
        _ node: YAMLNode, _ path: String, _ reader: SettingsReader, _ draft: inout TrafficDraft
    ) {
        let emptiness = "needs at least one; \"retries: off\" is for no further tries"
        guard let causes = reader.values(node, path, emptiness: emptiness, cause) else { return }
        draft.policy.retries.onConnect = causes.contains { $0.value == "connect" }
        draft.policy.retries.onReset = causes.contains { $0.value == "reset" }
        draft.policy.retries.statuses = causes.compactMap { Int($0.value) }.sorted()
        for cause in causes { draft.retryLines[cause.value] = cause.line }
    }

    /// `connect`, `reset` or a status that is an error in some protocol.
    private static func cause(_ text: String) throws(InvalidValue) -> String {
        if text == "connect" || text == "reset" { return text }
        guard let status = Int(text) else {
            throw InvalidValue(
                "\(text.shown) is neither connect, reset nor a status"
                    + NearestName.hint(for: text, among: ["connect", "reset"]))
        }
        guard text == "\(status)", ServiceKey.Kind.allCases.contains(where: { $0.hasErrorStatus(status) }) else {
            throw InvalidValue(
                "\(text) is no status after which another host can be asked; HTTP has 500 to 599, Dubbo 25, 30, 31, 35, 40, 50, 60, 70, 80, "
                    + "90 and 100, Bolt 1 to 9 and 16 to 18")
        }
        return text
    }

    /// The name of a method with `*` at either end or both.
    private static func methodPattern(_ text: String) throws(InvalidValue) -> String {
        let visible = text.utf8.allSatisfy { 0x21...0x7e ~= $0 && $0 != UInt8(ascii: "\"") }
        guard visible, (1...256).contains(text.utf8.count) else {
            throw InvalidValue("\(text.shown) is not a method's name")
        }
        if text == "**" || NamePattern(text).text.contains("*") {
            throw InvalidValue("\(text.shown) may have \"*\" only at its ends")
        }
        return text
    }
}

extension TrafficDraft {
    /// A setting that nothing looks at is a mistake.
    ///
    /// - Parameters:
    ///   - isHTTP: it can only be HTTP.
    ///   - users: the policies that what stands here holds for, its own first.
    func checkRetries(_ reader: SettingsReader, isHTTP: Bool, of users: [RetryPolicy]) {
        let path = "\(path).retries"
        func fail(_ key: String, _ text: String) {
            if let line = retryLines[key] { reader.fail(line, "\(path).\(key)", text) }
        }
        if users.allSatisfy({ $0.attempts == 0 }) {
            for key in ["on", "methods", "per_try_timeout", "backoff", "hedge", "budget"] {
                fail(key, "has no effect where no further try is made; \"attempts\" is 0")
            }
            return
        }
        if users.allSatisfy({ $0.attempts < 2 }) {
            fail("backoff", "has no effect before the first further try; \"attempts\" is 1")
        }
        if !users.contains(where: \.repeatsWhatWasSent) {
            let text = "has no effect without \"reset\" or a status in \"on\", or \"hedge\""
            fail("methods", text)
            fail("budget", text)
        }
        if !users.contains(where: \.onReset) {
            fail("per_try_timeout", "has no effect without \"reset\" in \"on\"")
        }
        if let hedge = policy.retries.hedge, users.allSatisfy({ $0.perTryTimeout.map { $0 <= hedge } ?? false }) {
            fail("hedge", "has no effect: \"per_try_timeout\" is over before")
        }
        checkStatuses(reader, path, isHTTP: isHTTP, users)
        if isHTTP { checkMethods(reader, path) }
    }

    private func checkStatuses(_ reader: SettingsReader, _ path: String, isHTTP: Bool, _ users: [RetryPolicy]) {
        let namesMethods = users.contains { $0.methods != nil }
        for status in policy.retries.statuses where !ServiceKey.Kind.http.hasErrorStatus(status) {
            guard let line = retryLines["\(status)"] else { continue }
            if isHTTP {
                reader.fail(line, "\(path).on", "\(status) is no status of HTTP to be repeated for; 500 to 599 are")
            } else if !namesMethods {
                reader.fail(
                    line, "\(path).on",
                    "\(status) has no effect without \"methods\": of Dubbo and Bolt nothing else may be repeated")
            }
        }
    }

    private func checkMethods(_ reader: SettingsReader, _ path: String) {
        guard let line = retryLines["methods"] else { return }
        for method in policy.retries.methods ?? [] {
            let pattern = NamePattern(method)
            if HTTPMethods.all.contains(where: { pattern.matches($0) }) { continue }
            reader.fail(
                line, "\(path).methods",
                "\(method.shown) is none of \(HTTPMethods.all.joined(separator: ", "))"
                    + NearestName.hint(for: method, among: HTTPMethods.all))
        }
    }
}
