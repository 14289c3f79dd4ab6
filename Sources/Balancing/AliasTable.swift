/// A table to draw indexes by weight in constant time: Vose's alias method. Made a part at a time.
struct AliasTable {
    /// Column `i` is kept when a 32-bit number is below `keep[i]`.
    private(set) var keep: [UInt64]
    /// What is taken instead.
    private(set) var alias: [UInt32]

    private let weights: [UInt32]
    private let scale: Double
    private var shares: [Double]
    /// Columns with less than their share stand at the front, `small` of them, the others from `large` to the end.
    private var columns: [UInt32]
    private var small = 0
    private var large: Int
    /// Columns that have been looked at.
    private var done = 0

    /// Columns of one part.
    private static let part = 256

    init(_ weights: [UInt32]) {
        self.weights = weights
        scale = Double(weights.count) / weights.reduce(0) { $0 + Double($1) }
        keep = Array(repeating: 1 << 32, count: weights.count)
        alias = Array(repeating: 0, count: weights.count)
        shares = Array(repeating: 0, count: weights.count)
        columns = Array(repeating: 0, count: weights.count)
        large = weights.count
    }

    /// Does the next part; returns whether there is more to do.
    mutating func advance() -> Bool {
        if done < weights.count {
            let end = min(weights.count, done + Self.part)
            for index in done..<end { sortIn(index) }
            done = end
            return true
        }
        for _ in 0..<Self.part {
            if small == 0 || large == columns.count { return false }
            fillColumn()
        }
        return true
    }

    private mutating func sortIn(_ index: Int) {
        shares[index] = Double(weights[index]) * scale
        alias[index] = UInt32(index)
        if shares[index] < 1 {
            columns[small] = UInt32(index)
            small += 1
        } else {
            large -= 1
            columns[large] = UInt32(index)
        }
    }

    /// Fills a column that has less than its share from one that has more.
    private mutating func fillColumn() {
        small -= 1
        let (less, more) = (Int(columns[small]), Int(columns[large]))
        keep[less] = UInt64(shares[less] * 4_294_967_296)
        alias[less] = UInt32(more)
        shares[more] -= 1 - shares[less]
        if shares[more] < 1 {
            large += 1
            columns[small] = UInt32(more)
            small += 1
        }
    }
}
