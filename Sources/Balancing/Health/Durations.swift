/// How long answers took, in classes of a quarter of an octave or less: a median from it is off by an eighth at most.
public struct Durations: Equatable, Sendable {
    /// Answers by class.
    public private(set) var counts: [UInt32]

    /// Classes begin at 2^14 ns, 16 us, and end at 2^38 ns, 275 s; what is beyond is in the first or the last.
    @usableFromInline static let firstOctave = 14
    /// How many there are.
    public static let classes = 96

    /// None.
    public init() { counts = Array(repeating: 0, count: Self.classes) }

    /// The class of a duration.
    @inlinable @inline(__always)
    public static func number(nanoseconds: Int64) -> Int {
        let value = UInt64(max(nanoseconds, 1 << firstOctave))
        let octave = 63 - value.leadingZeroBitCount
        let quarter = Int(truncatingIfNeeded: value >> UInt64(octave - 2)) & 3
        return min((octave - firstOctave) * 4 + quarter, classes - 1)
    }

    /// Adds answers of a class.
    public mutating func add(_ count: UInt32, to number: Int) { counts[number] &+= count }

    /// Adds all of another.
    public mutating func add(_ other: Durations) {
        for number in 0..<Self.classes { counts[number] &+= other.counts[number] }
    }

    /// In nanoseconds; nil without any.
    public var median: Int64? {
        let total = counts.reduce(0) { $0 + UInt64($1) }
        if total == 0 { return nil }
        var left = (total + 1) / 2
        for number in 0..<Self.classes {
            let count = UInt64(counts[number])
            if count >= left { return Self.middle(of: number) }
            left -= count
        }
        return nil
    }

    private static func middle(of number: Int) -> Int64 {
        let octave = firstOctave + number / 4
        return (1 << Int64(octave)) / 8 * Int64(9 + 2 * (number % 4))
    }
}
