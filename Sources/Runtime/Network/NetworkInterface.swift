import CLinux
import Glibc

/// Network interfaces of this machine, or of the container it runs in.
public enum NetworkInterface {
    /// The addresses of an interface that is up, as the system lists them, port 0; nil where there is none of that name.
    public static func addresses(of name: String) -> [SocketAddress]? {
        var found: [SocketAddress]?
        each { interface, address in
            guard interface == name else { return }
            found = (found ?? []) + (address.map { [$0] } ?? [])
        }
        return found
    }

    /// The addresses of all interfaces that are up, port 0.
    public static var all: Set<SocketAddress> {
        var found: Set<SocketAddress> = []
        each { _, address in
            if let address { found.insert(address) }
        }
        return found
    }

    /// Goes through interfaces and their addresses; nil for an interface that is down, and for what is no IP address.
    private static func each(_ body: (_ interface: String, _ address: SocketAddress?) -> Void) {
        var list: UnsafeMutablePointer<ifaddrs>?
        guard getifaddrs(&list) == 0 else { return }
        defer { freeifaddrs(list) }
        var next = list
        while let entry = next {
            next = entry.pointee.ifa_next
            body(String(cString: entry.pointee.ifa_name), address(entry.pointee))
        }
    }

    private static func address(_ entry: ifaddrs) -> SocketAddress? {
        guard entry.ifa_flags & UInt32(IFF_UP) != 0, let address = entry.ifa_addr else { return nil }
        var storage = sockaddr_storage()
        switch Int32(address.pointee.sa_family) {
        case AF_INET: memcpy(&storage, address, MemoryLayout<sockaddr_in>.size)
        case AF_INET6: memcpy(&storage, address, MemoryLayout<sockaddr_in6>.size)
        default: return nil
        }
        return SocketAddress(storage)?.with(port: 0)
    }
}
