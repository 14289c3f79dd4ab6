/// Cuts what comes from a server into messages: each has its length in front.
///
/// Memory is taken for what has come, not for what a length announces, and no byte is moved more than a few times.
struct ZooKeeperFrames {
    /// Why a stream cannot be read on.
    enum Malformed: Error, Equatable {
        /// Shorter than nothing.
        case negative
        /// Larger than `largest`.
        case tooLarge(Int)
    }

    /// Largest message that is taken. A server limits what nodes hold, but not the list of a node's children.
    static let largest = 64 << 20

    private static let smallestRoom = 4 << 10
    private static let keptCapacity = 256 << 10

    private var storage: [UInt8] = []
    private var start = 0
    private var end = 0

    /// A message has begun that is not whole, or one waits to be taken.
    var isWithin: Bool { start < end }

    /// The next message's length as it is announced.
    var announced: Int? {
        guard end - start >= 4 else { return nil }
        return Int(storage[start..<start + 4].reduce(Int32(0)) { $0 << 8 | Int32($1) })
    }

    /// Takes in what `read` writes into the memory it is given; it returns how much that is, 0 or less for nothing.
    mutating func receive(_ read: (UnsafeMutableRawBufferPointer) -> Int) -> Int {
        makeRoom()
        let end = end
        let count = storage.withUnsafeMutableBytes { read(UnsafeMutableRawBufferPointer(rebasing: $0[end...])) }
        self.end += min(max(0, count), storage.count - end)
        return count
    }

    /// The next message that is whole. Let go of it before the next `receive`.
    mutating func next() throws(Malformed) -> ArraySlice<UInt8>? {
        guard let announced else { return nil }
        guard announced >= 0 else { throw .negative }
        guard announced <= Self.largest else { throw .tooLarge(announced) }
        guard end - start - 4 >= announced else { return nil }
        let first = start + 4
        start = first + announced
        return storage[first..<start]
    }

    private mutating func makeRoom() {
        if start == end {
            (start, end) = (0, 0)
            // A large message's memory is given back.
            if storage.count > Self.keptCapacity { storage = [] }
        }
        guard storage.count - end < Self.smallestRoom else { return }
        if start > storage.count / 2 {
            storage.removeFirst(start)
            storage += [UInt8](repeating: 0, count: start)
            end -= start
            start = 0
        } else {
            storage += [UInt8](repeating: 0, count: max(2 * Self.smallestRoom, storage.count))
        }
    }
}
