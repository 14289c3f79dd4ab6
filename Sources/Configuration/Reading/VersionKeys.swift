import Model
import Runtime

/// The keys that a service and each of its `versions` have alike.
extension ConfigurationKeys {
    static var traffic: [SettingKey<TrafficDraft>] {
        [
            SettingKey("timeout", \.policy.timeout, duration(.milliseconds(1) ... .seconds(86_400))),
            SettingKey("retries", each: ".", keys: retries, read: readRetries),
            SettingKey("health_check", each: ".", keys: healthCheck) { node, path, reader, draft in
                draft.healthCheckLine = node.line
                readHealthCheck(node, path, reader, &draft.policy.healthCheck)
            },
            SettingKey("outlier_detection", each: ".", keys: outlierDetection) { node, path, reader, draft in
                readOutlierDetection(node, path, reader, &draft.policy.outlierDetection)
            },
        ] + trafficLimits + [streamIdle, fault, mirror, access]
    }

    /// A time, or `off` for that of all services.
    private static var streamIdle: SettingKey<TrafficDraft> {
        SettingKey("stream_idle") { node, path, reader, draft in
            if case .scalar("off", _) = node.content {
                draft.policy.streamIdle = nil
            } else if let time = reader.value(node, path, duration(.seconds(1) ... .seconds(86_400))) {
                draft.policy.streamIdle = time
            }
        }
    }

    /// What a version takes, with a word about the keys that are its service's.
    fileprivate static var version: [SettingKey<TrafficDraft>] {
        let own = traffic.map(\.name)
        return traffic
            + service.filter { !own.contains($0.name) }.map {
                $0.refused(because: "belongs to the service, not to one of its versions")
            }
    }

    /// Its entries are read when the rest of the service is, which they take over.
    static var versions: SettingKey<ServiceDraft> {
        SettingKey("versions") { node, path, _, draft in draft.versionsNode = (node, path) }
    }
}

extension ServiceDraft {
    /// Reads `versions` on top of what the service says.
    mutating func readVersions(_ reader: SettingsReader) {
        guard let (node, path) = versionsNode, let entries = reader.entries(node, path) else { return }
        if entries.count > 64 { return reader.fail(node.line, path, "has more than 64 versions") }
        for entry in entries {
            var version = TrafficDraft(path: "\(path).\(entry.name)", policy: traffic.policy)
            do throws(InvalidValue) {
                _ = try SettingValue.version(entry.name)
            } catch {
                reader.fail(entry.line, version.path, error.message)
                continue
            }
            guard let parts = reader.entries(entry.value, version.path) else { continue }
            if parts.isEmpty {
                reader.fail(entry.line, version.path, "has no settings: the version has those of its service anyway")
            }
            reader.section(entry.value, version.path, keys: ConfigurationKeys.version, into: &version)
            version.checkMirror(reader, of: entry.name)
            version.policy.hasOwnBreaker =
                version.limitLines["circuit_breaker"] != nil || version.limitLines["concurrency"] != nil
            version.policy.hasOwnRate = version.limitLines["rate_limit"] != nil
            versions.append(version)
            settings.policy.versions[entry.name] = version.policy
        }
    }

    /// It can only be HTTP.
    var isHTTP: Bool {
        !name.isEmpty && (!hosts.isEmpty || !paths.isEmpty || !ServiceName.isJavaName(name))
    }
}

// What is only seen when all sections are read: a setting that nothing looks at is a mistake.
extension ConfigurationDraft {
    func checkTraffic(_ reader: SettingsReader) {
        for service in services {
            service.traffic.check(reader, isHTTP: service.isHTTP, of: service.policies)
            for version in service.versions {
                version.check(reader, isHTTP: service.isHTTP, of: [version.policy])
                version.checkKey(reader, sameAs: service.policies)
            }
        }
        defaults.traffic.check(reader, isHTTP: false, of: [defaults.traffic.policy] + services.flatMap(\.policies))
    }
}

extension ServiceDraft {
    /// Its own, and those of its versions.
    fileprivate var policies: [TrafficPolicy] { [traffic.policy] + versions.map(\.policy) }
}

extension TrafficDraft {
    /// - Parameters:
    ///   - isHTTP: it can only be HTTP.
    ///   - users: what holds somewhere and has taken over what stands here, itself first.
    fileprivate func check(_ reader: SettingsReader, isHTTP: Bool, of users: [TrafficPolicy]) {
        checkRetries(reader, isHTTP: isHTTP, of: users.map(\.retries))
        checkLimits(reader, of: users)
        checkHealthCheck(reader, isHTTP: isHTTP)
        checkFault(reader, isHTTP: isHTTP)
        checkAccess(reader)
    }
}
