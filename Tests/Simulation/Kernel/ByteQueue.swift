/// Bytes in order: added at the end, taken from the front.
struct ByteQueue {
    private var storage: [UInt8] = []
    private var start = 0

    var count: Int { storage.count - start }
    var isEmpty: Bool { count == 0 }

    /// What waits. Its indices do not begin at 0.
    var bytes: ArraySlice<UInt8> { storage[start...] }

    subscript(offset: Int) -> UInt8 { storage[start + offset] }

    mutating func append(_ bytes: some Sequence<UInt8>) { storage.append(contentsOf: bytes) }

    mutating func append(_ bytes: UnsafePointer<UInt8>, _ count: Int) {
        storage.append(contentsOf: UnsafeBufferPointer(start: bytes, count: count))
    }

    mutating func removeFirst(_ count: Int) {
        start += count
        if start == storage.count {
            storage.removeAll(keepingCapacity: true)
            start = 0
        } else if start > 65_536 {
            storage.removeSubrange(..<start)
            start = 0
        }
    }

    mutating func take(_ count: Int) -> [UInt8] {
        let taken = Array(storage[start..<start + count])
        removeFirst(count)
        return taken
    }

    mutating func removeAll() { removeFirst(count) }

    /// The offset after the first occurrence of a text; nil when it is not there.
    func end(of text: StaticString) -> Int? {
        let length = text.utf8CodeUnitCount
        return storage.withUnsafeBufferPointer { all in
            var at = start
            while at + length <= all.count {
                if all[at] == text.utf8Start[0] && (1..<length).allSatisfy({ all[at + $0] == text.utf8Start[$0] }) {
                    return at + length - start
                }
                at += 1
            }
            return nil
        }
    }
}
