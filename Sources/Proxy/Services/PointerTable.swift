import Glibc
import Runtime

/// What records are found by in a `PointerTable`.
protocol TableKey {
    /// Spread over all 64 bits.
    func tableHash() -> UInt64
    func equals(_ other: Self) -> Bool
}

extension ByteString: TableKey {
    @inline(__always)
    func tableHash() -> UInt64 { hash() }
}

/// From keys to records: a hash table with open addressing. It keeps the hashes, so that it grows without looking at the keys
/// again: ten thousand entries in a few dozen microseconds.
///
/// Keys that point to memory belong to the caller; that memory must outlive the entry.
struct PointerTable<Key: TableKey, Record: ~Copyable>: ~Copyable {
    /// Plain bits. A place that is not used is all zeroes; its key means nothing.
    private struct Entry {
        var hash: UInt64
        var key: Key
        var record: UnsafeMutablePointer<Record>?
    }

    private var entries: UnsafeMutablePointer<Entry>
    private var mask: Int
    private(set) var count = 0

    /// An empty table.
    ///
    /// - Parameter capacity: places that it begins with; a power of two.
    init(capacity: Int = 16) {
        mask = capacity - 1
        entries = Self.allocate(capacity)
    }

    deinit { Self.release(entries, mask + 1) }

    @inline(__always)
    func find(_ key: Key) -> UnsafeMutablePointer<Record>? { find(key, hash: key.tableHash()) }

    /// As `find`, for a key that is looked for in several tables.
    @inline(__always)
    func find(_ key: Key, hash: UInt64) -> UnsafeMutablePointer<Record>? {
        var index = Int(truncatingIfNeeded: hash) & mask
        while let record = entries[index].record {
            if entries[index].hash == hash && entries[index].key.equals(key) { return record }
            index = (index + 1) & mask
        }
        return nil
    }

    /// Adds a key that is not in the table.
    mutating func insert(_ key: Key, _ record: UnsafeMutablePointer<Record>) {
        reserve(1)
        place(Entry(hash: key.tableHash(), key: key, record: record))
        count += 1
    }

    /// Removes a key; what its probe sequence displaced moves up.
    mutating func remove(_ key: Key) {
        let hash = key.tableHash()
        var index = Int(truncatingIfNeeded: hash) & mask
        while entries[index].record != nil && !(entries[index].hash == hash && entries[index].key.equals(key)) {
            index = (index + 1) & mask
        }
        guard entries[index].record != nil else { return }
        count -= 1
        var hole = index
        while true {
            index = (index + 1) & mask
            guard entries[index].record != nil else { break }
            let home = Int(truncatingIfNeeded: entries[index].hash) & mask
            if (index - home) & mask >= (index - hole) & mask {
                entries[hole] = entries[index]
                hole = index
            }
        }
        entries[hole].record = nil
    }

    /// Calls `body` with every entry.
    func forEach(_ body: (Key, UnsafeMutablePointer<Record>) -> Void) {
        for index in 0...mask {
            if let record = entries[index].record { body(entries[index].key, record) }
        }
    }

    /// Makes room for so many further keys at once, rather than bit by bit.
    mutating func reserve(_ more: Int) {
        if (count + more) * 2 <= mask { return }
        let old = entries
        let oldMask = mask
        while (count + more) * 2 > mask { mask = mask * 2 + 1 }
        entries = Self.allocate(mask + 1)
        for index in 0...oldMask where old[index].record != nil { place(old[index]) }
        Self.release(old, oldMask + 1)
    }

    private mutating func place(_ entry: Entry) {
        var index = Int(truncatingIfNeeded: entry.hash) & mask
        while entries[index].record != nil { index = (index + 1) & mask }
        entries[index] = entry
    }

    // MARK: Memory

    /// From so many bytes on memory comes from the system itself: it is zero already, so that nothing is touched here. What the C
    /// library has in its heap it would have to clear first.
    private static var large: Int { 1 << 16 }

    private static func size(_ count: Int) -> Int { count * MemoryLayout<Entry>.stride }

    private static func allocate(_ count: Int) -> UnsafeMutablePointer<Entry> {
        let memory: UnsafeMutableRawPointer?
        if size(count) >= large {
            memory = mmap(nil, size(count), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
        } else {
            memory = calloc(count, MemoryLayout<Entry>.stride)
        }
        guard let memory, memory != MAP_FAILED else { fatalError("out of memory") }
        return memory.bindMemory(to: Entry.self, capacity: count)
    }

    private static func release(_ entries: UnsafeMutablePointer<Entry>, _ count: Int) {
        if size(count) >= large {
            munmap(entries, size(count))
        } else {
            free(entries)
        }
    }
}
