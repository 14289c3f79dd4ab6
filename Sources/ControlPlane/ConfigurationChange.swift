import Configuration

/// What of a new configuration a running process can take over.
struct ConfigurationChange {
    /// The new settings where they can change live, the old ones elsewhere.
    let effective: Configuration
    /// Settings that have changed and wait for the next start, as they stand in the file.
    let needRestart: [String]

    init(from old: Configuration, to new: Configuration) {
        var effective = new
        var names: [String] = []
        func keep<Value: Equatable>(_ name: String, _ path: WritableKeyPath<Configuration, Value>) {
            if old[keyPath: path] != new[keyPath: path] { names.append(name) }
            effective[keyPath: path] = old[keyPath: path]
        }
        keep("admin", \.admin)
        keep("workers", \.workers)
        keep("registries", \.registries)
        keep("state", \.state)
        keep("listeners", \.listeners)
        keep("trusted_proxies", \.trustedProxies)
        keep("version.request", \.version.request)
        keep("version.tell", \.version.tell)
        keep("access_log", \.accessLog)
        keep("log_level", \.logLevel)
        keep("limits", \.limits)
        self.effective = effective
        needRestart = names
    }
}
