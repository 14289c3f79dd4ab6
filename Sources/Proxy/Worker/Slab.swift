/// Records of one type, plain bits, for one thread. A record that was given back is used again, but not before `settle`: an event of the
/// same batch may still name it.
struct Slab<Record>: ~Copyable {
    private struct Free {
        var next: UnsafeMutablePointer<Free>?
    }

    private var free: UnsafeMutablePointer<Free>?
    private var buried: UnsafeMutablePointer<Free>?
    /// Records in use.
    private(set) var count = 0

    init() {}

    deinit {
        var item = free
        while let first = item {
            item = first.pointee.next
            UnsafeMutableRawPointer(first).deallocate()
        }
    }

    /// A record with the given content.
    @inline(__always)
    mutating func take(_ content: Record) -> UnsafeMutablePointer<Record> {
        count += 1
        guard let first = free else {
            let memory = UnsafeMutableRawPointer.allocate(
                byteCount: max(MemoryLayout<Record>.stride, MemoryLayout<Free>.stride), alignment: 16)
            return memory.initializeMemory(as: Record.self, to: content)
        }
        free = first.pointee.next
        return UnsafeMutableRawPointer(first).initializeMemory(as: Record.self, to: content)
    }

    /// Gives a record back at once: no event can name it.
    @inline(__always)
    mutating func put(_ record: UnsafeMutablePointer<Record>) {
        count -= 1
        free = UnsafeMutableRawPointer(record).initializeMemory(as: Free.self, to: Free(next: free))
    }

    /// Gives a record back when the batch is over. Its content stays readable until then, except for its first word.
    mutating func bury(_ record: UnsafeMutablePointer<Record>) {
        count -= 1
        buried = UnsafeMutableRawPointer(record).initializeMemory(as: Free.self, to: Free(next: buried))
    }

    /// The batch is over.
    @inline(__always)
    mutating func settle() {
        while let first = buried {
            buried = first.pointee.next
            first.pointee.next = free
            free = first
        }
    }
}
