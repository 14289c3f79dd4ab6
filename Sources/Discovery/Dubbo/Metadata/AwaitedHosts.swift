import Model

extension InstanceReporter {
    /// Takes a service's complete list, in which some instances may be missing: they are being asked what they offer. The
    /// others are told already, and what was told before of those that are missing stays. Only the first list is complete, and
    /// none is told that would be empty for their want.
    func report(_ key: ServiceKey, _ found: DubboApplication.Providers) {
        var hosts = found.hosts
        if !found.awaited.isEmpty {
            guard let reported = reported(key) else { return }
            hosts += reported.lazy.map { ListedHost(host: $0.address.ip, port: $0.address.port, instance: $0) }
                .filter { found.awaited.contains($0.hostPort) }
            hosts += named(key).filter { found.awaited.contains($0.hostPort) }
            if hosts.isEmpty { return }
        }
        report(key, hosts, unused: found.unused)
    }

    /// Takes what could be read of a service. Where a part could not, no hosts at all are no first answer: that part may have
    /// some. Later they are, as a part that is refused for ever would keep hosts that are gone.
    ///
    /// - Parameter failure: why a part that never was read cannot be; nil: it is all there.
    func report(_ key: ServiceKey, _ found: DubboApplication.Providers, besides failure: String?) {
        if let failure, found.isEmpty, !isTold(key) { return fail(key, failure) }
        report(key, found)
    }
}
