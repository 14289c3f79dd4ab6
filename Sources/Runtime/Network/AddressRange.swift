/// IP addresses that begin with the same bits. Plain bits, so that an address can be looked for on the path of a request.
///
/// IPv4 addresses and ranges are the same in their mapped form (`::ffff:10.0.0.0/104`). A range of IPv6 has IPv6 addresses only, `::/0` too.
public struct AddressRange: Hashable, Sendable {
    /// Its lowest address, without a port.
    public let first: SocketAddress
    /// How many bits its addresses begin with, 0 to 128: of an IPv4 address at least the 96 of its mapped form.
    private let bits: Int
    private let highMask: UInt64
    private let lowMask: UInt64

    /// The range of an address.
    ///
    /// - Parameters:
    ///   - address: any of its addresses.
    ///   - length: bits that all have in common, 0 to 32, or 0 to 128 of IPv6; nil: all of them.
    public init?(_ address: SocketAddress, length: Int? = nil) {
        let address = address.unmapped
        let most = address.isIPv6 ? 128 : 32
        guard let length = Optional(length ?? most), 0...most ~= length else { return nil }
        bits = 128 - most + length
        highMask = bits >= 64 ? .max : ~(.max >> UInt64(bits))
        lowMask = bits <= 64 ? 0 : ~(bits == 128 ? 0 : .max >> UInt64(bits - 64))
        first = address.masked(high: highMask, low: lowMask)
    }

    /// Reads `10.0.0.0/8`, `fd00::/8` or one address. What stands behind the first bits does not count.
    public init?(_ text: String) {
        let parts = text.split(separator: "/", maxSplits: 1, omittingEmptySubsequences: false)
        guard let address = SocketAddress(ip: String(parts[0]), port: 0) else { return nil }
        if parts.count == 1 {
            self.init(address)
        } else {
            guard let length = UInt8(parts[1]), parts[1].utf8.allSatisfy({ 0x30...0x39 ~= $0 }) else { return nil }
            // The mapped form counts its own bits, too.
            let isMapped = address.isIPv6 && !address.unmapped.isIPv6
            self.init(address, length: isMapped ? Int(length) - 96 : Int(length))
        }
    }

    /// Whether an address is one of them; its port does not count.
    @inlinable
    public func contains(_ address: SocketAddress) -> Bool { has(address.high, address.low) }

    /// Whether all of another one's addresses are among them.
    public func contains(_ other: AddressRange) -> Bool { other.bits >= bits && contains(other.first) }

    @usableFromInline
    func has(_ high: UInt64, _ low: UInt64) -> Bool {
        let isIPv6 = high != 0 || low >> 32 != 0xffff
        return high & highMask == first.high && low & lowMask == first.low && isIPv6 == first.isIPv6
    }
}

extension AddressRange: CustomStringConvertible {
    /// As it is read.
    public var description: String {
        let length = first.isIPv6 ? bits : bits - 96
        return bits == 128 ? first.ip : "\(first.ip)/\(length)"
    }
}

/// Ranges outside of reference counting. Whoever made them frees them.
public struct AddressRanges {
    private let ranges: UnsafeMutablePointer<AddressRange>
    /// How many there are.
    public let count: Int

    /// Copies ranges.
    public init(_ ranges: [AddressRange]) {
        count = ranges.count
        self.ranges = .allocate(capacity: max(1, count))
        self.ranges.initialize(from: ranges, count: count)
    }

    /// Gives the memory back.
    public func free() { ranges.deallocate() }

    /// Whether an address is in one of them.
    public func contains(_ address: SocketAddress) -> Bool {
        for index in 0..<count where ranges[index].contains(address) { return true }
        return false
    }
}
