import Balancing
import Model
import Runtime

typealias NameTable = PointerTable<ByteString, Service>

/// Services of all kinds by their own name.
struct NamedServices: ~Copyable {
    private var http = NameTable()
    private var dubbo = NameTable()
    private var bolt = NameTable()

    var count: Int { http.count + dubbo.count + bolt.count }

    func count(of kind: ServiceKey.Kind) -> Int {
        switch kind {
        case .http: http.count
        case .dubbo: dubbo.count
        case .bolt: bolt.count
        }
    }

    @inline(__always)
    func find(_ kind: ServiceKey.Kind, _ name: ByteString) -> UnsafeMutablePointer<Service>? {
        find(kind, name, hash: name.hash())
    }

    /// As `find`, with the name's hash.
    @inline(__always)
    func find(_ kind: ServiceKey.Kind, _ name: ByteString, hash: UInt64) -> UnsafeMutablePointer<Service>? {
        switch kind {
        case .http: http.find(name, hash: hash)
        case .dubbo: dubbo.find(name, hash: hash)
        case .bolt: bolt.find(name, hash: hash)
        }
    }

    mutating func insert(_ service: UnsafeMutablePointer<Service>) {
        switch service.pointee.key.kind {
        case .http: http.insert(service.pointee.name, service)
        case .dubbo: dubbo.insert(service.pointee.name, service)
        case .bolt: bolt.insert(service.pointee.name, service)
        }
    }

    mutating func remove(_ service: UnsafeMutablePointer<Service>) {
        switch service.pointee.key.kind {
        case .http: http.remove(service.pointee.name)
        case .dubbo: dubbo.remove(service.pointee.name)
        case .bolt: bolt.remove(service.pointee.name)
        }
    }

    /// Makes room for so many further services at once.
    mutating func reserve(_ kind: ServiceKey.Kind, _ count: Int) {
        switch kind {
        case .http: http.reserve(count)
        case .dubbo: dubbo.reserve(count)
        case .bolt: bolt.reserve(count)
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
    /// Services of multiplexed protocols that the configuration names.
    var named: [UnsafeMutablePointer<Service>] = []
    /// Services that the configuration names or a registry has listed.
    private(set) var known = NamedServices()
    /// Names that requests have asked for and that no registry has listed: anybody can make them up.
    private(set) var unlisted = NamedServices()
    /// What is counted for all unlisted names together, by protocol.
    var unlistedMetrics = UnlistedMetrics()
    /// All services, also the applications behind inbound listeners, which have no name that could be asked for. They leave only
    /// by a message, so none of them goes while a update is done.
    private(set) var services: [UnsafeMutablePointer<Service>] = []
    var endpoints = EndpointTable()
    /// Number of the configuration in force; counts from 1.
    var configuration: UInt64 = 1
    /// When services in use were last told to the control plane.
    var toldAt: Int64 = 0

    /// The service that a request means that names none: the only one with hosts that the configuration names. Nil: there is none, or
    /// several.
    func onlyNamed(of kind: ServiceKey.Kind) -> UnsafeMutablePointer<Service>? {
        var only: UnsafeMutablePointer<Service>?
        for index in named.indices where Self.mayHaveHosts(named[index], kind) {
            if only != nil { return nil }
            only = named[index]
        }
        return only
    }

    /// How many services with hosts the configuration names.
    func countNamed(of kind: ServiceKey.Kind) -> Int { named.count { Self.mayHaveHosts($0, kind) } }

    /// It has hosts, or may have them: nothing was told of it yet.
    private static func mayHaveHosts(_ service: UnsafeMutablePointer<Service>, _ kind: ServiceKey.Kind) -> Bool {
        service.pointee.key.kind == kind && service.pointee.snapshot?.hasHosts ?? true
    }

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

    /// Makes room for so many known services.
    mutating func reserve(_ kind: ServiceKey.Kind, _ count: Int) {
        known.reserve(kind, count - known.count(of: kind))
    }
}
