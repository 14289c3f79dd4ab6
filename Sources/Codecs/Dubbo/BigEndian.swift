/// Big-endian numbers at unaligned places, the byte order of Dubbo frames, Hessian2 and JSONB.
///
/// The caller has checked that the bytes are there.
enum BigEndian {
    @inline(__always)
    static func load16(_ bytes: UnsafePointer<UInt8>, _ at: Int) -> Int {
        Int(UInt16(bigEndian: UnsafeRawPointer(bytes).loadUnaligned(fromByteOffset: at, as: UInt16.self)))
    }

    /// Unsigned: 0 ..< 2^32.
    @inline(__always)
    static func load32(_ bytes: UnsafePointer<UInt8>, _ at: Int) -> Int {
        Int(UInt32(bigEndian: UnsafeRawPointer(bytes).loadUnaligned(fromByteOffset: at, as: UInt32.self)))
    }

    /// Signed, as Java's int.
    @inline(__always)
    static func loadInt32(_ bytes: UnsafePointer<UInt8>, _ at: Int) -> Int {
        Int(Int32(bigEndian: UnsafeRawPointer(bytes).loadUnaligned(fromByteOffset: at, as: Int32.self)))
    }

    @inline(__always)
    static func loadInt64(_ bytes: UnsafePointer<UInt8>, _ at: Int) -> Int64 {
        Int64(bigEndian: UnsafeRawPointer(bytes).loadUnaligned(fromByteOffset: at, as: Int64.self))
    }

    /// Eight bytes as they lie in memory, for comparing many at once.
    @inline(__always)
    static func word(_ bytes: UnsafePointer<UInt8>, _ at: Int) -> UInt64 {
        UInt64(littleEndian: UnsafeRawPointer(bytes).loadUnaligned(fromByteOffset: at, as: UInt64.self))
    }

    /// Four bytes as they lie in memory.
    @inline(__always)
    static func halfWord(_ bytes: UnsafePointer<UInt8>, _ at: Int) -> UInt32 {
        UInt32(littleEndian: UnsafeRawPointer(bytes).loadUnaligned(fromByteOffset: at, as: UInt32.self))
    }

    @inline(__always)
    static func store<Number: FixedWidthInteger>(_ value: Number, _ out: UnsafeMutablePointer<UInt8>, _ at: Int) {
        UnsafeMutableRawPointer(out).storeBytes(of: value.bigEndian, toByteOffset: at, as: Number.self)
    }
}
