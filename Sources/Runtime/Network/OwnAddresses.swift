/// Addresses at which this process itself takes requests. A host with one of them would send every request in a circle.
public final class OwnAddresses {
    private var listeners: [SocketAddress]
    private var interfaces: Set<SocketAddress> = []
    private var readAt: Int64?

    /// Interfaces may come and go, but not often.
    private static let lifetime: Int64 = 1_000_000_000

    /// - Parameter listeners: where the process listens.
    public init(_ listeners: [SocketAddress]) { self.listeners = listeners }

    /// The process listens there too.
    public func add(_ listener: SocketAddress) { listeners.append(listener) }

    /// Whether a connection to the address comes to this process.
    public func contains(_ address: SocketAddress) -> Bool {
        for listener in listeners where listener.port == address.port {
            if address.leads(to: listener, interfaces: currentInterfaces) { return true }
        }
        return false
    }

    private func currentInterfaces() -> Set<SocketAddress> {
        let now = Clock.nanoseconds
        if let readAt, now - readAt < Self.lifetime { return interfaces }
        readAt = now
        interfaces = NetworkInterface.all
        return interfaces
    }
}

extension SocketAddress {
    /// Whether a connection from this machine to this address comes to a socket that listens on `listener`. One that listens on
    /// all addresses of its family is reached by any of them; IPv6 sockets take no IPv4 connections.
    ///
    /// - Parameter interfaces: the addresses of this machine, with port 0.
    public func leads(
        to listener: SocketAddress, interfaces: () -> Set<SocketAddress> = { NetworkInterface.all }
    ) -> Bool {
        let address = unmapped
        guard port != 0, port == listener.port, address.isIPv6 == listener.isIPv6 else { return false }
        if address == listener { return true }
        // To connect to no address in particular is to connect to this machine.
        if address.isUnspecified { return listener.isUnspecified || listener.isLoopback }
        return listener.isUnspecified && (address.isLoopback || interfaces().contains(address.with(port: 0)))
    }

    /// `0.0.0.0` or `::`: all addresses of this machine, or none.
    public var isUnspecified: Bool { high == 0 && low == (isIPv6 ? 0 : 0xffff_0000_0000) }

    /// `::ffff:10.0.0.1` is how IPv6 writes `10.0.0.1`.
    public var unmapped: SocketAddress {
        isIPv6 && high == 0 && low >> 32 == 0xffff
            ? SocketAddress(ipv4: UInt32(truncatingIfNeeded: low), port: port) : self
    }
}
