import Runtime

/// A host as a registry lists it, before its name is looked up.
public struct ListedHost: Hashable, Sendable {
    /// An IPv4 or IPv6 address without brackets, or a name. A name with several addresses stands for a host at each.
    public var host: String
    /// 1 to 65535.
    public var port: UInt16
    /// What is reported when the address is known; its own address does not count.
    public var instance: Instance

    /// A host; `instance`'s address is filled in later.
    public init(host: String, port: UInt16, instance: Instance) {
        self.host = host
        self.port = port
        self.instance = instance
    }
}

/// What every adapter does with a service's list before it is told: look names up, take doubles out, put it in a fixed
/// order, and keep silent when nothing has changed.
final class InstanceReporter {
    private struct Service {
        /// Empty where no host is given by name.
        var hosts: [ListedHost] = []
        var names: Set<String> = []
        /// Entries that the adapter has left out.
        var unused: [DropReason: Int] = [:]
        /// Those and what was left out here.
        var dropped: [DropReason: Int] = [:]
        var reported: [Instance]?
        /// The next report is told also when it is as before.
        var isDoubted = false
    }

    private var changes: UInt64 = 0
    private var lastChange: Int64?
    private var instances = 0
    private var dropped: [DropReason: Int] = [:]
    private var services: [ServiceKey: Service] = [:]
    private let resolver: NameResolver
    private let reports: RegistryReports
    private let logger: Logger
    private var observer: UInt64?

    init(resolver: NameResolver, reports: RegistryReports, logger: Logger) {
        self.resolver = resolver
        self.reports = reports
        self.logger = logger
        observer = resolver.observe { [weak self] in self?.nameChanged($0) }
    }

    /// Takes a service's complete list.
    ///
    /// - Parameter unused: how many further entries the registry lists that are not used, and why.
    func report(_ key: ServiceKey, _ hosts: [ListedHost], unused: [DropReason: Int] = [:]) {
        var service = services[key] ?? Service()
        let names = Set(hosts.lazy.map(\.host).filter { SocketAddress(ip: $0, port: 0) == nil })
        for name in names.subtracting(service.names) { resolver.retain(name) }
        for name in service.names.subtracting(names) { resolver.release(name) }
        // They are needed again only when a name gets another address.
        service.hosts = names.isEmpty ? [] : hosts
        service.names = names
        service.unused = unused
        services[key] = service
        deliver(key, hosts)
    }

    /// The next report of a service is told also when it is as before.
    func doubt(_ key: ServiceKey) { services[key]?.isDoubted = true }

    /// What was told of a service last; nil where nothing was.
    func reported(_ key: ServiceKey) -> [Instance]? { services[key]?.reported }

    /// Fills in what the status says about hosts.
    func describe(_ status: inout RegistryStatus) {
        status.changes = changes
        status.lastChange = lastChange
        status.instances = instances
        status.dropped = dropped
    }

    /// A service could not be read.
    func fail(_ key: ServiceKey, _ reason: String) {
        if services[key]?.reported == nil { reports.failed(key, reason) }
    }

    /// Forgets a service.
    func forget(_ key: ServiceKey) {
        guard let service = services.removeValue(forKey: key) else { return }
        for name in service.names { resolver.release(name) }
        count(service.dropped, service.reported?.count ?? 0, -1)
    }

    /// No report comes after this.
    func stop() {
        for key in Array(services.keys) { forget(key) }
        if let observer { resolver.unobserve(observer) }
    }

    private func nameChanged(_ name: String) {
        if case .failed(let reason) = resolver.answer(name) {
            logger.log(.warning, "registry.name_failed", ["name": name, "reason": reason], limit: 1, limitKey: name)
        }
        for (key, service) in services where service.names.contains(name) { deliver(key, service.hosts) }
    }

    private func deliver(_ key: ServiceKey, _ hosts: [ListedHost]) {
        guard var service = services[key] else { return }
        var isWaiting = false
        var dropped = service.unused
        var instances: [Instance] = []
        instances.reserveCapacity(hosts.count)
        for listed in hosts {
            if service.names.contains(listed.host) {
                switch resolver.answer(listed.host) {
                case .pending: isWaiting = true
                case .failed: dropped[.unresolved, default: 0] += 1
                case .addresses(let addresses):
                    for address in addresses { instances.append(listed.instance(at: address.with(port: listed.port))) }
                }
            } else if let address = SocketAddress(ip: listed.host, port: listed.port) {
                instances.append(listed.instance(at: address))
            }
        }
        // Hosts that are known are told while names of others are looked up, but "none" is told only when it is certain.
        if isWaiting && instances.isEmpty { return }
        let merged = Instance.merged(instances)
        if merged.count < instances.count { dropped[.duplicate, default: 0] += instances.count - merged.count }
        count(service.dropped, service.reported?.count ?? 0, -1)
        count(dropped, merged.count, 1)
        let isChanged = merged != service.reported
        let isTold = isChanged || service.isDoubted
        (service.dropped, service.isDoubted) = (dropped, false)
        // An equal list is not kept: whoever was told the first one keeps that too, and they share its memory.
        if isChanged { service.reported = merged }
        services[key] = service
        if isChanged {
            changes += 1
            lastChange = Clock.nanoseconds
        }
        if isTold { reports.instances(key, merged) }
    }

    private func count(_ reasons: [DropReason: Int], _ hosts: Int, _ sign: Int) {
        instances += sign * hosts
        for (reason, number) in reasons {
            let sum = dropped[reason, default: 0] + sign * number
            dropped[reason] = sum > 0 ? sum : nil
        }
    }
}

extension SocketAddress {
    /// Stands in an instance whose address is not known yet.
    static var unknown: SocketAddress { SocketAddress(ipv4: 0, port: 0) }
}

extension ListedHost {
    fileprivate func instance(at address: SocketAddress) -> Instance {
        var instance = instance
        instance.address = address
        return instance
    }
}

extension Instance {
    /// What makes two entries the same host of a service: one Dubbo provider can serve several versions of an interface.
    struct Identity: Hashable {
        let address: SocketAddress
        let interfaceVersion: String
        let group: String
    }

    var identity: Identity { Identity(address: address, interfaceVersion: interfaceVersion, group: group) }

    /// The instances in a fixed order, each host once. Of several entries for a host the preferred one stays, whatever
    /// their order was.
    static func merged(_ instances: [Instance]) -> [Instance] {
        var best: [Identity: Instance] = [:]
        best.reserveCapacity(instances.count)
        for instance in instances {
            if let other = best[instance.identity], !instance.isPreferred(to: other) { continue }
            best[instance.identity] = instance
        }
        return best.values.sorted(by: precedes)
    }

    /// Usable before unusable, then the newer registration (Dubbo's `timestamp`), then the one that says more; the rest
    /// only makes the choice independent of order.
    private func isPreferred(to other: Instance) -> Bool {
        if available != other.available { return available }
        let (mine, others) = (Int64(metadata["timestamp"] ?? "") ?? 0, Int64(other.metadata["timestamp"] ?? "") ?? 0)
        if mine != others { return mine > others }
        if metadata.count != other.metadata.count { return metadata.count > other.metadata.count }
        if weight != other.weight { return weight > other.weight }
        return labels.lexicographicallyPrecedes(other.labels)
    }

    private var labels: [String] { metadata.sorted { $0.key < $1.key }.flatMap { [$0.key, $0.value] } }

    static func precedes(_ left: Instance, _ right: Instance) -> Bool {
        if left.address != right.address { return left.address < right.address }
        return (left.interfaceVersion, left.group) < (right.interfaceVersion, right.group)
    }
}
