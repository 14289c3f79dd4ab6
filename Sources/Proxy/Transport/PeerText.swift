import Runtime

/// An address as text without memory of its own: 45 bytes are enough for IPv6.
struct PeerText {
    private var words: (UInt64, UInt64, UInt64, UInt64, UInt64, UInt64) = (0, 0, 0, 0, 0, 0)
    private(set) var count: UInt8 = 0

    init(_ address: SocketAddress) {
        let text = address.ip
        count = UInt8(min(48, text.utf8.count))
        withUnsafeMutableBytes(of: &words) { bytes in
            for (index, byte) in text.utf8.prefix(48).enumerated() { bytes[index] = byte }
        }
    }

    /// The text in memory that holds 48 bytes.
    func copied(into memory: UnsafeMutablePointer<UInt8>) -> ByteString {
        withUnsafeBytes(of: words) { memory.update(from: $0.bindMemory(to: UInt8.self).baseAddress!, count: 48) }
        return ByteString(base: memory, count: Int(count))
    }
}
