/// Names of nodes as a server has sent them. A node can have very many: each becomes a text only when its turn comes.
struct JuteNames {
    /// How many there are.
    let count: Int
    private let bytes: ArraySlice<UInt8>

    /// - Parameter bytes: the names with their lengths, found right by `length`.
    init(count: Int, bytes: ArraySlice<UInt8>) {
        self.count = count
        self.bytes = bytes
    }

    /// How many bytes so many names take at the beginning of some; nil where they are not there or one is empty.
    static func length(_ count: Int, in bytes: UnsafeRawBufferPointer) -> Int? {
        // A name takes at least its length and one byte.
        guard count >= 0, count <= bytes.count / 5 else { return nil }
        var position = 0
        for _ in 0..<count {
            guard bytes.count - position >= 4 else { return nil }
            let size = Int(Int32(bigEndian: bytes.loadUnaligned(fromByteOffset: position, as: Int32.self)))
            position += 4
            guard size > 0, size <= bytes.count - position else { return nil }
            position += size
        }
        return position
    }
}

extension JuteNames: Sequence {
    struct Iterator: IteratorProtocol {
        fileprivate var reader: JuteReader

        mutating func next() -> String? { try? reader.text() }
    }

    func makeIterator() -> Iterator { Iterator(reader: JuteReader(bytes)) }

    var underestimatedCount: Int { count }
}

extension JuteNames: CustomStringConvertible {
    var description: String { "\(Array(self))" }
}

extension JuteNames: Equatable {
    static func == (left: Self, right: Self) -> Bool { left.elementsEqual(right) }
}

extension JuteNames: ExpressibleByArrayLiteral {
    init(arrayLiteral names: String...) {
        var writer = JuteWriter()
        for name in names { writer.put(name) }
        self.init(count: names.count, bytes: writer.waiting)
    }
}
