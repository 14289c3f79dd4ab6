import Model

/// The keys of `mirror`.
extension ConfigurationKeys {
    static var mirror: SettingKey<TrafficDraft> {
        SettingKey("mirror", each: ".", keys: mirrorKeys, read: readMirror)
    }

    private static var mirrorKeys: [SettingKey<TrafficDraft>] {
        [
            SettingKey("version") { node, path, reader, draft in
                draft.mirrorLine = node.line
                let version = reader.value(node, path) { text throws(InvalidValue) in try SettingValue.version(text) }
                if let version { draft.policy.mirror.version = version }
            },
            SettingKey("share") { node, path, reader, draft in
                if let share = reader.bareValue(node, path, SettingValue.share) { draft.policy.mirror.share = share }
            },
        ]
    }

    /// A mapping, which takes the place of what is inherited, or `off`.
    private static func readMirror(
        _ node: YAMLNode, _ path: String, _ reader: SettingsReader, _ draft: inout TrafficDraft
    ) {
        draft.policy.mirror = MirrorPolicy()
        if case .scalar("off", _) = node.content { return }
        let found = reader.errors.count
        reader.section(node, path, keys: mirrorKeys, into: &draft)
        if draft.policy.mirror.isOff && reader.errors.count == found {
            reader.fail(node.line, path, "has no \"version\" that requests are copied to; \"off\" is for no copies")
        }
    }
}

extension TrafficDraft {
    /// A version whose requests are to be copied to itself is a mistake.
    func checkMirror(_ reader: SettingsReader, of version: String) {
        guard let mirrorLine, policy.mirror.version == version else { return }
        reader.fail(mirrorLine, "\(path).mirror.version", "is the version itself; requests are copied to another one")
    }
}
