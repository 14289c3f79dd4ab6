import Runtime

/// Every key of the file, its notation and its range. `deploy/greymesh.yaml` documents the same list.
enum ConfigurationKeys {
    private typealias Key = SettingKey

    static var all: [SettingKey<ConfigurationDraft>] {
        [
            Key("admin", section: \.self, keys: admin),
            Key("workers", bare: \.configuration.workers) { text throws(InvalidValue) in
                try SettingValue.workers(text)
            },
            Key("registries", each: "[].", keys: registry, read: readRegistries),
            Key("state") { node, path, reader, draft in
                guard let folder = reader.value(node, path, SettingValue.path) else { return }
                draft.configuration.state = FilePath.resolved(folder, in: draft.folder)
            },
            Key("listeners", each: "[].", keys: listener, read: readListeners),
            Key("trusted_proxies") { node, path, reader, draft in
                draft.configuration.trustedProxies = readRanges(node, path, reader)?.map(\.range) ?? []
            },
            Key("version", section: \.configuration.version, keys: version),
            Key("services", each: ".*.", keys: service) { node, path, reader, draft in
                draft.serviceEntries = reader.entries(node, path) ?? []
            },
            Key("access_log", each: ".", keys: accessLog, read: readAccessLog),
            Key("limits", section: \.configuration.limits, keys: limits),
            Key("register", each: "[].", keys: registration, read: readRegistrations),
            Key("withdraw_wait", \.configuration.withdrawWait, duration(.zero ... .seconds(3600))),
            Key("drain_timeout", \.configuration.drainTimeout, duration(.zero ... .seconds(3600))),
            Key("log", section: \.configuration, keys: [Key("level", \.logLevel, SettingValue.logLevel)]),
        ]
    }

    private static var admin: [SettingKey<ConfigurationDraft>] {
        [
            Key("listen") { node, path, reader, draft in
                guard let address = reader.value(node, path, SettingValue.address) else { return }
                draft.configuration.admin = address
                draft.adminLine = node.line
            }
        ]
    }

    private static var version: [SettingKey<VersionConfiguration>] {
        [
            Key("request") { node, path, reader, version in
                guard let names = reader.values(node, path, SettingValue.headerName) else { return }
                version.request = limited(names, to: 16, node, path, reader)
            },
            Key("instance") { node, path, reader, version in
                let names = reader.values(node, path, emptiness: "needs at least one name", metadataKey)
                if let names { version.instance = limited(names, to: 16, node, path, reader) }
            },
            Key("tell", bare: \.tell, SettingValue.boolean),
        ]
    }

    private static var limits: [SettingKey<LimitConfiguration>] {
        [
            Key("http_head", \.httpHead, size(1024...65_536)),
            Key("dubbo_body", \.dubboBody, size(1024...(256 << 20))),
            Key("bolt_body", \.boltBody, size(1024...(256 << 20))),
            Key("head_timeout", \.headTimeout, duration(.milliseconds(100) ... .seconds(3600))),
            Key("idle_timeout", \.idleTimeout, duration(.seconds(1) ... .seconds(86_400))),
            Key("connect_timeout", \.connectTimeout, duration(.milliseconds(10) ... .seconds(60))),
            Key("discovery_timeout", \.discoveryTimeout, duration(.milliseconds(10) ... .seconds(60))),
            Key("services", bare: \.services) { text throws(InvalidValue) in
                try SettingValue.integer(text, in: 0...1_000_000)
            },
            Key("service_idle", \.serviceIdle, duration(.seconds(10) ... .seconds(604_800))),
        ]
    }

    static func duration(_ range: ClosedRange<Duration>) -> (String) throws(InvalidValue) -> Duration {
        { text throws(InvalidValue) in try SettingValue.duration(text, in: range) }
    }

    private static func size(_ range: ClosedRange<Int>) -> (String) throws(InvalidValue) -> Int {
        { text throws(InvalidValue) in try SettingValue.byteSize(text, in: range) }
    }

    private static func metadataKey(_ text: String) throws(InvalidValue) -> String {
        guard (1...256).contains(text.utf8.count), text.utf8.allSatisfy({ $0 >= 0x20 && $0 != 0x7f }) else {
            throw InvalidValue("\(text.shown) is not a metadata key")
        }
        return text
    }

    static func limited(
        _ values: [(value: String, line: Int)], to limit: Int, _ node: YAMLNode, _ path: String,
        _ reader: SettingsReader
    ) -> [String] {
        if values.count > limit { reader.fail(node.line, path, "has more than \(limit) entries") }
        return values.prefix(limit).map(\.value)
    }
}

extension ConfigurationKeys {
    private static var registry: [SettingKey<RegistryDraft>] {
        [
            Key("url") { node, path, reader, draft in readURL(node, path, reader, &draft) },
            registryTime("poll", .milliseconds(500) ... .seconds(3600), \.poll),
            registryTime("confirm", .zero ... .seconds(3600), \.confirm),
            registryTime("settle", .zero ... .seconds(3600), \.settle),
        ]
    }

    private static func registryTime(
        _ name: String, _ range: ClosedRange<Duration>, _ setting: WritableKeyPath<RegistryConfiguration, Duration>
    ) -> SettingKey<RegistryDraft> {
        Key(name) { node, path, reader, draft in
            draft.linesNotForFiles.append((name, node.line))
            if let time = reader.value(node, path, duration(range)) { draft.settings[keyPath: setting] = time }
        }
    }

    private static func readURL(
        _ node: YAMLNode, _ path: String, _ reader: SettingsReader, _ draft: inout RegistryDraft
    ) {
        guard let text = reader.text(node, path) else { return }
        draft.text = text
        draft.url = reader.value(node, path) { text throws(InvalidValue) in try RegistryURL(text) }
    }

    private static func readRegistries(
        _ node: YAMLNode, _ path: String, _ reader: SettingsReader, _ draft: inout ConfigurationDraft
    ) {
        for (index, item) in (reader.items(node, path) ?? []).enumerated() {
            let path = "\(path)[\(index)]"
            var registry = RegistryDraft()
            let before = reader.errors.count
            if case .scalar = item.content {
                readURL(item, path, reader, &registry)
            } else {
                reader.section(item, path, keys: self.registry, into: &registry)
            }
            guard var url = registry.url else {
                if reader.errors.count == before { reader.fail(item.line, path, "the key \"url\" is missing") }
                continue
            }
            var text = registry.text
            if url.scheme == .file {
                for (key, line) in registry.linesNotForFiles {
                    reader.fail(line, "\(path).\(key)", "has no effect on a file, which is watched and believed")
                }
                url.path = FilePath.resolved(url.path, in: draft.folder)
                text = "file:\(url.path)"
            }
            if draft.configuration.registries.contains(where: { $0.url == text }) {
                reader.fail(item.line, path, "\(url) is given twice")
            }
            registry.settings.url = text
            registry.settings.tls = url.tls?.resolved(in: draft.folder)
            do throws(InvalidValue) {
                try registry.settings.tls?.check()
            } catch {
                reader.fail(item.line, path, error.message)
            }
            draft.configuration.registries.append(registry.settings)
        }
    }

    private static var listener: [SettingKey<ListenerDraft>] {
        [
            Key("name", \.name) { text throws(InvalidValue) in
                let valid = text.utf8.allSatisfy {
                    0x61...0x7a ~= $0 | 0x20 || 0x30...0x39 ~= $0 || "-_.".utf8.contains($0)
                }
                guard valid, (1...64).contains(text.utf8.count) else {
                    throw InvalidValue("\(text.shown) is not a listener's name; letters, digits, - _ . up to 64")
                }
                return text
            },
            Key("protocol", \.protocol) { text throws(InvalidValue) in try SettingValue.choice(text) },
            Key("listen", \.address, SettingValue.address),
            Key("forward") { node, path, reader, draft in
                draft.forward = reader.value(node, path, SettingValue.address)
                if draft.forward?.port == 0 { reader.fail(node.line, path, "needs the application's port") }
            },
            Key("bolt_goaway") { node, path, reader, draft in
                draft.boltGoawayLine = node.line
                if let tells = reader.bareValue(node, path, SettingValue.boolean) { draft.boltGoaway = tells }
            },
        ]
    }

    private static func readListeners(
        _ node: YAMLNode, _ path: String, _ reader: SettingsReader, _ draft: inout ConfigurationDraft
    ) {
        guard let items = reader.items(node, path) else { return }
        if items.isEmpty {
            reader.fail(node.line, path, "needs at least one listener; leave the key out to have the usual two")
        }
        draft.configuration.listeners = []
        for (index, item) in items.enumerated() {
            let path = "\(path)[\(index)]"
            var listener = ListenerDraft()
            let before = reader.errors.count
            reader.section(item, path, keys: self.listener, into: &listener)
            guard let name = listener.name, let address = listener.address, let `protocol` = listener.protocol else {
                if reader.errors.count == before { failMissing(listener, item, path, reader) }
                continue
            }
            var settings = ListenerConfiguration(
                name: name, protocol: `protocol`, address: address, forward: listener.forward)
            settings.boltGoaway = listener.boltGoaway
            if `protocol` != .bolt, let line = listener.boltGoawayLine {
                reader.fail(
                    line, "\(path).bolt_goaway",
                    "has no effect with protocol \(`protocol`.rawValue); leave it out, or did you mean \"protocol: bolt\"?"
                )
            }
            draft.configuration.listeners.append(settings)
            draft.listenerLines.append(item.line)
        }
    }

    private static func failMissing(
        _ listener: ListenerDraft, _ node: YAMLNode, _ path: String, _ reader: SettingsReader
    ) {
        let given = [
            ("name", listener.name != nil), ("protocol", listener.protocol != nil), ("listen", listener.address != nil),
        ]
        for (key, isGiven) in given where !isGiven { reader.fail(node.line, path, "the key \"\(key)\" is missing") }
    }

    private static var accessLog: [SettingKey<AccessLogDraft>] {
        [
            Key("path", \.path) { text throws(InvalidValue) in try SettingValue.path(text) }
        ]
    }

    private static func readAccessLog(
        _ node: YAMLNode, _ path: String, _ reader: SettingsReader, _ draft: inout ConfigurationDraft
    ) {
        var log = AccessLogDraft()
        let before = reader.errors.count
        reader.section(node, path, keys: accessLog, into: &log)
        guard let file = log.path else {
            if reader.errors.count == before {
                reader.fail(node.line, path, "the key \"path\" is missing; leave access_log out to write none")
            }
            return
        }
        let resolved = file == "-" ? file : FilePath.resolved(file, in: draft.folder)
        draft.configuration.accessLog = AccessLogConfiguration(path: resolved)
    }
}
