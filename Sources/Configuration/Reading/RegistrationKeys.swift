import Runtime

/// A registration's section.
struct RegistrationDraft {
    var name: RegistrationValue.Name?
    var settings = RegistrationConfiguration(service: "", port: .application(0))
    var listener: String?
    var port: UInt16?
    var lines: [String: Int] = [:]
}

/// The keys of `register`.
extension ConfigurationKeys {
    static var registration: [SettingKey<RegistrationDraft>] {
        [
            noting("service") { node, path, reader, draft in
                draft.name = reader.value(node, path, RegistrationValue.name)
            },
            noting("protocol") { node, path, reader, draft in
                draft.settings.protocol = reader.value(node, path) { text throws(InvalidValue) in
                    try SettingValue.choice(text)
                }
            },
            noting("listener") { node, path, reader, draft in draft.listener = reader.text(node, path) },
            noting("port") { node, path, reader, draft in
                draft.port = reader.bareValue(node, path, RegistrationValue.port)
            },
            SettingKey("address", \.settings.address, RegistrationValue.address),
            noting("version") { node, path, reader, draft in
                guard let version = reader.value(node, path, RegistrationValue.version) else { return }
                draft.settings.version = version
            },
            noting("group") { node, path, reader, draft in
                guard let group = reader.value(node, path, RegistrationValue.group) else { return }
                draft.settings.group = group
            },
            SettingKey("weight", bare: \.settings.weight, RegistrationValue.weight),
            noting("metadata", read: readMetadata),
            noting("registries") { node, path, reader, draft in
                let names = reader.values(
                    node, path, emptiness: "needs at least one; leave the key out for all"
                ) { text throws(InvalidValue) in text }
                if let names { draft.settings.registries = names.map(\.value) }
            },
            SettingKey("health", each: ".", keys: health) { node, path, reader, draft in
                draft.lines["health.path"] = node.line
                if case .scalar("off", _) = node.content {
                    draft.settings.health = nil
                } else if case .scalar(let text, _) = node.content, !node.isEmpty {
                    reader.fail(node.line, path, "\(text.shown) is neither off nor a mapping")
                } else {
                    var check = HealthCheckConfiguration()
                    reader.section(node, path, keys: health, into: &check)
                    draft.settings.health = check
                }
            },
        ]
    }

    private static var health: [SettingKey<HealthCheckConfiguration>] {
        [
            SettingKey("path", \.path) { text throws(InvalidValue) in try RegistrationValue.healthPath(text) },
            SettingKey("port", bare: \.port) { text throws(InvalidValue) in try RegistrationValue.port(text) },
            SettingKey("interval", \.interval, duration(.milliseconds(100) ... .seconds(3600))),
            SettingKey("timeout", \.timeout, duration(.milliseconds(10) ... .seconds(60))),
            SettingKey("failures", bare: \.failures) { text throws(InvalidValue) in
                try SettingValue.integer(text, in: 1...100)
            },
        ]
    }

    /// A key whose line later checks want to name.
    private static func noting(
        _ name: String, read: @escaping (YAMLNode, String, SettingsReader, inout RegistrationDraft) -> Void
    ) -> SettingKey<RegistrationDraft> {
        SettingKey(name, read: read).noting(in: \.lines)
    }

    private static func readMetadata(
        _ node: YAMLNode, _ path: String, _ reader: SettingsReader, _ draft: inout RegistrationDraft
    ) {
        guard let entries = reader.entries(node, path) else { return }
        if entries.count > RegistrationValue.mostLabels {
            return reader.fail(node.line, path, "has more than \(RegistrationValue.mostLabels) entries")
        }
        for entry in entries {
            do throws(InvalidValue) {
                let key = try RegistrationValue.metadataKey(entry.name)
                let value = reader.value(entry.value, "\(path).\(key)", RegistrationValue.metadataValue)
                if let value { draft.settings.metadata[key] = value }
            } catch {
                reader.fail(entry.line, path, error.message)
            }
        }
    }

    static func readRegistrations(
        _ node: YAMLNode, _ path: String, _ reader: SettingsReader, _ draft: inout ConfigurationDraft
    ) {
        for (index, item) in (reader.items(node, path) ?? []).enumerated() {
            let path = "\(path)[\(index)]"
            let before = reader.errors.count
            var registration = RegistrationDraft()
            var lines: [String: Int] = [:]
            if case .scalar = item.content {
                guard let settings = reader.value(item, path, RegistrationConfiguration.init(_:)) else { continue }
                draft.configuration.registrations.append(settings)
            } else {
                reader.section(item, path, keys: self.registration, into: &registration)
                lines = registration.lines
                guard let settings = registration.finish(item, path, reader), reader.errors.count == before else {
                    continue
                }
                draft.configuration.registrations.append(settings)
            }
            lines[""] = item.line
            draft.registrationPlaces.append((path, lines))
        }
    }
}

extension RegistrationDraft {
    /// Puts the parts together; reports what is missing or said twice.
    fileprivate func finish(
        _ node: YAMLNode, _ path: String, _ reader: SettingsReader
    ) -> RegistrationConfiguration? {
        var settings = settings
        guard let name else {
            if lines["service"] == nil { reader.fail(node.line, path, "the key \"service\" is missing") }
            return nil
        }
        settings.service = name.service
        for (key, own, place) in [
            ("version", name.version, \RegistrationConfiguration.version), ("group", name.group, \.group),
        ]
        where !own.isEmpty {
            let said = settings[keyPath: place]
            if !said.isEmpty, said != own {
                reader.fail(lines[key] ?? node.line, "\(path).\(key)", "\(said.shown) is not what \"service\" says")
            }
            settings[keyPath: place] = own
        }
        switch (listener, port) {
        case (let listener?, nil): settings.port = .listener(listener)
        case (nil, let port?): settings.port = .application(port)
        case (nil, nil):
            if lines["port"] == nil && lines["listener"] == nil {
                reader.fail(node.line, path, "one of the keys \"listener\" and \"port\" is needed")
            }
            return nil
        case (_?, _?):
            reader.fail(
                lines["port"] ?? node.line, "\(path).port", "has no effect with \"listener\", whose port is published")
            return nil
        }
        return settings
    }
}

extension ConfigurationDraft {
    /// What shows when listeners and registries are read.
    func checkRegistrations(_ reader: SettingsReader) {
        for problem in configuration.registrationProblems() where problem.index < registrationPlaces.count {
            let (path, lines) = registrationPlaces[problem.index]
            let line = lines[problem.key] ?? lines[""] ?? 0
            reader.fail(line, problem.key.isEmpty ? path : "\(path).\(problem.key)", problem.message)
        }
    }
}
