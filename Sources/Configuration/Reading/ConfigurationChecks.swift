import Runtime

/// What can only be seen when the whole file is read.
extension ConfigurationDraft {
    /// Reads the services after everything else: `"*"` first, then the others on top of it.
    mutating func readServices(_ reader: SettingsReader) {
        for entry in serviceEntries where entry.name == "*" {
            defaults.traffic.path = "services.*"
            reader.section(entry.value, "services.*", keys: ConfigurationKeys.serviceDefaults, into: &defaults)
            defaults.settings.policy.traffic = defaults.traffic.policy
            configuration.defaultPolicy = defaults.settings.policy
        }
        for entry in serviceEntries where entry.name != "*" {
            var service = ServiceDraft(name: entry.name)
            service.settings.policy = defaults.settings.policy
            service.traffic = TrafficDraft(path: "services.\(entry.name)", policy: defaults.traffic.policy)
            checkName(entry, reader)
            reader.section(entry.value, service.traffic.path, keys: ConfigurationKeys.service, into: &service)
            service.settings.policy.traffic = service.traffic.policy
            service.readVersions(reader)
            services.append(service)
            configuration.services[entry.name] = service.settings
        }
        checkSticky(reader)
        checkTraffic(reader)
        checkOwners(reader)
    }

    private func checkName(_ entry: YAMLEntry, _ reader: SettingsReader) {
        let name = entry.name
        let visible = name.utf8.allSatisfy { $0 > 0x20 && $0 != 0x7f }
        if name.contains(":") {
            let plain = name.split(separator: ":").first.map(String.init) ?? ""
            reader.fail(
                entry.line,
                "services: \(name.shown) must be the interface alone, all its versions and groups or unique ids share the settings"
                    + (plain.isEmpty ? "" : "; did you mean \(plain.shown)?"))
        } else if !visible || name.contains("/") || !(1...512).contains(name.utf8.count) {
            reader.fail(entry.line, "services: \(name.shown) is not a service's name")
        } else if name.contains("*") {
            reader.fail(entry.line, "services: \(name.shown) is not a pattern; only \"*\" stands for all services")
        }
    }

    /// A key that sticks to nothing is a mistake: somebody expects it to work.
    private func checkSticky(_ reader: SettingsReader) {
        for service in services {
            guard let line = service.stickyLine, service.settings.policy.split.isEmpty else { continue }
            reader.fail(line, "services.\(service.name).sticky", "has no effect without \"split\"")
        }
        if let line = defaults.stickyLine, defaults.settings.policy.split.isEmpty,
            services.allSatisfy({ $0.settings.policy.split.isEmpty })
        {
            reader.fail(line, "services.*.sticky", "has no effect, no service has a \"split\"")
        }
    }

    /// One `Host` and one path prefix mean one service.
    private func checkOwners(_ reader: SettingsReader) {
        var hosts: [String: String] = [:]
        var paths: [String: String] = [:]
        for service in services { hosts[service.name.lowercased()] = service.name }
        for service in services {
            claim(service.hosts, "hosts", for: service, owners: &hosts, reader)
            claim(service.paths, "paths", for: service, owners: &paths, reader)
        }
    }

    private func claim(
        _ values: [(value: String, line: Int)], _ key: String, for service: ServiceDraft,
        owners: inout [String: String], _ reader: SettingsReader
    ) {
        for (value, line) in values {
            if let owner = owners[value], owner != service.name {
                reader.fail(line, "services.\(service.name).\(key)", "\(value.shown) means \(owner) already")
            }
            owners[value] = service.name
        }
    }

    /// Names and addresses of listeners.
    func checkListeners(_ reader: SettingsReader) {
        for (index, listener) in configuration.listeners.enumerated() {
            guard index < listenerLines.count else { break }
            if configuration.listeners[..<index].contains(where: { $0.name == listener.name }) {
                reader.fail(listenerLines[index], "listeners[\(index)].name", "\(listener.name.shown) is given twice")
            }
        }
        for (index, listener) in configuration.listeners.enumerated() where index < listenerLines.count {
            guard let forward = listener.forward,
                let other = configuration.ownPlaces.first(where: { forward.leads(to: $0.address) })
            else { continue }
            reader.fail(
                listenerLines[index], "listeners[\(index)].forward",
                "\(forward) is \(other.name), not an application: requests would go in a circle")
        }
        for clash in configuration.addressClashes() {
            let line = clash.listener < listenerLines.count ? listenerLines[clash.listener] : adminLine
            reader.fail(line, clash.message)
        }
    }
}

extension Configuration {
    /// Where the process itself is to listen.
    fileprivate var ownPlaces: [(name: String, address: SocketAddress)] {
        listeners.map { ("the listener \($0.name.shown)", $0.address) } + [("the admin API", admin)]
    }

    /// Two things that want the same address.
    public struct AddressClash: Equatable, Sendable {
        /// Index of the listener that comes second.
        public let listener: Int
        /// Both names and the addresses.
        public let message: String
    }

    /// Listeners that cannot both be opened, with each other or with the admin API. Port 0 never clashes.
    public func addressClashes() -> [AddressClash] {
        var taken = [(name: "the admin API", address: admin)]
        var clashes: [AddressClash] = []
        for (index, listener) in listeners.enumerated() {
            if let other = taken.first(where: { $0.address.overlaps(listener.address) }) {
                let message =
                    "listener \(listener.name.shown) on \(listener.address) clashes with \(other.name) on \(other.address)"
                clashes.append(AddressClash(listener: index, message: message))
            }
            taken.append((name: "listener \(listener.name.shown)", address: listener.address))
        }
        return clashes
    }
}

extension SocketAddress {
    /// Whether listening on both takes the same connections: equal ports, and equal addresses or one that means all of
    /// its family. (IPv6 sockets take no IPv4 connections.)
    fileprivate func overlaps(_ other: SocketAddress) -> Bool {
        guard port != 0, port == other.port, isIPv6 == other.isIPv6 else { return false }
        return (high, low) == (other.high, other.low) || isUnspecified || other.isUnspecified
    }
}
