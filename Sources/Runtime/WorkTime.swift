/// How long pieces of work of one kind have taken.
public struct WorkTime: Equatable, Sendable {
    /// Upper bounds of the buckets but the last, in nanoseconds.
    public static let bounds: [Int64] = [100_000, 200_000, 500_000, 1_000_000, 2_000_000, 5_000_000, 10_000_000]

    /// Pieces by how long they took, not summed up; the last are beyond all bounds.
    public private(set) var buckets = SIMD8<UInt64>()
    /// All of them together.
    public private(set) var nanoseconds: Int64 = 0
    /// The longest one, in nanoseconds.
    public private(set) var longest: Int64 = 0

    /// No work yet.
    public init() {}

    /// Pieces.
    public var count: UInt64 { buckets.wrappedSum() }

    /// Counts a piece.
    public mutating func add(nanoseconds time: Int64) {
        buckets[Self.bounds.firstIndex { time <= $0 } ?? Self.bounds.count] &+= 1
        nanoseconds &+= time
        longest = max(longest, time)
    }

    /// Counts what somebody else has done.
    public mutating func add(_ other: WorkTime) {
        buckets &+= other.buckets
        nanoseconds &+= other.nanoseconds
        longest = max(longest, other.longest)
    }
}
