import Model
import Runtime

/// A host as a registry lists it, before its name is looked up.
public struct ListedHost: Hashable, Sendable {
    /// An IPv4 or IPv6 address without brackets, or a name. A name with several addresses stands for a host at each.
    public var host: String
    /// 1 to 65535.
    public var port: UInt16
    /// What is reported when the address is known; its own address does not count.
    public var instance: Instance

    /// A host; `instance`'s address is filled in later. Brackets and zone of an IPv6 address are left out.
    public init(host: String, port: UInt16, instance: Instance) {
        self.host = HostText.bare(host)
        self.port = port
        self.instance = instance
    }

    var hostPort: HostPort { HostPort(host: host, port: port) }
}

/// What every adapter does with a service's list before it is told: look names up, take doubles out, put it in a fixed
/// order, and keep silent when nothing has changed.
final class InstanceReporter {
    private struct Service {
        /// Nil where no host is given by name.
        var named: Named?
        /// Entries that the adapter has left out.
        var unused: [DropReason: Int] = [:]
        /// Those and what was left out here.
        var dropped: [DropReason: Int] = [:]
        var reported: [Instance]?
        /// The next report is told also when it is as before.
        var isDoubted = false
        /// What is made of the newest list.
        var reading: Reading?
        var next: Telling?
    }

    /// Hosts given by name, and the others of their service: all are needed again when a name gets another address.
    private final class Named {
        let names: Set<String>
        let hosts: [ListedHost]
        let others: [Instance]

        init?(_ reading: Reading) {
            if reading.named.isEmpty { return nil }
            names = Set(reading.named.map(\.host))
            (hosts, others) = (reading.named, reading.others)
        }
    }

    /// What is to be told next, and what was left out of it.
    private final class Telling {
        let instances: [Instance]
        let dropped: [DropReason: Int]

        init(_ instances: [Instance], _ dropped: [DropReason: Int]) {
            (self.instances, self.dropped) = (instances, dropped)
        }
    }

    /// A list of which the addresses are read, a piece at a time.
    private final class Reading {
        private(set) var unused: [DropReason: Int]
        private(set) var named: [ListedHost] = []
        private(set) var others: [Instance] = []
        private var left: ArraySlice<ListedHost>

        init(_ hosts: [ListedHost], unused: [DropReason: Int]) {
            self.unused = unused
            left = hosts[...]
            others.reserveCapacity(hosts.count)
        }

        /// Reads some more; true at the end.
        func advance(limit: Int = .max) -> Bool {
            for listed in left.prefix(limit) {
                if let address = SocketAddress(ip: listed.host, port: listed.port) {
                    others.append(listed.instance(at: address))
                } else if HostText.isNumber(listed.host) {
                    unused[.unreadable, default: 0] += 1
                } else {
                    named.append(listed)
                }
            }
            left = left.dropFirst(limit)
            return left.isEmpty
        }
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
    /// Pieces of long lists.
    private let work: WorkQueue

    /// Hosts that are read in one go; a list of more is long.
    static let piece = 256

    init(resolver: NameResolver, reports: RegistryReports, logger: Logger) {
        self.resolver = resolver
        self.reports = reports
        self.logger = logger
        work = WorkQueue(loop: resolver.loop)
        observer = resolver.observe { [weak self] in self?.nameChanged($0) }
    }

    /// Takes a service's complete list. A long one is told in a later turn of the loop, unless a newer one comes meanwhile.
    ///
    /// - Parameter unused: how many further entries the registry lists that are not used, and why.
    func report(_ key: ServiceKey, _ hosts: [ListedHost], unused: [DropReason: Int] = [:]) {
        let reading = Reading(hosts, unused: unused)
        services[key, default: Service()].reading = reading
        if hosts.count > Self.piece { return goOn(key, reading) }
        _ = reading.advance()
        take(key, reading)
    }

    private func goOn(_ key: ServiceKey, _ reading: Reading) {
        work.add { [weak self] in
            guard let self, services[key]?.reading === reading else { return }
            guard reading.advance(limit: Self.piece) else { return goOn(key, reading) }
            work.add(isLong: true) { [weak self] in self?.take(key, reading) }
        }
    }

    private func take(_ key: ServiceKey, _ reading: Reading) {
        guard var service = services[key], service.reading === reading else { return }
        let (before, named) = (service.named?.names ?? [], Named(reading))
        let names = named?.names ?? []
        for name in names.subtracting(before) { resolver.retain(name) }
        for name in before.subtracting(names) { resolver.release(name) }
        service.named = named
        service.unused = reading.unused
        service.reading = nil
        services[key] = service
        deliver(key, reading.others)
    }

    /// The next report of a service is told also when it is as before.
    func doubt(_ key: ServiceKey) { services[key]?.isDoubted = true }

    /// Hosts of a service were told, or will be.
    func isTold(_ key: ServiceKey) -> Bool {
        let service = services[key]
        return service?.reported != nil || service?.reading != nil || service?.next != nil
    }

    /// What was told of a service last; nil where nothing was.
    func reported(_ key: ServiceKey) -> [Instance]? { services[key]?.reported }

    /// The hosts of the last list that are given by name.
    func named(_ key: ServiceKey) -> [ListedHost] { services[key]?.named?.hosts ?? [] }

    /// Fills in what the status says about hosts.
    func describe(_ status: inout RegistryStatus) {
        status.changes = changes
        status.lastChange = lastChange
        status.instances = instances
        status.dropped = dropped
    }

    /// A service could not be read.
    func fail(_ key: ServiceKey, _ reason: String) {
        if !isTold(key) { reports.failed(key, reason) }
    }

    /// Forgets a service.
    func forget(_ key: ServiceKey) {
        guard let service = services.removeValue(forKey: key) else { return }
        for name in service.named?.names ?? [] { resolver.release(name) }
        count(service.dropped, service.reported?.count ?? 0, -1)
    }

    /// No report comes after this.
    func stop() {
        work.removeAll()
        for key in Array(services.keys) { forget(key) }
        if let observer { resolver.unobserve(observer) }
    }

    private func nameChanged(_ name: String) {
        if case .failed(let reason) = resolver.answer(name) {
            logger.log(.warning, "registry.name_failed", ["name": name, "reason": reason], limit: 1, limitKey: name)
        }
        for (key, service) in services {
            if let named = service.named, named.names.contains(name) { deliver(key, named.others) }
        }
    }

    /// - Parameter others: the hosts given by address.
    private func deliver(_ key: ServiceKey, _ others: [Instance]) {
        guard let service = services[key] else { return }
        var isWaiting = false
        var dropped = service.unused
        var instances = others
        for listed in service.named?.hosts ?? [] {
            switch resolver.answer(listed.host) {
            case .pending: isWaiting = true
            case .failed: dropped[.unresolved, default: 0] += 1
            case .addresses(let addresses):
                for address in addresses { instances.append(listed.instance(at: address.with(port: listed.port))) }
            }
        }
        // Hosts that are known are told while names of others are looked up, but "none" is told only when it is certain.
        if isWaiting && instances.isEmpty { return }
        let merged = Instance.merged(instances)
        if merged.count < instances.count { dropped[.duplicate, default: 0] += instances.count - merged.count }
        services[key]?.next = Telling(merged, dropped)
        if merged.count <= Self.piece { return tell(key) }
        work.add(isLong: true) { [weak self] in self?.tell(key) }
    }

    private func tell(_ key: ServiceKey) {
        guard var service = services[key], let next = service.next else { return }
        let (merged, dropped) = (next.instances, next.dropped)
        count(service.dropped, service.reported?.count ?? 0, -1)
        count(dropped, merged.count, 1)
        let isChanged = merged != service.reported
        let isTold = isChanged || service.isDoubted
        (service.dropped, service.isDoubted, service.next) = (dropped, false, nil)
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
