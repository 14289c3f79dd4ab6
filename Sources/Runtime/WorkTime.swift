/// How long pieces of work of one kind have taken.
public struct WorkTime: Equatable, Sendable {
    /// Pieces.
    public private(set) var count: UInt64 = 0
    /// All of them together.
    public private(set) var nanoseconds: Int64 = 0
    /// The longest one, in nanoseconds.
    public private(set) var longest: Int64 = 0

    /// No work yet.
    public init() {}

    /// Counts a piece.
    public mutating func add(nanoseconds time: Int64) {
        count += 1
        nanoseconds &+= time
        longest = max(longest, time)
    }

    /// Counts what somebody else has done.
    public mutating func add(_ other: WorkTime) {
        count += other.count
        nanoseconds &+= other.nanoseconds
        longest = max(longest, other.longest)
    }
}
