/// A running checksum over bytes (FNV-1a, 64 bits): finds files that were cut or damaged, not those that were forged.
public struct Checksum: Sendable {
    /// Of all bytes so far.
    public private(set) var value: UInt64 = 0xcbf2_9ce4_8422_2325

    /// Of no bytes.
    public init() {}

    /// The last line of a file of so many entries: `end 2 9c1185a5c5e9fc54`, its end included.
    public func lastLine(count: Int) -> [UInt8] { Array("end \(count) \(String(value, radix: 16))\n".utf8) }

    /// Goes on over more bytes.
    public mutating func add(_ bytes: some Sequence<UInt8>) {
        for byte in bytes { value = (value ^ UInt64(byte)) &* 0x100_0000_01b3 }
    }
}
