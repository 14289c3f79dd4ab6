import Model
import Runtime

/// A configuration's host names, path rules and services on their way into this worker. What it has holds until all of them
/// are there.
final class RouteAdoption {
    let table: RouteTable
    /// Entries of the table that are done: services, then host names, then paths.
    var done = 0
    var hosts = NameTable()
    var paths = NameTable()
    var keys: [ByteString] = []
    /// Services of multiplexed protocols.
    var named: [UnsafeMutablePointer<Service>] = []

    init(_ table: RouteTable) { self.table = table }

    deinit {
        for key in keys { key.free() }
    }
}

extension Worker {
    /// Entries that one step takes over.
    private static var routesAtATime: Int { 16 }

    /// The configuration names it, or the one that is on its way, or a listener.
    func isPinned(_ service: UnsafeMutablePointer<Service>) -> Bool {
        service.pointee.takesAll || service.pointee.namedIn >= tables.configuration
    }

    /// Does the next step; false when all is done.
    mutating func advance(_ adoption: RouteAdoption) -> Bool {
        let table = adoption.table
        if adoption.done == 0 { makeRoom(for: adoption) }
        let count = table.services.count + table.hosts.count + table.paths.count
        let end = min(count, adoption.done + Self.routesAtATime)
        for entry in adoption.done..<end { take(entry, of: adoption) }
        adoption.done = end
        if end < count { return true }
        putInForce(adoption)
        return false
    }

    /// Most of them may be known already.
    private mutating func makeRoom(for adoption: RouteAdoption) {
        let services = adoption.table.services
        var (http, dubbo) = (0, 0)
        for index in services.indices {
            switch services[index].kind {
            case .http: http += 1
            case .dubbo: dubbo += 1
            case .bolt: break
            }
        }
        tables.reserve(.http, http)
        tables.reserve(.dubbo, dubbo)
        tables.reserve(.bolt, services.count - http - dubbo)
        adoption.hosts.reserve(http + adoption.table.hosts.count)
    }

    private mutating func take(_ entry: Int, of adoption: RouteAdoption) {
        let table = adoption.table
        let host = entry - table.services.count
        let path = host - table.hosts.count
        if host < 0 {
            let service = service(table.services[entry])
            service.pointee.namedIn = tables.configuration + 1
            tables.makeKnown(service)
            if service.pointee.key.kind == .http {
                adoption.hosts.insert(service.pointee.name, service)
            } else {
                adoption.named.append(service)
            }
        } else if path < 0 {
            let key = ByteString(copying: table.hosts[host].name)
            adoption.keys.append(key)
            // A service's own name comes before one that is the same but for the case of letters.
            if adoption.hosts.find(key) == nil { adoption.hosts.insert(key, service(table.hosts[host].service)) }
        } else {
            let key = ByteString(copying: table.paths[path].prefix)
            adoption.keys.append(key)
            adoption.paths.insert(key, service(table.paths[path].service))
        }
    }

    private mutating func putInForce(_ adoption: RouteAdoption) {
        swap(&tables.hosts, &adoption.hosts)
        swap(&tables.paths, &adoption.paths)
        swap(&tables.ownedKeys, &adoption.keys)
        swap(&tables.named, &adoption.named)
        tables.longestPath = adoption.table.paths.reduce(0) { max($0, $1.prefix.utf8.count) }
        tables.configuration += 1
    }
}
