import CLinux
import Glibc

/// TCP sockets, always non-blocking and closed on exec. Descriptors are plain numbers; their owner closes them.
public enum Socket {
    /// Opens a listening socket.
    ///
    /// - Parameter shared: `SO_REUSEPORT`: several sockets of this process share the address, and the kernel spreads
    ///   new connections over them.
    /// - Throws: `SystemError` that names the address.
    public static func listen(on address: SocketAddress, shared: Bool, backlog: Int32 = 4096) throws -> Int32 {
        let descriptor = try open(address)
        clinux_set_int_option(descriptor, SOL_SOCKET, SO_REUSEADDR, 1)
        if shared { clinux_set_int_option(descriptor, SOL_SOCKET, SO_REUSEPORT, 1) }
        if address.isIPv6 { clinux_set_int_option(descriptor, Int32(IPPROTO_IPV6), IPV6_V6ONLY, 1) }
        guard address.withPointer({ Glibc.bind(descriptor, $0, $1) }) == 0, Glibc.listen(descriptor, backlog) == 0
        else {
            let error = SystemError("listen on \(address)")
            close(descriptor)
            throw error
        }
        return descriptor
    }

    /// Checks that nobody listens on an address, sockets that share it included: those would let another process join them.
    ///
    /// - Throws: `SystemError` that names the address.
    public static func checkUnused(_ address: SocketAddress) throws {
        let descriptor = try open(address)
        defer { close(descriptor) }
        clinux_set_int_option(descriptor, SOL_SOCKET, SO_REUSEADDR, 1)
        if address.isIPv6 { clinux_set_int_option(descriptor, Int32(IPPROTO_IPV6), IPV6_V6ONLY, 1) }
        guard address.withPointer({ Glibc.bind(descriptor, $0, $1) }) == 0 else {
            throw SystemError("listen on \(address)")
        }
    }

    /// Starts to connect. The socket becomes writable when that has ended; `connectError` tells how.
    public static func connect(to address: SocketAddress) throws(SystemError) -> Int32 {
        let descriptor = try open(address)
        clinux_set_int_option(descriptor, Int32(IPPROTO_TCP), TCP_NODELAY, 1)
        let result = address.withPointer { Glibc.connect(descriptor, $0, $1) }
        guard result == 0 || errno == EINPROGRESS else {
            let error = SystemError("connect to \(address)")
            close(descriptor)
            throw error
        }
        return descriptor
    }

    /// Takes one waiting connection; nil when there is none or it is already gone.
    public static func accept(_ listener: Int32) -> (descriptor: Int32, peer: SocketAddress)? {
        var storage = sockaddr_storage()
        var length = socklen_t(MemoryLayout<sockaddr_storage>.size)
        let descriptor = withUnsafeMutablePointer(to: &storage) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { clinux_accept(listener, $0, &length) }
        }
        guard descriptor >= 0 else { return nil }
        clinux_set_int_option(descriptor, Int32(IPPROTO_TCP), TCP_NODELAY, 1)
        return (descriptor, SocketAddress(storage) ?? SocketAddress(ipv4: 0, port: 0))
    }

    /// 0 when the connect that was started has succeeded, else its `errno`.
    public static func connectError(_ descriptor: Int32) -> Int32 { clinux_socket_error(descriptor) }

    /// The address a socket is bound to: tells the port that the system chose.
    public static func localAddress(_ descriptor: Int32) -> SocketAddress? {
        var storage = sockaddr_storage()
        var length = socklen_t(MemoryLayout<sockaddr_storage>.size)
        let result = withUnsafeMutablePointer(to: &storage) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { getsockname(descriptor, $0, &length) }
        }
        return result == 0 ? SocketAddress(storage) : nil
    }

    /// The address that this machine would use to reach another; nothing is sent.
    ///
    /// - Throws: `SystemError` when no way leads there.
    public static func sourceAddress(towards address: SocketAddress) throws -> SocketAddress {
        let kind = Int32(SOCK_DGRAM.rawValue | SOCK_CLOEXEC.rawValue)
        let descriptor = socket(address.family, kind, 0)
        guard descriptor >= 0 else { throw SystemError("open a socket for \(address)") }
        defer { close(descriptor) }
        guard address.withPointer({ Glibc.connect(descriptor, $0, $1) }) == 0, let local = localAddress(descriptor)
        else {
            throw SystemError("reach \(address)")
        }
        return local.with(port: 0)
    }

    /// Has the peer see a reset, not an end, when the descriptor is closed; what it has not been sent is dropped.
    public static func resetOnClose(_ descriptor: Int32) {
        var option = linger(l_onoff: 1, l_linger: 0)
        setsockopt(descriptor, SOL_SOCKET, SO_LINGER, &option, socklen_t(MemoryLayout<linger>.size))
    }

    /// Has the system ask a peer that is silent for a minute whether it is still there: four times within another minute.
    public static func keepAlive(_ descriptor: Int32) {
        clinux_set_int_option(descriptor, SOL_SOCKET, SO_KEEPALIVE, 1)
        clinux_set_int_option(descriptor, Int32(IPPROTO_TCP), TCP_KEEPIDLE, 60)
        clinux_set_int_option(descriptor, Int32(IPPROTO_TCP), TCP_KEEPINTVL, 15)
        clinux_set_int_option(descriptor, Int32(IPPROTO_TCP), TCP_KEEPCNT, 4)
    }

    /// Closes a descriptor.
    public static func close(_ descriptor: Int32) { _ = Glibc.close(descriptor) }

    private static func open(_ address: SocketAddress) throws(SystemError) -> Int32 {
        let kind = Int32(SOCK_STREAM.rawValue | SOCK_NONBLOCK.rawValue | SOCK_CLOEXEC.rawValue)
        let descriptor = socket(address.family, kind, 0)
        guard descriptor >= 0 else { throw SystemError("open a socket for \(address)") }
        return descriptor
    }
}
