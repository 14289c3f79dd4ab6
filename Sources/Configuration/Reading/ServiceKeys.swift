import Model
import Runtime

/// The keys of a service's section.
extension ConfigurationKeys {
    /// What a named service and `"*"` take alike, and what only a named service takes.
    static var service: [SettingKey<ServiceDraft>] { policy + addressing + [versions] }

    /// `"*"` with a word about the keys that make sense for one service only.
    static var serviceDefaults: [SettingKey<ServiceDraft>] {
        policy
            + (addressing + [versions]).map { $0.refused(because: "belongs to a named service, not to \"*\"") }
    }

    private static var policy: [SettingKey<ServiceDraft>] {
        [
            SettingKey("mode", \.settings.policy.mode) { text throws(InvalidValue) in try SettingValue.choice(text) },
            SettingKey("stable", \.settings.policy.stable) { text throws(InvalidValue) in
                try SettingValue.version(text)
            },
            SettingKey("split", read: readSplit),
            SettingKey("sticky") { node, path, reader, draft in
                draft.stickyLine = node.line
                guard let key = reader.value(node, path, SettingValue.stickyKey) else { return }
                draft.settings.policy.sticky = key
            },
            SettingKey("balancer", \.settings.policy.balancer) { text throws(InvalidValue) in
                try SettingValue.choice(text)
            },
            SettingKey("merge", \.settings.policy.merge) { text throws(InvalidValue) in try SettingValue.choice(text) },
            SettingKey("warmup") { node, path, reader, draft in
                let range: ClosedRange<Duration> = .zero ... .seconds(86_400)
                if let time = reader.value(node, path, duration(range)) { draft.settings.policy.warmup = time }
            },
        ] + traffic.map { $0.within(\.traffic) }
    }

    private static var addressing: [SettingKey<ServiceDraft>] {
        [
            SettingKey("hosts") { node, path, reader, draft in
                guard let hosts = reader.values(node, path, host) else { return }
                draft.hosts = hosts
                draft.settings.hosts = hosts.map(\.value)
            },
            SettingKey("paths") { node, path, reader, draft in
                guard let paths = reader.values(node, path, pathPrefix) else { return }
                draft.paths = paths
                draft.settings.paths = paths.map(\.value)
            },
        ]
    }

    /// Versions keep the order of the file. All weights 0 would leave nothing to choose.
    private static func readSplit(
        _ node: YAMLNode, _ path: String, _ reader: SettingsReader, _ draft: inout ServiceDraft
    ) {
        guard let entries = reader.entries(node, path) else { return }
        if entries.count > 64 { return reader.fail(node.line, path, "has more than 64 versions") }
        var split: [VersionWeight] = []
        for entry in entries {
            let path = "\(path).\(entry.name)"
            do throws(InvalidValue) {
                _ = try SettingValue.version(entry.name)
            } catch {
                reader.fail(entry.line, path, error.message)
                continue
            }
            let weight = reader.bareValue(entry.value, path) { text throws(InvalidValue) in
                try SettingValue.integer(text, in: 0...1_000_000)
            }
            if let weight { split.append(VersionWeight(version: entry.name, weight: UInt32(weight))) }
        }
        if split.count == entries.count, !split.isEmpty, split.allSatisfy({ $0.weight == 0 }) {
            return reader.fail(node.line, path, "all weights are 0, no version is left to choose")
        }
        draft.settings.policy.split = split
    }

    /// A `Host` name in lower case without the dot that may end it, or an IP address.
    private static func host(_ text: String) throws(InvalidValue) -> String {
        let lowered = text.lowercased()
        let host = lowered.hasSuffix(".") ? String(lowered.dropLast()) : lowered
        let bare = host.hasPrefix("[") && host.hasSuffix("]") ? String(host.dropFirst().dropLast()) : ""
        if HostName.isValid(host) || SocketAddress(ip: bare, port: 0)?.isIPv6 == true { return host }
        if let colon = host.lastIndex(of: ":"), UInt16(host[host.index(after: colon)...]) != nil,
            HostName.isValid(host[..<colon])
        {
            throw InvalidValue("\(text.shown) must stand without a port; did you mean \"\(host[..<colon])\"?")
        }
        throw InvalidValue("\(text.shown) is not a host name")
    }

    /// A path of visible ASCII on segment borders, as clients send it.
    private static func pathPrefix(_ text: String) throws(InvalidValue) -> String {
        guard text.hasPrefix("/") else { throw InvalidValue("\(text.shown) must begin with \"/\"") }
        let visible = text.utf8.allSatisfy { 0x21...0x7e ~= $0 && $0 != UInt8(ascii: "?") && $0 != UInt8(ascii: "#") }
        guard visible, text.utf8.count <= 1024 else {
            throw InvalidValue("\(text.shown) is not a path; no blanks, no \"?\", no \"#\", %XX for other characters")
        }
        if text == "/" { return text }
        let segments = text.dropFirst().split(separator: "/", omittingEmptySubsequences: false)
        if segments.last == "" {
            throw InvalidValue("\(text.shown) must not end with \"/\"; did you mean \"\(text.dropLast())\"?")
        }
        if segments.contains(where: { $0.isEmpty || $0 == "." || $0 == ".." }) {
            throw InvalidValue("\(text.shown) has an empty, \".\" or \"..\" segment, which no request has")
        }
        return text
    }
}
