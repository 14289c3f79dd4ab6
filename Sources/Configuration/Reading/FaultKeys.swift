import Model
import Runtime

/// The keys of `fault`.
extension ConfigurationKeys {
    static var fault: SettingKey<TrafficDraft> {
        SettingKey("fault", each: ".", keys: faultKeys, read: readFault)
    }

    private static var faultKeys: [SettingKey<TrafficDraft>] {
        [
            SettingKey("delay") { node, path, reader, draft in
                if case .scalar("off", _) = node.content {
                    draft.policy.fault.delay = nil
                } else if let time = reader.value(node, path, duration(.milliseconds(1) ... .seconds(3600))) {
                    draft.policy.fault.delay = time
                }
            },
            SettingKey("abort") { node, path, reader, draft in
                draft.faultLines["abort"] = node.line
                if case .scalar("off", _) = node.content {
                    draft.policy.fault.abort = nil
                } else if let status = reader.bareValue(node, path, abortStatus) {
                    draft.policy.fault.abort = status
                }
            },
            SettingKey("share") { node, path, reader, draft in
                if let share = reader.bareValue(node, path, SettingValue.share) { draft.policy.fault.share = share }
            },
        ]
    }

    /// A mapping, or `off`.
    private static func readFault(
        _ node: YAMLNode, _ path: String, _ reader: SettingsReader, _ draft: inout TrafficDraft
    ) {
        if case .scalar("off", _) = node.content {
            draft.policy.fault = FaultPolicy()
            return
        }
        let found = reader.errors.count
        reader.section(node, path, keys: faultKeys, into: &draft)
        if draft.policy.fault.isOff && reader.errors.count == found {
            reader.fail(node.line, path, "has no effect without \"delay\" and \"abort\"; \"off\" is for no fault")
        }
    }

    /// A status that some protocol has.
    private static func abortStatus(_ text: String) throws(InvalidValue) -> Int {
        let status = try SettingValue.integer(text, in: 0...1_000_000)
        guard ServiceKey.Kind.allCases.contains(where: { $0.canAbort(with: status) }) else {
            throw InvalidValue(
                "\(text) is no status that requests can be aborted with; HTTP has 200 to 599, Dubbo 25, 30, 31, 35, 40, 50, 60, 70, 80, 90 "
                    + "and 100, Bolt 1 to 9 and 16 to 18")
        }
        return status
    }
}

extension SettingValue {
    /// A share in percent, 0.001 to 100, as thousandths of one.
    static func share(_ text: String) throws(InvalidValue) -> Int {
        if text.hasSuffix("%"), (try? share(String(text.dropLast()))) != nil {
            throw InvalidValue("\(text.shown) is in percent anyway; did you mean \(text.dropLast())?")
        }
        let parts = text.split(separator: ".", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
        let digits = parts.count == 2 ? parts[1] : "0"
        guard !parts[0].isEmpty, 1...3 ~= digits.utf8.count,
            (parts[0] + digits).utf8.allSatisfy({ 0x30...0x39 ~= $0 })
        else {
            throw InvalidValue(
                "\(text.shown) is no share in percent; write a number with up to three decimals, for example 0.1")
        }
        let thousandths = (Int(parts[0]) ?? .max).multipliedReportingOverflow(by: 1000)
        let value = thousandths.partialValue + (Int(digits + String(repeating: "0", count: 3 - digits.utf8.count)) ?? 0)
        guard !thousandths.overflow, 1...FaultPolicy.all ~= value else {
            throw InvalidValue("\(text) is out of range; 0.001 to 100")
        }
        return value
    }

    /// A share as it is written in a file: `0.1`.
    public static func text(share: Int) -> String {
        var decimals = String(String(1000 + share % 1000).dropFirst())
        while decimals.hasSuffix("0") { decimals.removeLast() }
        return "\(share / 1000)" + (decimals.isEmpty ? "" : "." + decimals)
    }
}

extension TrafficDraft {
    /// A status that no request of the service can be answered with is a mistake.
    func checkFault(_ reader: SettingsReader, isHTTP: Bool) {
        guard isHTTP, let line = faultLines["abort"], let status = policy.fault.abort else { return }
        if ServiceKey.Kind.http.canAbort(with: status) { return }
        reader.fail(
            line, "\(path).fault.abort", "\(status) is no status of HTTP, and the service can only be HTTP; 200 to 599")
    }
}
