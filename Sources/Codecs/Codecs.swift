/// A place in the bytes that a codec was given.
public struct ByteRange: Hashable, Sendable {
    /// First byte.
    public var start: Int32
    /// Number of bytes.
    public var count: Int32

    /// A range.
    @inline(__always)
    public init(start: Int, count: Int) {
        self.start = Int32(truncatingIfNeeded: start)
        self.count = Int32(truncatingIfNeeded: count)
    }

    /// Nothing, nowhere.
    public static let none = ByteRange(start: 0, count: 0)

    /// One past the last byte.
    @inline(__always)
    public var end: Int { Int(start) + Int(count) }

    /// Whether it has no bytes.
    @inline(__always)
    public var isEmpty: Bool { count == 0 }
}
