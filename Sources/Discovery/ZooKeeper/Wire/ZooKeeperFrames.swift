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

    private static let room = 64 << 10
    private static let keptCapacity = 256 << 10

    /// What has come and was not taken begins at `start`.
    private var storage: [UInt8] = []
    private var start = 0
    private var input = [UInt8](repeating: 0, count: Self.room)

    /// A message has begun that is not whole, or one waits to be taken.
    var isWithin: Bool { start < storage.count }

    /// The next message's length as it is announced.
    var announced: Int? {
        guard storage.count - start >= 4 else { return nil }
        return Int(storage[start..<start + 4].reduce(Int32(0)) { $0 << 8 | Int32($1) })
    }

    /// Takes in what `read` writes into the memory it is given; it returns how much that is, 0 or less for nothing.
    mutating func receive(_ read: (UnsafeMutableRawBufferPointer) -> Int) -> Int {
        let count = input.withUnsafeMutableBytes(read)
        if start == storage.count {
            storage.removeAll(keepingCapacity: storage.capacity <= Self.keptCapacity)
            start = 0
        } else if start > storage.count / 2 {
            storage.removeFirst(start)
            start = 0
        }
        if count > 0 { storage += input.prefix(count) }
        return count
    }

    /// The next message that is whole. A small one is to be let go of before the next `receive`, or it is copied.
    mutating func next() throws(Malformed) -> ArraySlice<UInt8>? {
        guard let announced else { return nil }
        guard announced >= 0 else { throw .negative }
        guard announced <= Self.largest else { throw .tooLarge(announced) }
        guard storage.count - start - 4 >= announced else { return nil }
        let message = storage[start + 4..<start + 4 + announced]
        start = message.endIndex
        if announced > Self.keptCapacity {
            // Its memory is given away with it.
            storage = Array(storage[start...])
            start = 0
        }
        return message
    }
}
