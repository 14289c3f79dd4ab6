import Runtime

/// From names to services: a hash table over bytes with open addressing. Keys belong to the caller.
struct NameTable: ~Copyable {
    private struct Entry {
        var hash: UInt64
        var key: ByteString
        var service: UnsafeMutablePointer<Service>?
    }

    private var entries: UnsafeMutablePointer<Entry>
    private var mask: Int
    private(set) var count = 0

    init() {
        mask = 15
        entries = Self.allocate(16)
    }

    deinit { entries.deallocate() }

    @inline(__always)
    func find(_ key: ByteString) -> UnsafeMutablePointer<Service>? {
        let hash = key.hash()
        var index = Int(truncatingIfNeeded: hash) & mask
        while let service = entries[index].service {
            if entries[index].hash == hash && entries[index].key.equals(key) { return service }
            index = (index + 1) & mask
        }
        return nil
    }

    /// Adds a name that is not in the table; the key's memory must outlive the entry.
    mutating func insert(_ key: ByteString, _ service: UnsafeMutablePointer<Service>) {
        if (count + 1) * 2 > mask { grow() }
        place(Entry(hash: key.hash(), key: key, service: service))
        count += 1
    }

    /// Removes a name; what its probe sequence displaced moves up.
    mutating func remove(_ key: ByteString) {
        let hash = key.hash()
        var index = Int(truncatingIfNeeded: hash) & mask
        while entries[index].service != nil && !(entries[index].hash == hash && entries[index].key.equals(key)) {
            index = (index + 1) & mask
        }
        guard entries[index].service != nil else { return }
        count -= 1
        var hole = index
        while true {
            index = (index + 1) & mask
            guard entries[index].service != nil else { break }
            let home = Int(truncatingIfNeeded: entries[index].hash) & mask
            if (index - home) & mask >= (index - hole) & mask {
                entries[hole] = entries[index]
                hole = index
            }
        }
        entries[hole].service = nil
    }

    /// Calls `body` with every entry.
    func forEach(_ body: (ByteString, UnsafeMutablePointer<Service>) -> Void) {
        for index in 0...mask {
            if let service = entries[index].service { body(entries[index].key, service) }
        }
    }

    private mutating func place(_ entry: Entry) {
        var index = Int(truncatingIfNeeded: entry.hash) & mask
        while entries[index].service != nil { index = (index + 1) & mask }
        entries[index] = entry
    }

    private mutating func grow() {
        let old = entries
        let oldMask = mask
        mask = mask * 2 + 1
        entries = Self.allocate(mask + 1)
        for index in 0...oldMask where old[index].service != nil { place(old[index]) }
        old.deallocate()
    }

    private static func allocate(_ count: Int) -> UnsafeMutablePointer<Entry> {
        let memory = UnsafeMutablePointer<Entry>.allocate(capacity: count)
        let empty = Entry(
            hash: 0, key: ByteString(base: UnsafeRawPointer(memory).assumingMemoryBound(to: UInt8.self), count: 0),
            service: nil)
        memory.initialize(repeating: empty, count: count)
        return memory
    }
}
