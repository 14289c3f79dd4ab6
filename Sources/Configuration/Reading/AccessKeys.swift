import Model
import Runtime

/// The keys of `access`, and ranges of addresses wherever they stand.
extension ConfigurationKeys {
    static var access: SettingKey<TrafficDraft> {
        SettingKey("access", each: ".", keys: accessKeys, read: readAccess)
    }

    private static var accessKeys: [SettingKey<TrafficDraft>] {
        [ranges("allow", \.policy.access.allow), ranges("deny", \.policy.access.deny)]
            .map { $0.noting(in: \.accessLines) }
    }

    /// A list, or `off`.
    private static func ranges(
        _ name: String, _ place: WritableKeyPath<TrafficDraft, [AddressRange]>
    ) -> SettingKey<TrafficDraft> {
        SettingKey(name) { node, path, reader, draft in
            if case .scalar("off", _) = node.content {
                draft[keyPath: place] = []
            } else if let found = readRanges(
                node, path, reader, emptiness: "needs at least one address; \"off\" is for no list")
            {
                draft[keyPath: place] = found.map(\.range)
            }
        }
    }

    /// A mapping, or `off`.
    private static func readAccess(
        _ node: YAMLNode, _ path: String, _ reader: SettingsReader, _ draft: inout TrafficDraft
    ) {
        draft.accessLines["access"] = node.line
        if case .scalar("off", _) = node.content {
            draft.policy.access = AccessPolicy()
            return
        }
        let found = reader.errors.count
        reader.section(node, path, keys: accessKeys, into: &draft)
        let isEmpty = draft.accessLines["allow"] == nil && draft.accessLines["deny"] == nil
        if isEmpty && reader.errors.count == found { reader.fail(node.line, path, "needs \"allow\", \"deny\" or both") }
    }

    /// A list of addresses and ranges of them.
    static func readRanges(
        _ node: YAMLNode, _ path: String, _ reader: SettingsReader, emptiness: String? = nil
    ) -> [(range: AddressRange, line: Int)]? {
        let values = reader.values(node, path, emptiness: emptiness) { text throws(InvalidValue) in
            try SettingValue.addressRange(text).description
        }
        guard let values else { return nil }
        if values.count > AccessPolicy.mostRanges {
            reader.fail(node.line, path, "has more than \(AccessPolicy.mostRanges) entries")
        }
        return values.compactMap { value in AddressRange(value.value).map { ($0, value.line) } }
    }
}

extension SettingValue {
    /// `10.0.0.0/8`, `fd00::/8` or one address.
    static func addressRange(_ text: String) throws(InvalidValue) -> AddressRange {
        let parts = text.split(separator: "/", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
        guard let address = SocketAddress(ip: parts[0], port: 0) else { throw notAddress(text) }
        guard let range = AddressRange(text) else {
            let most = address.isIPv6 ? 128 : 32
            let length = parts[1]
            // What is mapped counts all bits of IPv6, and has at least the ones of the mapping.
            let least = address.isIPv6 && !address.unmapped.isIPv6 ? 96 : 0
            throw InvalidValue("\(text.shown): the length \(length.shown) must be a whole number, \(least) to \(most)")
        }
        guard parts.count == 1 || range.first == address.unmapped else {
            throw InvalidValue(
                "\(text.shown) has bits behind the first \(parts[1]); did you mean \"\(range)\" or \"\(address.unmapped.ip)\"?"
            )
        }
        return range
    }

    private static func notAddress(_ text: String) -> InvalidValue {
        if let address = SocketAddress(text) {
            return InvalidValue("\(text.shown) must stand without a port; did you mean \"\(address.ip)\"?")
        }
        if text.hasPrefix("["), text.hasSuffix("]"), let bare = AddressRange(String(text.dropFirst().dropLast())) {
            return InvalidValue("\(text.shown) must stand without brackets; did you mean \"\(bare)\"?")
        }
        return InvalidValue(
            "\(text.shown) is neither an IP address nor a range of them; write it like 10.0.0.0/8, 10.1.2.3 or fd00::/8"
        )
    }
}

extension TrafficDraft {
    /// An address that is allowed and denied at the same time is denied: to allow it is a mistake.
    func checkAccess(_ reader: SettingsReader) {
        guard let line = accessLines["allow"] ?? accessLines["deny"] else { return }
        for range in policy.access.allow {
            guard let denied = policy.access.deny.first(where: { $0.contains(range) }) else { continue }
            reader.fail(line, "\(path).access", "\(range) is allowed and denied (\(denied)); \"deny\" wins")
        }
    }
}
