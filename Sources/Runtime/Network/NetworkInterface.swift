import CLinux
import Glibc

/// Network interfaces of this machine, or of the container it runs in.
public enum NetworkInterface {
    /// The addresses of an interface that is up, as the system lists them, port 0; nil where there is none of that name.
    public static func addresses(of name: String) -> [SocketAddress]? { list { $0 == name } }

    /// The addresses of all interfaces that are up, port 0.
    public static var all: [SocketAddress] { list { _ in true } ?? [] }

    private static func list(_ isMeant: (String) -> Bool) -> [SocketAddress]? {
        var list: UnsafeMutablePointer<ifaddrs>?
        guard getifaddrs(&list) == 0 else { return nil }
        defer { freeifaddrs(list) }
        var found: [SocketAddress]?
        var next = list
        while let entry = next {
            next = entry.pointee.ifa_next
            guard isMeant(String(cString: entry.pointee.ifa_name)) else { continue }
            found = found ?? []
            guard entry.pointee.ifa_flags & UInt32(IFF_UP) != 0, let address = entry.pointee.ifa_addr else {
                continue
            }
            var storage = sockaddr_storage()
            switch Int32(address.pointee.sa_family) {
            case AF_INET: memcpy(&storage, address, MemoryLayout<sockaddr_in>.size)
            case AF_INET6: memcpy(&storage, address, MemoryLayout<sockaddr_in6>.size)
            default: continue
            }
            if let address = SocketAddress(storage) { found?.append(address.with(port: 0)) }
        }
        return found
    }
}
