import CLinux
import Glibc

/// An IP address and a port. Plain bits, so that it can be compared and hashed on the path of a request.
public struct SocketAddress: Hashable, Sendable {
    /// The address as an IPv6 number in host order, high half; an IPv4 address is in its mapped form `::ffff:a.b.c.d`.
    public let high: UInt64
    /// The low half.
    public let low: UInt64
    /// 0 to 65535; 0 lets the system choose when listening.
    public let port: UInt16
    /// False for an IPv4 address.
    public let isIPv6: Bool

    /// An IPv4 address, `address` in host order.
    public init(ipv4 address: UInt32, port: UInt16) {
        high = 0
        low = 0xffff_0000_0000 | UInt64(address)
        self.port = port
        isIPv6 = false
    }

    /// Reads `127.0.0.1:80` or `[::1]:80`. Nil for anything else, names included.
    public init?(_ text: String) {
        guard let colon = text.lastIndex(of: ":"), let port = UInt16(text[text.index(after: colon)...]),
            text[text.index(after: colon)...].allSatisfy(\.isNumber)
        else { return nil }
        var host = text[..<colon]
        let bracketed = host.first == "[" && host.last == "]"
        if bracketed { host = host.dropFirst().dropLast() }
        self.init(ip: String(host), port: port)
        if isIPv6 != bracketed { return nil }
    }

    /// Reads a numeric address without brackets: `10.0.0.1` or `fe80::1`. Nil for names.
    public init?(ip: String, port: UInt16) {
        // C would take what stands before a zero byte for the whole.
        guard !ip.utf8.contains(0) else { return nil }
        var four = in_addr()
        if inet_pton(AF_INET, ip, &four) == 1 {
            self.init(ipv4: UInt32(bigEndian: four.s_addr), port: port)
            return
        }
        var six = in6_addr()
        guard inet_pton(AF_INET6, ip, &six) == 1 else { return nil }
        self.init(ipv6: six, port: port)
    }

    /// Reads a numeric address without brackets from bytes, without a port. Nil for anything else.
    public init?(ip: ByteString) {
        // The longest is 45 bytes; C wants a zero behind it.
        guard 2...45 ~= ip.count else { return nil }
        var isValid = false
        var (four, six) = (in_addr(), in6_addr())
        var isFour = true
        withUnsafeTemporaryAllocation(of: CChar.self, capacity: 46) { text in
            for index in 0..<ip.count {
                if ip.base[index] == 0 { return }
                if ip.base[index] == 0x3a { isFour = false }
                text[index] = CChar(bitPattern: ip.base[index])
            }
            text[ip.count] = 0
            guard let start = text.baseAddress else { return }
            isValid = (isFour ? inet_pton(AF_INET, start, &four) : inet_pton(AF_INET6, start, &six)) == 1
        }
        if !isValid { return nil }
        if isFour { self.init(ipv4: UInt32(bigEndian: four.s_addr), port: 0) } else { self.init(ipv6: six, port: 0) }
    }

    private init(ipv6: in6_addr, port: UInt16) {
        (high, low) = withUnsafeBytes(of: ipv6) {
            (
                UInt64(bigEndian: $0.loadUnaligned(as: UInt64.self)),
                UInt64(bigEndian: $0.loadUnaligned(fromByteOffset: 8, as: UInt64.self))
            )
        }
        self.port = port
        isIPv6 = true
    }

    private init(high: UInt64, low: UInt64, isIPv6: Bool) {
        self.high = high
        self.low = low
        self.isIPv6 = isIPv6
        port = 0
    }

    /// The same address with some bits only, without a port.
    func masked(high highMask: UInt64, low lowMask: UInt64) -> SocketAddress {
        SocketAddress(high: high & highMask, low: low & lowMask, isIPv6: isIPv6)
    }

    /// Reads what the kernel filled in; nil for families other than IPv4 and IPv6.
    public init?(_ storage: sockaddr_storage) {
        let address: SocketAddress? = withUnsafeBytes(of: storage) { bytes in
            switch Int32(storage.ss_family) {
            case AF_INET:
                let four = bytes.loadUnaligned(as: sockaddr_in.self)
                return SocketAddress(
                    ipv4: UInt32(bigEndian: four.sin_addr.s_addr), port: UInt16(bigEndian: four.sin_port))
            case AF_INET6:
                let six = bytes.loadUnaligned(as: sockaddr_in6.self)
                return SocketAddress(ipv6: six.sin6_addr, port: UInt16(bigEndian: six.sin6_port))
            default: return nil
            }
        }
        guard let address else { return nil }
        self = address
    }

    /// `127.0.0.0/8` or `::1`: only this machine reaches it.
    public var isLoopback: Bool { isIPv6 ? high == 0 && low == 1 : low >> 24 & 0xff == 127 }

    /// AF_INET or AF_INET6.
    public var family: Int32 { isIPv6 ? AF_INET6 : AF_INET }

    /// The same address with another port.
    public func with(port: UInt16) -> SocketAddress {
        var storage = sockaddr_in6()
        guard isIPv6 else { return SocketAddress(ipv4: UInt32(truncatingIfNeeded: low), port: port) }
        storage.sin6_addr = ipv6Bytes
        return SocketAddress(ipv6: storage.sin6_addr, port: port)
    }

    private var ipv6Bytes: in6_addr {
        var address = in6_addr()
        withUnsafeMutableBytes(of: &address) {
            $0.storeBytes(of: high.bigEndian, as: UInt64.self)
            $0.storeBytes(of: low.bigEndian, toByteOffset: 8, as: UInt64.self)
        }
        return address
    }

    /// Calls `body` with the address as the kernel wants it.
    public func withPointer<Result>(_ body: (UnsafePointer<sockaddr>, socklen_t) -> Result) -> Result {
        if isIPv6 {
            var address = sockaddr_in6()
            address.sin6_family = sa_family_t(AF_INET6)
            address.sin6_port = port.bigEndian
            address.sin6_addr = ipv6Bytes
            return withUnsafePointer(to: &address) {
                $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                    body($0, socklen_t(MemoryLayout<sockaddr_in6>.size))
                }
            }
        }
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = port.bigEndian
        address.sin_addr.s_addr = UInt32(truncatingIfNeeded: low).bigEndian
        return withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { body($0, socklen_t(MemoryLayout<sockaddr_in>.size)) }
        }
    }

    /// The address without the port: `10.0.0.1`, `fe80::1`.
    public var ip: String {
        var text = [CChar](repeating: 0, count: Int(INET6_ADDRSTRLEN))
        if isIPv6 {
            var address = ipv6Bytes
            inet_ntop(AF_INET6, &address, &text, socklen_t(text.count))
        } else {
            var address = in_addr(s_addr: UInt32(truncatingIfNeeded: low).bigEndian)
            inet_ntop(AF_INET, &address, &text, socklen_t(text.count))
        }
        return text.withUnsafeBufferPointer { String(cString: $0.baseAddress!) }
    }
}

extension SocketAddress: CustomStringConvertible {
    /// `10.0.0.1:80` or `[fe80::1]:80`
    public var description: String { isIPv6 ? "[\(ip)]:\(port)" : "\(ip):\(port)" }
}

extension SocketAddress: Comparable {
    /// A fixed order: IPv4 first, then by number and port.
    public static func < (left: SocketAddress, right: SocketAddress) -> Bool {
        (left.isIPv6 ? 1 : 0, left.high, left.low, left.port) < (
            right.isIPv6 ? 1 : 0, right.high, right.low, right.port
        )
    }
}
