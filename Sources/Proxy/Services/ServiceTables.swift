import Balancing
import Model
import Runtime

typealias NameTable = PointerTable<ByteString, Service>

/// Services of both kinds by their own name.
struct NamedServices: ~Copyable {
    var http = NameTable()
    var dubbo = NameTable()

    var count: Int { http.count + dubbo.count }

    func find(_ kind: ServiceKey.Kind, _ name: ByteString) -> UnsafeMutablePointer<Service>? {
        kind == .http ? http.find(name) : dubbo.find(name)
    }

    mutating func insert(_ service: UnsafeMutablePointer<Service>) {
        if service.pointee.key.kind == .http {
            http.insert(service.pointee.name, service)
        } else {
            dubbo.insert(service.pointee.name, service)
        }
    }

    mutating func remove(_ service: UnsafeMutablePointer<Service>) {
        if service.pointee.key.kind == .http {
            http.remove(service.pointee.name)
        } else {
            dubbo.remove(service.pointee.name)
        }
    }
}

/// The services and endpoints that a worker knows.
///
/// What the configuration names comes first: `hosts`, then `paths`. Then services that a registry has listed. Names that only
/// requests have asked for come last, so that they stand in nobody's way.
struct ServiceTables: ~Copyable {
    /// Host names that the configuration names: HTTP services as they are written and in lower case, and their further names.
    var hosts = NameTable()
    /// Path prefixes.
    var paths = NameTable()
    /// Keys of `hosts` and `paths` that are nobody else's.
    var ownedKeys: [ByteString] = []
    /// Longest path prefix; 0 when there are no path rules.
    var longestPath = 0
    /// Services that the configuration names or a registry has listed.
    private(set) var known = NamedServices()
    /// Names that requests have asked for and that no registry has listed: anybody can make them up.
    private(set) var unlisted = NamedServices()
    /// What is counted for all unlisted names together, by protocol.
    var unlistedHTTP = ServiceMetrics()
    var unlistedDubbo = ServiceMetrics()
    /// All services, also the applications behind inbound listeners, which have no name that could be asked for. They leave only
    /// by a message, so none of them goes while a chore is done.
    private(set) var services: [UnsafeMutablePointer<Service>] = []
    var endpoints = EndpointTable()
    /// Number of the configuration in force; counts from 1.
    var configuration: UInt64 = 1
    /// When services in use were last told to the control plane.
    var toldAt: Int64 = 0

    mutating func add(_ service: UnsafeMutablePointer<Service>) {
        service.pointee.place = services.count
        services.append(service)
        if service.pointee.takesAll { return }
        service.pointee.isUnlisted = true
        unlisted.insert(service)
    }

    /// The configuration names it, or a registry lists it.
    mutating func makeKnown(_ service: UnsafeMutablePointer<Service>) {
        guard service.pointee.isUnlisted else { return }
        unlisted.remove(service)
        service.pointee.isUnlisted = false
        known.insert(service)
    }

    mutating func remove(_ service: UnsafeMutablePointer<Service>) {
        let last = services.removeLast()
        if last != service {
            services[service.pointee.place] = last
            last.pointee.place = service.pointee.place
        }
        if service.pointee.takesAll { return }
        if service.pointee.isUnlisted { unlisted.remove(service) } else { known.remove(service) }
    }

    /// Makes room for so many further services at once.
    mutating func reserve(http: Int, dubbo: Int) {
        known.http.reserve(http)
        known.dubbo.reserve(dubbo)
    }
}
