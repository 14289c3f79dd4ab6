import CLinux
import Glibc
import Runtime

/// A mistake of the caller, told in one line; the program then ends with status 2.
struct UsageError: Error, CustomStringConvertible {
    var description: String
}

enum Addresses {
    /// Reads `host:port`, with a name or a number as the host. Asks the system's resolver and blocks meanwhile.
    static func resolve(_ text: String) throws -> SocketAddress {
        if let address = SocketAddress(text) { return address }
        guard let colon = text.lastIndex(of: ":"), let port = UInt16(text[text.index(after: colon)...]) else {
            throw UsageError(description: "'\(text)' is not HOST:PORT")
        }
        var hints = addrinfo()
        hints.ai_socktype = Int32(SOCK_STREAM.rawValue)
        var list: UnsafeMutablePointer<addrinfo>?
        let result = getaddrinfo(String(text[..<colon]), nil, &hints, &list)
        guard result == 0 else { throw UsageError(description: "\(text): \(String(cString: gai_strerror(result)))") }
        defer { freeaddrinfo(list) }
        var next = list
        while let entry = next {
            if let found = read(entry.pointee) { return found.with(port: port) }
            next = entry.pointee.ai_next
        }
        throw UsageError(description: "\(text): no address")
    }

    private static func read(_ entry: addrinfo) -> SocketAddress? {
        var storage = sockaddr_storage()
        guard let address = entry.ai_addr, Int(entry.ai_addrlen) <= MemoryLayout<sockaddr_storage>.size else {
            return nil
        }
        withUnsafeMutableBytes(of: &storage) {
            $0.copyMemory(from: UnsafeRawBufferPointer(start: address, count: Int(entry.ai_addrlen)))
        }
        return SocketAddress(storage)
    }

    /// This machine's address on the way to another: what to register when listening on all addresses.
    static func local(towards address: SocketAddress) -> SocketAddress? {
        let descriptor = socket(address.family, Int32(SOCK_DGRAM.rawValue), 0)
        guard descriptor >= 0 else { return nil }
        defer { close(descriptor) }
        guard address.withPointer({ connect(descriptor, $0, $1) }) == 0 else { return nil }
        return Socket.localAddress(descriptor)
    }
}
