import Glibc

/// Immutable bytes outside of reference counting, for tables on the path of a request. Whoever made it frees it.
public struct ByteString {
    /// First byte; not to be read when `count` is 0.
    public let base: UnsafePointer<UInt8>
    /// Number of bytes.
    public let count: Int

    /// Borrows bytes that someone else owns.
    @inline(__always)
    public init(base: UnsafePointer<UInt8>, count: Int) {
        self.base = base
        self.count = count
    }

    /// Copies a text's UTF-8 bytes; `free` gives the memory back.
    public init(copying text: String) {
        let count = text.utf8.count
        let memory = UnsafeMutablePointer<UInt8>.allocate(capacity: max(1, count))
        for (index, byte) in text.utf8.enumerated() { memory[index] = byte }
        self.init(base: memory, count: count)
    }

    /// Copies bytes; `free` gives the memory back.
    public init(copying bytes: ByteString) {
        let memory = UnsafeMutablePointer<UInt8>.allocate(capacity: max(1, bytes.count))
        memory.update(from: bytes.base, count: bytes.count)
        self.init(base: memory, count: bytes.count)
    }

    /// Frees memory made by a copying initialiser.
    public func free() { UnsafeMutablePointer(mutating: base).deallocate() }

    /// Its first bytes, up to so many.
    public func prefix(_ most: Int) -> ByteString { ByteString(base: base, count: min(count, most)) }

    /// Whether both have the same bytes.
    @inline(__always)
    public func equals(_ other: ByteString) -> Bool {
        count == other.count && memcmp(base, other.base, count) == 0
    }

    /// A stable 64-bit hash: the same in every process and on every machine. Eight bytes at a time; each step can be undone, so that
    /// none loses what came before.
    @inline(__always)
    public func hash(salt: UInt64 = 0) -> UInt64 {
        var value = Self.mixed(0xcbf2_9ce4_8422_2325 ^ salt ^ UInt64(count))
        var at = 0
        while count &- at >= 8 {
            value = Self.mixed(value ^ word(at))
            at &+= 8
        }
        if at < count { value = Self.mixed(value ^ (count >= 8 ? word(count &- 8) : shortWord)) }
        value = value &* 0x9fb2_1c65_1e98_df25
        return value ^ (value >> 29)
    }

    @inline(__always)
    private static func mixed(_ value: UInt64) -> UInt64 {
        let product = value &* 0x9e37_79b9_7f4a_7c15
        return product ^ (product >> 32)
    }

    /// Eight bytes as a number.
    @inline(__always)
    private func word(_ at: Int) -> UInt64 {
        UInt64(littleEndian: UnsafeRawPointer(base + at).loadUnaligned(as: UInt64.self))
    }

    /// All bytes as a number, when they are less than eight.
    @inline(__always)
    private var shortWord: UInt64 {
        var value: UInt64 = 0
        for index in 0..<count { value = value << 8 | UInt64(base[index]) }
        return value
    }

    /// Whether there are capital ASCII letters.
    public var hasCapitals: Bool {
        for index in 0..<count where base[index] &- 0x41 < 26 { return true }
        return false
    }

    /// The bytes as text; nil when they are not UTF-8.
    public var validText: String? {
        String(validating: UnsafeBufferPointer(start: base, count: count), as: UTF8.self)
    }

    /// The bytes as text; invalid UTF-8 is replaced.
    public var text: String { String(decoding: UnsafeBufferPointer(start: base, count: count), as: UTF8.self) }
}
