extension Bolt {
    /// CRC-32 as zlib and Java have it, eight bytes at a time.
    ///
    /// Only programs that use sofa-bolt without SOFA RPC send checksums, so that plain code is fast enough.
    @usableFromInline
    static func checksum(_ bytes: UnsafePointer<UInt8>, count: Int) -> UInt32 {
        checksumTables.withUnsafeBufferPointer { tables in
            var sum = ~UInt32(0)
            var at = 0
            while count &- at >= 8 {
                var word = BigEndian.word(bytes, at) ^ UInt64(sum)
                sum = 0
                for table in 1...8 {
                    sum ^= tables[(8 &- table) &* 256 &+ Int(word & 0xff)]
                    word >>= 8
                }
                at &+= 8
            }
            while at < count {
                sum = tables[Int((sum ^ UInt32(bytes[at])) & 0xff)] ^ sum >> 8
                at &+= 1
            }
            return ~sum
        }
    }

    /// Eight tables of 256: what a byte adds to the sum with 0 ... 7 bytes behind it.
    private static let checksumTables: [UInt32] = {
        var tables: [UInt32] = []
        for byte in 0..<UInt32(256) {
            var sum = byte
            for _ in 0..<8 { sum = sum & 1 == 0 ? sum >> 1 : sum >> 1 ^ 0xedb8_8320 }
            tables.append(sum)
        }
        for index in 256..<8 * 256 {
            let sum = tables[index - 256]
            tables.append(tables[Int(sum & 0xff)] ^ sum >> 8)
        }
        return tables
    }()

    /// Whether the checksum of a whole frame that has one is right.
    @usableFromInline
    static func isChecksumRight(_ frame: UnsafePointer<UInt8>, _ head: FrameHead) -> Bool {
        let covered = head.frameLength &- checksumSize
        return checksum(frame, count: covered) == UInt32(truncatingIfNeeded: BigEndian.load32(frame, covered))
    }

    /// Writes the checksum of a whole frame that has one; it covers everything before it.
    @usableFromInline
    static func writeChecksum(_ frame: UnsafeMutablePointer<UInt8>, _ head: FrameHead) {
        let covered = head.frameLength &- checksumSize
        BigEndian.store(checksum(frame, count: covered), frame, covered)
    }

    // MARK: Changes in place

    /// Overwrites the id of a frame of version 1: nothing in it depends on the id.
    @inlinable @inline(__always)
    public static func writeID(_ id: UInt32, _ frame: UnsafeMutablePointer<UInt8>) {
        UnsafeMutableRawPointer(frame).storeBytes(of: id.bigEndian, toByteOffset: 5, as: UInt32.self)
    }

    /// Gives a whole frame another id, and a request less time.
    ///
    /// - Parameters:
    ///   - frame: Changed in place, its checksum too.
    ///   - head: What was read of it; its lengths count, its id does not.
    ///   - id: The new id.
    ///   - timeout: Milliseconds that are left. Written where the frame has a longer limit; a frame without a limit keeps
    ///     none. 0 changes nothing.
    @inlinable @inline(__always)
    public static func patch(
        _ frame: UnsafeMutablePointer<UInt8>, _ head: FrameHead, id: UInt32, timeout: Int32 = 0
    ) {
        let raw = UnsafeMutableRawPointer(frame)
        let isSecond = head.variant != .version1
        raw.storeBytes(of: id.bigEndian, toByteOffset: isSecond ? 6 : 5, as: UInt32.self)
        if timeout > 0 && timeout < head.timeout {
            raw.storeBytes(of: timeout.bigEndian, toByteOffset: isSecond ? 12 : 10, as: Int32.self)
        }
        if head.hasChecksum { writeChecksum(frame, head) }
    }
}
